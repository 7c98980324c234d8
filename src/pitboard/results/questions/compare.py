"""Two to six results side by side, with what makes them less than like for like said first."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from msgspec.structs import replace

from pitboard.errors import PitboardError
from pitboard.results import citing, marks, own_runs, references
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, key_of, reference, result
from pitboard.results.likeness import (
    differing,
    disclosed,
    incomparable,
    listed,
    preset_of,
    unlike,
    unlike_among,
)
from pitboard.results.question import FURTHER, LETTERS, A, B, Chart, Exit, Option, Question
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.stats import SEED, olympic_interval, ratio_interval

DEFINITION = (
    "The speed-up of B over A is A's time-to-train divided by B's: above 1, B is faster; so of each pair. "
    f"Its 95 % interval is a percentile bootstrap over the runs of both (2,000 resamples, seed {SEED}), each "
    "scored as an olympic mean; that of a time-to-train is over its own runs. Energy to target is the mean "
    "power of a run × its time, over the same runs and with the same factor, where the results have power "
    "files. What MLCommons' policy for messages asks a comparison to name comes first, as warnings; results "
    "of different benchmarks or targets are refused."
)

_WITH_RUNS = """r.*, list(u.minutes * r.rcp_scale order by u.run) filter (u.counted) as run_minutes,
  list(u.minutes order by u.minutes) filter (u.counted) as raw_minutes,
  min(u.minutes) filter (u.counted) as fastest, max(u.minutes) filter (u.counted) as slowest"""
_JOINED = "results r left join runs u using (round, submitter, system, benchmark)"
SQL = f"""select {_WITH_RUNS}
from {_JOINED}
where round = $round and submitter = $submitter and system = $system and benchmark = $benchmark
group by all"""

_COLUMNS = [
    Column("result", "Result"),
    Column("minutes", "Time-to-train", "number", "min", 3, mark=marks.OF_MINUTES),
    Column("interval", "95 % interval", "text", "min"),
    Column("speedup", "Speed-up over A", "number", "×", 3),
    Column("submitter", "Submitter"),
    Column("system", "System"),
    Column("accelerators", "Accelerators", "integer"),
    Column("accelerator", "Accelerator"),
    Column("reference", "Reference"),
    references.SHORT,
    Column("round", "Round"),
    Column("system_name", "System's name"),
    Column("benchmark", "Benchmark"),
    Column("division", "Division"),
    Column("availability", "Availability"),
    Column("nodes", "Nodes", "integer"),
    Column("framework", "Framework"),
    Column("precision", "Precision"),
    Column("samples_to_target", "Samples to target", "number", "", 0),
    Column("rcp_scale", "RCP scaling factor in it", "number", "×", 4),
    Column("fastest", "Fastest run", "number", "min", 3),
    Column("slowest", "Slowest run", "number", "min", 3),
    Column("runs_counted", "Runs that count", "integer"),
    Column("each_run", "Each run, without the factor"),
    Column("low", "Time-to-train, 95 % low", "number", "min", 3, detail=True),
    Column("high", "Time-to-train, 95 % high", "number", "min", 3, detail=True),
    Column("speedup_low", "Speed-up over A, 95 % low", "number", "×", 3, detail=True),
    Column("speedup_high", "Speed-up over A, 95 % high", "number", "×", 3, detail=True),
    marks.OF_ROW,
]
_SHOWN = 8
"""So many columns are shown of a row each; the results of a shorter table stand upright, with all."""
_UPRIGHT = 3
_PAIRS = [
    Column("faster", "Faster"),
    Column("slower", "Slower"),
    Column("speedup", "Speed-up", "number", "×", 3),
    Column("interval", "95 % interval", "text", "×"),
    Column("like", "Like for like", "boolean"),
    Column("why", "What differs"),
    Column("low", "95 % low", "number", "×", 3, detail=True),
    Column("high", "95 % high", "number", "×", 3, detail=True),
    Column("before", "Reference of the slower", detail=True),
    Column("after", "Reference of the faster", detail=True),
]
_MARK = [Column("kind", "Kind"), Column("preset", "Preset")]
_ENERGY = Column("energy", "Energy to target", "number", "MJ", 3)
_HOURS = Column("accelerator_hours", "Accelerator-hours (derived)", "number", "h", 2)


def compare(
    a: str,
    b: str,
    c: str | None = None,
    d: str | None = None,
    e: str | None = None,
    f: str | None = None,
    normalise: bool = False,
    *,
    store: Store | None = None,
    untrusted: bool = False,
) -> Answer:
    """Compare two to six results, given as ROUND/SUBMITTER/SYSTEM/BENCHMARK, or two runs of one's own.

    Those are given by the folders that `pitboard run` wrote, and answered by `own_runs.compare_runs`. Rows
    are the results, called A to F as given: two in their order, more from the fastest to the slowest. Of two,
    `facts` hold `speedup` with `low` and `high` (its 95 % interval, `None` with too few
    runs), `energy_ratio` (A's energy to target ÷ B's, `None` unless both have power files), and with
    `normalise` `accelerator_hours_ratio` (A's ÷ B's; derived, not official). Of more, `facts` hold `fastest`
    (its reference), `pairs` and `like_for_like` (how many pairs, and how many of them are that), and
    `more["pairs"]` each pair's speed-up and what is not like for like. `facts` also hold the `citation` of
    all, and `warnings` say what is not like for like. With `untrusted`, what is given is never read as a
    folder. Raises `PitboardError` for an unknown result, for results of different benchmarks, targets or
    presets, and for one without a score.
    """
    given = [a, b, *(text for text in (c, d, e, f) if text)]
    own = [not untrusted and own_runs.is_own_run(text) for text in given]
    if all(own):
        if normalise:
            raise PitboardError("Accelerator-hours are of results in the store: leave out --normalise.")
        if len(given) > 2:
            raise PitboardError(f"Runs of your own are compared two at a time, not {len(given)}.")
        return own_runs.compare_runs(a, b)
    if any(own):
        folder, other = given[own.index(True)], given[own.index(False)]
        raise PitboardError(
            f"{folder} is a run of your own, and {other} none: give two folders of `pitboard run`, or add it"
            f" with `pitboard results add {folder}` and name its result."
        )
    return _of_store(store or default_store(), given, normalise)


def _of_store(store: Store, texts: list[str], normalise: bool) -> Answer:
    """Compare two to six results in the store, as `compare` does."""
    from pitboard.compliance.log.preset import kind_of

    rows = marks.tell(store, [with_runs(store, result(store, text)) for text in texts])
    for (text, row), (other, second) in combinations(zip(texts, rows, strict=True), 2):
        if reason := incomparable(row, second):
            raise PitboardError(f"{text} and {other} cannot be compared: {reason}.")
    for row in rows:
        if row["minutes"] is None:
            raise PitboardError(f"{reference(row)} has no score: too few of its runs count.")
    named = dict(zip(LETTERS, (scored(row, rows[0]) for row in rows), strict=False))
    two = len(named) == 2
    facts = _facts(rows[0], rows[1], normalise) if two else {}
    pairs = None if two else _pairs(named)
    if pairs:
        facts = _facts_of(named, pairs)
    facts["citation"] = citing.citation(*rows)
    scaled, both = preset_of(rows[0]), "Both" if two else "All"
    columns = [*_COLUMNS, *(_MARK if scaled else []), *_measured(rows, normalise)]
    order = list(named) if two else sorted(named, key=lambda name: named[name]["minutes"])
    return Answer(
        question="compare",
        title=_title(rows[1], facts) if two else _title_of(named, order),
        definition=DEFINITION + (f" {citing.DERIVED}" if normalise else ""),
        sql=SQL,
        parameters=key_of(rows[0]),
        columns=columns if len(rows) <= _UPRIGHT else _in_short(columns),
        rows=[{"result": name} | named[name] | {"kind": kind_of(preset_of(named[name]))} for name in order],
        warnings=unlike(*rows) if two else unlike_among(named),
        notes=[
            *([f"{both} are of preset {scaled}: not an MLPerf result."] if scaled else []),
            *(_notes(rows[0], rows[1], facts) if two else []),
            *_notes_of(named),
            *([citing.DERIVED] if normalise else []),
            *(_cited(rows) if two else [f"To cite: {citing.citation(*rows)}"]),
        ],
        facts=facts,
        more={
            **({"pairs": pairs} if pairs else {}),
            "runs": _runs(store, named),
            "curves": _curves(store, named),
            **_disclosed(rows),
        },
    )


def _in_short(columns: list[Column]) -> list[Column]:
    """Give the columns with those of more than a glance marked as detail."""
    return [replace(each, detail=each.detail or place >= _SHOWN) for place, each in enumerate(columns)]


def scored(row: Row, first: Row | None = None) -> Row:
    """Add to a result `with_runs` its score's interval and, where given, its speed-up over the `first`."""
    from pitboard.compliance.result.benchmarks import official_drops

    drops = official_drops(row["benchmark"])
    interval = olympic_interval(row["run_minutes"] or [], drops)
    ratio = _ratio(first, row) if first and reference(first) != reference(row) else None
    return row | {
        **references.names(row),
        "accelerator_hours": _hours(row),
        "energy": None if row["joules"] is None else row["joules"] / 1e6,
        "each_run": _each_run(row),
        "low": interval and interval[0],
        "high": interval and interval[1],
        "interval": _between(interval),
        "speedup": first["minutes"] / row["minutes"] if first and first["minutes"] else None,
        "speedup_low": ratio and ratio[0],
        "speedup_high": ratio and ratio[1],
    }


