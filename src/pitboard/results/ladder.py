"""The ladder of precisions: does a narrower format win once its convergence is counted?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pitboard.compliance.result.benchmarks import convergence, official_drops
from pitboard.compliance.result.rcp import RcpVerdict, rcp_test
from pitboard.compliance.result.reference import ReferencePoint
from pitboard.events import Event, Run, read_events
from pitboard.stats import olympic_mean

Verdict = Literal[
    "baseline",
    "wins",
    "slower",
    "faster but does not converge in time",
    "not comparable (emulated)",
    "did not run",
]


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of one precision came to.

    `samples` has one entry for each run, `None` for one that did not reach the target; `minutes` is their
    olympic mean, or their mean where there are fewer than three, scaled as the RCP test says, and `None`
    where too few reached the target. `throughput` is samples per second of training, evaluation left out.
    `rcp` is the official test against the baseline's reference convergence points, which finds runs that
    converge too early; `late` is the same test held the other way round. Its `reference_mean` is `None` where
    no reference point holds for these runs.
    """

    precision: str
    emulated: bool
    samples: list[float | None]
    minutes: float | None
    throughput: float | None
    rcp: RcpVerdict
    late: bool
    verdict: Verdict

    @property
    def reached(self) -> int:
        """How many runs reached the target."""
        return sum(count is not None for count in self.samples)

    @property
    def converges(self) -> bool:
        """Whether the format trains as the baseline does: to the target, and neither too early nor too late.

        Without a reference, whether all its runs reach the target.
        """
        if self.rcp.reference_mean is None:
            return 0 < self.reached == len(self.samples)
        return self.rcp.passed and not self.late

    @property
    def mean_samples(self) -> float | None:
        """The mean of the samples to target: the RCP test's, or else that of the runs that reached it."""
        reached = [count for count in self.samples if count is not None]
        return self.rcp.submission_mean or (sum(reached) / len(reached) if reached else None)

    @property
    def early(self) -> bool:
        """Whether the runs needed suspiciously few samples, so that their time does not count."""
        return self.rcp.reference_mean is not None and not self.rcp.passed


def climb(logs: Mapping[str, Sequence[Path]], points: Sequence[ReferencePoint]) -> list[Rung]:
    """Read the logs of each precision's runs and judge every precision against the first one given.

    `points` are the reference convergence points of that baseline, in samples; empty where none hold.
    A log whose clock never started is no run.
    """
    rungs = [_rung(precision, paths, points) for precision, paths in logs.items()]
    return [msgspec.structs.replace(rung, verdict=_judge(rung, rungs[0])) for rung in rungs]


def _rung(precision: str, paths: Sequence[Path], points: Sequence[ReferencePoint]) -> Rung:
    read = [(log, Run.from_events(log)) for log in (list(read_events(path)) for path in paths)]
    events = [log for log, run in read if run.run_start_ms is not None]
    runs = [run for _, run in read if run.run_start_ms is not None]
    samples = [convergence(run) for run in runs]
    benchmark, batch = (runs[0].benchmark or "", runs[0].global_batch_size) if runs else ("", None)
    rcp = rcp_test(samples, batch, benchmark, points, runs=len(runs))
    drops = official_drops(benchmark) if len(runs) >= 3 else 0
    minutes = olympic_mean([run.minutes if run.status == "success" else None for run in runs], drops)
    return Rung(
        precision=precision,
        emulated=any(run.emulated for run in runs),
        samples=samples,
        minutes=None if minutes is None else minutes * (rcp.scale if rcp.passed else 1.0),
        throughput=_throughput(events),
        rcp=rcp,
        late=_late(samples, batch, benchmark, points, rcp),
        verdict="baseline",
    )


def _throughput(logs: Sequence[Sequence[Event]]) -> float | None:
    """The mean of the blocks' throughputs, each block as long as the next but the last."""
    rates = [
        float(event.value["throughput"])
        for log in logs
        for event in log
        if event.key == "tracked_stats" and isinstance(event.value, dict) and "throughput" in event.value
    ]
    return len(rates) / sum(1 / rate for rate in rates) if rates and all(rate > 0 for rate in rates) else None


def _late(
    samples: Sequence[float | None],
    batch: float | None,
    benchmark: str,
    points: Sequence[ReferencePoint],
    rcp: RcpVerdict,
) -> bool:
    """Hold the samples, mirrored at the reference's mean, against the test for too few."""
    if rcp.reference_mean is None:
        return False
    mirrored = [None if count is None else 2 * rcp.reference_mean - count for count in samples]
    return not rcp_test(mirrored, batch, benchmark, points, runs=len(samples)).passed


def _judge(rung: Rung, baseline: Rung) -> Verdict:
    if not rung.samples:
        return "did not run"
    if rung.emulated:
        return "not comparable (emulated)"
    if rung is baseline:
        return "baseline"
    in_time = rung.minutes is not None and (baseline.minutes is None or rung.minutes < baseline.minutes)
    if in_time and not rung.early:
        return "wins"
    faster = (rung.throughput or 0.0) > (baseline.throughput or 0.0)
    return "faster but does not converge in time" if faster else "slower"
