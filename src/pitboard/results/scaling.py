"""The answer to the same runs on several numbers of ranks: how many of them does each number act like?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import msgspec

from pitboard.compliance.result.benchmarks import official_drops
from pitboard.errors import PitboardError
from pitboard.events import Event, LogFile, read_log
from pitboard.launch.counts import read_counts
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.own_runs import logs_of_runs, read_run_plan
from pitboard.results.question import Chart
from pitboard.results.schema import Row
from pitboard.stats import olympic_mean, ratio_interval

DEFINITION = (
    "Against the fewest ranks: speed-up is minutes ÷ minutes, efficiency speed-up ÷ ratio of ranks (1 when "
    "ideal), 'acts like' how many ranks at perfect scaling would be as fast. Ranks less what they act like "
    "is what is lost, in ranks, and is divided exactly: convergence is what other samples to target cost, at "
    "this number's own pace; the rest are, over the same samples, what ranks spend more of than the fewest "
    "ranks do: compute (smaller parts compute less efficiently, and ranks may share a processor), exposed "
    "communication (in which even the rank that was busy longest in a step waits for a collective), load "
    "imbalance (the others wait for that rank), data (waiting for samples), evaluation, and other (logging, "
    "checkpoints, between steps). Below 0 is a gain. Minutes are the olympic mean of runs that reached the "
    "target, their mean where there are fewer than three; where no run has a target or reaches it, the time "
    "for as many samples as the fewest ranks trained on."
)

PARTS = {
    "convergence": "Convergence",
    "compute": "Compute",
    "communication": "Exposed communication",
    "imbalance": "Load imbalance",
    "data": "Data",
    "evaluation": "Evaluation",
    "other": "Other",
}
"""What ranks are lost to, by the name in a row after `lost_`, with a title for people."""

# As the runs write them.
_PLAN = "run.json"
_IN_STEP = ("compute", "communication", "imbalance", "data")


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of runs on so many ranks went: seconds of the mean run, `in_step` of the mean step.

    `in_step` has the parts of a step, and nothing where the logs do not tell; `steps` and `samples` are
    those of the mean run.
    """

    ranks: int
    seconds: float
    samples: float
    steps: float
    in_step: dict[str, float]
    evaluation: float

    @property
    def parts(self) -> dict[str, float]:
        """The seconds of the run by part, all but convergence."""
        parts = {name: self.in_step.get(name, 0.0) * self.steps for name in _IN_STEP}
        parts["evaluation"] = self.evaluation
        return {**parts, "other": self.seconds - sum(parts.values())}


def lost(many: Spent, few: Spent) -> dict[str, float]:
    """Return by part how many of `many`'s ranks are lost against as many times `few`.

    The parts add up to `many.ranks` less what these act like: `few.ranks` × `few.seconds` ÷ `many.seconds`.
    """
    same = few.samples / many.samples
    found = {"convergence": many.ranks * sum(many.parts[name] for name in _IN_STEP) * (1 - same)}
    for name, seconds in many.parts.items():
        scale = same if name in _IN_STEP else 1.0
        found[name] = many.ranks * seconds * scale - few.ranks * few.parts[name]
    return {name: rank_seconds / many.seconds for name, rank_seconds in found.items()}


class _Runs(msgspec.Struct, kw_only=True):
    """The runs on so many ranks; `times` are the seconds of those that count, `None` of those that do not.

    Where nothing is raced to a target, all are scaled to `samples`.
    """

    ranks: int
    logs: list[LogFile]
    times: list[float | None] = []
    samples: float | None = None

    def spent(self) -> Spent | None:
        """Return where the mean run's time went; `None` where too few of them count."""
        drops = official_drops(self.logs[0].summary.run.benchmark or "") if len(self.logs) >= 3 else 0
        seconds = olympic_mean(self.times, drops) if self.times else None
        counted = [log for log, time in zip(self.logs, self.times, strict=True) if time is not None]
        if seconds is None or not counted:
            return None
        trained = fmean(_samples(log) for log in counted)
        scale = 1.0 if self.samples is None else self.samples / trained
        steps = [_steps(log) for log in counted]
        return Spent(
            ranks=self.ranks,
            seconds=seconds,
            samples=trained * scale,
            steps=fmean(sum(s["steps"] for s in each) for each in steps) * scale,
            in_step=_mean_step([stats for each in steps for stats in each]),
            evaluation=fmean(60 * (log.summary.evaluation_minutes or 0.0) for log in counted) * scale,
        )