def _between(interval: tuple[float, float] | None) -> str:
    return "too few runs" if interval is None else f"{interval[0]:,.3f} to {interval[1]:,.3f}"


def _ratio(above: Row, below: Row) -> tuple[float, float] | None:
    """Give the 95 % interval of the ratio of two results' times, from their runs."""
    from pitboard.compliance.result.benchmarks import official_drops

    drops = official_drops(above["benchmark"])
    return ratio_interval(above["run_minutes"] or [], below["run_minutes"] or [], drops)


def _pairs(named: Mapping[str, Row]) -> Table:
    """Set each pair of results side by side, the faster one first."""
    order = sorted(named, key=lambda name: named[name]["minutes"])
    rows: list[Row] = []
    for faster, slower in combinations(order, 2):
        first, second = named[faster], named[slower]
        interval = _ratio(second, first)
        reasons = differing(first, second)
        rows.append(
            {
                "faster": faster,
                "slower": slower,
                "speedup": second["minutes"] / first["minutes"],
                "low": interval and interval[0],
                "high": interval and interval[1],
                "like": not reasons,
                "interval": _between(interval),
                "why": ", ".join(reasons) or None,
                "before": second["reference"],
                "after": first["reference"],
            }
        )
    return Table(title="Each pair", columns=_PAIRS, rows=rows)


