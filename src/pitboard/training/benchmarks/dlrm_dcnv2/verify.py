"""Check Criteo's days against what is known about them."""

from collections.abc import Iterator
from pathlib import Path

from pitboard import suite
from pitboard.errors import PitboardError
from pitboard.training.benchmarks.dlrm_dcnv2.criteo import files_of, read_day
from pitboard.training.benchmarks.dlrm_dcnv2.downloads import EVALUATION_DAY, TRAINING_DAYS
from pitboard.training.data.verify import FileReport


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for each file of each day under `root`.

    A day's three files must be whole, of the right types and shapes, and of as many samples; those of the
    first 23 days must be as many as the rules say, and the first half of the last one too.
    """
    full = suite.benchmark("dlrm_dcnv2").preset("full").values
    ids = [int(number) for number in str(full["ids_per_table"]).split(",")]
    counts: dict[int, int | None] = {}
    for day in (*TRAINING_DAYS, EVALUATION_DAY):
        missing = [name for name in files_of(day) if not (root / name).is_file()]
        yield from (FileReport(name, "missing", f"expected in {root}") for name in missing)
        if missing:
            counts[day] = None
            left = [name for name in files_of(day) if name not in missing]
            yield from (FileReport(name, "unchecked", "cannot be judged without its day") for name in left)
            continue
        counts[day], found = _judged(root, day, int(full["dense_features"] or 0), ids)
        yield from found
    training, held_out = expected_samples()
    yield from _counted("days 0 to 22", [counts[day] for day in TRAINING_DAYS], training, 1)
    yield from _counted("day 23", [counts[EVALUATION_DAY]], held_out, 2)


def expected_samples() -> tuple[int, int]:
    """Return how many samples are to train on, and how many the first half of the last day has."""
    full = suite.benchmark("dlrm_dcnv2").preset("full").values
    return int(full["epoch_samples"] or 0), int(full["evaluation_samples"] or 0)


def _judged(root: Path, day: int, dense: int, ids: list[int]) -> tuple[int | None, list[FileReport]]:
    """Return how many samples a day has, and the reports of its files; the one that is wrong says so."""
    try:
        _, _, labels = read_day(root, day, dense, ids)
    except PitboardError as error:
        wrong = next((name for name in files_of(day) if name in str(error)), files_of(day)[0])
        rest = [name for name in files_of(day) if name != wrong]
        unchecked = [FileReport(name, "unchecked", "another file of its day is wrong") for name in rest]
        return None, [FileReport(wrong, "wrong", str(error)), *unchecked]
    return len(labels), [FileReport(name, "ok", f"{len(labels):,} samples") for name in files_of(day)]


def _counted(what: str, counts: list[int | None], expected: int, part: int) -> Iterator[FileReport]:
    """Report days that are whole and yet have not as many samples as the rules say."""
    known = [count for count in counts if count is not None]
    total = -(-sum(known) // part)
    if len(known) == len(counts) and total != expected:
        yield FileReport(what, "wrong", f"{total:,} samples to take; expected {expected:,}")
