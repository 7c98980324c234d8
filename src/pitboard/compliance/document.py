"""A report in the shape that scripts read: plain dictionaries and lists, ready for JSON."""

from typing import Any

from pitboard.compliance.finding import Finding
from pitboard.compliance.report import TreeReport


def as_document(report: TreeReport) -> dict[str, Any]:
    """Give a report in the shape that scripts read; `file` is given only where no `path` says it."""
    return {
        "round": report.round,
        "valid": report.valid,
        "logs": [
            {
                "path": log.path,
                "benchmark": log.benchmark,
                "division": log.division,
                "valid": log.valid,
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
                "rcp": result.rcp,
                "findings": [{"file": finding.file, **_finding(finding)} for finding in result.findings],
            }
            for result in report.results
        ],
        "findings": [{"file": finding.file, **_finding(finding)} for finding in report.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    names = ("rule", "severity", "line", "message", "expected", "found", "fix")
    return {name: getattr(finding, name) for name in names}
