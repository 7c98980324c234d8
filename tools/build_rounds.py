"""Build the rounds that the package ships: `make rounds` runs this over unpacked copies of the public rounds.

Only archives of a known digest, which `suite/rounds.py` has, are what was published.

python tools/build_rounds.py ARCHIVE...
python tools/build_rounds.py --seal     write the digests of the files that are there, as a merge left them
"""

import hashlib
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from backports import zstd

from pitboard.results.ingest import read_rows
from pitboard.results.store import SHIPPED, Store, seal
from pitboard.suite import ROUNDS

MOST_BYTES = 5_000_000


def main(archives: list[Path]) -> int:
    """Add each known archive's round to an empty store and export it beside the code, if small enough."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"), shipped=False)
        for archive in archives:
            digest = hashlib.file_digest(archive.open("rb"), "sha256").hexdigest()
            round = next((known.version for known in ROUNDS if known.archive == digest), None)
            if round is None:
                print(f"{archive.name}: left out, since its digest {digest} is none of a round that ships.")
                continue
            unpacked = unpack(archive, Path(folder, archive.name))
            rows = read_rows(unpacked, round, published=True)
            shutil.rmtree(unpacked)
            added = store.add(rows)
            print(f"{archive.name}: {added.new} results", *added.problems, sep="\n  ")
        store.export(Path(folder, "rounds"))
        size = sum(file.stat().st_size for file in Path(folder, "rounds").iterdir())
        print(f"{size:,} bytes")
        if size > MOST_BYTES:
            print(f"That is more than {MOST_BYTES:,}: nothing was changed.")
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
    if sys.argv[1:] == ["--seal"]:
        seal(SHIPPED)
        sys.exit()
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
