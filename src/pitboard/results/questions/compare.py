"""Two results side by side, with what makes them less than like for like said first."""

from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import citing, marks, own_runs
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, key_of, reference, result
from pitboard.results.likeness import disclosed, incomparable, preset_of, unlike
from pitboard.results.question import A, B, Chart, Exit, Option, Question
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.stats import SEED, ratio_interval

DEFINITION = (
    "The speed-up of B over A is A's time-to-train divided by B's: above 1, B is faster. Its 95 % interval "
    f"is a percentile bootstrap over the runs of both (2,000 resamples, seed {SEED}), each scored as an "
    "olympic mean. Energy to target is the mean power of a run × its time, over the same runs and with the "
    "same factor, where both results have power files. What MLCommons' policy for messages asks a comparison "
    "to name comes first, as warnings; results of different benchmarks or targets are refused."
)

SQL = """select r.*, list(u.minutes * r.rcp_scale order by u.run) filter (u.counted) as run_minutes,
  list(u.minutes order by u.minutes) filter (u.counted) as raw_minutes,
  min(u.minutes) filter (u.counted) as fastest, max(u.minutes) filter (u.counted) as slowest
from results r left join runs u using (round, submitter, system, benchmark)
where round = $round and submitter = $submitter and system = $system and benchmark = $benchmark
group by all"""

_COLUMNS = [
    Column("result", "Result"),
    Column("reference", "Reference"),
    Column("round", "Round"),
    Column("submitter", "Submitter"),
    Column("system_name", "System"),
    Column("benchmark", "Benchmark"),
    Column("division", "Division"),
    Column("availability", "Availability"),
    Column("nodes", "Nodes", "integer"),
    Column("accelerator", "Accelerator"),
    Column("accelerators", "Accelerators", "integer"),
    Column("framework", "Framework"),
    Column("precision", "Precision"),
    Column("global_batch_size", "Global batch size", "integer", "samples"),
    Column("samples_to_target", "Samples to target", "number", "", 0),
    Column("minutes", "Time-to-train", "number", "min", 3),
    Column("rcp_scale", "RCP scaling factor in it", "number", "×", 4),
    Column("fastest", "Fastest run", "number", "min", 3),
    Column("slowest", "Slowest run", "number", "min", 3),
    Column("runs_counted", "Runs that count", "integer"),
    Column("each_run", "Each run, without the factor"),
    marks.OF_ROW,
]
_DISCLOSED = [
    Column("setting", "Disclosed setting"),
    Column("a", "A"),
    Column("b", "B"),
    Column("same", "The same", "boolean"),
]
_OF = """where round = $round and submitter = $submitter and system = $system and benchmark = $benchmark
order by run"""
_OF_RUNS = f"select run, minutes, dropped from runs {_OF}"
_OF_EVALUATIONS = f"""select run, coalesce(samples, epoch) as samples, quality, minutes
from evaluations {_OF}, minutes"""

_MARK = [Column("kind", "Kind"), Column("preset", "Preset")]
_ENERGY = Column("energy", "Energy to target", "number", "MJ", 3)
_HOURS = Column("accelerator_hours", "Accelerator-hours (derived)", "number", "h", 2)


def compare(a: str, b: str, normalise: bool = False, *, store: Store | None = None) -> Answer:
    """Compare two results, given as ROUND/SUBMITTER/SYSTEM/BENCHMARK, or two runs of one's own.

    Those are given by the folders that `pitboard run` wrote, and answered by `own_runs.compare_runs`. Rows
    are A and B; `facts` hold `speedup` with `low` and `high` (its 95 % interval, `None` with too few
    runs), `energy_ratio` (A's energy to target ÷ B's, `None` unless both have power files), and with
    `normalise` `accelerator_hours_ratio` (A's ÷ B's; derived, not official). `warnings` say what is not like
    for like. Raises `PitboardError` for an unknown result, for results of different
    benchmarks, targets or presets, and for one without a score.
    """
    own = [own_runs.is_own_run(text) for text in (a, b)]
    if all(own):
        if normalise:
            raise PitboardError("Accelerator-hours are of results in the store: leave out --normalise.")
        return own_runs.compare_runs(a, b)
    if any(own):
        folder, other = (a, b) if own[0] else (b, a)
        raise PitboardError(
            f"{folder} is a run of your own, and {other} none: give two folders of `pitboard run`, or add it"
            f" with `pitboard results add {folder}` and name its result."
        )
    return compare_results(a, b, normalise, store=store)


