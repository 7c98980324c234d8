"""What changed from one round to the next: the best, and like for like."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median
from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import facets, references
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, known, rounds_of
from pitboard.results.likeness import unlike
from pitboard.results.organisations import one_name
from pitboard.results.question import (
    ACCELERATOR,
    BENCHMARK,
    PRECISION,
    SOFTWARE,
    SUBMITTER,
    Chart,
    Option,
    Question,
    Several,
)
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.results.tracing import COLUMNS as CANDIDATES
from pitboard.results.tracing import claims
from pitboard.suite import ROUNDS, find_round, official_targets
from pitboard.suite.lineage import SUCCESSIONS

DEFINITION = (
    "A speed-up is the earlier round's time-to-train ÷ the later one's, of results in the closed division of "
    "two rounds that follow one another among those in the store with the benchmark, or of the round that is "
    "asked for and the newest. Each row takes the fastest result of "
    "each round: of all, of one submitter with one accelerator at one count, of one accelerator at one "
    "count, or of a vendor's accelerator generation at one count (a generation that the earlier round lacks "
    "is set against the newest one it has). The speed-up of the runs leaves out the RCP scaling factors, "
    "which differ between rounds. The same runs are logs that were entered in both rounds: all started at "
    "the same times. Like for like means that nothing but the round must be named in a comparison "
    "(MLCommons' policy for messages)."
)

SQL = """select r.round, r.submitter, r.system, r.benchmark, r.organisation, r.division, r.availability,
  r.accelerator, r.accelerators, r.framework, r.minutes, r.target, r.own, r.rcp_scale,
  s.accelerator_vendor, s.accelerator_generation, u.started
from results r left join systems s using (round, submitter, system)
  left join (
    select round, submitter, system, benchmark, list(started order by started) as started
    from runs where counted and ($benchmark is null or benchmark = $benchmark) and round in $rounds
    group by all
  ) u using (round, submitter, system, benchmark)
