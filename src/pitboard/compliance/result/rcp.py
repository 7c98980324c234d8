"""The reference convergence point (RCP) test: did the runs need suspiciously few samples?

A submission may not need significantly fewer samples than the reference did at the same global batch size;
where it needed a little fewer, its score is multiplied by the ratio of the two means. The steps, and even
the order of the additions, are those of MLCommons' `rcp_checker`: its threshold is compared with `>=`, so
that a last bit can turn a verdict.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from pitboard.compliance.result.benchmarks import official_drops, official_runs
from pitboard.compliance.result.reference import ReferencePoint
from pitboard.errors import PitboardError
from pitboard.stats import pairwise_sum, t_critical, trimmed_mean
from pitboard.suite import NEWEST_RACED

_ALPHA = 0.05
_TOLERANCE = 1e-4
_UNCONVERGED = 1e9
# One evaluation interval of slack, in samples, which the official checker grants since round 5.0.
_SLACK = {"llama31_405b": 46080}


class RcpVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the RCP test says of one result.

    `verdict` is the official wording ("RCP found", "RCP Interpolation", "Missing RCP, …"); `scale` (1 or
    more) is the reference's mean over the submission's; the means are olympic, in samples or epochs, and
    `minimum` is the smallest that passes. A test that failed and was `waived` counts as passed.
    """

    verdict: str
    passed: bool
    scale: float = 1.0
    submission_mean: float | None = None
    reference_mean: float | None = None
    minimum: float | None = None
    waived: bool = False

    @property
    def factor(self) -> float:
        """What multiplies a result's minutes: `scale` where the test was passed, and not merely waived."""
        return self.scale if self.passed and not self.waived else 1.0


class Convergence(msgspec.Struct, frozen=True):
    """A reference point's statistics; a submission's mean below `minimum` is significantly too fast."""

    batch_size: float
    mean: float
    stdev: float
    minimum: float


def rcp_test(
    samples_to_target: Sequence[float | None],
    batch_size: float | None,
    benchmark: str,
    points: Sequence[ReferencePoint],
    *,
    runs: int | None = None,
    ruleset: str = NEWEST_RACED.ruleset,
    pruned: bool = True,
    bypass: bool = False,
) -> RcpVerdict:
    """Hold a result's convergence against reference points, as `rcp_checker.check_directory` does.

    `samples_to_target` has one entry per run, `None` for a run that did not converge. `runs` is how many runs
    a result of this benchmark has (default: the official count); with fewer than three no run is dropped.
    `pruned` compares with the reference's fastest convergence only, as the package check does; `bypass` is
    the review committee's `rcp-bypass`. Raises `PitboardError` for points that no test can be made against.
    """
    runs = official_runs(benchmark) if runs is None else runs
    if batch_size is None:
        return RcpVerdict(verdict="Could not detect global_batch_size", passed=False)
    if not points or runs is None:
        return RcpVerdict(verdict="Cannot find any RCPs", passed=False)
    drops = official_drops(benchmark) if runs >= 3 else 0
    if samples_to_target.count(None) > drops:
        return RcpVerdict(verdict="Insufficient convergence", passed=False)
    if len(samples_to_target) <= 2 * drops:
        return RcpVerdict(verdict="Too few runs", passed=False)
    slack = _slack(benchmark, ruleset)
    known = _statistics(benchmark, tuple(points), runs, pruned)
    submission = trimmed_mean(
        (_UNCONVERGED if s is None else s for s in samples_to_target), drops, pairwise_sum
    )
    verdict = _judge(submission, batch_size, known, runs, slack)
    if bypass and not verdict.passed:
        return msgspec.structs.replace(
            verdict, verdict=f"{verdict.verdict} passed using rcp_bypass", passed=True, waived=True
        )
    return verdict


def reference_convergence(
    benchmark: str, points: Sequence[ReferencePoint], ruleset: str = NEWEST_RACED.ruleset
) -> list[Convergence]:
    """Give the points that the package check tests against, by batch size: those of fastest convergence.

    `minimum` includes the round's slack. Empty without points or for a benchmark that MLCommons does not
    know. Raises `PitboardError` as `rcp_test` does.
    """
    runs = official_runs(benchmark)
    if not points or runs is None:
        return []
    slack = _slack(benchmark, ruleset)
    known = _statistics(benchmark, tuple(points), runs, True)
    return [msgspec.structs.replace(point, minimum=point.minimum - slack) for point in known]


def most_within_spread(
    verdict: RcpVerdict, benchmark: str, ruleset: str = NEWEST_RACED.ruleset
) -> float | None:
    """Give the largest mean that the same t-test, turned round, does not call slower than the reference.

    It lies as far above the reference's mean as the smallest that passes lies below, without the round's
    slack; `None` for a verdict that was made against no reference. It is no test of MLCommons'.
    """
    if verdict.reference_mean is None or verdict.minimum is None:
        return None
    return 2 * verdict.reference_mean - (verdict.minimum + _slack(benchmark, ruleset))


def _slack(benchmark: str, ruleset: str) -> int:
    return _SLACK.get(benchmark, 0) if int(ruleset.partition(".")[0]) >= 5 else 0


