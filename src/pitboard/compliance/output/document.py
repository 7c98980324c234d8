"""A report in the shape that scripts read: plain dictionaries and lists, ready for JSON."""

from typing import Any

from pitboard.compliance.log.preset import kind_of
from pitboard.compliance.report import TreeReport
from pitboard.compliance.rule import Finding


def as_document(report: TreeReport) -> dict[str, Any]:
    """Give a report in the shape that scripts read; `file` is given only where no `path` says it."""
    return {
        "round": report.round,
        "round_told": report.told,
        "valid": report.valid,
        **_kind(report.preset),
        "logs": [
            {
                "path": log.path,
                "benchmark": log.benchmark,
                "division": log.division,
                "valid": log.valid,
                **_kind(log.preset),
                "findings": [_finding(finding) for finding in log.findings],
            }
            for log in report.logs
        ],
        "results": [
            {
                "submitter": result.submitter,
                "system": result.system,
                "benchmark": result.benchmark,
                "division": result.division,
                "valid": result.valid,
                **_kind(result.preset),
                "rcp": result.rcp,
                "rcp_not_held": result.rcp_not_held,
                "rcp_precision": result.rcp_precision,
                "findings": [{"file": finding.file, **_finding(finding)} for finding in result.findings],
            }
            for result in report.results
        ],
        "findings": [{"file": finding.file, **_finding(finding)} for finding in report.findings],
    }


def _kind(preset: str | None) -> dict[str, Any]:
    return {"kind": kind_of(preset), "preset": preset}


def _finding(finding: Finding) -> dict[str, Any]:
    names = ("rule", "severity", "line", "message", "expected", "found", "fix")
    return {name: getattr(finding, name) for name in names}
