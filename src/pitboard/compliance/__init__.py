"""Was the race fair? The official rules as findings that a person can act on."""

from pitboard.compliance.check import check_tree
from pitboard.compliance.log.check import check_log
from pitboard.compliance.report import Level, LogReport, ResultReport, TreeReport
from pitboard.compliance.result.rcp import RcpVerdict, rcp_test
from pitboard.compliance.result.reference import (
    Reference,
    ReferencePoint,
    load_points,
    parse_points,
    reference_for,
)
from pitboard.compliance.result.run_verdict import RunsVerdict, judge_runs
from pitboard.compliance.rule import Finding

__all__ = [
    "Finding",
    "Level",
    "LogReport",
    "RcpVerdict",
    "Reference",
    "ReferencePoint",
    "ResultReport",
    "RunsVerdict",
    "TreeReport",
    "check_log",
    "check_tree",
    "judge_runs",
    "load_points",
    "parse_points",
    "rcp_test",
    "reference_for",
]
