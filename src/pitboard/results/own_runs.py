"""Two of one's own runs side by side, from their folders: what differed, and whether their times agree."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, variance
from typing import Any

import msgspec

from pitboard.errors import PitboardError
from pitboard.events import LogFile, read_log
from pitboard.files import NO_JSON, read_plain
from pitboard.provenance import Difference, differences
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.schema import Row
from pitboard.stats import olympic_mean, t_critical

DEFINITION = (
    "The speed-up of B over A is A's time-to-train divided by B's, as geometric means of their runs: above "
    "1, B is faster. Its 95 % interval is Student's, of the difference of the means of the logarithms of the "
    "runs' minutes, with one spread for both. The times agree where it holds 1. Where no run reached a "
    "target, the times are those to the end of the runs, if all trained on as many samples."
)

_PLAN = "run.json"
_MOST_PLAN = 16 << 20
_KINDS = {"nodes": "node", "packages": "package", "variables": "variable", "git": "git"}
# What the runs were asked to be; all else in a plan follows from it.
_ASKED = ("round", "benchmark", "preset", "system", "nproc", "version")

_DIFFERENCES = [
    Column("kind", "Kind"),
    Column("name", "Name"),
    Column("a", "A"),
    Column("b", "B"),
]
_RUNS = [
    Column("result", "Result"),
    Column("run", "Run", "integer"),
    Column("minutes", "Minutes", "number", "min", 3),
    Column("dropped", "Left out of the mean", "boolean"),
    Column("score", "Time-to-train", "number", "min", 3),
]
_CURVES = [
    Column("result", "Result"),
    Column("run", "Run", "integer"),
    Column("samples", "Samples or epochs", "number", "", 0),
    Column("quality", "Quality", "number", "", 4),
    Column("minutes", "Minutes since run_start", "number", "min", 3),
]
_COLUMNS = [
    Column("result", "Result"),
    Column("minutes", "Time-to-train", "number", "min", 3),
    Column("median", "Median run", "number", "min", 3),
    Column("samples_to_target", "Samples to target", "number", "", 0),
    Column("runs_counted", "Runs that count", "integer"),
    Column("preset", "Preset"),
    Column("ranks", "Ranks", "integer"),
    Column("precision", "Precision"),
    Column("reference", "Run", detail=True),
    Column("benchmark", "Benchmark", detail=True),
    Column("target", "Target", "number", "", 4, detail=True),
    Column("runs", "Runs", "integer", detail=True),
    Column("fastest", "Fastest run", "number", "min", 3, detail=True),
    Column("slowest", "Slowest run", "number", "min", 3, detail=True),
]


class OwnRun(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one `pitboard run`: what its `run.json` says, and its logs by run."""

    path: Path
    plan: dict[str, Any]
    logs: dict[int, LogFile]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the runs, but for the preset's name."""
        return self.record("settings")

    def record(self, name: str) -> dict[str, Any]:
        """Return what `run.json` holds under a name, empty where that is no record."""
        found = self.plan.get(name)
        return found if isinstance(found, dict) else {}

    def minutes(self, raced: bool) -> dict[int, float]:
        """Return the minutes of the runs that count: those that reached the target, where runs did."""
        return {
            run: log.summary.run.minutes
            for run, log in self.logs.items()
            if log.summary.run.minutes and (log.summary.run.status == "success" or not raced)
        }


def is_own_run(text: str) -> bool:
    """Whether a text is the path of a run's folder, or of its `run.json`."""
    path = Path(text)
    return (path / _PLAN).is_file() or (path.name.endswith(".json") and path.is_file())


def read_own_run(text: str) -> OwnRun:
    """Read a run's folder, given by itself or by its `run.json`. Raises `PitboardError` for damage."""
    path = Path(text)
    path = path / _PLAN if path.is_dir() else path
    plan, logs = read_run_plan(path), logs_of_runs(path.parent)
    if not logs:
        raise PitboardError(f"{path.parent} has no log of a run (results/*/*/result_0.txt).")
    return OwnRun(path=path.parent, plan=plan, logs={number: read_log(log) for number, log in logs.items()})


def read_run_plan(path: Path) -> dict[str, Any]:
    """Return what a `run.json` says. Raises `PitboardError` where it cannot be read."""
    try:
        return msgspec.json.decode(read_plain(path, _MOST_PLAN), type=dict[str, Any])
    except (OSError, *NO_JSON) as error:
        raise PitboardError(f"{path} cannot be read as the run.json of a run ({error}).") from error