def scale_of_folder(folder: Path) -> Answer:
    """Answer what the runs on several numbers of ranks that a folder holds came to, those that there are.

    Raises `PitboardError` where the folder is of no `--scale`, no run has begun, or a file is damaged.
    """
    counts = read_counts(folder)
    begun = {ranks: plan for ranks in counts if (plan := folder / str(ranks) / _PLAN).is_file()}
    if not begun:
        raise PitboardError(f"No run in {folder} has begun: ask again when one has.")
    plans = {ranks: read_run_plan(plan) for ranks, plan in begun.items()}
    logs = {ranks: [*logs_of_runs(folder / str(ranks)).values()] for ranks in counts}
    hosts = {ranks: _hosts(plan) for ranks, plan in plans.items()}
    first = next(iter(plans.values()))
    return rank_scaling(logs, str(first.get("benchmark")), str(first.get("preset")), hosts)


def _hosts(plan: Mapping[str, Any]) -> list[str]:
    environment = plan.get("environment")
    hosts = environment.get("hosts") if isinstance(environment, dict) else None
    return list(map(str, hosts)) if isinstance(hosts, list) else []


def rank_scaling(
    logs: Mapping[int, Sequence[Path]],
    benchmark: str,
    preset: str,
    hosts: Mapping[int, Sequence[str]] | None = None,
) -> Answer:
    """Answer what the runs on each number of ranks came to, by their logs.

    Rows are numbers of ranks, the fewest first; `hosts` names the host of each rank, where it is known.
    `more` holds `lost` (what the ranks are lost to), `runs` (each one's minutes), `steps` (the mean step
    of each rank) and `stragglers` (ranks that were behind). Facts:
    `complete` says whether every number has a run with a time, `acts_like` what the most ranks act like.
    Raises `PitboardError` for a log that cannot be read.
    """
    read = {ranks: [log for log in map(read_log, logs[ranks]) if _started(log)] for ranks in sorted(logs)}
    runs = [_Runs(ranks=ranks, logs=each) for ranks, each in read.items()]
    raced = any(log.summary.run.status == "success" for each in runs for log in each.logs)
    for each in runs:
        each.times = [_seconds(log, raced) for log in each.logs]
    first = next((spent for each in runs if (spent := each.spent())), None)
    if first is not None and not raced:
        _to_same_samples(runs, first.samples)
    hosts = hosts or {}
    rows = [_row(each, runs, first, len({*hosts.get(each.ranks, ())}) or 1) for each in runs]
    last = next((row for row in reversed(rows) if row["acts_like"] is not None), None)
    return Answer(
        question="ranks",
        title=_title(benchmark, preset, rows, last),
        definition=DEFINITION,
        sql="",
        parameters={"benchmark": benchmark, "preset": preset},
        columns=_columns(),
        rows=rows,
        warnings=_warnings(runs),
        notes=_notes(runs, raced),
        facts={
            "complete": all(row["minutes"] is not None for row in rows),
            "acts_like": last and last["acts_like"],
            "efficiency": last and last["efficiency"],
        },
        more={
            "lost": _lost_table(rows),
            "runs": _runs_table(runs),
            "steps": _steps_table(runs, hosts),
            "stragglers": _stragglers_table(runs),
        },
    )


def _started(log: LogFile) -> bool:
    return log.summary.run.run_start_ms is not None


