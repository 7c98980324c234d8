"""The findings of a check as SARIF 2.1.0 (OASIS), which GitHub code scanning and editors read."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pitboard import __version__
from pitboard.compliance.report import TreeReport
from pitboard.compliance.rule import Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(report: TreeReport, root: Path) -> dict[str, Any]:
    """Give a report as a SARIF log of one run, ready for JSON.

    `root` is the path that was checked, as the user gave it. A location is `root` joined with a finding's
    file, so a relative `root` inside a repository gives locations that code scanning can show.
    """
    findings = report.every_finding()
    codes = sorted({finding.rule for finding in findings})
    index = {code: place for place, code in enumerate(codes)}
    driver = {"name": "pitboard", "version": __version__, "rules": [_rule(code) for code in codes]}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "properties": {"round": report.round, "valid": report.valid},
                "results": [_result(finding, index[finding.rule], root) for finding in findings],
            }
        ],
    }


def _rule(code: str) -> dict[str, Any]:
    from pitboard.compliance.rules import RULES  # which imports every module here, this one too

    rule = RULES[code]
    return {
        "id": code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": f"{rule.meaning}\n\nWhy: {rule.why}\n\nWritten in: {rule.where}"},
    }


def _result(finding: Finding, index: int, root: Path) -> dict[str, Any]:
    path = root if root.is_file() or not finding.file else root / finding.file
    text = f"{finding.message}. {finding.fix}".strip()
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path.as_posix())},
                    # Code scanning shows nothing without a line: a finding on a whole file is at its top.
                    "region": {"startLine": finding.line or 1},
                }
            }
        ],
    }
