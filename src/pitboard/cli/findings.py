"""The findings of a check as text for a person: grouped, the worst first, counts at the end."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pitboard.compliance import Finding, TreeReport
    from pitboard.compliance.grouping import Alike

_COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}


def as_text(report: "TreeReport") -> str:
    """Say per submitter, system and benchmark what was found and what to do, then how much there was."""
    from pitboard.compliance.grouping import grouped

    lines: list[str] = []
    for group in grouped(report):
        lines += [typer.style(_printable(group.name), bold=True), *_listed(group.findings), ""]
    return "\n".join([*lines, *_counts(report)])


def _errors(findings: "list[Finding]") -> int:
    return sum(finding.severity == "error" for finding in findings)


def _listed(findings: "list[Alike]") -> list[str]:
    lines = []
    for alike in findings:
        more = f" and {alike.count - 1} more" if alike.count > 1 else ""
        mark = typer.style(f"{alike.severity}[{alike.rule}]", fg=_COLOURS[alike.severity])
        where = f"{_printable(alike.place)}{more}  " if alike.place else ""
        lines.append(f"  {where}{mark}  {_printable(alike.message)}")
        if alike.fix and alike.severity == "error":
            lines.append(f"      fix: {_printable(alike.fix)}")
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
    return [*lines, f"Verdict: {verdict}"]


def _valid(what: str, verdicts: list[bool]) -> str:
    return f"{_many(what, len(verdicts))}, {sum(verdicts):,} valid, {verdicts.count(False):,} not valid"


def _many(what: str, count: int) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _printable(text: str) -> str:
    """Show control characters as escapes: a log must not move the cursor of whoever reads about it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