def _seconds(log: LogFile, raced: bool) -> float | None:
    """Return a run's seconds; `None` where it does not count, because it missed a target others reached."""
    run = log.summary.run
    if run.minutes is None or (raced and run.status != "success"):
        return None
    return run.minutes * 60


def _to_same_samples(runs: Sequence[_Runs], samples: float) -> None:
    """Scale the times of runs without a target to the samples of the first: their batch may follow ranks."""
    for each in runs:
        each.samples = samples
        each.times = [
            None if time is None or not _samples(log) else time * samples / _samples(log)
            for log, time in zip(each.logs, each.times, strict=True)
        ]


def _tracked(log: LogFile) -> list[Event]:
    return [each for each in log.events if each.key == "tracked_stats" and isinstance(each.value, dict)]


def _steps(log: LogFile) -> list[dict[str, float]]:
    """Return what a log says of the steps of each stretch of training, where it says it."""
    names = {"steps": "steps", **{_KEYS[part]: part for part in _IN_STEP}}
    return [
        {part: float(event.value[key]) for key, part in names.items()}
        for event in _tracked(log)
        if all(isinstance(event.value.get(key), int | float) for key in names)
    ]


_KEYS = {
    "compute": "compute_seconds",
    "communication": "communication_seconds",
    "imbalance": "imbalance_seconds",
    "data": "data_wait_seconds",
}


def _mean_step(stretches: Sequence[Mapping[str, float]]) -> dict[str, float]:
    steps = sum(each["steps"] for each in stretches)
    if not steps:
        return {}
    return {part: sum(each["steps"] * each[part] for each in stretches) / steps for part in _IN_STEP}


def _samples(log: LogFile) -> float:
    """Return the training samples of a run: those of its last stretch of training that says them."""
    counts = [event.metadata.get("samples_count") for event in _tracked(log)]
    return float(max((count for count in counts if isinstance(count, int | float)), default=0))


def _columns() -> list[Column]:
    return [
        Column("ranks", "Ranks", "integer"),
        Column("nodes", "Nodes", "integer", detail=True),
        Column("runs", "Runs", "integer"),
        Column("minutes", "Minutes", "number", "min", 3),
        Column("fastest", "Fastest run", "number", "min", 3, detail=True),
        Column("slowest", "Slowest run", "number", "min", 3, detail=True),
        Column("speedup", "Speed-up", "number", "×"),
        Column("speedup_low", "Speed-up, 95 % low", "number", "×", detail=True),
        Column("speedup_high", "Speed-up, 95 % high", "number", "×", detail=True),
        Column("efficiency", "Efficiency", "number", "", 3),
        Column("acts_like", "Acts like", "number", "ranks", 1),
        *(
            Column(f"lost_{name}", f"Lost to {title.lower()}", "number", "ranks", detail=True)
            for name, title in PARTS.items()
        ),
        Column("samples", "Samples", "number", "", 0),
        Column("step_ms", "Step", "number", "ms", 1),
        *(
            Column(f"{name}_ms", f"{PARTS[name]} in a step", "number", "ms", 1, detail=True)
            for name in _IN_STEP
        ),
        Column("evaluation_seconds", "Evaluation", "number", "s", 1, detail=True),
    ]


def _row(each: _Runs, runs: Sequence[_Runs], first: Spent | None, nodes: int) -> Row:
    spent = each.spent()
    times = [time / 60 for time in each.times if time is not None]
    row: Row = dict.fromkeys(column.name for column in _columns())
    row |= {"ranks": each.ranks, "nodes": nodes, "runs": len(each.logs)}
    if spent is None or first is None:
        return row
    row |= {
        "minutes": spent.seconds / 60,
        "fastest": min(times),
        "slowest": max(times),
        "speedup": first.seconds / spent.seconds,
        "efficiency": first.ranks * first.seconds / (each.ranks * spent.seconds),
        "acts_like": first.ranks * first.seconds / spent.seconds,
        "samples": spent.samples,
        "evaluation_seconds": spent.evaluation,
    }
    baseline = next(other for other in runs if other.ranks == first.ranks)
    above = [time / 60 for time in baseline.times if time is not None]
    if each is not baseline and (interval := ratio_interval(above, times, drops=0)):
        row["speedup_low"], row["speedup_high"] = interval
    if spent.in_step and first.in_step:
        row |= {f"lost_{name}": ranks for name, ranks in lost(spent, first).items()}
        row |= {f"{name}_ms": 1e3 * seconds for name, seconds in spent.in_step.items()}
        row["step_ms"] = 1e3 * sum(spent.in_step.values())
    return row


