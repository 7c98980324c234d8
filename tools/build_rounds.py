"""Build the rounds that the package ships: `make rounds` runs this over unpacked copies of the public rounds.

Only archives of a known digest are what was published.

python tools/build_rounds.py ARCHIVE...
"""

import hashlib
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from backports import zstd

from pitboard.results.ingest import read_rows
from pitboard.results.store import SHIPPED, Store

_MOST_BYTES = 2_000_000
_PUBLISHED = {
    "5.0": "c167c91703f89550cc201fc25dd7df36897191776b7fd88abb16b4e9ec05875c",
    "5.1": "2845ad0a5390fa9f4ff0ab94116645097673c1ff6f979a915e27f03e10cb7ca5",
}
"""The SHA-256 of the archive of each round that ships."""


def main(archives: list[Path]) -> int:
    """Add each known archive's round to an empty store and export it beside the code, if small enough."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"), shipped=False)
        for archive in archives:
            digest = hashlib.file_digest(archive.open("rb"), "sha256").hexdigest()
            if digest not in _PUBLISHED.values():
                print(f"{archive.name}: left out, since its digest {digest} is none of a round that ships.")
                continue
            added = store.add(read_rows(unpack(archive, Path(folder, archive.name)), published=True))
            print(f"{archive.name}: {added.new} results", *added.problems, sep="\n  ")
        store.export(Path(folder, "rounds"))
        size = sum(file.stat().st_size for file in Path(folder, "rounds").iterdir())
        print(f"{size:,} bytes")
        if size > _MOST_BYTES:
            print(f"That is more than {_MOST_BYTES:,}: nothing was changed.")
            return 1
        shutil.rmtree(SHIPPED, ignore_errors=True)
        shutil.copytree(Path(folder, "rounds"), SHIPPED)
    return 0


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive; give the one folder that it holds."""
    with zstd.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(folder, filter="data")
    return next(entry for entry in folder.iterdir() if entry.is_dir())


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
