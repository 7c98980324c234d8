"""The findings of a check as text for a person: grouped, the worst first, counts at the end."""

import re
import sys
from typing import TYPE_CHECKING

import typer

from pitboard.text import printable

if TYPE_CHECKING:
    from pitboard.compliance import Finding, RcpVerdict, ResultReport, TreeReport
    from pitboard.compliance.output.grouping import FindingGroup

_MOST_TESTS = 20
"""Of so many results every RCP test is told; of more, those that failed or change a score."""

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""What `typer.style` writes beside the text."""
_COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}


def as_text(report: "TreeReport") -> str:
    """Say per submitter, system and benchmark what was found and what to do, then how much there was.

    In a terminal, lines are broken at its width.
    """
    from pitboard.cli.answers import width_of_output
    from pitboard.compliance.log.preset import mark
    from pitboard.compliance.output.grouping import grouped

    lines: list[str] = []
    if report.preset:
        lines += [typer.style(f"{printable(mark(report.preset))}.", bold=True), *_judged(report), ""]
    for group in grouped(report):
        lines += [typer.style(printable(group.name), bold=True), *_listed(group.findings), ""]
    convergence = _convergence(report)
    lines += [*convergence, *([""] if convergence else []), *_counts(report)]
    width = width_of_output()
    return "\n".join(part for line in lines for part in _fitted(line, width))


def _fitted(line: str, width: int | None) -> list[str]:
    """Break a line at a width; what goes on stands below it, not beside it.

    Colours take no room, but where a line with one is broken, they are counted as if they did.
    """
    from pitboard.cli.answers import broken

    plain = _STYLE.sub("", line)
    if width is None or len(plain) <= width:
        return [line]
    indent = " " * (len(plain) - len(plain.lstrip()) + 4)
    return broken(line if sys.stdout.isatty() else plain, width, indent)


def _judged(report: "TreeReport") -> list[str]:
    """Say by which rules runs of a preset were judged, and how their convergence was."""
    if not report.own_rules:
        return [
            "Judged by the official rules, like every submission. "
            "The output folder of `pitboard run` is judged with the preset's own target."
        ]
    targets = any(log.run.target is not None for log in report.logs)
    own = ", with the preset's own target" if targets else ""
    lines = [f"Judged by the log rules of the open division{own}."]
    for result in report.results:
        lines.append(f"RCP test {printable(_tested(result))}.")
    return lines


def _convergence(report: "TreeReport") -> list[str]:
    """Say of each closed result how its RCP test ended; of many only those that a reader must know of."""
    tested = [result for result in report.results if result.rcp is not None and not result.own_rules]
    telling = [
        result for result in tested if result.rcp and (not result.rcp.passed or result.rcp.factor != 1)
    ]
    few = len(tested) <= _MOST_TESTS
    lines = [
        f"RCP test of {printable(_place(result))}: {_tested(result)}{_margin(result.benchmark, result.rcp)}"
        for result in (tested if few else telling)
    ]
    if not few:
        passed = sum(result.rcp is not None and result.rcp.passed for result in tested)
        lines.append(f"RCP tests: {passed:,} of {len(tested):,} passed; listed are those with a factor")
    return lines


def _place(result: "ResultReport") -> str:
    return "/".join(part for part in (result.submitter, result.system, result.benchmark) if part)


def _tested(result: "ResultReport") -> str:
    return convergence_in_words(result.benchmark, result.rcp, result.rcp_not_held, result.rcp_precision)


def convergence_in_words(
    benchmark: str, rcp: "RcpVerdict | None", not_held: str | None, precision: str | None
) -> str:
    """Say how an RCP test of runs of a benchmark ended, or why there was none.

    `precision` is what the preset's own points were measured in; `None` for the official ones.
    """
    if rcp is None:
        return f"not made: {not_held or 'nothing to compare'}"
    if rcp.submission_mean is None or rcp.reference_mean is None:
        few = rcp.verdict == "Insufficient convergence"
        return f"not passed: {'too many runs did not reach the target' if few else rcp.verdict}"
    whose = f"the preset's own, measured in {precision.upper()}" if precision else "the official ones"
    unit, ours = _progress(benchmark, rcp.submission_mean)
    return (
        f"{'waived' if rcp.waived else 'passed' if rcp.passed else 'not passed'}: {ours} {unit} to the"
        f" target; reference convergence points ({whose}): {_progress(benchmark, rcp.reference_mean)[1]}"
    )


def _progress(benchmark: str, mean: float) -> tuple[str, str]:
    """Give what a benchmark counts its convergence in, and a mean in it."""
    from pitboard.compliance.result.benchmarks import convergence_unit

    unit = convergence_unit(benchmark, mean)
    return unit, f"{mean:.3f}" if unit == "epochs" else f"{mean:,.0f}"


def _margin(benchmark: str, rcp: "RcpVerdict | None") -> str:
    """Say by how much an RCP test was passed or not, and what that does to the score."""
    if rcp is None or rcp.submission_mean is None or rcp.reference_mean is None or rcp.minimum is None:
        return ""
    margin = rcp.submission_mean / rcp.reference_mean - 1
    beside = f"{abs(margin):.1%} {'more' if margin >= 0 else 'fewer'} than"
    words = (
        f"; {beside if round(margin, 3) else 'as many as'} the reference, "
        f"{_progress(benchmark, rcp.minimum)[1]} would pass"
    )
    return words + ("" if rcp.factor == 1 else f"; the score is multiplied by {rcp.factor:.4f}")


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
    round = "No round told" if report.round is None else f"Round {report.round}"
    lines = [f"{round}: {_valid('log', [log.valid for log in report.logs])}"]
    if report.told and report.results:  # a log by itself was entered in no round yet
        lines.append(report.told)
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
    return [*lines, f"Verdict: {verdict}{_because(report, errors)}"]


def _because(report: "TreeReport", errors: int) -> str:
    """Say what a verdict rests on where the counts seem to say otherwise, or where it is of logs only."""
    if report.valid and errors:
        dropped = [log.path for log in report.logs if not log.valid]
        names = printable(", ".join(dropped[:3])) + (f" and {len(dropped) - 3} more" * (len(dropped) > 3))
        return f"; the errors are of runs that the olympic mean drops: {names}"
    if report.results or report.own_rules or not report.valid:
        return ""
    return "".join(f"; {sentence}" for sentence in _wanting(report))


def _wanting(report: "TreeReport") -> list[str]:
    """Say of logs by themselves how many a result of their benchmark needs."""
    from pitboard.compliance.result.benchmarks import official_runs

    benchmarks = sorted({log.benchmark for log in report.logs if log.benchmark})
    needed = [(name, runs) for name in benchmarks if (runs := official_runs(name))]
    what = "the log" if len(report.logs) == 1 else "each log by itself"
    return [f"{what}, not a result: {name} needs {runs} runs" for name, runs in needed]


def _valid(what: str, verdicts: list[bool]) -> str:
    return f"{_many(what, len(verdicts))}, {sum(verdicts):,} valid, {verdicts.count(False):,} not valid"


def _many(what: str, count: int) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
