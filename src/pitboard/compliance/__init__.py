"""Was the race fair? The official rules as findings that a person can act on."""

from pitboard.compliance.finding import Finding
from pitboard.compliance.log import check_log
from pitboard.compliance.report import Level, LogReport, RcpReport, ResultReport, TreeReport
from pitboard.compliance.tree import check_tree

__all__ = [
    "Finding",
    "Level",
    "LogReport",
    "RcpReport",
    "ResultReport",
    "TreeReport",
    "check_log",
    "check_tree",
]
