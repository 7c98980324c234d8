"""Reference convergence points: the samples that the reference needs, per global batch size."""

from functools import cache
from typing import Any

import msgspec

from pitboard.compliance.rulesets import folder as rules_folder
from pitboard.errors import PitboardError
from pitboard.suite.model import Preset


class ReferencePoint(msgspec.Struct, frozen=True):
    """The reference's convergence at one global batch size: what each of its runs needed to the target.

    `samples` counts samples, or epochs where the benchmark's log counts in `epoch_num`.
    """

    batch_size: int
    samples: tuple[float, ...]


@cache
def load_points(benchmark: str, ruleset: str) -> tuple[ReferencePoint, ...]:
    """Read the official reference points of a benchmark from the installed `mlperf-logging` package.

    `ruleset` is written as MLCommons does ("5.1.0"). Empty where that round has no points for the benchmark.
    """
    if not benchmark.isidentifier():  # the name comes from a log and becomes part of a path
        return ()
    folder = rules_folder().parent / "rcp_checker" / f"training_{ruleset}"
    path = folder / f"rcps_{benchmark}.json"
    return parse_points(path.read_bytes(), str(path)) if path.is_file() else ()


def measured_points(preset: Preset) -> tuple[ReferencePoint, ...]:
    """Return the points that were measured of a preset of ours; empty where there are none."""
    return tuple(
        ReferencePoint(batch_size=point.global_batch_size, samples=point.samples_to_target)
        for point in preset.reference_convergence
    )


def parse_points(data: bytes, source: str) -> tuple[ReferencePoint, ...]:
    """Decode reference points in MLCommons' JSON format (what `rcp_checker --custom_rcps` takes).

    `source` names the file in an error. Raises `PitboardError` where the data is not such a file.
    """
    try:
        records = msgspec.json.decode(data, type=dict[str, dict[str, Any]])
        return tuple(_point(record) for record in records.values())
    except (msgspec.DecodeError, KeyError) as error:
        raise PitboardError(
            f"{source}: expected reference points as MLCommons writes them, each with 'BS' and "
            f"'samples to converge' or 'Epochs to converge'; found: {error}."
        ) from error


def _point(record: dict[str, Any]) -> ReferencePoint:
    samples = record["samples to converge" if "samples to converge" in record else "Epochs to converge"]
    return msgspec.convert({"batch_size": record["BS"], "samples": samples}, ReferencePoint)