def _title(benchmark: str, preset: str, rows: Sequence[Row], last: Row | None) -> str:
    what = f"{benchmark} ({preset})"
    if last is None:
        return f"{what}: no run has a time"
    if last["ranks"] == rows[0]["ranks"]:
        return f"{what} on {_count(last['ranks'])}"
    return f"{what}: {_count(last['ranks'])} act like {last['acts_like']:.1f}"


def _count(ranks: int) -> str:
    return f"{ranks} rank{'s' if ranks > 1 else ''}"


def _warnings(runs: Sequence[_Runs]) -> list[str]:
    batches = {log.summary.run.global_batch_size for each in runs for log in each.logs}
    found = []
    if len(batches) > 1:
        found.append(
            "The global batch size differs between the numbers of ranks: this is not strong scaling."
        )
    if missing := [_count(each.ranks) for each in runs if each.spent() is None]:
        found.append(f"No time on {', '.join(missing)}: too few runs ended, or reached the target.")
    return found


def _notes(runs: Sequence[_Runs], raced: bool) -> list[str]:
    notes = []
    if not raced:
        notes.append(
            "No run reached a target: times are those for as many samples as the fewest ranks trained on."
        )
    if any(len(each.logs) == 1 for each in runs):
        notes.append("A single run a number of ranks says nothing of the spread: --runs 3 or more gives one.")
    for row in _stragglers_table(runs):
        notes.append(
            f"On {_count(row['ranks'])}, rank {row['rank']}{row['on']} takes {row['excess']:.0%} longer for a"
            " step than the median of the others."
        )
    return notes


def _lost_table(rows: Sequence[Row]) -> Table:
    columns = [Column(f"lost_{name}", title, "number") for name, title in PARTS.items()]
    return Table(
        title="Ranks lost, against the fewest, to",
        columns=[Column("ranks", "Ranks", "integer"), *columns],
        rows=[row for row in rows if row["lost_compute"] is not None],
    )


def _runs_table(runs: Sequence[_Runs]) -> Table:
    return Table(
        title="Runs",
        columns=[
            Column("ranks", "Ranks", "integer"),
            Column("run", "Run", "integer"),
            Column("minutes", "Minutes", "number", "min", 3),
        ],
        rows=[
            {"ranks": each.ranks, "run": number, "minutes": None if time is None else time / 60}
            for each in runs
            for number, time in enumerate(each.times)
        ],
        detail=True,
    )


_OF_RANK = {
    "compute": ("rank_compute_seconds", "Compute"),
    "wait": ("rank_wait_seconds", "Waiting in collectives"),
    "data": ("rank_data_wait_seconds", "Data"),
}


def _steps_table(runs: Sequence[_Runs], hosts: Mapping[int, Sequence[str]]) -> Table:
    """Return the mean step of each rank, over the runs on so many: where its time went."""
    rows: list[Row] = []
    for each in runs:
        named = hosts.get(each.ranks, ())
        means = {name: _of_ranks(each, key) for name, (key, _) in _OF_RANK.items()}
        rows += [
            {"ranks": each.ranks, "rank": rank, "host": named[rank] if len(named) == each.ranks else ""}
            | {f"{name}_ms": 1e3 * mean[rank] for name, mean in means.items()}
            for rank in range(each.ranks)
            if all(len(mean) == each.ranks for mean in means.values())
        ]
    return Table(
        title="The mean step of each rank",
        columns=[
            Column("ranks", "Ranks", "integer"),
            Column("rank", "Rank", "integer"),
            Column("host", "Host"),
            *(Column(f"{name}_ms", title, "number", "ms", 1) for name, (_, title) in _OF_RANK.items()),
        ],
        rows=rows,
        detail=True,
    )