def compare_results(a: str, b: str, normalise: bool = False, *, store: Store | None = None) -> Answer:
    """Compare two results in the store, as `compare` does."""
    from pitboard.compliance.log.preset import kind_of

    store = store or default_store()
    first, second = marks.tell(store, [_row(store, result(store, text)) for text in (a, b)])
    reason = incomparable(first, second)
    if reason:
        raise PitboardError(f"{a} and {b} cannot be compared: {reason}.")
    for row in (first, second):
        if row["minutes"] is None:
            raise PitboardError(f"{reference(row)} has no score: too few of its runs count.")
    facts = _facts(first, second, normalise)
    scaled = preset_of(first)
    return Answer(
        question="compare",
        title=_title(second, facts),
        definition=DEFINITION + (f" {citing.DERIVED}" if normalise else ""),
        sql=SQL,
        parameters=key_of(first),
        columns=[*_COLUMNS, *(_MARK if scaled else []), *_measured(first, second, normalise)],
        rows=[
            {
                "result": label,
                "reference": reference(row),
                "accelerator_hours": _hours(row),
                "energy": None if row["joules"] is None else row["joules"] / 1e6,
                "each_run": _each_run(row),
            }
            | row
            | {"kind": kind_of(preset_of(row))}
            for label, row in (("A", first), ("B", second))
        ],
        warnings=unlike(first, second),
        notes=[
            *([f"Both are of preset {scaled}: not an MLPerf result."] if scaled else []),
            *_notes(first, second, facts),
            *([citing.DERIVED] if normalise else []),
            *dict.fromkeys(f"To cite: {citing.citation(row)}" for row in (first, second)),
        ],
        facts=facts,
        more={
            "runs": _runs(store, first, second),
            "curves": _curves(store, first, second),
            **_disclosed(first, second),
        },
    )


def _each_run(row: Row) -> str:
    """Write the minutes of the runs that count, from fastest to slowest, as their logs have them."""
    return ", ".join(f"{minutes:.3f}" for minutes in row["raw_minutes"] or [])


def _disclosed(a: Row, b: Row) -> dict[str, Table]:
    """Set side by side what both results' logs disclose of precision, parallelism and configuration."""
    rows = disclosed(a, b)
    return {"disclosed": Table(title="Disclosed settings", columns=_DISCLOSED, rows=rows)} if rows else {}


def _measured(a: Row, b: Row, normalise: bool) -> list[Column]:
    """Return the columns of what only some results have, or are asked for."""
    energy = [_ENERGY] if a["joules"] is not None or b["joules"] is not None else []
    return energy + ([_HOURS] if normalise else [])


def _runs(store: Store, a: Row, b: Row) -> Table:
    rows = [
        {"result": f"{label} {row['submitter']}", "score": row["minutes"]} | run
        for label, row in (("A", a), ("B", b))
        for run in store.rows(_OF_RUNS, key_of(row))
    ]
    return own_runs.runs_table(rows)


def _curves(store: Store, a: Row, b: Row) -> Table:
    rows = [
        {"result": f"{label} {row['submitter']}"} | evaluation
        for label, row in (("A", a), ("B", b))
        for evaluation in store.rows(_OF_EVALUATIONS, key_of(row))
    ]
    return own_runs.curves_table(rows)


def _row(store: Store, row: Row) -> Row:
    return store.rows(SQL, key_of(row))[0]


def _hours(row: Row) -> float | None:
    return row["minutes"] * row["accelerators"] / 60 if row["accelerators"] else None


