"""The statistics that scores, rules and comparisons share: olympic mean, Student's t, bootstrap intervals."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from statistics import fmean, stdev

SEED = 5
"""Of every bootstrap, so that an answer can be repeated."""

_RESAMPLES = 2_000


def trimmed_mean(
    values: Iterable[float], drops: int, total: Callable[[Sequence[float]], float] = sum
) -> float:
    """Return the mean without the `drops` smallest and `drops` largest values; some must be left.

    `total` adds them: another order of additions gives another last bit.
    """
    ordered = sorted(values)
    kept = ordered[drops : len(ordered) - drops]
    return total(kept) / len(kept)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive values, of which there must be some."""
    return math.exp(sum(map(math.log, values)) / len(values))


def olympic_mean(values: Sequence[float | None], drops: int) -> float | None:
    """Return the mean of runs' values without the `drops` best and the `drops` worst.

    `None` stands for a run that does not count (not converged, not compliant): it is worse than any other,
    and the first to be dropped. Returns `None` where more than `drops` of them do not count, or nothing is
    left to average (`result_summarizer`; training rules, "Benchmark results").
    """
    if values.count(None) > drops or len(values) <= 2 * drops:
        return None
    return trimmed_mean((math.inf if value is None else value for value in values), drops)


def pairwise_sum(values: Sequence[float]) -> float:
    """Return the sum that numpy gives, to the last bit: pairwise, eight at a time."""
    n = len(values)
    if n > 128:
        half = n // 2 - n // 2 % 8
        return pairwise_sum(values[:half]) + pairwise_sum(values[half:])
    whole = n - n % 8
    total = 0.0
    if whole:
        r = list(values[:8])
        for i in range(8, whole, 8):
            for k in range(8):
                r[k] += values[i + k]
        total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
    for value in values[whole:]:  # not `sum`, which compensates since Python 3.12
        total += value
    return total


def t_cdf(t: float, df: int) -> float:
    """Return the probability that a Student t variable with `df` (whole, at least 1) is at most `t`.

    The finite trigonometric sums for whole degrees of freedom: Abramowitz & Stegun, 26.7.3 and 26.7.4.
    Loading scipy for them would take 0.6 s.
    """
    angle = math.atan2(t, math.sqrt(df))
    cos_squared = math.cos(angle) ** 2
    odd = df % 2
    term = total = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    for k in range(2 + odd, df, 2):
        term *= cos_squared * (k - 1) / k
        total += term
    if odd:
        total = 2 / math.pi * (angle + (total if df > 1 else 0.0))
    return (1 + total) / 2


@cache
def t_critical(df: int, alpha: float) -> float:
    """Return the positive t that a Student t variable with `df` exceeds with probability `alpha` (below 0.5).

    Found by bisection down to neighbouring floats; agrees with `scipy.stats.t.isf` to 1e-12.
    """
    low, high = 0.0, 1.0
    while t_cdf(-high, df) > alpha:
        low, high = high, high * 2
    while low < (middle := (low + high) / 2) < high:
        if t_cdf(-middle, df) > alpha:
            low = middle
        else:
            high = middle
    return high


def percentile_interval(resampled: Iterable[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the middle `level` of what resamples gave: percentile bootstrap (Efron 1979)."""
    ordered = sorted(resampled)
    tail = round((1 - level) / 2 * len(ordered))
    return ordered[tail], ordered[-1 - tail]


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Return Student's interval of the mean of which these are draws; `None` for fewer than two."""
    if len(values) < 2:
        return None
    reach = t_critical(len(values) - 1, (1 - level) / 2) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - reach, fmean(values) + reach


def olympic_interval(
    values: Sequence[float], drops: int = 1, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the interval of the olympic mean of runs, from resampled runs; `None` with too few of them."""
    if len(values) < 2 * drops + 2:
        return None
    return _olympic_interval(tuple(values), drops, level)


@lru_cache(maxsize=4096)  # milliseconds each, and several pages show the same result's
def _olympic_interval(values: tuple[float, ...], drops: int, level: float) -> tuple[float, float]:
    (picks,) = _picks(len(values))
    return percentile_interval(_resampled(values, picks, drops), level)


def ratio_interval(
    above: Sequence[float], below: Sequence[float], drops: int = 1, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the interval of the ratio of two olympic means, `above` by `below`, from resampled runs.

    `None` where a side has too few runs.
    """
    if min(len(above), len(below)) < 2 * drops + 2:
        return None
    return _ratio_interval(tuple(above), tuple(below), drops, level)


@lru_cache(maxsize=1024)  # milliseconds each, and a page and its charts ask for the same
def _ratio_interval(
    above: tuple[float, ...], below: tuple[float, ...], drops: int, level: float
) -> tuple[float, float]:
    tops, bottoms = (
        _resampled(values, picks, drops)
        for values, picks in zip((above, below), _picks(len(above), len(below)), strict=True)
    )
    return percentile_interval((top / bottom for top, bottom in zip(tops, bottoms, strict=True)), level)


Pick = Callable[[Sequence[float]], tuple[float, ...]]


# All results with as many runs are drawn from alike: the seed is the same.
@lru_cache(maxsize=16)
def _picks(*sizes: int) -> list[list[Pick]]:
    """Return for each of several samples, of these sizes, what draws its resamples, taking turns."""
    draw = random.Random(SEED)
    turns = [[itemgetter(*draw.choices(range(size), k=size)) for size in sizes] for _ in range(_RESAMPLES)]
    return [list(picks) for picks in zip(*turns, strict=True)]


def _resampled(values: Sequence[float], picks: Iterable[Pick], drops: int) -> list[float]:
    """Return the `trimmed_mean` of each resample."""
    end = len(values) - drops
    kept = end - drops
    return [sum(sorted(pick(values))[drops:end]) / kept for pick in picks]
