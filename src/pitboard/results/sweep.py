"""The answer to a precision sweep: does a narrower format win once its convergence is counted?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from pitboard import suite
from pitboard.compliance.result.benchmarks import convergence, official_drops
from pitboard.compliance.result.rcp import RcpVerdict, rcp_test
from pitboard.compliance.result.reference import Reference, ReferencePoint, reference_for
from pitboard.compliance.result.run_verdict import changed_settings
from pitboard.events import LogFile, read_log
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.question import Chart
from pitboard.results.schema import Row
from pitboard.stats import olympic_mean
from pitboard.suite import NEWEST_RACED

Verdict = Literal[
    "baseline",
    "wins",
    "slower",
    "faster but does not converge in time",
    "not comparable (emulated)",
    "did not run",
]

DEFINITION = (
    "Minutes are time-to-train, samples to target those at the evaluation that reached it: the olympic mean "
    "of a format's runs, or their mean where there are fewer than three. Samples/s are of training, without "
    "evaluation. Convergence is the official RCP test (MLCommons' rcp_checker) against the reference "
    "convergence points of the baseline, both ways: earlier is what that test finds, later the same test "
    "with the samples mirrored at the reference's mean. A format wins if it reaches the target in less time "
    "than the baseline, and not with suspiciously few samples."
)
_EMULATED = (
    "An emulated format computes the right numbers with slower arithmetic: its samples to target count, its "
    "minutes and samples/s say nothing of the format."
)


class PrecisionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of one precision came to.

    `samples` has one entry for each run, `None` for one that did not reach the target; `minutes` is their
    olympic mean, or their mean where there are fewer than three, scaled as the RCP test says, and `None`
    where too few reached the target. `throughput` is samples per second of training, evaluation left out.
    `rcp` is the official test against the baseline's reference convergence points, which finds runs that
    converge too early; `late` is the same test with the samples mirrored at the reference's mean. The
    test's `reference_mean` is `None` where no reference point applies to these runs.
    """

    precision: str
    emulated: bool
    samples: list[float | None]
    minutes: float | None
    throughput: float | None
    rcp: RcpVerdict
    late: bool
    verdict: Verdict

    @property
    def reached(self) -> int:
        """How many runs reached the target."""
        return sum(count is not None for count in self.samples)

    @property
    def converges(self) -> bool:
        """Whether the format trains as the baseline does: to the target, and neither too early nor too late.

        Without a reference, whether all its runs reach the target.
        """
        if self.rcp.reference_mean is None:
            return 0 < self.reached == len(self.samples)
        return self.rcp.passed and not self.late

    @property
    def mean_samples(self) -> float | None:
        """The mean of the samples to target: the RCP test's, or else that of the runs that reached it."""
        reached = [count for count in self.samples if count is not None]
        return self.rcp.submission_mean or (sum(reached) / len(reached) if reached else None)

    @property
    def early(self) -> bool:
        """Whether the runs needed suspiciously few samples, so that their time does not count."""
        return self.rcp.reference_mean is not None and not self.rcp.passed


def precision_sweep(
    logs: Mapping[str, Sequence[Path]],
    benchmark: str,
    preset: str,
    round: str = NEWEST_RACED.version,
) -> Answer:
    """Judge the formats of a sweep, the baseline first, by the logs of their runs.

    Rows are formats; `more` holds `runs` (what each needed to the target) and `reference` (what the runs of
    the reference needed at the same global batch size). `facts["complete"]` says whether every format ran,
    `facts["passed"]` whether each converges as the baseline does, or wins. Raises `PitboardError` for an
    unknown round, benchmark or preset, or a log that cannot be read.
    """
    started = {precision: _started(paths) for precision, paths in logs.items()}
    reference = _reference(started, benchmark, preset, round)
    results = _judged(started, reference.points, suite.find_round(round).ruleset)
    batch = next((log.summary.run.global_batch_size for each in started.values() for log in each), None)
    return Answer(
        question="precision",
        title=f"{benchmark} ({preset}) by precision",
        definition=DEFINITION,
        sql="",
        parameters={"benchmark": benchmark, "preset": preset, "round": round},
        columns=_columns(),
        rows=[_row(result, results[0].precision) for result in results],
        warnings=[_EMULATED] if any(result.emulated for result in results) else [],
        notes=[_reference_note(results, reference)],
        facts={
            "complete": all(result.verdict != "did not run" for result in results),
            "passed": all(result.converges or result.verdict == "wins" for result in results),
        },
        more={"runs": _runs_table(results), "reference": _reference_table(reference, batch)},
    )


