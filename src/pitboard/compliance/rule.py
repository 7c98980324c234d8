"""A rule, stated where it is checked: its code, meaning, reason and source; and its findings.

A rule is a constant of the module that checks it, `NAME = Rule(...)`, and what breaks it is reported as
`NAME.finding(...)`. `pitboard.compliance.rules` collects them all.
"""

from typing import Any, Literal

import msgspec

Severity = Literal["error", "warning"]

# Where rules are written, as far as several modules name the same place.
RULESET = "mlperf-logging, compliance_checker/training_<ruleset>/*.yaml; a finding names the file and line"
CHECKER = "mlperf-logging, compliance_checker/mlp_compliance.py"
PACKAGE_CHECKER = "mlperf-logging, package_checker/package_checker.py"
POLICIES = "MLCommons training policies and submission rules; the official checker does not look at it"
UNCHECKED = "Pitboard; the official checker does not look at it"
UNCHECKED_OR_FATAL = "Pitboard; the official checker ends in a traceback or does not look"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One violation, as data; text, JSON and SARIF are made from it.

    `rule` is a stable code that `pitboard explain` knows; `file` is relative to the checked path;
    `line` is 1-based, or `None` where the finding is about the whole file.
    """

    rule: str
    severity: Severity = "error"
    file: str = ""
    line: int | None = None
    message: str
    expected: Any = None
    found: Any = None
    fix: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One rule, as `pitboard explain`, SARIF, the web page and docs/rules.md describe it.

    The code is stable: scripts and CI match on it. Its first word names what is judged (`rules.AREAS`).
    `severity` is that of a finding; `otherwise` says when one has the other severity.
    """

    code: str
    title: str
    severity: Severity = "error"
    otherwise: str = ""
    meaning: str
    why: str
    where: str

    def finding(
        self,
        message: str,
        *,
        file: str = "",
        line: int | None = None,
        expected: Any = None,
        found: Any = None,
        fix: str = "",
        severity: Severity | None = None,
    ) -> Finding:
        """Return a finding of this rule, of the rule's own severity unless another is given."""
        return Finding(
            rule=self.code,
            severity=severity or self.severity,
            file=file,
            line=line,
            message=message,
            expected=expected,
            found=found,
            fix=fix,
        )
