"""A result: all runs of one benchmark on one system, judged together."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pitboard.compliance.benchmarks import allowed_benchmarks, convergence, official_drops, official_runs
from pitboard.compliance.finding import Finding
from pitboard.compliance.layout import ResultFolder, entries, is_log, shown
from pitboard.compliance.power import check_power
from pitboard.compliance.rcp import RcpVerdict, rcp_test
from pitboard.compliance.reference import load_points
from pitboard.compliance.report import LogReport, ResultReport
from pitboard.compliance.seeds import check_seeds
from pitboard.compliance.system import System

PARAMS = "package_checker_params"
SCALING = "scaling.json"
# Where a run ran and who ran it may be spelt differently without making it another setting.
_NOT_SETTINGS = frozenset({"submission_benchmark", "submission_division", "global_batch_size"})
_MAX_BYTES = 1 << 20


def check_result(
    result: ResultFolder, logs: Sequence[LogReport], system: System | None, ruleset: str, root: Path
) -> ResultReport:
    """Judge the runs of one result together, as the official `package_checker` does.

    `logs` are the reports on `result.logs`; `system` is its description, if there is one that can be read;
    findings name files relative to `root`.
    """
    file = shown(result.path, root)
    division = system.division if system and system.division else _common(log.division for log in logs)
    findings = _folder(result, root, file, ruleset)
    rcp = None
    if result.benchmark in allowed_benchmarks(ruleset):
        bypasses = _bypasses(result)
        power = check_power(result, root)
        findings += _runs(result, logs, power, file) + power + _alike(logs, file)
        findings += _names(result, logs, system, file)
        if division == "closed":
            if "seed-checker-bypass" not in bypasses:
                findings += check_seeds(sorted(logs, key=lambda log: log.path))
            rcp = _rcp(logs, ruleset, "rcp-bypass" in bypasses)
            findings += _rcp_findings(rcp, logs, file)
    scaling, damaged = _scaling(result, file)
    findings += damaged or _outdated(scaling, rcp, file)
    return ResultReport(
        path=file,
        submitter=system.submitter if system and system.submitter else result.submitter,
        system=result.system,
        benchmark=result.benchmark,
        division=division,
        valid=not any(finding.severity == "error" for finding in findings),
        rcp=rcp,
        findings=findings,
        description=system,
        committee_scale=scaling,
        logs=[log.path for log in logs],
    )
