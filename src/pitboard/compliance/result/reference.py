"""Reference convergence points: the samples that the reference needs, per global batch size."""

from collections.abc import Collection
from functools import cache
from typing import Any, Literal

import msgspec

from pitboard.errors import PitboardError
from pitboard.suite.model import Preset
from pitboard.suite.official import converged_at, points_file


class ReferencePoint(msgspec.Struct, frozen=True):
    """The reference's convergence at one global batch size: what each of its runs needed to the target.

    `samples` counts samples, or epochs where the benchmark's log counts in `epoch_num`; `precision` is what
    the reference trained in, where that is known.
    """

    batch_size: int
    samples: tuple[float, ...]
    precision: str | None = None


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What runs are held against: `points`, official or the preset's own, or in `not_held` why nothing is.

    `precision` is what a preset's own points were measured in; `None` for official ones.
    """

    whose: Literal["official", "preset"]
    points: tuple[ReferencePoint, ...] = ()
    precision: str | None = None
    not_held: str | None = None


FREE = frozenset(
    {
        *("global_batch_size", "learning_rate", "end_learning_rate", "max_samples"),
        *("warmup_steps", "warmup_epochs", "warmup_factor"),
    }
)
"""What the closed division leaves open: its points hold at any learning rate, and say at which batch size."""


@cache
def load_points(benchmark: str, ruleset: str) -> tuple[ReferencePoint, ...]:
    """Read the official reference points of a benchmark from the installed `mlperf-logging` package.

    `ruleset` is written as MLCommons does ("5.1.0"). Empty where that round has no points for the benchmark.
    """
    if not benchmark.isidentifier():  # the name comes from a log and becomes part of a path
        return ()
    path = points_file(benchmark, ruleset)
    return parse_points(path.read_bytes(), str(path)) if path.is_file() else ()


def measured_points(
    preset: Preset, precision: str | None, baseline: str = "bf16"
) -> tuple[ReferencePoint, ...]:
    """Return the points that were measured of a preset of ours, all in one precision; empty without any.

    Those of the runs' own `precision` count, else those of `baseline`, what the machine computes fast in and
    narrower formats are held against, else whatever was measured: the points say in what.
    """
    known = [point.precision for point in preset.reference_convergence]
    fitting = next((name for name in (precision, baseline, *known) if name in known), None)
    return tuple(
        ReferencePoint(point.global_batch_size, point.samples_to_target, point.precision)
        for point in preset.reference_convergence
        if point.precision == fitting
    )


def reference_for(
    benchmark: str,
    preset: Preset,
    precision: str | None,
    changed: Collection[str],
    ruleset: str,
    baseline: str = "bf16",
) -> Reference:
    """Return what runs of a preset are held against, if anything.

    `changed` names the settings in which the runs differ from the preset in what is learned: with such a
    change no point of another training says anything. Precisions are as in `measured_points`.
    """
    official = preset.values["division"] == "closed"
    reference = Reference(whose="official" if official else "preset")
    if preset.values["target"] is None:
        return msgspec.structs.replace(reference, not_held=f"preset {preset.name} has no target")
    different = sorted(set(changed) - FREE if official else set(changed), key=_most_telling)
    if different:
        return msgspec.structs.replace(reference, not_held=_differ(different))
    points = load_points(benchmark, ruleset) if official else measured_points(preset, precision, baseline)
    if not points:
        return msgspec.structs.replace(reference, not_held=f"preset {preset.name} has no reference points")
    return msgspec.structs.replace(reference, points=points, precision=points[0].precision)


def _most_telling(name: str) -> tuple[bool, str]:
    return name not in ("target", "global_batch_size"), name


def _differ(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} differs from that of the reference points"
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    if len(names) > 3:
        listed = f"{', '.join(names[:2])} and {len(names) - 2} more settings"
    return f"{listed} differ from those of the reference points"


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
    return msgspec.convert({"batch_size": record["BS"], "samples": converged_at(record)}, ReferencePoint)
