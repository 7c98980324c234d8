"""Check FLUX.1's encoded images against what is known about them."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.flux1.data import EVALUATION_TIMES
from pitboard.training.benchmarks.flux1.downloads import EMPTY, TRAIN, VALIDATION, SplitFacts
from pitboard.training.benchmarks.flux1.encoded_images import EncodedImages, read_empty
from pitboard.training.data.verify import FileReport, checked_report


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for each set of images, and each single file, of the benchmark's data under `root`.

    Each Arrow file must be whole and have the columns; the images must be as many as the rules say, and as
    many at each time step of validation; the first and the last encoding must have the benchmark's shapes.
    """
    for name in EMPTY:
        yield checked_report(root, name, partial(_empty, root, name))
    for facts in (TRAIN, VALIDATION):
        folder = root / facts.folder
        if any(folder.glob("*.arrow")):
            yield checked_report(root, facts.folder, partial(_images, folder, facts))
        else:
            yield FileReport(facts.folder, "missing", f"expected *.arrow in {folder}")


def _empty(root: Path, name: str) -> str:
    read_empty(root / name, EMPTY[name])
    return f"floats of shape {EMPTY[name]}"


def _images(folder: Path, facts: SplitFacts) -> str:
    images = EncodedImages(folder)
    for index in (0, len(images) - 1):
        images[index]
    times = map(images.evaluation_time, range(len(images) if facts is VALIDATION else 0))
    at_each = Counter(times)
    counts = f"{len(images):,} images"
    if len(images) != facts.images:
        raise PitboardError(f"{counts}; expected {facts.images:,}")
    if facts is VALIDATION and set(at_each.values()) != {facts.images // EVALUATION_TIMES}:
        raise PitboardError(f"{counts}; not as many at each time step")
    return counts
