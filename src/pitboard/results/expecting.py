"""Expect a time-to-train from the published results of the same benchmark and accelerator.

Each published result at another count is moved along the accelerator's scaling law to the count that is asked
for; the nearer it lies, the more it weighs. How far the outcome is to be trusted is measured: every published
result is predicted in this way from those of other organisations, and the errors are the interval.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import fmean

import msgspec

from pitboard.results.law import Law, fit
from pitboard.results.organisations import one_name
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.stats import percentile_interval

SQL = """select round, submitter, system, benchmark, organisation, availability, accelerator, accelerators,
  framework, precision, minutes, rcp_scale, global_batch_size
from results
where round = $round and division = $division and not own and minutes > 0 and accelerators > 0
  and accelerator is not null and coalesce(preset, 'full') = 'full'
order by benchmark, accelerator, accelerators, minutes, submitter, system"""

_NEAR = 0.1
"""In doublings of the count: results nearer than this weigh about the same."""
_STEEPEST = 1.1
_FEWEST_ERRORS = 12
INSIDE = 0.90
"""The share of published results that lay in their interval."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes that are expected at a count, from `pool`.

    `exponent` is b of the law by which results of other counts were moved, `borrowed` tells that it is the
    benchmark's on all accelerators; `distance` is how many doublings of the count the nearest result is away.
    """

    minutes: float
    exponent: float | None
    borrowed: bool
    distance: float
    pool: list[Row]
    law: Law | None


class Error(msgspec.Struct, frozen=True):
    """A published result and its prediction from the others: `ratio` is measured ÷ predicted minutes."""

    row: Row
    distance: float
    ratio: float

    @property
    def off(self) -> float:
        """How far off the prediction was, as a share of the measured: 0.1 is 10 %."""
        return abs(1 / self.ratio - 1)


def published(store: Store, round: str, division: str) -> list[Row]:
    """Give the results of a round and a division from which anything may be expected."""
    return store.rows(SQL, {"round": round, "division": division})


def estimate(rows: Iterable[Row], benchmark: str, accelerator: str, count: int) -> Estimate | None:
    """Estimate a benchmark's minutes on `count` accelerators; `None` where nothing like it was published.

    That is also so where no result lies at the count and the benchmark was run at one count only.
    """
    of_benchmark = [row for row in rows if row["benchmark"] == benchmark]
    pool = [row for row in of_benchmark if row["accelerator"] == accelerator]
    if not pool:
        return None
    law = fit((row["accelerators"], row["minutes"]) for row in pool)
    own = law is not None and law.residual is not None
    exponent = law.exponent if law is not None and own else _shared_exponent(of_benchmark)
    distances = [abs(math.log2(row["accelerators"] / count)) for row in pool]
    if exponent is None and min(distances) > 0:
        return None
    slope = min(max(exponent or 0.0, 0.0), _STEEPEST)
    weights = [1 / (_NEAR + distance) ** 2 for distance in distances]
    moved = [math.log(at_count(row, count, slope)) for row in pool]
    middle = sum(w * y for w, y in zip(weights, moved, strict=True)) / sum(weights)
    return Estimate(
        minutes=math.exp(middle),
        exponent=None if exponent is None else slope,
        borrowed=not own,
        distance=min(distances),
        pool=pool,
        law=law if own else None,
    )


def at_count(row: Row, count: int, exponent: float) -> float:
    """Give the minutes that a result would take on another count of accelerators, by a law's exponent."""
    return float(row["minutes"] * (row["accelerators"] / count) ** exponent)


def _shared_exponent(rows: Sequence[Row]) -> float | None:
    """Fit one exponent to all accelerators of a benchmark, each with a speed of its own."""
    above = below = 0.0
    for _, group in groupby(sorted(rows, key=_accelerator), key=_accelerator):
        points = [(math.log(row["accelerators"]), math.log(row["minutes"])) for row in group]
        x, y = fmean(p[0] for p in points), fmean(p[1] for p in points)
        above -= sum((u - x) * (v - y) for u, v in points)
        below += sum((u - x) ** 2 for u, _ in points)
    return above / below if below > 0 else None


def _accelerator(row: Row) -> str:
    return str(row["accelerator"])


def backtest(rows: Sequence[Row], *, strangers: bool = True) -> list[Error]:
    """Predict each result from the others; with `strangers` only from those of other organisations.

    A result that cannot be predicted, because nothing else is like it, has no error.
    """
    errors = []
    for row in rows:
        who = one_name(row["organisation"])
        others = [
            other
            for other in rows
            if (one_name(other["organisation"]) != who if strangers else other is not row)
        ]
        found = estimate(others, row["benchmark"], row["accelerator"], row["accelerators"])
        if found:
            errors.append(Error(row, found.distance, row["minutes"] / found.minutes))
    return errors


def interval(minutes: float, distance: float, errors: Sequence[Error]) -> tuple[float, float, int] | None:
    """Give the ends between which 9 of 10 measured results lie about a prediction, and of how many.

    The errors are those of predictions from about as near, at the same count, up to a doubling away, or
    further; of all where these are too few. `None` without enough errors of any kind.
    """
    alike = [error for error in errors if _class(error.distance) == _class(distance)]
    used = alike if len(alike) >= _FEWEST_ERRORS else list(errors)
    if len(used) < _FEWEST_ERRORS:
        return None
    # The ends include the prediction itself: errors that all lie on one side are no reason to promise more.
    low, high = percentile_interval((error.ratio for error in used), INSIDE)
    return minutes * min(1.0, low), minutes * max(1.0, high), len(used)


def _class(distance: float) -> int:
    return 0 if distance == 0 else 1 if distance <= 1 else 2
