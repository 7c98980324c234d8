"""The score of a result: the olympic mean of its runs' minutes, normalised by its convergence."""

import math
from collections.abc import Sequence

import msgspec

from pitboard.compliance import LogReport, ResultReport, TreeReport
from pitboard.compliance.log.preset import Kind, kind_of
from pitboard.compliance.result.benchmarks import convergence, official_drops, official_runs
from pitboard.scoring.energy import energy, run_energies
from pitboard.stats import olympic_mean
from pitboard.text import printable


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A scored result. `minutes` is `None` where the rules give it no score.

    `system` is the system's folder and `system_name` what its description calls it, which several may share.
    `runs_needed` is how many runs a result of the benchmark has, `None` where any number will do.

    `runs` has the minutes of every run and `samples_to_target` its samples (or epochs), in the order of the
    logs; both have `None` for a run that does not count. `minutes` includes the factor `rcp_scale`, and not
    `unused_scale`, which is what `scaling.json` says where that is another; they are comparable with nothing
    where a run's precision was `emulated`. A score of the `kind` "preset" is no MLPerf result: a run of it
    says that it trained the named `preset`, which is another than `full`. `joules` is the energy to target,
    where the result has power files: the olympic mean over the same runs, times the same factor;
    `run_joules` has that of each run.
    """

    submitter: str
    system: str
    system_name: str | None
    benchmark: str
    division: str | None
    availability: str | None
    nodes: int | None
    accelerator: str | None
    accelerators: int | None
    runs: list[float | None]
    runs_needed: int | None
    minutes: float | None
    rcp_scale: float
    unused_scale: float | None
    samples_to_target: list[float | None]
    joules: float | None = None
    run_joules: list[float | None] = []
    valid: bool
    emulated: bool
    kind: Kind = "mlperf"
    preset: str | None = None


def score_result(result: ResultReport, logs: Sequence[LogReport], *, published: bool = False) -> Score:
    """Score one result; `logs` are the reports on its logs, in any order.

    The factor is that of an RCP test that passed. Of a `published` result the one in its `scaling.json`
    counts, which is the review committee's, and none without the file: several early rounds were published
    so. In any other result a submitter may have written it. Where
    there are too few runs for an olympic mean, the score is their mean, as in the official `compute_score`;
    such a result is not valid.
    """
    runs = [log.run.minutes if _counts(log) else None for log in logs]
    scale, filed = (result.rcp.factor if result.rcp else 1.0), result.filed_scale
    if published:
        scale = 1.0 if filed is None else filed
    drops = official_drops(result.benchmark)
    drops = drops if len(runs) > 2 * drops else 0
    minutes = olympic_mean(runs, drops)
    energies = run_energies(runs, result.watts)
    joules = energy(runs, energies, drops)
    system = result.description
    return Score(
        submitter=result.submitter,
        system=result.system,
        system_name=printable(system.name) if system and system.name else None,
        benchmark=result.benchmark,
        division=result.division,
        availability=system.availability if system else None,
        nodes=system.nodes if system else None,
        accelerator=system.accelerator if system else None,
        accelerators=system.accelerators if system else None,
        runs=runs,
        runs_needed=None if result.own_rules else official_runs(result.benchmark),
        minutes=None if minutes is None else minutes * scale,
        rcp_scale=scale,
        unused_scale=filed if filed is not None and not math.isclose(filed, scale, rel_tol=1e-9) else None,
        samples_to_target=[convergence(log.run, log.ruleset) for log in logs],
        valid=result.valid,
        emulated=any(log.run.emulated for log in logs),
        kind=kind_of(result.preset),
        preset=result.preset,
        joules=None if joules is None else joules * scale,
        run_joules=energies,
    )


def _counts(log: LogReport) -> bool:
    """Tell whether a run has a time-to-train; a preset without a target has none, valid as its log may be."""
    return log.valid and not (log.own_rules and log.run.target is None)


def score_tree(report: TreeReport, *, published: bool = False) -> list[Score]:
    """Score every result of a checked tree; of logs alone, each as a result of a single run.

    A single run is no valid result where the benchmark needs more. `published` is for the published rounds,
    as `score_result` has it.
    """
    logs = {log.path: log for log in report.logs}
    if report.results:
        return [
            score_result(result, [logs[path] for path in result.logs], published=published)
            for result in report.results
        ]
    return [_score_alone(log) for log in report.logs]


def _score_alone(log: LogReport) -> Score:
    place = log.path.split("/")
    result = ResultReport(
        path=log.path,
        submitter=printable(str(log.run.settings.get("submission_org", ""))),
        system=printable(str(log.run.settings.get("submission_platform", ""))),
        benchmark=log.benchmark or place[-1],
        division=log.division,
        valid=log.valid and (log.own_rules or official_runs(str(log.benchmark)) in (None, 1)),
        rcp=None,
        findings=[],
        description=None,
        filed_scale=None,
        logs=[log.path],
        preset=log.preset,
        own_rules=log.own_rules,
    )
    return score_result(result, [log])
