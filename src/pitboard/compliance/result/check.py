"""A result: all runs of one benchmark on one system, judged together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from pitboard.compliance.inventory import Inventory, ResultFolder, shown
from pitboard.compliance.log.preset import scaled_preset
from pitboard.compliance.report import LogReport, ResultReport
from pitboard.compliance.result.benchmarks import (
    allowed_benchmarks,
    convergence,
    has_rcp_test,
    official_drops,
    official_runs,
)
from pitboard.compliance.result.folder import (
    bypasses,
    check_folder,
    check_power,
    check_scale,
    filed_scale,
)
from pitboard.compliance.result.power import read_power
from pitboard.compliance.result.rcp import RcpVerdict, rcp_test
from pitboard.compliance.result.reference import load_points
from pitboard.compliance.result.run_verdict import ConvergenceCheck, by_chance, check_convergence
from pitboard.compliance.result.seeds import check_seeds
from pitboard.compliance.rule import PACKAGE_CHECKER, POLICIES, UNCHECKED_OR_FATAL, Finding, Rule
from pitboard.compliance.submission.system import System
from pitboard.text import printable

_RCP_CHECKER = "mlperf-logging, rcp_checker/rcp_checker.py"

# Without these being the same in all runs there is no RCP test: the official checker ends in a traceback.
_DECISIVE = ("global_batch_size", "submission_benchmark")


def check_result(
    result: ResultFolder,
    logs: Sequence[LogReport],
    system: System | None,
    ruleset: str,
    inventory: Inventory,
) -> ResultReport:
    """Judge the runs of one result together, as the official `package_checker` does.

    `logs` are the reports on `result.logs`; `system` is its description, if there is one that can be read.
    Seeds and convergence are judged in the closed division only. A folder whose name is no benchmark of the
    ruleset ("5.1.0") is judged as what its logs name; in a submission, of which the official checker passes
    over such a folder, or where that is none either, every log must be valid and that is all. Runs that were
    all judged by the rules of their preset may be as many as one likes, and are held against the preset's own
    reference points. Findings name files relative to the root of `inventory`, which lists what lies beside
    the logs.
    """
    file = shown(result.path, inventory.root)
    named = result.benchmark in allowed_benchmarks(ruleset)
    if not named and result.submission is None:
        # A folder of runs may be called anything: what was trained is what its logs say.
        logged = _common(log.benchmark for log in logs)
        result = replace(
            result, benchmark=logged if logged in allowed_benchmarks(ruleset) else result.benchmark
        )
    division = system.division if system and system.division else _common(log.division for log in logs)
    findings = check_folder(result, inventory, file, ruleset, named=named)
    scale, damaged = filed_scale(result, file)
    findings += damaged
    rcp, held = None, ConvergenceCheck()
    watts, unclear = read_power(result, inventory)
    findings += unclear
    own = bool(logs) and all(log.own_rules for log in logs)
    known = result.benchmark in allowed_benchmarks(ruleset)
    if known:
        power, waived = check_power(result, inventory), bypasses(result)
        findings += power + _check_runs(result, logs, power, file, own)
        findings += _check_settings(logs) + _check_names(result, logs, system, file)
        if division == "closed" and "seed-checker-bypass" not in waived:
            findings += check_seeds(logs)
        if own:
            held = check_convergence([log.run for log in logs], ruleset)
            rcp = held.rcp
        elif division == "closed" and has_rcp_test(result.benchmark):
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
        filed_scale=scale,
        logs=[log.path for log in logs],
        watts=watts,
        preset=scaled_preset(log.run for log in logs),
        own_rules=own,
        rcp_not_held=held.not_held,
        rcp_precision=held.reference.precision if held.reference else None,
    )


def _test(logs: Sequence[LogReport], ruleset: str, bypass: bool) -> RcpVerdict:
    """Run the RCP test on what the logs say: the benchmark is the logs' own, and one batch size for all."""
    runs = [log.run for log in logs]
    benchmark = _common(run.benchmark for run in runs) or ""
    sizes = {run.global_batch_size for run in runs}
    return rcp_test(
        [convergence(run, ruleset) for run in runs],
        sizes.pop() if len(sizes) == 1 else None,
        benchmark,
        load_points(benchmark, ruleset),
        ruleset=ruleset,
        bypass=bypass,
    )


