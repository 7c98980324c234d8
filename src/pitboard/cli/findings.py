"""The findings of a check as text for a person: grouped, the worst first, counts at the end."""

from typing import TYPE_CHECKING

import typer

from pitboard.text import printable

if TYPE_CHECKING:
    from pitboard.compliance import Finding, RcpVerdict, TreeReport
    from pitboard.compliance.output.grouping import FindingGroup

_COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}


def as_text(report: "TreeReport") -> str:
    """Say per submitter, system and benchmark what was found and what to do, then how much there was."""
    from pitboard.compliance.log.preset import mark
    from pitboard.compliance.output.grouping import grouped

    lines: list[str] = []
    if report.preset:
        lines += [typer.style(f"{printable(mark(report.preset))}.", bold=True), *_judged(report), ""]
    for group in grouped(report):
        lines += [typer.style(printable(group.name), bold=True), *_listed(group.findings), ""]
    return "\n".join([*lines, *_counts(report)])


def _judged(report: "TreeReport") -> list[str]:
    """Say by which rules runs of a preset were judged, and how their convergence was."""
    if not report.own_rules:
        return [
            "Judged by the official rules, like every submission. The output folder of",
            "`pitboard run` is judged with the preset's own target.",
        ]
    targets = any(log.run.target is not None for log in report.logs)
    own = ", with the preset's own target" if targets else ""
    lines = [f"Judged by the log rules of the open division{own}."]
    for result in report.results:
        words = convergence_in_words(result.benchmark, result.rcp, result.rcp_not_held, result.rcp_precision)
        lines.append(f"RCP test {printable(words)}.")
    return lines


def convergence_in_words(
    benchmark: str, rcp: "RcpVerdict | None", not_held: str | None, precision: str | None
) -> str:
    """Say how an RCP test of one's own runs of a benchmark ended, or why there was none.

    `precision` is what the preset's own points were measured in; `None` for the official ones.
    """
    from pitboard.compliance.result.benchmarks import counts_in_epochs

    if rcp is None:
        return f"not made: {not_held or 'nothing to compare'}"
    if rcp.submission_mean is None or rcp.reference_mean is None:
        few = rcp.verdict == "Insufficient convergence"
        return f"not passed: {'too many runs did not reach the target' if few else rcp.verdict}"
    whose = f"the preset's own, measured in {precision.upper()}" if precision else "the official ones"
    epochs = counts_in_epochs(benchmark)
    ours, theirs = (
        f"{mean:.3f}" if epochs else f"{mean:,.0f}" for mean in (rcp.submission_mean, rcp.reference_mean)
    )
    return (
        f"{'passed' if rcp.passed else 'not passed'}: {ours} {'epochs' if epochs else 'samples'} to the"
        f" target; reference convergence points ({whose}): {theirs}"
    )


def _errors(findings: "list[Finding]") -> int:
    return sum(finding.severity == "error" for finding in findings)


def _listed(findings: "list[FindingGroup]") -> list[str]:
    lines = []
    for alike in findings:
        more = f" and {alike.count - 1} more" if alike.count > 1 else ""
        mark = typer.style(f"{alike.severity}[{alike.rule}]", fg=_COLOURS[alike.severity])
        where = f"{printable(alike.place)}{more}  " if alike.place else ""
        lines.append(f"  {where}{mark}  {printable(alike.message)}")
        if alike.fix and alike.severity == "error":
            lines.append(f"      fix: {printable(alike.fix)}")
    return lines


def _counts(report: "TreeReport") -> list[str]:
    lines = [f"Round {report.round}: {_valid('log', [log.valid for log in report.logs])}"]
    if report.results:
        lines.append(f"{_valid('result', [result.valid for result in report.results])}")
    findings = report.every_finding()
    errors = _errors(findings)
    lines.append(f"{_many('error', errors)}, {_many('warning', len(findings) - errors)}")
    verdict = (
        typer.style("valid", fg=typer.colors.GREEN) if report.valid else typer.style("not valid", fg="red")
    )
    if report.preset:
        verdict += f", as a run of preset {printable(report.preset)}" if report.own_rules else ""
    return [*lines, f"Verdict: {verdict}"]


def _valid(what: str, verdicts: list[bool]) -> str:
    return f"{_many(what, len(verdicts))}, {sum(verdicts):,} valid, {verdicts.count(False):,} not valid"


def _many(what: str, count: int) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
