"""What is raced: rounds, benchmarks, targets and presets, as data."""

from pitboard.errors import PitboardError, near
from pitboard.suite.model import (
    Benchmark,
    EvaluationSchedule,
    Hyperparameter,
    Preset,
    ReferenceConvergencePoint,
    Retired,
    Round,
    Scalar,
)
from pitboard.suite.round_5_1 import ROUND_5_1

__all__ = [
    "ROUNDS",
    "Benchmark",
    "EvaluationSchedule",
    "Hyperparameter",
    "Preset",
    "ReferenceConvergencePoint",
    "Retired",
    "Round",
    "Scalar",
    "benchmark",
    "round",
]

ROUNDS = (ROUND_5_1,)


def round(version: str) -> Round:
    """Return a round by its version, such as "5.1"; an unknown one is a `PitboardError`."""
    wanted = version.removeprefix("v")
    for known in ROUNDS:
        if known.version == wanted:
            return known
    raise PitboardError(f"There is no round '{version}'.{near(wanted, tuple(r.version for r in ROUNDS))}")


_round = round  # `benchmark` has a parameter of that name


def benchmark(name: str, *, round: str = ROUNDS[-1].version) -> Benchmark:
    """Return a benchmark of a round by its id in logs, such as "llama31_8b".

    Raises `PitboardError` for an unknown round or benchmark, with the nearest known one.
    """
    return _round(round).benchmark(name)
