"""Published claims of a speed-up, traced: which earlier results give it, and which are like for like."""

from typing import Any

import msgspec

from pitboard.errors import PitboardError
from pitboard.results import references
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, reference, result, rounds_of
from pitboard.results.likeness import unlike
from pitboard.results.organisations import one_name
from pitboard.results.questions.why import COLUMNS as PARTS
from pitboard.results.questions.why import why
from pitboard.results.schema import Row
from pitboard.results.store import Store

DEFINITION = (
    "Candidates are all published results of the same benchmark and division in earlier rounds. The ratio is "
    "the candidate's time-to-train ÷ that of the result the claim is about. A candidate gives the claim "
    "where its ratio is the claimed figure to two decimals, and is like for like where nothing but the round "
    "must be named in a comparison (MLCommons' policy for messages)."
)

SQL = """select round, submitter, system, benchmark, organisation, division, availability, accelerator,
  accelerators, framework, precision, minutes, target, own
from results
where benchmark = $benchmark and division = $division and not own and minutes is not null
order by minutes, submitter, system"""

COLUMNS = [
    Column("ratio", "Speed-up over it", "number", "×", 3),
    Column("candidate", "Earlier result"),
    Column("minutes", "Time-to-train", "number", "min", 3),
    Column("accelerators", "Count", "integer"),
    Column("accelerator", "Accelerator"),
    Column("precision", "Precision"),
    Column("like_for_like", "Like for like", "boolean"),
    Column("same_submitter", "Same submitter", "boolean"),
    references.SHORT,
    Column("availability", "Availability", detail=True),
    Column("framework", "Framework", detail=True),
    Column("off", "Ratio − claim", "number", "×", 3, detail=True),
    Column("gives", "Gives the claim", "boolean", detail=True),
    Column("reasons", "Why not", detail=True),
]


class Claim(msgspec.Struct, frozen=True):
    """What was said of a result, in short, and the speed-up it names."""

    reference: str
    speedup: float
    text: str


CLAIMS = (
    Claim(
        "5.1/Lambda/gb300_n18_ngc25.04_nemo/llama2_70b_lora",
        1.66,
        'Lambda\'s 72 × GB300 run is said to be 1.66 × as fast "compared to previous submissions", about '
        "half from hardware and half from software, with a double-digit gain from FP4 over FP8.",
    ),
)


def trace(reference_text: str, claimed_speedup: float, *, store: Store | None = None) -> Answer:
    """Trace a claimed speed-up of one result to the earlier results that it may be against.

    Rows are the candidates, nearest to the claim first. `facts`: `nearest`, `nearest_ratio`, `same_count_low`
    and `same_count_high` (ratios over candidates of the same accelerator count), `like_for_like` (ratios by
    reference), `gives` (references). `more["split"]` attributes the speed-up over each candidate at the same
    count, as `why` does. Raises `PitboardError` for an unknown result, one without a score, or a claimed
    speed-up that is not above 0.
    """
    store = store or default_store()
    row = result(store, reference_text)
    if not 0 < claimed_speedup < 1e6:
        raise PitboardError(f"A speed-up of {claimed_speedup:g} cannot be: expected a ratio above 0.")
    if row["minutes"] is None:
        raise PitboardError(f"{reference(row)} has no score: too few of its runs count.")
    values = {"benchmark": row["benchmark"], "division": row["division"]}
    rounds = rounds_of(store)
    earlier = rounds[: rounds.index(row["round"])] if row["round"] in rounds else rounds
    found = [other for other in store.rows(SQL, values) if other["round"] in earlier]
    rows = [_candidate(other, row, claimed_speedup) for other in found]
    rows.sort(key=lambda candidate: (abs(candidate["off"]), candidate["candidate"]))
    facts = _facts(rows, row)
    attributions = _attributions(rows, row, store)
    return Answer(
        question="trace",
        title=_title(rows, facts, claimed_speedup),
        definition=DEFINITION,
        sql=SQL,
        parameters=values,
        columns=COLUMNS,
        rows=rows,
        notes=[
            *_found(rows, facts, row, claimed_speedup),
            *(_shares(name, answer) for name, answer in attributions.items()),
            _precision(row),
        ],
        facts=facts,
        more={"split": _split(attributions)},
    )


def claims(benchmark: str, *, store: Store) -> list[tuple[Claim, Answer]]:
    """Trace the published claims about results of a benchmark that the store has."""
    sql = "select 1 from results where concat_ws('/', round, submitter, system, benchmark) = $1"
    return [
        (claim, trace(claim.reference, claim.speedup, store=store))
        for claim in CLAIMS
        if claim.reference.endswith(f"/{benchmark}") and store.rows(sql, [claim.reference])
    ]


