"""The findings of a report for a person to read: by what they are about, worst first, repeats said once."""

from collections import defaultdict
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from pitboard.compliance.report import ResultReport, TreeReport
from pitboard.compliance.rule import Finding

EVERYTHING = "Everything"
"""The name of what was found about no file or folder in particular."""


class FindingGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Findings in the same words about `count` places; `place` is the first, as file name and line."""

    severity: Literal["error", "warning"]
    rule: str
    message: str
    fix: str
    place: str
    count: int


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one result, log or file; errors first."""

    name: str
    findings: list[FindingGroup]


def grouped(report: TreeReport) -> list[Group]:
    """Group a report's findings by submitter, system and benchmark, the group with most errors first."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    owners: dict[str, str] = {}
    for result in report.results:
        name = " · ".join(filter(None, (result.submitter, _system(result), result.benchmark)))
        groups[name] += result.findings
        owners |= dict.fromkeys(result.logs, name)
    for log in report.logs:
        groups[owners.get(log.path) or _name(log.path)] += log.findings
    for finding in report.findings:
        groups[_name(finding.file) if finding.file not in ("", ".") else EVERYTHING].append(finding)
    ordered = sorted(groups.items(), key=lambda group: (-_errors(group[1]), group[0]))
    return [Group(name=name, findings=_grouped(findings)) for name, findings in ordered if findings]


def _system(result: ResultReport) -> str:
    """Name a system by its folder, and by what its description calls it: several may share that."""
    name = result.description.name if result.description else None
    return result.system if name in (None, "", result.system) else f"{result.system} ({name})"


def _name(path: str) -> str:
    """Name a file's group by its folders; `results` and `systems` are only shelves."""
    return (
        " · ".join(part for part in PurePosixPath(path).parent.parts if part not in ("results", "systems"))
        or path
    )


def _errors(findings: list[Finding]) -> int:
    return sum(finding.severity == "error" for finding in findings)


def _grouped(findings: list[Finding]) -> list[FindingGroup]:
    kinds: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: finding.severity):
        kinds[finding.severity, finding.rule, finding.message].append(finding)
    return [
        FindingGroup(
            severity=same[0].severity,
            rule=same[0].rule,
            message=same[0].message,
            fix=same[0].fix,
            place=PurePosixPath(same[0].file).name + (f":{same[0].line}" if same[0].line else ""),
            count=len(same),
        )
        for same in kinds.values()
    ]
