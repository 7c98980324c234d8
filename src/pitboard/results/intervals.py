"""Intervals of scores from their runs: a bootstrap with a fixed seed, so that an answer can be repeated."""

import random
from collections.abc import Sequence

SEED = 5
_RESAMPLES = 2_000


def ratio_interval(
    above: Sequence[float], below: Sequence[float], drops: int = 1, level: float = 0.95
) -> tuple[float, float] | None:
    """Give the interval of score(`above`) / score(`below`), each the olympic mean of runs in minutes.

    Percentile bootstrap over the runs (Efron 1979). `None` where a side has too few runs.
    """
    if min(len(above), len(below)) < 2 * drops + 2:
        return None
    draw = random.Random(SEED)
    ratios = sorted(
        _score(_resample(draw, above), drops) / _score(_resample(draw, below), drops)
        for _ in range(_RESAMPLES)
    )
    tail = (1 - level) / 2
    return ratios[int(tail * _RESAMPLES)], ratios[int((1 - tail) * _RESAMPLES) - 1]


def _resample(draw: random.Random, runs: Sequence[float]) -> list[float]:
    return draw.choices(runs, k=len(runs))


def _score(runs: list[float], drops: int) -> float:
    kept = sorted(runs)[drops : len(runs) - drops]
    return sum(kept) / len(kept)
