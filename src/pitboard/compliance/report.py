"""What a check returns: reports of logs, of results and of a whole tree, as data."""

from typing import Literal

import msgspec

from pitboard.compliance.result.rcp import RcpVerdict
from pitboard.compliance.rule import Finding
from pitboard.compliance.submission.system import System
from pitboard.events import Run, Summary

Level = Literal["log", "result", "submission", "round"]


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one log. `path` is relative to the checked path, with forward slashes.

    `summary` is what the log says of its run, so that a result is judged, scored and stored without reading
    its logs again. `preset` is one other than `full` that the log says it is of: no MLPerf result.
    `own_rules` tells whether it was judged by that preset's target.
    """

    path: str
    benchmark: str | None
    division: str | None
    valid: bool
    findings: list[Finding]
    ruleset: str
    summary: Summary
    preset: str | None = None
    own_rules: bool = False

    @property
    def run(self) -> Run:
        """What the log says of its run: times, evaluations, settings."""
        return self.summary.run


class ResultReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one result: all runs of one benchmark on one system.

    `path` is its folder and `logs` are the paths of its logs, both relative to the checked path.
    `filed_scale` is the factor in its `scaling.json`, where there is one. `watts` are the mean power of each
    run, `None` where it cannot be told, and none at all for a result without power files. `preset` and
    `own_rules` are as in its logs; a result judged by its preset's own rules is held against the preset's own
    reference points, measured in `rcp_precision`, unless `rcp_not_held` says why not.
    """

    path: str
    submitter: str
    system: str
    benchmark: str
    division: str | None
    valid: bool
    rcp: RcpVerdict | None
    findings: list[Finding]
    description: System | None
    filed_scale: float | None
    logs: list[str]
    watts: list[float | None] = []
    preset: str | None = None
    own_rules: bool = False
    rcp_not_held: str | None = None
    rcp_precision: str | None = None


class TreeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a path. `findings` holds what belongs to no log or result: layout, systems, files.

    `round` is `None` where none was named and no log says anything, so that there is none to tell. `told`
    says how it is known where neither the user nor the logs name it.
    """

    round: str | None
    valid: bool
    logs: list[LogReport]
    results: list[ResultReport]
    findings: list[Finding]
    told: str | None = None

    @property
    def preset(self) -> str | None:
        """The preset other than `full` that a log here says it is of, so that this is no MLPerf result."""
        return next((log.preset for log in self.logs if log.preset), None)

    @property
    def own_rules(self) -> bool:
        """Whether logs were judged by their preset's own rules, and not by the official ones."""
        return any(log.own_rules for log in self.logs)

    def every_finding(self) -> list[Finding]:
        """List the findings of the logs, of the results and of the tree itself, in this order."""
        findings = [finding for log in self.logs for finding in log.findings]
        findings += [finding for result in self.results for finding in result.findings]
        return findings + self.findings
