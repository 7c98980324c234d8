"""Build the rounds that the package ships: `make rounds` runs this over unpacked copies of the public rounds.

python tools/build_rounds.py ROUND_TREE...
"""

import shutil
import sys
import tempfile
from pathlib import Path

from pitboard.results.ingest import read_rows
from pitboard.results.store import SHIPPED, Store

_MOST_BYTES = 2_000_000


def main(trees: list[Path]) -> int:
    """Add each tree to an empty store and export it beside the code, if all of it is small enough."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"), shipped=False)
        for tree in trees:
            added = store.add(read_rows(tree))
            print(f"{tree.name}: {added.new} results", *added.problems, sep="\n  ")
        store.export(Path(folder, "rounds"))
        size = sum(file.stat().st_size for file in Path(folder, "rounds").iterdir())
        print(f"{size:,} bytes")
        if size > _MOST_BYTES:
            print(f"That is more than {_MOST_BYTES:,}: nothing was changed.")
            return 1
        shutil.rmtree(SHIPPED, ignore_errors=True)
        shutil.copytree(Path(folder, "rounds"), SHIPPED)
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