def _judge(
    submission: float, batch_size: float, known: tuple[Convergence, ...], runs: int, slack: float
) -> RcpVerdict:
    same = next((c for c in known if c.batch_size == batch_size), None)
    if same is not None:
        return _compare(submission, same, slack, "RCP found", "RCP found")
    missing = f"Missing RCP, please submit RCP with BS = {batch_size}"
    below = max((c for c in known if c.batch_size < batch_size), key=lambda c: c.batch_size, default=None)
    above = min((c for c in known if c.batch_size > batch_size), key=lambda c: c.batch_size, default=None)
    if below is None and above is not None:
        slower = "RCP not found but slower convergence on smaller batch size"
        return _compare(submission, above, slack, slower, missing)
    if below is None or above is None:
        return RcpVerdict(verdict=missing, passed=False, submission_mean=submission)
    between = _interpolate(batch_size, below, above, runs)
    return _compare(submission, between, slack, "RCP Interpolation", "RCP Interpolation")


def _compare(
    submission: float, reference: Convergence, slack: float, when_passed: str, when_failed: str
) -> RcpVerdict:
    fastest = reference.minimum - slack
    # The official quotient of quotients, whose rounding decides where all runs took the same samples.
    threshold = reference.mean / (reference.mean / fastest) if fastest else 0.0
    passed = submission >= threshold
    return RcpVerdict(
        verdict=when_passed if passed else when_failed,
        passed=passed,
        scale=max(1.0, reference.mean / submission) if submission > 0 else 1.0,
        submission_mean=submission,
        reference_mean=reference.mean,
        minimum=threshold,
    )


@lru_cache(maxsize=256)
def _statistics(
    benchmark: str, points: tuple[ReferencePoint, ...], runs: int, pruned: bool
) -> tuple[Convergence, ...]:
    drops = official_drops(benchmark)
    known = [_converge(point, drops, runs) for point in sorted(points, key=lambda p: p.batch_size)]
    return tuple(_prune(known) if pruned else known)


def _converge(point: ReferencePoint, drops: int, runs: int) -> Convergence:
    samples = sorted(point.samples)
    left = len(samples) - 2 * drops
    if left < 1 or left + _tested(runs) < 3 or not all(0 < s < math.inf for s in samples):
        raise PitboardError(
            f"The reference point at batch size {point.batch_size} has the samples {list(point.samples)}: "
            f"expected more than {2 * drops} positive numbers. Give one number for each reference run."
        )
    mean, stdev = trimmed_mean(samples, drops, pairwise_sum), _stdev(samples)
    return Convergence(point.batch_size, mean, stdev, _minimum_mean(mean, stdev, left, _tested(runs)))


def _tested(runs: int) -> int:
    """How many of a submission's runs enter the t-test (two fewer for every benchmark, as official)."""
    return runs - 2 if runs >= 3 else runs


def _minimum_mean(mean: float, stdev: float, reference_runs: int, submission_runs: int) -> float:
    """The smallest mean that a one-sided two-sample t-test does not call faster than the reference.

    Both samples are taken to have the reference's deviation. A bisection to 1e-4, as official: the exact
    root would differ from the official figure by up to that.
    """
    if stdev == 0:
        return mean
    df = reference_runs + submission_runs - 2
    # A single run has no variance of its own: its term is zero by its factor, as in scipy.
    pooled = ((reference_runs - 1) * stdev**2 + (submission_runs - 1) * stdev**2) / df
    error = math.sqrt(pooled * (1 / reference_runs + 1 / submission_runs))
    critical = -t_critical(df, _ALPHA)
    low, high = 0.0, mean
    middle = (low + high) / 2
    while high - low > _TOLERANCE:
        if (middle - mean) / error > critical:
            high = middle
        else:
            low = middle
        middle = (low + high) / 2
    return middle


def _prune(known: list[Convergence]) -> list[Convergence]:
    """Keep the points of fastest convergence: none below the fastest's batch size, none above its neighbours.

    One pass, as official, so that the outcome is not quite the lower convex hull.
    """
    fastest = min(known, key=lambda c: c.mean)
    kept = [c for c in known if c.batch_size >= fastest.batch_size]
    i = 1
    while i < len(kept) - 1:
        before, here, after = kept[i - 1 : i + 2]
        if here.mean > _line(here.batch_size, before, after, before.mean, after.mean):
            del kept[i]
        else:
            i += 1
    sizes = {c.batch_size for c in kept}
    return [c for c in known if c.batch_size in sizes]


def _interpolate(batch_size: float, below: Convergence, above: Convergence, runs: int) -> Convergence:
    mean = _line(batch_size, below, above, below.mean, above.mean)
    stdev = _line(batch_size, below, above, below.stdev, above.stdev)
    return Convergence(batch_size, mean, stdev, _minimum_mean(mean, stdev, 2 * runs, _tested(runs)))


def _line(x: float, below: Convergence, above: Convergence, low: float, high: float) -> float:
    """`numpy.interp` between two points, for `x` from the one's batch size to the other's."""
    if x >= above.batch_size:
        return high
    if x <= below.batch_size:
        return low
    slope = (high - low) / (above.batch_size - below.batch_size)
    return slope * (x - below.batch_size) + low


def _stdev(values: Sequence[float]) -> float:
    mean = pairwise_sum(values) / len(values)
    return math.sqrt(pairwise_sum([(v - mean) * (v - mean) for v in values]) / len(values))