def logs_of_runs(folder: Path) -> dict[int, Path]:
    """Return the logs in the folder that a run wrote, by their numbers and in their order."""
    numbers = {
        int(number): log
        for log in folder.glob("results/*/*/result_*.txt")
        if (number := log.stem.removeprefix("result_")).isdecimal()
    }
    return dict(sorted(numbers.items()))


def compare_runs(a: str, b: str) -> Answer:
    """Compare two of one's own runs, given by their folders or the `run.json` in them.

    Rows are A and B; `more["differences"]` says in which settings, seeds, versions, variables and machines
    they differ, `facts` hold `speedup` with `low` and `high`, and `agree`, `None` where there are too few
    runs to tell. Warnings say what is not like for like. Raises `PitboardError` for runs of different
    benchmarks, presets or targets, and where one has no run with a time.
    """
    first, second = read_own_run(a), read_own_run(b)
    for name in ("benchmark", "preset"):
        if first.plan.get(name) != second.plan.get(name):
            raise PitboardError(
                f"{a} and {b} cannot be compared: their {name}s are {first.plan.get(name)} and"
                f" {second.plan.get(name)}."
            )
    if first.settings.get("target") != second.settings.get("target"):
        raise PitboardError(f"{a} and {b} cannot be compared: they race to different targets.")
    logs = [log for run in (first, second) for log in run.logs.values()]
    raced = any(log.summary.run.status == "success" for log in logs)
    if not raced and len({_samples(log) for log in logs}) > 1:
        raise PitboardError(
            f"{a} and {b} cannot be compared: no run reached the target, and they trained on other samples."
        )
    for run in (first, second):
        if not run.minutes(raced):
            raise PitboardError(f"{run.path} has no run that counts: none has reached the target.")
    differ = _differences(first, second)
    facts = _facts(first, second, raced)
    rows = [_row(label, run, raced) for label, run in (("A", first), ("B", second))]
    return Answer(
        question="compare",
        title=_title(facts),
        definition=DEFINITION,
        sql="",
        parameters={"a": a, "b": b},
        columns=_COLUMNS,
        rows=rows,
        warnings=_warnings(differ),
        notes=_notes(first, second, facts, raced, differ),
        facts=facts,
        more={
            "differences": Table(
                title="What differs",
                columns=_DIFFERENCES,
                rows=[
                    {"kind": each.kind, "name": each.name, "a": _text(each.a), "b": _text(each.b)}
                    for each in differ
                ],
            ),
            "runs": runs_table(_run_rows(rows, first, second, raced)),
            "curves": curves_table(_curve_rows(first, second)),
        },
    )


def runs_table(rows: list[Row]) -> Table:
    """Return the table of every run's minutes, which the chart of a comparison draws."""
    return Table(title="Runs", columns=_RUNS, rows=rows, detail=True)


def curves_table(rows: list[Row]) -> Table:
    """Return the table of every run's evaluations, which the other chart of a comparison draws."""
    return Table(title="Evaluations", columns=_CURVES, rows=rows, detail=True)


def _differences(a: OwnRun, b: OwnRun) -> list[Difference]:
    asked = [
        Difference("run", name, a.plan.get(name), b.plan.get(name))
        for name in _ASKED
        if a.plan.get(name) != b.plan.get(name)
    ]
    seeds = (a.plan.get("seeds") or [], b.plan.get("seeds") or [])
    if any(one != other for one, other in zip(*seeds, strict=False)):
        asked.append(Difference("run", "seeds", *seeds))
    environments = a.record("environment"), b.record("environment")
    return [
        *asked,
        *(each._replace(kind="setting") for each in differences(a.settings, b.settings)),
        *(each._replace(kind=_KINDS.get(each.kind, each.kind)) for each in differences(*environments)),
    ]


def _samples(log: LogFile) -> object:
    evaluations = log.summary.run.evaluations
    return evaluations[-1].samples if evaluations else None


