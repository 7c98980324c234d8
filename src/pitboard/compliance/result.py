"""A result: all runs of one benchmark on one system, judged together."""

from collections.abc import Sequence
from pathlib import Path

from pitboard.compliance.alike import check_names, check_settings, common
from pitboard.compliance.benchmarks import allowed_benchmarks, convergence, official_drops, official_runs
from pitboard.compliance.finding import Finding
from pitboard.compliance.layout import ResultFolder, shown
from pitboard.compliance.own_runs import Held, by_chance, hold
from pitboard.compliance.power import check_power
from pitboard.compliance.preset import scaled_preset
from pitboard.compliance.rcp import RcpVerdict, rcp_test
from pitboard.compliance.reference import load_points
from pitboard.compliance.report import LogReport, ResultReport
from pitboard.compliance.result_folder import bypasses, check_folder, check_scale, committee_scale
from pitboard.compliance.seeds import check_seeds
from pitboard.compliance.system import System


def check_result(
    result: ResultFolder, logs: Sequence[LogReport], system: System | None, ruleset: str, root: Path
) -> ResultReport:
    """Judge the runs of one result together, as the official `package_checker` does.

    `logs` are the reports on `result.logs`; `system` is its description, if there is one that can be read.
    Seeds and convergence are judged in the closed division only; where the folder's name is no benchmark of
    the ruleset ("5.1.0"), every log must be valid and that is all. Runs that were all judged by the rules of
    their preset may be as many as one likes, and are held against the preset's own reference points. Findings
    name files relative to `root`.
    """
    file = shown(result.path, root)
    division = system.division if system and system.division else common(log.division for log in logs)
    findings = check_folder(result, root, file, ruleset)
    scale, damaged = committee_scale(result, file)
    findings += damaged
    rcp, held = None, Held()
    own = bool(logs) and all(log.own_rules for log in logs)
    known = result.benchmark in allowed_benchmarks(ruleset)
    if known:
        power, waived = check_power(result, root), bypasses(result)
        findings += power + _check_runs(result, logs, power, file, own)
        findings += check_settings(logs) + check_names(result, logs, system, file)
        if division == "closed" and "seed-checker-bypass" not in waived:
            findings += check_seeds(logs)
        if own:
            held = hold([log.run for log in logs], ruleset)
            rcp = held.rcp
        elif division == "closed":
            rcp = _test(logs, ruleset, "rcp-bypass" in waived)
        if rcp is not None:
            findings += _check_rcp(rcp, logs, file, own)
        findings += check_scale(scale, rcp, file)
    return ResultReport(
        path=file,
        submitter=(system.submitter if system else None) or result.submitter,
        system=result.system,
        benchmark=result.benchmark,
        division=division,
        valid=not any(finding.severity == "error" for finding in findings)
        and (known or all(log.valid for log in logs)),
        rcp=rcp,
        findings=findings,
        description=system,
        committee_scale=scale,
        logs=[log.path for log in logs],
        preset=scaled_preset(log.run for log in logs),
        own_rules=own,
        rcp_not_held=held.not_held,
        rcp_precision=held.reference.precision if held.reference else None,
    )


def _test(logs: Sequence[LogReport], ruleset: str, bypass: bool) -> RcpVerdict:
    """Run the RCP test on what the logs say: the benchmark is the logs' own, and one batch size for all."""
    runs = [log.run for log in logs]
    benchmark = common(run.benchmark for run in runs) or ""
    sizes = {run.global_batch_size for run in runs}
    return rcp_test(
        [convergence(run) for run in runs],
        sizes.pop() if len(sizes) == 1 else None,
        benchmark,
        load_points(benchmark, ruleset),
        ruleset=ruleset,
        bypass=bypass,
    )


def _check_runs(
    result: ResultFolder, logs: Sequence[LogReport], power: Sequence[Finding], file: str, own: bool
) -> list[Finding]:
    """Count the runs, and those that do not count: as many as the olympic mean drops may be invalid.

    How many there must be is MLPerf's rule, not that of a preset's `own` runs.
    """
    findings = []
    wanted = official_runs(result.benchmark)
    if len(logs) != wanted and not own:
        findings.append(
            Finding(
                rule="result-runs",
                file=file,
                message=f"A result of {result.benchmark} has {wanted} runs, this one has {len(logs)}",
                expected=wanted,
                found=len(logs),
                fix=f"Submit {wanted} consecutive runs, each as result_N.txt; do not choose among more.",
            )
        )
    unmetered = {Path(finding.file).name for finding in power}
    bad = [log.path for log in logs if not log.valid or Path(log.path).stem in unmetered]
    tolerated = official_drops(result.benchmark)
    if own and len(logs) <= 2 * tolerated:
        tolerated = 0  # so few runs are averaged, all of them
    if bad:
        accepted = len(bad) <= tolerated and len(bad) < len(logs)
        findings.append(
            Finding(
                rule="result-dropped" if accepted else "result-invalid-runs",
                severity="warning" if accepted else "error",
                file=file,
                message=f"{len(bad)} of {len(logs)} runs do not comply"
                + (
                    ", which the olympic mean tolerates"
                    if accepted
                    else f"; {tolerated or 'none'} may be dropped"
                ),
                expected=f"at most {tolerated}",
                found=[Path(path).name for path in bad],
                fix="See the findings on these logs.",
            )
        )
    return findings


def _check_rcp(rcp: RcpVerdict, logs: Sequence[LogReport], file: str, own: bool) -> list[Finding]:
    findings = [
        Finding(
            rule="rcp-samples-missing",
            file=log.path,
            message="The run converged, but its last evaluation does not say after how many samples",
            expected="samples_count or epoch_num, as the benchmark counts, in the metadata of eval_accuracy",
            fix="Log the evaluation with that metadata; without it the run counts as not converged.",
        )
        for log in logs
        if log.run.status == "success" and convergence(log.run) is None
    ]
    if rcp.passed and not rcp.verdict.endswith("rcp_bypass"):
        return findings
    rule, message, fix = _why(rcp)
    findings.append(
        Finding(
            rule=rule,
            severity="warning" if rcp.passed or (own and by_chance(rcp, len(logs))) else "error",
            file=file,
            message=message,
            expected=rcp.reference_mean,
            found=rcp.submission_mean,
            fix=fix,
        )
    )
    return findings


def _why(rcp: RcpVerdict) -> tuple[str, str, str]:
    """The rule, the message and the fix for an RCP test that did not simply pass."""
    if rcp.passed:
        fix = "Be ready to explain the convergence to the review committee."
        return "rcp-bypassed", f"The RCP test failed and was waived: {rcp.verdict}", fix
    if rcp.verdict in ("RCP found", "RCP Interpolation"):
        return (
            "rcp-too-fast",
            "The runs needed significantly fewer samples than the reference does at this batch size",
            "Look for a setting or data that differ from the reference, or ask the committee for new points.",
        )
    if rcp.verdict.startswith("Missing RCP"):
        return (
            "rcp-missing",
            f"The reference has no convergence points for this batch size: {rcp.verdict}",
            "Run the reference at this batch size and submit its points, or use a batch size that has some.",
        )
    if rcp.verdict == "Insufficient convergence":
        return "rcp-convergence", "Too many runs did not reach the target", "Repeat the result's runs."
    return "rcp-impossible", f"The RCP test cannot be made: {rcp.verdict}", "See the other findings here."