def _facts(a: Row, b: Row, normalise: bool) -> dict[str, Any]:
    interval = ratio_interval(a["run_minutes"] or [], b["run_minutes"] or [])
    facts = {
        "speedup": a["minutes"] / b["minutes"],
        "low": interval and interval[0],
        "high": interval and interval[1],
        "energy_ratio": a["joules"] / b["joules"] if a["joules"] and b["joules"] else None,
    }
    if normalise:
        hours = (_hours(a), _hours(b))
        facts["accelerator_hours_ratio"] = hours[0] / hours[1] if hours[0] and hours[1] else None
    return facts


def _title(b: Row, facts: dict[str, Any]) -> str:
    if facts["low"] is not None and facts["low"] <= 1 <= facts["high"]:
        return "The runs do not tell which is faster: A and B are the same within the spread of their runs"
    return speedup_in_words(facts["speedup"], f"{b['submitter']}, {_hardware(b)}")


def speedup_in_words(speedup: float, b: str = "") -> str:
    """Say how fast B is beside A, in the words of every question; `b` tells what B is."""
    named = f"B ({b})" if b else "B"
    if speedup >= 1:
        return f"{named} is {speedup:.2f} × as fast as A"
    return f"A is {1 / speedup:.2f} × as fast as {named}"


def _hardware(row: Row) -> str:
    return f"{row['accelerators']} × {row['accelerator']}" if row["accelerators"] else "no accelerator"


def _notes(a: Row, b: Row, facts: dict[str, Any]) -> list[str]:
    if facts["low"] is None:
        spread = "too few runs for an interval"
    else:
        spread = f"95 % interval {facts['low']:.3f} to {facts['high']:.3f}"
    notes = [f"Speed-up of B over A: {facts['speedup']:.3f} ({spread})."]
    if facts.get("accelerator_hours_ratio"):
        ratio = 1 / facts["accelerator_hours_ratio"]
        notes.append(f"Derived: B needs {ratio:.3f} × the accelerator-hours of A to the target.")
    if facts["energy_ratio"]:
        notes.append(f"B needs {1 / facts['energy_ratio']:.3f} × the energy of A to the target.")
    differences = [
        f"{row['setting']} {row['a']} and {row['b']}" for row in disclosed(a, b) if row["same"] is False
    ]
    if differences:
        notes.append(f"Disclosed settings that differ, A and B: {', '.join(differences)}.")
    for name, row in (("A", a), ("B", b)):
        if row["rcp_scale"] not in (None, 1):
            notes.append(
                f"{name}'s score is the mean of its runs times the RCP factor {row['rcp_scale']:.4f}: "
                "they converged faster than the reference."
            )
    if a["accelerator"] != b["accelerator"] or a["framework"] != b["framework"]:
        notes.append(
            "What the speed-up comes from (hardware, software, convergence): `pitboard results why A B`."
        )
    return notes


def _strips(answer: Answer) -> dict[str, Any]:
    return {"rows": [row for row in answer.more["runs"].rows if row["minutes"]]}


def _convergence(answer: Answer) -> dict[str, Any]:
    return {
        "rows": [r for r in answer.more["curves"].rows if r["samples"] and r["quality"] is not None],
        "title": "How each run converged",
        "target": answer.rows[0].get("target"),
    }


QUESTION = Question(
    ask=compare,
    order=2,
    summary="Set two results side by side",
    about=(
        "How much faster is result B than result A, and may the two be compared? Two rows, A and B. "
        "Facts hold the speedup with its 95 % interval (low and high, null with too few runs) and "
        "energy_ratio, A's energy to target ÷ B's. Warnings say what is not like for like."
    ),
    example={
        "a": "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b",
        "b": "5.1/Nebius/nebius_b200_n1/llama31_8b",
    },
    options=(
        A,
        B,
        Option("normalise", "Give accelerator-hours too: derived, not an official metric."),
    ),
    charts=(
        Chart("runs", _strips, "Minutes of every run of both results"),
        Chart("convergence", _convergence, "Quality over samples, a line for each run"),
    ),
    remote=compare_results,
    exits=(Exit(1, "where they are not like for like", lambda answer: bool(answer.warnings)),),
)
