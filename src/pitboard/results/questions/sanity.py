"""One's own run against the published distribution for the same accelerator and count."""

from pathlib import Path
from typing import Any

from pitboard import suite
from pitboard.errors import PitboardError
from pitboard.results import facets, marks, references
from pitboard.results.answer import Answer, Column
from pitboard.results.find import default_store, key_of, known, latest_round, reference, result
from pitboard.results.question import PRECISION, ROUND, SOFTWARE, Exit, Option, Question, Several
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.results.throughput import TIMED_RUNS, per_second, throughput

DEFINITION = (
    "Training throughput of a published run is its samples to target divided by its minutes without "
    "evaluation, so it is not known where a log does not tell these; one's own is that too, or for a run "
    "without a target the median of what it logged. The run "
    "is within the published distribution where it is not below the slowest published run of the same "
    "benchmark, accelerator and count. Time-to-train is set beside the published ones only for a run that "
    "reached the target."
)

SQL = f"""select round, submitter, system, benchmark, framework, r.global_batch_size, r.minutes,
  min(u.throughput) as slowest, median(u.throughput) as throughput, max(u.throughput) as fastest
from results r join (
  select *, {per_second("samples_to_target", "training")} as throughput from (
    {TIMED_RUNS}
  )
) u using (round, submitter, system, benchmark)
where round = $round and not r.own and benchmark = $benchmark and accelerator = $accelerator
  and accelerators = $accelerators and u.counted"""
_ORDER = "\ngroup by all order by throughput desc"

_COLUMNS = [
    Column("throughput", "Median run", "number", "samples/s", 3),
    Column("slowest", "Slowest run", "number", "samples/s", 3),
    Column("fastest", "Fastest run", "number", "samples/s", 3),
    Column("minutes", "Time-to-train", "number", "min", 2, mark=marks.OF_MINUTES),
    Column("global_batch_size", "Global batch size", "integer", "samples"),
    Column("reference", "Published result"),
    references.SHORT,
    Column("framework", "Framework", detail=True),
    marks.OF_ROW,
]


def sanity(
    run: str,
    round: str | None = None,
    accelerator: str | None = None,
    accelerators: int | None = None,
    precision: Several = None,
    software: Several = None,
    *,
    store: Store | None = None,
    untrusted: bool = False,
) -> Answer:
    """Set a run beside the published results of the same benchmark, accelerator and count.

    `run` is the output folder of `pitboard run` (or a submission with one result), or a result's reference.
    `accelerator` and `accelerators` say what it ran on where its system description does not; `precision` and
    `software` leave only published results that state or ran these. With `untrusted`, `run` is never read as
    a folder. `facts`: `throughput` (samples/s), `published_slowest`, `published_median`, `published_fastest`,
    `within` (`None` where nothing like it was published). Raises `PitboardError` where there is no such run,
    it is of a scaled-down preset, or its throughput cannot be told.
    """
    store = store or default_store()
    own, speed = _read(run) if not untrusted and Path(run).exists() else _stored(store, run)
    _comparable(own, run)
    narrowed = facets.chosen(store, precision=precision, software=software)
    wanted = {
        "round": known(store, "round", round) or latest_round(store),
        "benchmark": own["benchmark"],
        "accelerator": known(store, "accelerator", accelerator) or own["accelerator"],
        "accelerators": accelerators or own["accelerators"],
    }
    sql = SQL + facets.where(narrowed, ("precision", "framework"), "r") + _ORDER
    values = wanted | narrowed
    found = [row | references.names(row) for row in marks.tell(store, store.rows(sql, values))]
    others = [row for row in found if row["reference"] != reference(own)]
    rows = [row for row in others if row["throughput"] is not None]
    facts = _facts(speed, rows)
    return Answer(
        question="sanity",
        title=_title(own, facts, wanted),
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=_COLUMNS,
        rows=rows,
        warnings=_warnings(store, rows, wanted, facets.words(narrowed, software)),
        notes=[*_notes(own, facts), *_untold(others), *marks.notes(rows)],
        facts=facts,
    )


def _stored(store: Store, run: str) -> tuple[Row, float]:
    own = result(store, run)
    values = key_of(own)
    sql = "select * from {} where " + " and ".join(f"{name} = ${name}" for name in values)
    return own, _throughput(
        run,
        store.rows(sql.format("runs"), dict(values)),
        store.rows(sql.format("statistics"), dict(values)),
    )


def _read(run: str) -> tuple[Row, float]:
    from pitboard.results.ingest import read_rows

    rows = read_rows(Path(run))
    if len(rows["results"]) != 1:
        raise PitboardError(
            f"{run} holds {len(rows['results'])} results: name the folder of one run's output."
        )
    return rows["results"][0], _throughput(run, rows["runs"], rows["statistics"])


def _throughput(run: str, runs: list[Row], statistics: list[Row]) -> float:
    """Samples/s in training: of the runs that reached the target, or else what was logged."""
    timed = [rate for row in runs if row["counted"] and (rate := throughput(row)) is not None]
    logged = [row["median"] for row in statistics if row["name"] == "throughput"]
    if not timed and not logged:
        raise PitboardError(
            f"{run} neither reached the target nor logged a throughput: there is nothing to compare."
        )
    return _middle(timed or logged)


