"""The findings of a check as text for a person: grouped, the worst first, counts at the end."""

from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pitboard.compliance import Finding, TreeReport

_COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}


def as_text(report: "TreeReport") -> str:
    """Say per submitter, system and benchmark what was found and what to do, then how much there was."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    owners: dict[str, str] = {}
    for result in report.results:
        name = " · ".join((result.submitter, result.system, result.benchmark))
        groups[name] += result.findings
        owners |= dict.fromkeys(result.logs, name)
    for log in report.logs:
        groups[owners.get(log.path) or _group(log.path)] += log.findings
    for finding in report.findings:
        groups[_group(finding.file) if finding.file else "Everything"].append(finding)
    lines = []
    for name, findings in sorted(groups.items(), key=lambda group: (-_errors(group[1]), group[0])):
        if findings:
            lines += [typer.style(_printable(name), bold=True), *_listed(findings), ""]
    return "\n".join([*lines, *_counts(report)])


def _group(path: str) -> str:
    """Name a file's group by its folders; `results` and `systems` are only shelves."""
    return (
        " · ".join(part for part in PurePosixPath(path).parent.parts if part not in ("results", "systems"))
        or path
    )


def _errors(findings: "list[Finding]") -> int:
    return sum(finding.severity == "error" for finding in findings)


def _listed(findings: "list[Finding]") -> list[str]:
    """List findings, errors first; what is said of several files in the same words is said once."""
    alike: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: finding.severity):
        alike[finding.severity, finding.rule, finding.message].append(finding)
    lines = []
    for (severity, rule, message), same in alike.items():
        first = same[0]
        place = PurePosixPath(first.file).name + (f":{first.line}" if first.line else "")
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        mark = typer.style(f"{severity}[{rule}]", fg=_COLOURS[severity])
        where = f"{_printable(place)}{more}  " if place else ""
        lines.append(f"  {where}{mark}  {_printable(message)}")
        if first.fix and severity == "error":
            lines.append(f"      fix: {_printable(first.fix)}")
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