def _facts_of(named: Mapping[str, Row], pairs: Table) -> dict[str, Any]:
    return {
        "fastest": min(named.values(), key=lambda row: row["minutes"])["reference"],
        "pairs": len(pairs),
        "like_for_like": sum(row["like"] for row in pairs),
    }


def _title_of(named: Mapping[str, Row], order: Sequence[str]) -> str:
    first, next_ = (named[name] for name in order[:2])
    interval = _ratio(next_, first)
    if interval and interval[0] <= 1 <= interval[1]:
        pair = " and ".join(sorted(order[:2]))
        return f"{pair} are the fastest of {len(named)}, the same within the spread of their runs"
    of = next_["minutes"] / first["minutes"]
    which = f"{order[0]} ({first['submitter']}, {_hardware(first)})"
    return f"{which} is the fastest of {len(named)}: {of:.2f} × as fast as the next, {order[1]}"


def _notes_of(named: Mapping[str, Row]) -> list[str]:
    """Say what holds of each result: which settings differ, and whose score carries an RCP factor."""
    notes = []
    differences = [
        f"{row['setting']} {listed([row[name.lower()] for name in named])}"
        for row in disclosed(*named.values())
        if row["same"] is False
    ]
    if differences:
        notes.append(f"Disclosed settings that differ, {listed(list(named))}: {', '.join(differences)}.")
    for name, row in named.items():
        if row["rcp_scale"] not in (None, 1):
            notes.append(
                f"{name}'s score is the mean of its runs times the RCP factor {row['rcp_scale']:.4f}: "
                "they converged faster than the reference."
            )
    return notes


def _each_run(row: Row) -> str:
    """Write the minutes of the runs that count, from fastest to slowest, as their logs have them."""
    return ", ".join(f"{minutes:.3f}" for minutes in row["raw_minutes"] or [])


