"""What is raced: rounds, benchmarks, targets, presets and precisions, as data."""

from pitboard.suite.formats import FORMATS, Format
from pitboard.suite.model import (
    Benchmark,
    EvaluationSchedule,
    Hyperparameter,
    OfficialBenchmark,
    Preset,
    ReferenceConvergencePoint,
    Retired,
    Round,
    Scalar,
    Target,
)
from pitboard.suite.official import official_benchmarks, official_points, official_targets
from pitboard.suite.rounds import NEWEST_RACED, NEWEST_RACED_LABEL, ROUNDS, find_round, raceable_round

__all__ = [
    "FORMATS",
    "NEWEST_RACED",
    "NEWEST_RACED_LABEL",
    "ROUNDS",
    "Benchmark",
    "EvaluationSchedule",
    "Format",
    "Hyperparameter",
    "OfficialBenchmark",
    "Preset",
    "ReferenceConvergencePoint",
    "Retired",
    "Round",
    "Scalar",
    "Target",
    "benchmark",
    "find_round",
    "official_benchmarks",
    "official_points",
    "official_targets",
    "raceable_round",
    "round",
]

round = find_round


def benchmark(name: str, *, round: str = NEWEST_RACED.version) -> Benchmark:
    """Return a benchmark of a round by its id in logs, such as "llama31_8b".

    Raises `PitboardError` for an unknown round or benchmark, with the nearest known one.
    """
    return find_round(round).benchmark(name)
