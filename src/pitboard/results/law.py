"""A law of strong scaling: log(minutes) = a − b · log(accelerators), by ordinary least squares."""

import math
from collections.abc import Iterable
from statistics import fmean, linear_regression

import msgspec

from pitboard.stats import t_critical

_TAIL = 0.025


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted law; `exponent` is b, 1 for ideal scaling and 0 where accelerators add nothing.

    `intercept` is a, the natural logarithm of minutes at one accelerator. `exponent_low` and
    `exponent_high` are b's 95 % interval and `residual` the standard error of log(minutes), all `None` for
    two counts, through which a line always goes. It was fitted to `points` results between `least` and
    `most` accelerators; `centre` and `spread` are the mean of log(accelerators) and the sum of its squared
    deviations.
    """

    exponent: float
    exponent_low: float | None
    exponent_high: float | None
    residual: float | None
    points: int
    least: float
    most: float
    intercept: float
    centre: float
    spread: float

    def at(self, accelerators: float) -> tuple[float, float | None, float | None]:
        """Give the minutes at a count, with the 95 % interval in which one more result would lie.

        The interval is the textbook prediction interval of a least squares line (Draper and Smith, Applied
        Regression Analysis, section 1.4), of log(minutes); its ends are `None` without a residual.
        """
        x = math.log(accelerators)
        middle = self.intercept - self.exponent * x
        if self.residual is None:
            return _exp(middle), None, None
        error = self.residual * math.sqrt(1 + 1 / self.points + (x - self.centre) ** 2 / self.spread)
        reach = t_critical(self.points - 2, _TAIL) * error
        return _exp(middle), _exp(middle - reach), _exp(middle + reach)


def _exp(value: float) -> float:
    """Raise e, short of overflow: counts that lie close together leave a law nearly without a slope."""
    return math.exp(min(value, 700.0))


def fit(results: Iterable[tuple[float, float]]) -> Law | None:
    """Fit the law to results, each (accelerators, minutes), both above 0.

    `None` for fewer than two distinct counts. The interval of b is its standard error times Student's t with
    `points` − 2 degrees of freedom.
    """
    found = list(results)
    counts = {accelerators for accelerators, _ in found}
    if len(counts) < 2:
        return None
    x = [math.log(accelerators) for accelerators, _ in found]
    y = [math.log(minutes) for _, minutes in found]
    slope, intercept = linear_regression(x, y)
    centre = fmean(x)
    spread = sum((value - centre) ** 2 for value in x)
    residual = reach = None
    if len(counts) > 2:
        squares = sum((v - intercept - slope * u) ** 2 for u, v in zip(x, y, strict=True))
        residual = math.sqrt(squares / (len(found) - 2))
        reach = t_critical(len(found) - 2, _TAIL) * residual / math.sqrt(spread)
    return Law(
        exponent=-slope,
        exponent_low=None if reach is None else -slope - reach,
        exponent_high=None if reach is None else -slope + reach,
        residual=residual,
        points=len(found),
        least=min(counts),
        most=max(counts),
        intercept=intercept,
        centre=centre,
        spread=spread,
    )
