"""The verdict that `pitboard run` ends with: the official rules on each log, and the RCP test on all."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from pitboard.compliance.benchmarks import convergence
from pitboard.compliance.finding import Finding
from pitboard.compliance.log import check_log
from pitboard.compliance.rcp import RcpVerdict, rcp_test
from pitboard.compliance.reference import ReferencePoint, load_points
from pitboard.compliance.rulesets import ruleset_of


class RunsVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules say of runs that were just made; `rcp` is `None` where they had no target."""

    findings: list[Finding]
    rcp: RcpVerdict | None


def judge_runs(
    logs: Sequence[Path], round: str, points: Sequence[ReferencePoint] | None = None
) -> RunsVerdict:
    """Check logs against a round's rules (`"5.1"`), and hold their convergence against reference points.

    `points` are a preset's own; without them the round's official ones count. The test is the official one,
    for as many runs as there are, also where the rules want more for a result.
    """
    ruleset = ruleset_of(round)
    reports = [check_log(log, ruleset) for log in logs]
    runs = [report.run for report in reports]
    benchmark = runs[0].benchmark if runs else None
    rcp = None
    if benchmark and any(run.target is not None for run in runs):
        rcp = rcp_test(
            [convergence(run) for run in runs],
            runs[0].global_batch_size,
            benchmark,
            load_points(benchmark, ruleset) if points is None else points,
            runs=len(runs),
            ruleset=ruleset,
        )
    return RunsVerdict(findings=[finding for report in reports for finding in report.findings], rcp=rcp)
