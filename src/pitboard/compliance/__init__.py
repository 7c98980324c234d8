"""Was the race fair? The official rules as findings that a person can act on."""

from pitboard.compliance.finding import Finding
from pitboard.compliance.log import check_log
from pitboard.compliance.own_runs import RunsVerdict, judge_runs
from pitboard.compliance.rcp import RcpVerdict, rcp_test
from pitboard.compliance.reference import Reference, ReferencePoint, load_points, parse_points, reference_for
from pitboard.compliance.report import Level, LogReport, ResultReport, TreeReport
from pitboard.compliance.tree import check_tree

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