where ($benchmark is null or r.benchmark = $benchmark) and r.round in $rounds
  and r.division = 'closed' and not r.own and r.minutes is not null"""
_FILTERS = ("submitter", "accelerator", "precision", "framework")
_ORDER = "\norder by r.minutes, r.submitter, r.system"

COLUMNS = [
    Column("label", "Which"),
    Column("speedup", "Speed-up", "number", "×", 3),
    Column("minutes_before", "Earlier time-to-train", "number", "min", 3),
    Column("minutes_after", "Later time-to-train", "number", "min", 3),
    Column("same_runs", "The same runs", "boolean"),
    Column("like_for_like", "Like for like", "boolean"),
    Column("reasons", "Why not"),
    Column("kind", "What is the same", detail=True),
    Column("speedup_of_runs", "Speed-up of the runs", "number", "×", 3, detail=True),
    Column("before", "Earlier result", detail=True),
    Column("ref_before", "Ref of the earlier", detail=True),
    Column("round_before", "Earlier round", detail=True),
    Column("accelerator_before", "Earlier accelerator", detail=True),
    Column("accelerators_before", "Earlier count", "integer", detail=True),
    Column("framework_before", "Earlier framework", detail=True),
    Column("after", "Later result", detail=True),
    Column("ref_after", "Ref of the later", detail=True),
    Column("round_after", "Later round", detail=True),
    Column("accelerator_after", "Later accelerator", detail=True),
    Column("accelerators_after", "Later count", "integer", detail=True),
    Column("framework_after", "Later framework", detail=True),
]

SAME_SUBMITTER = "same submitter, accelerator and count"
ANY_SUBMITTER = "same accelerator and count, any submitter"

_Label = tuple[str, ...]


def rounds(
    benchmark: str,
    since: str | None = None,
    submitter: Several = None,
    accelerator: Several = None,
    precision: Several = None,
    software: Several = None,
    *,
    store: Store | None = None,
) -> Answer:
    """Say how a benchmark's results changed from round to round, best and like for like.

    Rows are pairs of results in rounds that follow one another, beginning with round `since`, by default the
    last but one that has the benchmark; with rounds between that and the newest, pairs of these two come
    first. The filters leave only results that any of their values names, on both sides of a pair. `facts`:
    `rounds` (with the benchmark), and of the first and the newest round `best_speedup`,
    `median_same_submitter` over `same_submitter_pairs` (like for like, with new runs), and `same_runs` (such
    pairs that are one set of runs entered twice). Without a filter, `more["claims"]` traces published claims
    about the benchmark, and `more["split"]` attributes them. Raises `PitboardError` for a value that no
    result has, and where no published result of the closed division is of what is asked for, or none since
    the round that is.
    """
    store = store or default_store()
    name = str(known(store, "benchmark", benchmark))
    narrowed = facets.chosen(
        store, submitter=submitter, accelerator=accelerator, precision=precision, software=software
    )
    where = facets.where(narrowed, _FILTERS, "r")
    what = ", ".join([name, *(said := facets.words(narrowed, software))])
    having = present = _present(store, name, what, narrowed)
    first = known(store, "round", since)
    every = rounds_of(store)
    if first in every:
        present = [number for number in having if every.index(number) >= every.index(first)]
        if not present:
            raise PitboardError(
                f"{what} has no published result from v{first} on: its last is v{having[-1]}."
            )
    elif first is None:
        present = present[-2:]
    by_round: dict[str, list[Row]] = {number: [] for number in present}
    sql, values = SQL + where + _ORDER, {"benchmark": name, "rounds": present} | narrowed
    for row in store.rows(sql, values):
        by_round[row["round"]].append(row)
    rows = [
        _row(kind, label, *pair)
        for before, after in _spans(present)
        for kind, label, *pair in _pairs(by_round[before], by_round[after])
    ]
    traced = [] if said else claims(name, store=store)
    newest = [row for row in rows if (row["round_before"], row["round_after"]) == (present[0], present[-1])]
    facts = _facts(present, newest)
    return Answer(
        question="rounds",
        title=_title(what, present, facts),
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=COLUMNS,
        rows=rows,
        notes=[
            *_history(name, what, having, every),
            *breaks(name, present),
            *_best(newest),
            *(
                note
                for claim, answer in traced
                for note in (f"Claim: {claim.text}", f"{answer.title}.", *answer.notes)
            ),
        ],
        facts=facts,
        more=_more(traced),
    )


def changes(before: str, after: str, *, store: Store) -> dict[str, list[Row]]:
    """Give the pairs of results of two rounds, as `rounds` does, by benchmark: of those that both have."""
    found: dict[str, dict[str, list[Row]]] = {}
    for row in store.rows(SQL + _ORDER, {"benchmark": None, "rounds": [before, after]}):
        found.setdefault(row["benchmark"], {}).setdefault(row["round"], []).append(row)
    return {
        name: [
            _row(kind, label, *pair) for kind, label, *pair in _pairs(found[name][before], found[name][after])
        ]
        for name in sorted(found)
        if len(found[name]) == 2
    }


def _spans(present: list[str]) -> list[tuple[str, str]]:
    """Pair the first round with the newest; with rounds between, each with the one after it too."""
    whole = [(present[0], present[-1])] if len(present) > 1 else []
    return whole + (list(pairwise(present)) if len(present) > 2 else [])


def _present(store: Store, benchmark: str, what: str, narrowed: facets.Values) -> list[str]:
    sql = """select distinct round from results