def judge_precisions(
    logs: Mapping[str, Sequence[Path]],
    points: Sequence[ReferencePoint],
    ruleset: str = NEWEST_RACED.ruleset,
) -> list[PrecisionResult]:
    """Read the logs of each precision's runs and judge every precision against the first one given.

    `points` are the reference convergence points of that baseline, in samples; empty where none apply.
    A log whose clock never started is no run. Raises `PitboardError` for a log that cannot be read.
    """
    return _judged({precision: _started(paths) for precision, paths in logs.items()}, points, ruleset)


def _started(paths: Sequence[Path]) -> list[LogFile]:
    """Read the logs; leave out those whose clock never started."""
    return [log for log in map(read_log, paths) if log.summary.run.run_start_ms is not None]


def _judged(
    logs: Mapping[str, Sequence[LogFile]], points: Sequence[ReferencePoint], ruleset: str
) -> list[PrecisionResult]:
    results = [_result(precision, each, points, ruleset) for precision, each in logs.items()]
    return [msgspec.structs.replace(result, verdict=_verdict(result, results[0])) for result in results]


def _result(
    precision: str, logs: Sequence[LogFile], points: Sequence[ReferencePoint], ruleset: str
) -> PrecisionResult:
    runs = [log.summary.run for log in logs]
    samples = [convergence(run, ruleset) for run in runs]
    benchmark, batch = (runs[0].benchmark or "", runs[0].global_batch_size) if runs else ("", None)
    rcp = rcp_test(samples, batch, benchmark, points, runs=len(runs), ruleset=ruleset)
    drops = official_drops(benchmark) if len(runs) >= 3 else 0
    minutes = olympic_mean([run.minutes if run.status == "success" else None for run in runs], drops)
    return PrecisionResult(
        precision=precision,
        emulated=any(run.emulated for run in runs),
        samples=samples,
        minutes=None if minutes is None else minutes * (rcp.scale if rcp.passed else 1.0),
        throughput=_throughput(logs),
        rcp=rcp,
        late=_late(samples, batch, benchmark, points, rcp, ruleset),
        verdict="baseline",
    )


def _throughput(logs: Sequence[LogFile]) -> float | None:
    """The mean of the blocks' throughputs, each block as long as the next but the last."""
    rates = [
        float(event.value["throughput"])
        for log in logs
        for event in log.events
        if event.key == "tracked_stats" and isinstance(event.value, dict) and "throughput" in event.value
    ]
    return len(rates) / sum(1 / rate for rate in rates) if rates and all(rate > 0 for rate in rates) else None


def _late(
    samples: Sequence[float | None],
    batch: float | None,
    benchmark: str,
    points: Sequence[ReferencePoint],
    rcp: RcpVerdict,
    ruleset: str,
) -> bool:
    """Say whether the samples, mirrored at the reference's mean, fail the test for too few."""
    if rcp.reference_mean is None:
        return False
    mirrored = [None if count is None else 2 * rcp.reference_mean - count for count in samples]
    return not rcp_test(mirrored, batch, benchmark, points, runs=len(samples), ruleset=ruleset).passed


def _verdict(result: PrecisionResult, baseline: PrecisionResult) -> Verdict:
    if not result.samples:
        return "did not run"
    if result.emulated:
        return "not comparable (emulated)"
    if result is baseline:
        return "baseline"
    in_time = result.minutes is not None and (baseline.minutes is None or result.minutes < baseline.minutes)
    if in_time and not result.early:
        return "wins"
    faster = (result.throughput or 0.0) > (baseline.throughput or 0.0)
    return "faster but does not converge in time" if faster else "slower"