def _row(label: str, run: OwnRun, raced: bool) -> Row:
    from pitboard.compliance.result.benchmarks import official_drops

    minutes = run.minutes(raced)
    logged = next(iter(run.logs.values())).summary.run
    drops = official_drops(str(run.plan.get("benchmark"))) if len(run.logs) >= 3 else 0
    samples = [
        float(log.summary.run.samples_to_target)
        for log in run.logs.values()
        if log.summary.run.samples_to_target is not None
    ]
    return {
        "result": label,
        "reference": str(run.path),
        "benchmark": run.plan.get("benchmark"),
        "preset": run.plan.get("preset"),
        "ranks": run.plan.get("nproc"),
        "precision": logged.precision,
        "target": run.settings.get("target"),
        "runs": len(run.logs),
        "runs_counted": len(minutes),
        "minutes": olympic_mean([minutes.get(number) for number in run.logs], drops),
        "median": median(minutes.values()),
        "fastest": min(minutes.values()),
        "slowest": max(minutes.values()),
        "samples_to_target": fmean(samples) if samples else None,
    }


def _facts(a: OwnRun, b: OwnRun, raced: bool) -> dict[str, Any]:
    above, below = (list(run.minutes(raced).values()) for run in (a, b))
    interval = _interval(above, below)
    return {
        "speedup": math.exp(_mean_log(above) - _mean_log(below)),
        "low": interval and interval[0],
        "high": interval and interval[1],
        "agree": interval and interval[0] <= 1 <= interval[1],
    }


def _mean_log(minutes: Sequence[float]) -> float:
    return fmean(map(math.log, minutes))


def _interval(above: Sequence[float], below: Sequence[float]) -> tuple[float, float] | None:
    """Return Student's 95 % interval of the ratio of two geometric means; `None` with too few runs."""
    freedom = len(above) + len(below) - 2
    if freedom < 1:
        return None
    squares = sum((len(each) - 1) * variance(map(math.log, each)) for each in (above, below) if len(each) > 1)
    error = math.sqrt(squares / freedom * (1 / len(above) + 1 / len(below)))
    ratio, reach = _mean_log(above) - _mean_log(below), t_critical(freedom, 0.025) * error
    return math.exp(ratio - reach), math.exp(ratio + reach)


def _title(facts: dict[str, Any]) -> str:
    ratio = facts["speedup"]
    faster, times = ("B", ratio) if ratio >= 1 else ("A", 1 / ratio)
    if facts["agree"] is None:
        return f"{faster} was {times:.3f} × as fast, in one run each: that says nothing of the spread"
    if facts["agree"]:
        return "The times of A and B agree within the spread of their runs"
    return f"{faster} is {times:.3f} × as fast, beyond the spread of the runs"


def _warnings(differ: Sequence[Difference]) -> list[str]:
    settings = [each.name for each in differ if each.kind == "setting"]
    ranks = [each for each in differ if each.name == "nproc" and each.kind == "run"]
    found = [f"The ranks differ: {each.a} and {each.b}." for each in ranks]
    if settings:
        more = f" and {len(settings) - 5} more" if len(settings) > 5 else ""
        found.append(f"The settings differ: {', '.join(settings[:5])}{more}.")
    return found


def _notes(
    a: OwnRun, b: OwnRun, facts: dict[str, Any], raced: bool, differ: Sequence[Difference]
) -> list[str]:
    interval = "too few runs for an interval"
    if facts["low"] is not None:
        interval = f"95 % interval {facts['low']:.3f} to {facts['high']:.3f}"
    notes = [f"Speed-up of B over A: {facts['speedup']:.3f} ({interval})."]
    if not raced:
        notes.append("No run reached a target: the times are those to the end of the runs.")
    missing = [label for label, run in (("A", a), ("B", b)) if not run.plan.get("environment")]
    if missing:
        notes.append(
            f"{' and '.join(missing)}: made by a Pitboard that did not record versions and environment."
        )
    if not differ:
        notes.append("Settings, seeds, versions and environment are the same.")
    return notes


def _run_rows(rows: Sequence[Row], a: OwnRun, b: OwnRun, raced: bool) -> list[Row]:
    return [
        {"result": row["result"], "run": number, "minutes": minutes}
        | {"dropped": False, "score": row["minutes"]}
        for row, run in zip(rows, (a, b), strict=True)
        for number, minutes in run.minutes(raced).items()
    ]


def _curve_rows(a: OwnRun, b: OwnRun) -> list[Row]:
    found: list[Row] = []
    for label, run in (("A", a), ("B", b)):
        for number, log in run.logs.items():
            start = log.summary.run.run_start_ms
            for each in log.summary.run.evaluations:
                since = None if start is None or each.time_ms is None else (each.time_ms - start) / 60_000
                found.append(
                    {
                        "result": label,
                        "run": number,
                        "samples": each.epoch if each.samples is None else each.samples,
                        "quality": each.quality,
                        "minutes": since,
                    }
                )
    return found


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
