"""Settings from an official reference convergence point: what `pitboard run --rcp` asks for."""

from collections.abc import Collection
from typing import Any

from pitboard import suite
from pitboard.errors import PitboardError
from pitboard.suite.presets import settings_of_point
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import settings_for


def point_settings(
    batch: int, benchmark: str, preset: str, round: str, asked: Collection[str]
) -> dict[str, Any]:
    """Return the settings that the official point at a global batch size states, by name.

    The points are those of the round, from the installed `mlperf-logging`. Raises `PitboardError` for a batch
    size without one (naming those that have one), for a preset that is not the closed division's, for
    settings that are `asked` for otherwise, and for a point that a run of the benchmark would not follow.
    """
    raced = suite.round(round)
    if raced.benchmark(benchmark).preset(preset).values["division"] != "closed":
        raise PitboardError(
            f"--rcp takes the reference convergence points of the benchmark itself, not of preset {preset}:"
            " give --preset full."
        )
    points = {point.global_batch_size: point for point in suite.official_points(raced, benchmark)}
    if batch not in points:
        known = ", ".join(map(str, points)) or "none"
        raise PitboardError(
            f"Round {raced.version} has no official reference convergence point of {benchmark} at a global"
            f" batch of {batch}; it has: {known}."
        )
    point = points[batch]
    settings, others = settings_of_point(point, benchmark_class(benchmark).settings_class.model_fields)
    if twice := sorted(settings.keys() & asked):
        raise PitboardError(
            f"--rcp {batch} states {', '.join(twice)}: leave {'them' if len(twice) > 1 else 'it'} out of"
            " --set, or set everything without --rcp."
        )
    logged = _logged(benchmark, preset, round, settings)
    wrong = [name for name in others if name not in logged]
    wrong += [name for name, value in point.hyperparameters.items() if logged.get(name, value) != value]
    if wrong:
        raise PitboardError(
            f"The point at batch {batch} states {wrong[0]} {point.hyperparameters[wrong[0]]}, which a run of"
            f" {benchmark} would not have: leave out --rcp and set what it states with --set."
        )
    return settings


def _logged(benchmark: str, preset: str, round: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a run of these settings would log of its optimizer, model and data."""
    found = benchmark_class(benchmark)(settings_for(benchmark, preset, settings, round))
    return {"opt_name": suite.benchmark(benchmark, round=round).optimizer, **found.hyperparameters()}
