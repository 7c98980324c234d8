"""Check FLUX.1's encoded images against what is known about them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.flux1.data import EVALUATION_TIMES
from pitboard.training.benchmarks.flux1.downloads import EMPTY, TRAIN, VALIDATION, SplitFacts
from pitboard.training.benchmarks.flux1.encoded_images import EncodedImages, read_empty
from pitboard.training.data.verify import FileReport


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for each set of images, and each single file, of the benchmark's data under `root`.

    Each Arrow file must be whole and have the columns; the images must be as many as the rules say, and as
    many at each time step of validation; the first and the last encoding must have the benchmark's shapes.
    """
    for name in EMPTY:
        yield _empty(root, name)
    for facts in (TRAIN, VALIDATION):
        yield _images(root, facts)


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
        times = map(images.evaluation_time, range(len(images) if facts is VALIDATION else 0))
        at_each = Counter(times)
    except PitboardError as error:
        return FileReport(facts.folder, "wrong", str(error))
    counts = f"{len(images):,} images"
    if len(images) != facts.images:
        return FileReport(facts.folder, "wrong", f"{counts}; expected {facts.images:,}")
    if facts is VALIDATION and set(at_each.values()) != {facts.images // EVALUATION_TIMES}:
        return FileReport(facts.folder, "wrong", f"{counts}; not as many at each time step")
    return FileReport(facts.folder, "ok", counts)