def _disclosed(rows: Sequence[Row]) -> dict[str, Table]:
    """Set side by side what the results' logs disclose of precision, parallelism and configuration."""
    found = disclosed(*rows)
    letters = [Column(letter.lower(), letter) for letter in LETTERS[: len(rows)]]
    columns = [Column("setting", "Disclosed setting"), *letters, Column("same", "The same", "boolean")]
    return {"disclosed": Table(title="Disclosed settings", columns=columns, rows=found)} if found else {}


def _measured(rows: Sequence[Row], normalise: bool) -> list[Column]:
    """Return the columns of what only some results have, or are asked for."""
    energy = [_ENERGY] if any(row["joules"] is not None for row in rows) else []
    return energy + ([_HOURS] if normalise else [])


def _runs(store: Store, named: Mapping[str, Row]) -> Table:
    return own_runs.runs_table(
        [
            run | {"result": f"{name} {row['submitter']}", "score": row["minutes"]}
            for name, row in named.items()
            for run in store.having("run, minutes, dropped", "runs", key_of(row), "order by run")
        ]
    )


def _curves(store: Store, named: Mapping[str, Row]) -> Table:
    return own_runs.curves_table(
        [each for name, row in named.items() for each in curves_of(store, row, f"{name} {row['submitter']}")]
    )


def curves_of(store: Store, row: Row, label: str) -> list[Row]:
    """Give the evaluations of a result's runs as rows of `own_runs.curves_table`."""
    figures = "run, coalesce(samples, epoch) as samples, quality, minutes"
    key = {name: row[name] for name in ("round", "benchmark", "submitter", "system")}
    found = store.having(figures, "evaluations", key, "order by run, minutes", at_once=3)
    return [{"result": label} | each for each in found]


def _cited(rows: Sequence[Row]) -> list[str]:
    return [f"To cite: {text}" for text in dict.fromkeys(citing.citation(row) for row in rows)]


def with_runs(store: Store, row: Row) -> Row:
    """Give a result's row with the minutes of its runs that count: scaled, raw, fastest and slowest."""
    return store.having(_WITH_RUNS, _JOINED, key_of(row), "group by all")[0]


def _hours(row: Row) -> float | None:
    return row["minutes"] * row["accelerators"] / 60 if row["minutes"] and row["accelerators"] else None


def _facts(a: Row, b: Row, normalise: bool) -> dict[str, Any]:
    interval = _ratio(a, b)
    facts: dict[str, Any] = {
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
    return f"{row['accelerators']:,} × {row['accelerator']}" if row["accelerators"] else "no accelerator"


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
    if a["accelerator"] != b["accelerator"] or a["framework"] != b["framework"]:
        notes.append(
            "What the speed-up comes from (hardware, software, convergence): `pitboard results why A B`."
        )
    return notes


def _ranked(answer: Answer) -> dict[str, Any]:
    """Draw what is not like for like with A hollow; one's own runs have a folder in place of a system."""
    first = next(row for row in answer.rows if row["result"] == "A")
    return {
        "rows": [
            {
                "label": f"{row['result']} {row['submitter']}, {_hardware(row)}",
                "accelerator": row["accelerator"],
                "note": row["system"],
                "value": row["minutes"],
                "low": row["low"],
                "high": row["high"],
                "unlike": "not like A" if differing(first, row) else "",
            }
            if "system" in row
            else {"label": f"{row['result']} {row['reference']}", "value": row["minutes"]}
            for row in answer.rows
        ]
    }


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
    summary="Set two to six results side by side",
    about=(
        "How much faster is result B than result A, and may the two be compared? A row for each of two "
        "to six results. Of two, facts hold the speedup with its 95 % interval (low and high, null with "
        "too few runs) and energy_ratio, A's energy to target ÷ B's; of more, the table pairs has each "
        "pair's speed-up. Warnings say what is not like for like."
    ),
    example={
        "a": "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b",
        "b": "5.1/Nebius/nebius_b200_n1/llama31_8b",
    },
    options=(
        A,
        B,
        *FURTHER,
        Option("normalise", "Give accelerator-hours too: derived, not an official metric."),
    ),
    charts=(
        Chart("ranked", _ranked, "Time-to-train as bars, the fastest first", form="bars"),
        Chart("runs", _strips, "Minutes of every run of each result"),
        Chart("convergence", _convergence, "Quality over samples, a line for each run"),
    ),
    exits=(Exit(1, "where they are not like for like", lambda answer: bool(answer.warnings)),),
)
