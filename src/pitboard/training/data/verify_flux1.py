"""Hold FLUX.1's encoded images against what is known about them."""

from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.training.data.encoded_images import EncodedImages, read_empty
from pitboard.training.data.flux1 import EMPTY, TRAIN, VALIDATION, SplitFacts
from pitboard.training.data.verify import FileReport, Progress, checked


def verify(root: Path, *, checksums: bool = True, progress: Progress | None = None) -> list[FileReport]:
    """Verify the data of the FLUX.1 benchmark under `root`: one report a set of images or single file.

    Each Arrow file must be whole and have the columns; the images must be as many as the rules say; the
    first and the last encoding must have the benchmark's shapes. With `checksums`, files that a list beside
    them names are read and compared.

    Raises `PitboardError` if `root` is not a folder or cannot be read; what is wrong with a file is reported.
    """
    if root.exists() and not root.is_dir():
        raise PitboardError(f"{root} is not a folder. Give the folder that the data was downloaded to.")
    try:
        reports = [_empty(root, name) for name in EMPTY]
        reports += [_images(root, facts) for facts in (TRAIN, VALIDATION)]
        if not checksums:
            return reports
        return [report for one in reports for report in _with_sums(root, one, progress)]
    except OSError as error:
        raise PitboardError(f"Cannot read {error.filename or root}: {error.strerror}.") from error


def _empty(root: Path, name: str) -> FileReport:
    if not (root / name).is_file():
        return FileReport(name, "missing", f"expected in {root}")
    try:
        read_empty(root / name, EMPTY[name])
    except PitboardError as error:
        return FileReport(name, "wrong", str(error))
    return FileReport(name, "ok", f"floats of shape {EMPTY[name]}")


def _images(root: Path, facts: SplitFacts) -> FileReport:
    folder = root / facts.folder
    if not any(folder.glob("*.arrow")):
        return FileReport(facts.folder, "missing", f"expected *.arrow in {folder}")
    try:
        images = EncodedImages(folder)
        for index in (0, len(images) - 1):
            images[index]
    except PitboardError as error:
        return FileReport(facts.folder, "wrong", str(error))
    counts = f"{len(images):,} images"
    if len(images) != facts.images:
        return FileReport(facts.folder, "wrong", f"{counts}; expected {facts.images:,}")
    return FileReport(facts.folder, "ok", counts)


def _with_sums(root: Path, report: FileReport, progress: Progress | None) -> list[FileReport]:
    """Return the report with what its checksum says; of a folder, and of each of its files that differs."""
    if report.status != "ok":
        return [report]
    if not (root / report.file).is_dir():
        return [checked(root, report, progress)]
    files = [
        checked(root, FileReport(f"{report.file}/{path.name}", "ok", "a whole Arrow stream"), progress)
        for path in sorted((root / report.file).glob("*.arrow"))
    ]
    return [report, *(file for file in files if file.status != "ok")]
