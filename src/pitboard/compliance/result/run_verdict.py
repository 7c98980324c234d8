"""What the rules say of runs that Pitboard made: on each log, and of the convergence of all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pitboard import suite
from pitboard.compliance.log.check import check_log
from pitboard.compliance.log.preset import Kind, kind_of
from pitboard.compliance.log.rulesets import ruleset_of
from pitboard.compliance.result.benchmarks import convergence
from pitboard.compliance.result.rcp import RcpVerdict, rcp_test
from pitboard.compliance.result.reference import Reference, reference_for
from pitboard.compliance.rule import Finding
from pitboard.errors import PitboardError
from pitboard.events import Run
from pitboard.suite import Preset
from pitboard.text import printable

_FEW = 3
"""With fewer runs than this the mean of a result is the chance of a seed or two."""


class RunsVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules say of runs that were just made.

    `note` says that a preset other than `full` is no MLPerf result; `target` is the preset's, whatever the
    runs raced to. Either `rcp` is the outcome of the RCP test against the points of `reference` ("official",
    or the preset's own, measured in `reference_precision`), or `rcp_not_held` says why there was none.
    """

    round: str
    preset: str
    kind: Kind
    note: str | None
    target: float | None
    findings: list[Finding]
    rcp: RcpVerdict | None
    rcp_not_held: str | None
    reference: Literal["official", "preset"] | None
    reference_precision: str | None


class ConvergenceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an RCP test, or why none was made; `reference` is what the runs were compared with."""

    rcp: RcpVerdict | None = None
    not_held: str | None = None
    reference: Reference | None = None


def judge_runs(
    logs: Sequence[Path], round: str, benchmark: str, preset: str, baseline: str = "bf16"
) -> RunsVerdict:
    """Check the logs of one preset's runs by the rules that apply to it, and test their convergence.

    `round` is such as `"5.1"`; a preset other than `full` has its own target and reference points, of which
    those in `baseline` count for formats that have none. The RCP test is made for as many runs as there are,
    also where the rules want more for a result. Raises `PitboardError` for an unknown benchmark or preset.
    """
    target = suite.benchmark(benchmark, round=round).preset(preset).values["target"]
    ruleset = ruleset_of(round)
    scaled = None if preset == "full" else preset
    reports = [check_log(log, ruleset, preset=scaled) for log in logs]
    held = check_convergence([report.run for report in reports], ruleset, baseline)
    return RunsVerdict(
        round=round,
        preset=preset,
        kind=kind_of(scaled),
        note=f"not an MLPerf result: preset {preset}" if scaled else None,
        target=None if target is None else float(target),
        findings=[finding for report in reports for finding in report.findings],
        rcp=held.rcp,
        rcp_not_held=held.not_held,
        reference=held.reference.whose if held.reference else None,
        reference_precision=held.reference.precision if held.reference else None,
    )


def check_convergence(runs: Sequence[Run], ruleset: str, baseline: str = "bf16") -> ConvergenceCheck:
    """Make the RCP test of runs of one preset against its own points, or say why it cannot be made.

    Of the preset `full` the official points of the ruleset ("5.1.0") count.
    """
    if not runs:
        return ConvergenceCheck(not_held="no run has a log")
    first = runs[0]
    try:
        preset = suite.benchmark(str(first.benchmark)).preset(str(first.preset))
    except PitboardError:
        return ConvergenceCheck(not_held="the logs name no preset that is known")
    changed = {name for run in runs for name in changed_settings(run, preset)}
    reference = reference_for(str(first.benchmark), preset, first.precision, changed, ruleset, baseline)
    if reference.not_held:
        return ConvergenceCheck(not_held=reference.not_held, reference=reference)
    rcp = rcp_test(
        [convergence(run, ruleset) for run in runs],
        first.global_batch_size,
        str(first.benchmark),
        reference.points,
        runs=len(runs),
        ruleset=ruleset,
    )
    return ConvergenceCheck(rcp=rcp, reference=reference)


def changed_settings(run: Run, preset: Preset) -> set[str]:
    """Name what a run changed of its preset that changes what is learned, by what its log says and shows.

    A log of another version of Pitboard may show another target or batch than the preset has today.
    """
    shown = {"target": run.target, "global_batch_size": run.global_batch_size}
    named = {printable(name)[:40] for name in run.changed}
    return named | {name for name, value in shown.items() if value != preset.values[name]}


def by_chance(rcp: RcpVerdict, runs: int) -> bool:
    """Tell whether an RCP test that failed may be the chance of a few seeds: no result has so few runs."""
    return not rcp.passed and rcp.reference_mean is not None and runs < _FEW