def _of_ranks(runs: _Runs, key: str) -> list[float]:
    """Return the mean of what the logs say of each rank, over the steps of all runs; nothing without any."""
    total, steps = [0.0] * runs.ranks, 0.0
    for event in (event for log in runs.logs for event in _tracked(log)):
        values, count = event.value.get(key), event.value.get("steps")
        if isinstance(values, list) and len(values) == runs.ranks and _are_numbers([*values, count]):
            total = [sum_ + count * value for sum_, value in zip(total, values, strict=True)]
            steps += count
    return [value / steps for value in total] if steps else []


def _are_numbers(values: Sequence[object]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _stragglers_table(runs: Sequence[_Runs]) -> Table:
    """Return the ranks that were behind in at least half of the runs on so many ranks."""
    rows: list[Row] = []
    for each in runs:
        found: dict[tuple[int, str], list[float]] = {}
        for log in each.logs:
            for rank, host, excess in _behind(log):
                found.setdefault((rank, host), []).append(excess)
        rows += [
            {"ranks": each.ranks, "rank": rank, "host": host, "on": f" on {host}", "excess": median(excesses)}
            for (rank, host), excesses in sorted(found.items())
            if 2 * len(excesses) >= len(each.logs)
        ]
    return Table(
        title="Ranks that are behind the others",
        columns=[
            Column("ranks", "Ranks", "integer"),
            Column("rank", "Rank", "integer"),
            Column("host", "Host"),
            Column("excess", "Longer than the median of the others, by", "number", "of it", 2),
        ],
        rows=rows,
        detail=True,
    )


def _behind(log: LogFile) -> list[tuple[int, str, float]]:
    named = [event.value for event in log.events if event.key == "pitboard_stragglers"]
    found = []
    for each in named[-1] if named and isinstance(named[-1], list) else []:
        if not isinstance(each, dict):
            continue
        rank, host, excess = each.get("rank"), each.get("host"), each.get("excess")
        if isinstance(rank, int) and isinstance(host, str) and isinstance(excess, int | float):
            found.append((rank, host, float(excess)))
    return found


def chart_of(answer: Answer) -> dict[str, Any]:
    """Return what `charts.ranks` draws of the answer: speed-ups, what is lost, and each rank's step."""
    timed = [row for row in answer.rows if row["acts_like"] is not None]
    behind = {(row["ranks"], row["rank"]) for row in answer.more["stragglers"]}
    steps = answer.more["steps"].rows
    return {
        "subtitle": "The same runs, with the same settings and seeds, on each number of ranks.",
        "rows": [
            {
                "ranks": _count(row["ranks"]),
                "part": title,
                "value": row["acts_like"] if name == "acts_like" else row[f"lost_{name}"],
            }
            for row in timed
            for name, title in {"acts_like": "Acts like", **PARTS}.items()
            if name == "acts_like" or row[f"lost_{name}"] is not None
        ],
        "speedups": [
            {name: row[name] for name in ("ranks", "speedup", "speedup_low", "speedup_high", "efficiency")}
            for row in timed
        ],
        "steps": [
            {
                "ranks": _count(row["ranks"]),
                "busy_ms": row["compute_ms"] + row["data_ms"],
                "step_ms": row["compute_ms"] + row["data_ms"] + row["wait_ms"],
                "name": f"rank {row['rank']}" + (f" on {row['host']}" if row["host"] else ""),
                "behind": (row["ranks"], row["rank"]) in behind,
            }
            for row in steps
        ],
    }


CHART = Chart(
    "ranks",
    data=chart_of,
    shows=(
        "The speed-up by numbers of ranks beside the ideal one, what the ranks of each are lost to, and how "
        "long each rank is busy in a step"
    ),
)