def _candidate(other: Row, row: Row, claimed: float) -> Row:
    ratio = other["minutes"] / row["minutes"]
    reasons = unlike(other, row, across_rounds=True)
    shown = ("accelerator", "accelerators", "availability", "framework", "precision", "minutes")
    return {name: other[name] for name in shown} | {
        "candidate": reference(other),
        references.SHORT.name: references.short(reference(other)),
        "ratio": ratio,
        "off": ratio - claimed,
        "gives": abs(ratio - claimed) <= 0.005,
        "same_submitter": one_name(other["organisation"]) == one_name(row["organisation"]),
        "like_for_like": not reasons,
        "reasons": " ".join(reasons),
    }


def _facts(rows: list[Row], row: Row) -> dict[str, Any]:
    same = [other["ratio"] for other in rows if other["accelerators"] == row["accelerators"]]
    return {
        "nearest": rows[0]["candidate"] if rows else None,
        "nearest_ratio": rows[0]["ratio"] if rows else None,
        "same_count_low": min(same, default=None),
        "same_count_high": max(same, default=None),
        "like_for_like": {other["candidate"]: other["ratio"] for other in rows if other["like_for_like"]},
        "gives": [other["candidate"] for other in rows if other["gives"]],
    }


def _title(rows: list[Row], facts: dict[str, Any], claimed: float) -> str:
    if not rows:
        return f"The store has no earlier result that a speed-up of {claimed:.2f} × could be against"
    if facts["gives"]:
        return f"{len(facts['gives'])} of {len(rows)} earlier results give {claimed:.2f} ×"
    return (
        f"None of {len(rows)} earlier results gives {claimed:.2f} ×; the nearest is {rows[0]['ratio']:.2f} ×"
    )


def _found(rows: list[Row], facts: dict[str, Any], row: Row, claimed: float) -> list[str]:
    if not rows:
        return []
    notes = []
    if facts["same_count_low"] is not None:
        notes.append(
            f"Against earlier results at the same count ({row['accelerators']}) the speed-up is "
            f"{facts['same_count_low']:.3f} to {facts['same_count_high']:.3f}."
        )
    alike = [f"{ratio:.3f} over {name}" for name, ratio in facts["like_for_like"].items()]
    notes.append(f"Like for like: {'; '.join(alike) or 'none'}.")
    ratio, nearest = rows[0]["ratio"], rows[0]["candidate"]
    notes.append(f"Nearest to the claim: {ratio:.3f} over {nearest}. {rows[0]['reasons']}".strip())
    own = [other for other in rows if other["same_submitter"]]
    notes += [f"The submitter's own {other['candidate']}: {_own(other)}" for other in own[:3]]
    if not facts["gives"]:
        notes.append(
            f"A speed-up of {claimed:.2f} × would be over {claimed * row['minutes']:.3f} min, a time that no "
            "earlier result has. The claim may be about throughput, a part of a run, or runs that were not "
            "submitted: the data cannot tell."
        )
    return notes


def _own(other: Row) -> str:
    return f"{other['ratio']:.3f}. {other['reasons'] or 'It is like for like.'}"


def _attributions(rows: list[Row], row: Row, store: Store) -> dict[str, Answer]:
    return {
        other["candidate"]: why(other["candidate"], reference(row), store=store)
        for other in rows
        if other["accelerators"] == row["accelerators"]
    }


def _split(attributions: dict[str, Answer]) -> Table:
    return Table(
        title="The speed-up over each earlier result at the same count, by part",
        columns=[Column("candidate", "Earlier result"), *PARTS],
        rows=[{"candidate": name} | part for name, answer in attributions.items() for part in answer],
    )


def _shares(name: str, answer: Answer) -> str:
    parts = [
        f"{part['part']} {part['factor']:.3f} ×"
        + ("" if part["share"] is None else f" ({part['share']:.0%})")
        for part in answer
        if part["factor"] != 1
    ]
    bridges = f" (bridge: {', '.join(answer.facts['bridges'])})" if answer.facts["bridges"] else ""
    return f"Over {name}: {', '.join(parts)}{bridges}."


def _precision(row: Row) -> str:
    if row["precision"] is None:
        return "The result does not state its precision: the data cannot tell a gain from one."
    note = f"The result's own logs state {row['precision']} ({row['precision_source']})"
    if "FP4" in row["precision"]:
        return f"{note}."
    return f"{note}: a gain of FP4 over FP8 is not in these runs, and must come from others."
