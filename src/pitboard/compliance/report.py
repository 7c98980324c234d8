"""What a check returns: reports of logs, of results and of a whole tree, as data."""

from typing import Literal

import msgspec

from pitboard.compliance.finding import Finding
from pitboard.compliance.rcp import RcpVerdict
from pitboard.compliance.system import System
from pitboard.events import Run

Level = Literal["log", "result", "submission", "round"]


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one log. `path` is relative to the checked path, with forward slashes.

    `run` is what the log says of its run, so that a result is judged without reading its logs again;
    `gathered` is what `check_tree` was asked to gather besides.
    """

    path: str
    benchmark: str | None
    division: str | None
    valid: bool
    findings: list[Finding]
    ruleset: str
    run: Run
    gathered: object = None


class ResultReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one result: all runs of one benchmark on one system.

    `path` is its folder and `logs` are the paths of its logs, both relative to the checked path.
    `committee_scale` is the factor in its `scaling.json`, where there is one.
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
    committee_scale: float | None
    logs: list[str]


class TreeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a path. `findings` holds what belongs to no log or result: layout, systems, files."""

    round: str
    valid: bool
    logs: list[LogReport]
    results: list[ResultReport]
    findings: list[Finding]

    def every_finding(self) -> list[Finding]:
        """List the findings of the logs, of the results and of the tree itself, in this order."""
        findings = [finding for log in self.logs for finding in log.findings]
        findings += [finding for result in self.results for finding in result.findings]
        return findings + self.findings