def _middle(values: list[float]) -> float:
    from statistics import median

    return float(median(values))


def _comparable(own: Row, run: str) -> None:
    if own["preset"] == "smoke":
        raise PitboardError(
            f"{run} is of the smoke preset, a scaled-down model: no published result is like it. Run the "
            "preset 'sanity' or 'full'."
        )
    if own["emulated"]:
        raise PitboardError(
            f"{run} emulated its precision: its throughput says nothing. Run it in a precision of the device."
        )
    if own["preset"] and own["benchmark"] == "llama31_8b" and _sequence(own) != 8192:
        raise PitboardError(
            f"{run} trained on sequences of {_sequence(own)} tokens, the benchmark's are 8,192: no published "
            "result is like it."
        )


def _facts(speed: float, rows: list[Row]) -> dict[str, Any]:
    slowest = min((row["slowest"] for row in rows), default=None)
    return {
        "throughput": speed,
        "published_slowest": slowest,
        "published_median": _middle([row["throughput"] for row in rows]) if rows else None,
        "published_fastest": max((row["fastest"] for row in rows), default=None),
        "within": None if slowest is None else speed >= slowest,
    }


def _title(own: Row, facts: dict[str, Any], wanted: dict[str, Any]) -> str:
    where = "a system without accelerators"
    if wanted["accelerators"]:
        where = f"{wanted['accelerators']} × {wanted['accelerator'] or 'an unnamed accelerator'}"
    if facts["within"] is None:
        return f"Nothing was published for {own['benchmark']} on {where}"
    share = facts["throughput"] / facts["published_median"]
    verdict = "within" if facts["within"] else "below"
    return f"{share:.0%} of the published median throughput on {where}: {verdict} the published distribution"


def _warnings(store: Store, rows: list[Row], wanted: dict[str, Any], narrowed: list[str]) -> list[str]:
    warnings = []
    if not rows and narrowed:
        warnings.append(
            f"None of the published results on it is of {', '.join(narrowed)}: leave that"
            " filter out to compare with all."
        )
    elif not rows:
        near = store.rows(
            "select distinct accelerators from results where round = $1 and not own and benchmark = $2 "
            "and accelerator = $3 order by all",
            [wanted["round"], wanted["benchmark"], wanted["accelerator"]],
        )
        counts = ", ".join(str(row["accelerators"]) for row in near)
        what = wanted["accelerator"] or "no accelerator"
        warnings.append(
            f"{what} was published with {counts} accelerators: another count is not like it."
            if counts
            else f"v{wanted['round']} has no {wanted['benchmark']} result on {what}."
        )
    return warnings


def _sequence(own: Row) -> object:
    import json

    settings = own["settings"] or {}
    return (json.loads(settings) if isinstance(settings, str) else settings).get("max_sequence_length")


def _notes(own: Row, facts: dict[str, Any]) -> list[str]:
    notes = [f"This run: {facts['throughput']:.3f} samples/s in training."]
    if facts["within"] is not None:
        notes.append(
            f"Published: {facts['published_slowest']:.3f} to {facts['published_fastest']:.3f} samples/s, "
            f"median {facts['published_median']:.3f}."
        )
    if own["minutes"] is None:
        notes.append("The run has no score: its throughput says nothing of convergence.")
    if own["preset"] not in (None, "full"):
        notes.append(
            f"The preset is '{own['preset']}'; other layers or sizes than the benchmark's would make the "
            "figures unlike, and the log does not hold them."
        )
    return [*notes, *_target(own)]


def _untold(rows: list[Row]) -> list[str]:
    names = [row["reference"] for row in rows if row["throughput"] is None]
    return [f"Evaluation time is not logged, so no throughput, for: {'; '.join(names)}."] if names else []


def _target(own: Row) -> list[str]:
    try:
        target = suite.benchmark(own["benchmark"]).target
    except PitboardError:
        return []
    if own["target"] is not None and own["target"] != target:
        return [f"The run's target was {own['target']:g}, not the benchmark's {target:g}."]
    return []


QUESTION = Question(
    ask=sanity,
    order=9,
    summary="Set your run beside what was published for the same accelerators",
    about=(
        "Is a result as fast as what others published on the same accelerators? A row is a published "
        "result on the same accelerator and count. Facts hold the throughput in samples a second "
        "beside the slowest, median and fastest that were published."
    ),
    example={"run": "5.1/Nebius/nebius_b200_n1/llama31_8b"},
    options=(
        Option(
            "run",
            "The output folder of a run (in a terminal), or a result, ROUND/SUBMITTER/SYSTEM/BENCHMARK.",
            argument=True,
            names="results",
        ),
        ROUND,
        Option(
            "accelerator",
            "What it ran on, where the system description does not say.",
            otherwise="as described",
            column="accelerator",
        ),
        Option("accelerators", "On how many."),
        PRECISION,
        SOFTWARE,
    ),
    exits=(Exit(1, "unless it is as fast", lambda answer: not answer.facts["within"]),),
)