where benchmark = $benchmark and division = 'closed' and not own and minutes is not null"""
    rows = store.rows(sql + facets.where(narrowed, _FILTERS), {"benchmark": benchmark} | narrowed)
    found = {row["round"] for row in rows}
    if not found:
        raise PitboardError(f"The store has no published result of {what} in the closed division.")
    return [number for number in rounds_of(store) if number in found]


def _pairs(before: list[Row], after: list[Row]) -> Iterator[tuple[str, str, Row, Row]]:
    """Pair the fastest of each group; rows come fastest first."""
    yield ("best", "any system", before[0], after[0])
    for kind, group in ((SAME_SUBMITTER, _by_submitter), (ANY_SUBMITTER, _by_accelerator)):
        old, new = _fastest(before, group), _fastest(after, group)
        for key in sorted(old.keys() & new.keys(), key=lambda key: (new[key]["accelerators"], key)):
            yield kind, _label(new[key], kind), old[key], new[key]
    yield from _generations(before, after)


def _fastest(rows: list[Row], group: Callable[[Row], _Label | None]) -> dict[_Label, Row]:
    fastest: dict[_Label, Row] = {}
    for row in rows:
        key = group(row)
        if key is not None:
            fastest.setdefault(key, row)
    return fastest


def _by_submitter(row: Row) -> _Label | None:
    key = _by_accelerator(row)
    return (one_name(row["organisation"]), *key) if key else None


def _by_accelerator(row: Row) -> _Label | None:
    if row["accelerator"] is None or not row["accelerators"]:
        return None
    return row["accelerator"], str(row["accelerators"])


def _by_generation(row: Row) -> _Label | None:
    if row["accelerator_generation"] is None or not row["accelerators"]:
        return None
    return row["accelerator_vendor"], str(row["accelerators"]), row["accelerator_generation"]


def _label(row: Row, kind: str) -> str:
    what = f"{row['accelerators']:,} × {row['accelerator']}"
    return f"{row['organisation']}, {what}" if kind == SAME_SUBMITTER else what


def _generations(before: list[Row], after: list[Row]) -> Iterator[tuple[str, str, Row, Row]]:
    old, new = _fastest(before, _by_generation), _fastest(after, _by_generation)
    for key in sorted(new, key=lambda key: (new[key]["accelerators"], key)):
        vendor, count, generation = key
        earlier = [other for other in old if other[:2] == key[:2] and _year(other[2]) <= _year(generation)]
        if not earlier:
            continue
        other = key if key in old else max(earlier, key=lambda key: (_year(key[2]), key))
        change = generation if other == key else f"{other[2]} → {generation}"
        yield "generation", f"{int(count):,} × {vendor} {change}", old[other], new[key]


def _year(generation: str) -> int:
    from pitboard.results.catalogue import GENERATION_YEAR

    return GENERATION_YEAR.get(generation, 0)


def _row(kind: str, label: str, before: Row, after: Row) -> Row:
    reasons = unlike(before, after, across_rounds=True)
    speedup = before["minutes"] / after["minutes"]
    row: Row = {
        "kind": kind,
        "label": label,
        "speedup": speedup,
        "speedup_of_runs": speedup * (after["rcp_scale"] or 1) / (before["rcp_scale"] or 1),
        "same_runs": bool(before["started"]) and before["started"] == after["started"],
    }
    for name, end in (("before", before), ("after", after)):
        row[name], row[f"ref_{name}"] = references.names(end).values()
        for column in ("round", "minutes", "accelerator", "accelerators", "framework"):
            row[f"{column}_{name}"] = end[column]
    return row | {"like_for_like": not reasons, "reasons": " ".join(reasons)}


def _facts(present: list[str], newest: list[Row]) -> dict[str, Any]:
    pairs = [row for row in newest if row["kind"] == SAME_SUBMITTER and row["like_for_like"]]
    own = [row["speedup"] for row in pairs if not row["same_runs"]]
    return {
        "rounds": present,
        "best_speedup": next((row["speedup"] for row in newest if row["kind"] == "best"), None),
        "median_same_submitter": median(own) if own else None,
        "same_submitter_pairs": len(own),
        "same_runs": len(pairs) - len(own),
    }


def _title(benchmark: str, present: list[str], facts: dict[str, Any]) -> str:
    if facts["best_speedup"] is None:
        return f"{benchmark} is in one round of the store only, v{present[-1]}"
    times = f"{facts['best_speedup']:.2f} ×"
    title = f"{benchmark}, v{present[0]} → v{present[-1]}: the best is {times} as fast at any scale"
    if facts["median_same_submitter"]:
        count = facts["same_submitter_pairs"]
        of = "n = 1" if count == 1 else f"median, n = {count}"
        title += f", like for like of one submitter {facts['median_same_submitter']:.2f} × ({of})"
    return title


def _history(benchmark: str, what: str, present: list[str], every: list[str]) -> list[str]:
    """Say of rounds without the benchmark why they are, where the suite knows."""
    notes = []
    for known_round in ROUNDS:
        for entry in known_round.benchmarks:
            if entry.id == benchmark and entry.replaces:
                notes.append(
                    f"{benchmark} replaces {entry.replaces}: there is no change to tell between the two."
                )
        for gone in known_round.retired:
            if gone.id == benchmark:
                notes.append(
                    f"{benchmark} was retired after v{gone.last_round}; {gone.replaced_by} replaced it."
                )
    if not notes:
        notes = [
            f"{step.id} {'goes on as what was' if step.continues else 'took the place of'} {step.earlier}: "
            f"{step.why}."
            for step in SUCCESSIONS
            if benchmark in (step.id, step.earlier)
        ]
    missing = [f"v{number}" for number in every if number not in present]
    if missing:
        notes.append(f"No result of {what} in {', '.join(missing)}.")
    return notes


def breaks(benchmark: str, present: list[str]) -> list[str]:
    """Say where the target changed: figures over such a change compare two tasks."""
    targets = [official_targets(find_round(number), benchmark) for number in present]
    return [
        f"Not the same task: the target of {benchmark} was {' and '.join(map(str, old))} in v{before} and is "
        f"{' and '.join(map(str, new))} in v{after}."
        for (before, old), (after, new) in pairwise(zip(present, targets, strict=True))
        if old != new
    ]


def _best(newest: list[Row]) -> list[str]:
    notes = [
        f"The best of both rounds are not like for like. {row['reasons']}"
        for row in newest
        if row["kind"] == "best" and not row["like_for_like"]
    ]
    again = [row for row in newest if row["kind"] == SAME_SUBMITTER and row["same_runs"]]
    if again:
        labels = "; ".join(row["label"] for row in again)
        notes.append(f"The same runs were entered in both rounds, so nothing was run anew: {labels}.")
    scaled = [row["label"] for row in again if abs(row["speedup"] - row["speedup_of_runs"]) > 1e-9]
    if scaled:
        notes.append(f"Of these, only the RCP scaling factor changed the score: {'; '.join(scaled)}.")
    return notes


def _more(traced: list[Any]) -> dict[str, Table]:
    if not traced:
        return {}
    rows = [
        {"claim": claim.reference, "claimed": claim.speedup} | row
        for claim, answer in traced
        for row in answer
    ]
    columns = [
        Column("claim", "Claim about", detail=True),
        Column("claimed", "Claimed", "number", "×", detail=True),
        *CANDIDATES,
    ]
    split = [part for _, answer in traced for part in answer.more["split"]]
    return {
        "claims": Table(title="Earlier results that a claim may be against", columns=columns, rows=rows),
        "split": Table(
            title="Speed-up over earlier results at the same count, by part",
            columns=traced[0][1].more["split"].columns,
            rows=split,
        ),
    }


def _slopes(answer: Answer) -> dict[str, Any]:
    rounds = answer.facts["rounds"]
    if len(rounds) < 2:
        raise PitboardError(f"{answer.title}, so there is no change to draw.")
    pairs = [r for r in answer.rows if (r["round_before"], r["round_after"]) == (rounds[0], rounds[-1])]
    same = [row for row in pairs if row["kind"] == SAME_SUBMITTER]
    chosen = [row for row in pairs if row["kind"] == "best"] + (same or pairs[1:])
    rows = [
        {
            "label": f"{row['label']} (any count)" if row["kind"] == "best" else row["label"],
            "round": f"v{row[f'round_{side}']}",
            "minutes": row[f"minutes_{side}"],
            "accelerator": row[f"accelerator_{side}"],
            "like_for_like": not _not_progress(row),
            "unlike": _not_progress(row),
        }
        for row in chosen
        for side in ("before", "after")
    ]
    return {"rows": rows}


def _not_progress(row: Row) -> str:
    """Say in a word why a pair's change is not one of its software: nothing where it may be."""
    if row["same_runs"]:
        return "the same runs"
    if row["accelerator_before"] != row["accelerator_after"]:
        return "other accelerator"
    if row["accelerators_before"] != row["accelerators_after"]:
        return "other count"
    return "" if row["like_for_like"] else "not like for like"


QUESTION = Question(
    ask=rounds,
    order=5,
    summary=("Show what changed from round to round: the best, and like for like; published claims traced"),
    about=(
        "How much faster did a benchmark get since an earlier round? A row is a pair of results from "
        "two rounds: the fastest of all, and the fastest with the same submitter, accelerator and "
        "count. like_for_like says whether more than the round differs; same_runs, whether one set of "
        "runs was entered twice."
    ),
    example={"benchmark": "llama2_70b_lora"},
    options=(
        BENCHMARK,
        Option("since", "The first round.", otherwise="the last but one", column="round"),
        SUBMITTER,
        ACCELERATOR,
        PRECISION,
        SOFTWARE,
    ),
    charts=(
        Chart("rounds", _slopes, "Minutes in both rounds, a line for each pair of results, fastest first"),
    ),
)