def _reference(logs: Mapping[str, Sequence[LogFile]], benchmark: str, preset: str, round: str) -> Reference:
    """Return what the runs are compared with: their preset's own points in the baseline, or the official."""
    defined = suite.benchmark(benchmark, round=round).preset(preset)
    runs = [log.summary.run for each in logs.values() for log in each]
    changed = {name for run in runs for name in changed_settings(run, defined)}
    baseline = next(iter(logs))
    ruleset = suite.find_round(round).ruleset
    return reference_for(benchmark, defined, baseline, changed, ruleset, baseline)


def _columns() -> list[Column]:
    return [
        Column("precision", "Format"),
        Column("reached_of_runs", "Reached"),
        Column("samples_to_target", "Samples to target", "number", digits=0),
        Column("samples_per_second", "Samples/s", "number"),
        Column("minutes", "Minutes", "number", digits=3),
        Column("convergence", "Convergence"),
        Column("verdict", "Verdict"),
        Column("reached", "Runs that reached the target", "integer", detail=True),
        Column("runs", "Runs", "integer", detail=True),
        Column("emulated", "Emulated", "boolean", detail=True),
        Column("converges", "Converges", "boolean", detail=True),
        Column("reference_samples", "Reference samples", "number", digits=0, detail=True),
    ]


def _row(result: PrecisionResult, baseline: str) -> Row:
    return {
        "precision": result.precision,
        "reached_of_runs": f"{result.reached} of {len(result.samples)}",
        "samples_to_target": result.mean_samples,
        "samples_per_second": result.throughput,
        "minutes": result.minutes,
        "convergence": _convergence(result, baseline),
        "verdict": result.verdict,
        "reached": result.reached,
        "runs": len(result.samples),
        "emulated": result.emulated,
        "converges": result.converges,
        "reference_samples": result.rcp.reference_mean,
    }


def _convergence(result: PrecisionResult, baseline: str) -> str | None:
    if result.verdict == "did not run":
        return None
    if result.rcp.reference_mean is None:
        return "target reached" if result.converges else "target not reached"
    when = "earlier than" if result.early else "later than" if result.late else "as"
    return f"{when} {baseline.upper()}"


def _reference_note(results: Sequence[PrecisionResult], reference: Reference) -> str:
    means = [each.rcp.reference_mean for each in results if each.rcp.reference_mean is not None]
    if means:
        measured = (reference.precision or results[0].precision).upper()
        return f"{measured}'s reference convergence points: {means[0]:,.0f} samples on average."
    why = f" ({reference.not_held})" if reference.not_held else ""
    return (
        f"No reference convergence points apply to these settings{why}: a format converges here when all its"
        " runs reach the target, be it early or late."
    )


def _runs_table(results: Sequence[PrecisionResult]) -> Table:
    return Table(
        title="Samples to target of each run",
        columns=[
            Column("precision", "Format"),
            Column("samples_to_target", "Samples to target", "number", digits=0),
        ],
        rows=[
            {"precision": result.precision, "samples_to_target": count}
            for result in results
            for count in result.samples
        ],
        detail=True,
    )


def _reference_table(reference: Reference, batch: float | None) -> Table:
    return Table(
        title="Samples to target of the reference's runs",
        columns=[Column("samples_to_target", "Samples to target", "number", digits=0)],
        rows=[
            {"samples_to_target": count}
            for point in reference.points
            if point.batch_size == batch
            for count in point.samples
        ],
        detail=True,
    )


def chart_of(answer: Answer) -> dict[str, Any]:
    """Return what `charts.precision_sweep` draws of the answer: each run over the reference's runs."""
    formats = {row["precision"]: row for row in answer.rows}
    emulated = [name.upper() for name, row in formats.items() if row["emulated"]]
    return {
        "rows": [
            {
                "precision": run["precision"].upper(),
                "samples": run["samples_to_target"],
                "mean": formats[run["precision"]]["samples_to_target"],
                "word": f"{formats[run['precision']]['reached_of_runs']} reached the target",
            }
            for run in answer.more["runs"]
        ],
        "title": "{benchmark} ({preset}): samples to target by precision".format_map(answer.parameters),
        "subtitle": f"Emulated: {', '.join(emulated)}." if emulated else "",
        "caption": "",
        "reference": [row["samples_to_target"] for row in answer.more["reference"]],
    }


CHART = Chart(
    "precision_sweep",
    data=chart_of,
    shows="Samples to target of each run, by precision.",
)