RUNS = Rule(
    code="result-runs",
    title="The number of runs is not the benchmark's",
    meaning="A result has exactly as many logs as MLCommons fixes for its benchmark.",
    why="Time-to-train varies from run to run; choosing among more runs would choose luck.",
    where=PACKAGE_CHECKER,
)
INVALID_RUNS = Rule(
    code="result-invalid-runs",
    title="Too many runs do not comply",
    meaning="More runs are invalid than the olympic mean drops: one, or four of unet3d.",
    why="A run that does not count takes the place of the slowest; with more there is no mean.",
    where=PACKAGE_CHECKER,
)
DROPPED = Rule(
    code="result-dropped",
    title="A run does not comply and is dropped",
    severity="warning",
    meaning="As many runs as the olympic mean drops may be invalid or not converge.",
    why="The slowest run is dropped anyway; this says which one was, and that no other may fail.",
    where=PACKAGE_CHECKER,
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
            RUNS.finding(
                f"A result of {result.benchmark} has {wanted} runs, this one has {len(logs)}",
                file=file,
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
            (DROPPED if accepted else INVALID_RUNS).finding(
                f"{len(bad)} of {len(logs)} runs do not comply"
                + (
                    ", which the olympic mean tolerates"
                    if accepted
                    else f"; {tolerated or 'none'} may be dropped"
                ),
                file=file,
                expected=f"at most {tolerated}",
                found=[Path(path).name for path in bad],
                fix="See the findings on these logs.",
            )
        )
    return findings


SETTINGS = Rule(
    code="result-settings",
    title="The runs log different settings",
    otherwise="a warning for a setting that is neither the benchmark nor the batch size",
    meaning=(
        "A setting (submission_*, opt_*, batch size, …) differs between the runs. An error for benchmark "
        "and batch size, where the official checker ends in a traceback; else a warning."
    ),
    why="The runs of a result repeat one experiment; only the seed may differ.",
    where=POLICIES,
)


def _check_settings(logs: Sequence[LogReport]) -> list[Finding]:
    """Compare what the runs of a result log of their settings: only the seed may differ (training rules).

    The official checker compares the benchmark and the batch size alone; the other keys are warnings.
    """
    logged = [log.run.settings | log.summary.disclosures for log in logs]
    if all(settings == logged[0] for settings in logged):
        return []
    findings = []
    for key in sorted({key for settings in logged for key in settings}):
        values = Counter(_plain(settings.get(key)) for settings in logged)
        if len(values) < 2:
            continue
        decisive = key in _DECISIVE
        rare = min(values, key=lambda value: values[value])
        odd = next(log.path for log, own in zip(logs, logged, strict=True) if _plain(own.get(key)) == rare)
        findings.append(
            SETTINGS.finding(
                f"The runs of this result do not all log the same {printable(key)}",
                severity="error" if decisive else "warning",
                file=odd,
                expected="one value in all runs",
                found=[f"{value} in {count} of {len(logs)} runs" for value, count in values.most_common(4)],
                fix="Run all runs of a result with the same settings; only the seed differs.",
            )
        )
    return findings


NAMES = Rule(
    code="result-names",
    title="The logs name another benchmark or division",
    severity="warning",
    meaning="The logs' benchmark is not the folder's name, or their division not the description's.",
    why="The official tools take one from the folder, the other from the log, and judge a mixture.",
    where=UNCHECKED_OR_FATAL,
)


def _check_names(
    result: ResultFolder, logs: Sequence[LogReport], system: System | None, file: str
) -> list[Finding]:
    """Compare what the logs call their benchmark and division with their folder and the description."""
    findings = []
    for what, here, there in (
        ("benchmark", result.benchmark, _common(log.benchmark for log in logs)),
        ("division", system.division if system else None, _common(log.division for log in logs)),
    ):
        if here is not None and there is not None and here != there:
            findings.append(
                NAMES.finding(
                    f"The logs name another {what} than "
                    + ("their folder" if what == "benchmark" else "the system's description"),
                    file=file,
                    expected=printable(here),
                    found=printable(there),
                    fix=f"Let submission_{what} in the logs and the submission's layout agree.",
                )
            )
    return findings


SAMPLES_MISSING = Rule(
    code="rcp-samples-missing",
    title="A run does not say after how many samples it converged",
    meaning="The last evaluation before run_stop lacks samples_count (or epoch_num).",
    why="The RCP test compares samples (or epochs) to the target.",
    where=UNCHECKED_OR_FATAL,
)


def _check_rcp(rcp: RcpVerdict, logs: Sequence[LogReport], file: str, own: bool) -> list[Finding]:
    findings = [
        SAMPLES_MISSING.finding(
            "The run converged, but its last evaluation does not say after how many samples",
            file=log.path,
            expected="samples_count or epoch_num, as the benchmark counts, in the metadata of eval_accuracy",
            fix="Log the evaluation with that metadata; without it the run counts as not converged.",
        )
        for log in logs
        if log.run.status == "success" and convergence(log.run, log.ruleset) is None
    ]
    if rcp.passed and not rcp.waived:
        return findings
    rule, message, fix = _why(rcp)
    findings.append(
        rule.finding(
            message,
            severity="warning" if own and by_chance(rcp, len(logs)) else None,
            file=file,
            expected=rcp.reference_mean,
            found=rcp.submission_mean,
            fix=fix,
        )
    )
    return findings


TOO_FAST = Rule(
    code="rcp-too-fast",
    title="Convergence is faster than the reference's",
    otherwise="a warning for fewer than three runs of a preset other than full, which may be early by chance",
    meaning=(
        "The olympic mean of the samples to the target is below what a one-sided t-test (5 %) allows "
        "against the reference convergence points (RCPs) at the batch size, interpolated if need be."
    ),
    why="Closed results race hardware and software on the same mathematics; this catches another one.",
    where=_RCP_CHECKER,
)
NO_REFERENCE = Rule(
    code="rcp-missing",
    title="There is no reference for this batch size",
    otherwise="a warning for fewer than three runs of a preset other than full, which may be early by chance",
    meaning="The batch size lies outside the reference points, and smaller ones converge no slower.",
    why="Convergence can be judged only between points that the reference has run.",
    where=_RCP_CHECKER,
)
UNCONVERGED = Rule(
    code="rcp-convergence",
    title="Too many runs did not converge",
    meaning="More runs missed the target than the olympic mean drops.",
    why="There is no mean of the samples to the target.",
    where=_RCP_CHECKER,
)
IMPOSSIBLE = Rule(
    code="rcp-impossible",
    title="The RCP test cannot be made",
    meaning="There is no common batch size, no reference point, or there are too few runs.",
    why="A closed result is valid only with its convergence tested.",
    where=UNCHECKED_OR_FATAL,
)
WAIVED = Rule(
    code="rcp-bypassed",
    title="A failed RCP test was waived",
    severity="warning",
    meaning="package_checker_params asks for rcp-bypass, and the test would have failed.",
    why="The review committee decides; whoever reads the result should know.",
    where=_RCP_CHECKER,
)


def _why(rcp: RcpVerdict) -> tuple[Rule, str, str]:
    """The rule, the message and the fix for an RCP test that did not simply pass."""
    if rcp.passed:
        fix = "Be ready to explain the convergence to the review committee."
        return WAIVED, f"The RCP test failed and was waived: {rcp.verdict}", fix
    if rcp.verdict in ("RCP found", "RCP Interpolation"):
        return (
            TOO_FAST,
            "The runs needed significantly fewer samples than the reference does at this batch size",
            "Look for a setting or data that differ from the reference, or ask the committee for new points.",
        )
    if rcp.verdict.startswith("Missing RCP"):
        return (
            NO_REFERENCE,
            f"The reference has no convergence points for this batch size: {rcp.verdict}",
            "Run the reference at this batch size and submit its points, or use a batch size that has some.",
        )
    if rcp.verdict == "Insufficient convergence":
        return UNCONVERGED, "Too many runs did not reach the target", "Repeat the result's runs."
    return IMPOSSIBLE, f"The RCP test cannot be made: {rcp.verdict}", "See the other findings here."


def _common(values: Iterable[str | None]) -> str | None:
    """Give the most frequent of the values that are not `None`, the first of equals."""
    counted = Counter(value for value in values if value is not None)
    return counted.most_common(1)[0][0] if counted else None


def _plain(value: Any) -> str:
    return repr(value)[:80]
