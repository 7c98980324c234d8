"""Who entered a round, with what, and what changed against the round before."""

from collections import Counter
from itertools import takewhile
from typing import Any

from pitboard.results import own
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, known, latest_round, rounds_of
from pitboard.results.organisations import one_name
from pitboard.results.question import ROUND, WITH_OWN, Question
from pitboard.results.schema import Row
from pitboard.results.store import Store

DEFINITION = (
    "An organisation is the submitter that a system description names, so a joint entry in another "
    "submitter's folder is one of its own; a system is a distinct pair of organisation and system name "
    "with a result. A multi-node result is of more than one node. First-timers are organisations that no "
    "earlier round in the store has, under any of their known names."
)

SQL = f"""select organisation, submitter, system_name, benchmark, division, availability, nodes, accelerator,
  accelerators
from results where round = $round
  and {own.SHOWN}
order by all"""

_BEFORE = f"select distinct round, organisation from results where {own.SHOWN}"

_ORGANISATIONS = [
    Column("organisation", "Organisation"),
    Column("first_timer", "First time", "boolean"),
    Column("systems", "Systems", "integer"),
    Column("results", "Results", "integer"),
    Column("benchmarks", "Benchmarks"),
    Column("accelerators", "Accelerators"),
    Column("largest", "Largest", "integer", "accelerators"),
    Column("multi_node", "Multi-node", "integer", "results"),
]
_CHANGE = [
    Column("figure", "Figure"),
    Column("before", "Before", "number", "", 0),
    Column("now", "Now", "number", "", 0),
    Column("change", "Change", "number", "", 0),
]


def roster(round: str | None = None, with_own: bool = False, *, store: Store | None = None) -> Answer:
    """Give a round's organisations, one a row, and in `facts` the round's counts; `more` holds the change.

    `facts`: organisations, systems, results, first_timers, multi_node_share (0 to 1 of results), largest.
    `more`: "change" against the round before (where the store has it), "benchmarks" and "accelerators" with
    their results. `with_own` counts what the user added, too. Raises `PitboardError` for a round that the
    store does not have.
    """
    store = store or default_store()
    round = known(store, "round", round) or latest_round(store)
    earlier = list(takewhile(lambda other: other != round, rounds_of(store)))
    entries = store.rows(SQL, {"round": round, "with_own": with_own})
    before = {
        one_name(row["organisation"])
        for row in store.rows(_BEFORE, {"with_own": with_own})
        if row["round"] in earlier
    }
    rows = _organisations(entries, before if earlier else None)
    last = store.rows(SQL, {"round": earlier[-1], "with_own": with_own}) if earlier else []
    facts = _facts(entries) | {"first_timers": [row["organisation"] for row in rows if row["first_timer"]]}
    systems, organisations = facts["systems"], facts["organisations"]
    return Answer(
        question="roster",
        title=f"MLPerf Training v{round}: {systems} systems from {organisations} organisations",
        definition=DEFINITION,
        sql=SQL,
        parameters={"round": round, "with_own": with_own},
        columns=_ORGANISATIONS,
        rows=rows,
        notes=[*own.notes(with_own), *_notes(facts, earlier)],
        facts=facts,
        more=_more(entries, last, earlier),
    )


def _organisations(entries: list[Row], before: set[str] | None) -> list[Row]:
    groups: dict[str, list[Row]] = {}
    for row in entries:
        groups.setdefault(row["organisation"], []).append(row)
    return [
        {
            "organisation": name,
            "first_timer": None if before is None else _new(name, before),
            "systems": len({row["system_name"] for row in group}),
            "results": len(group),
            "benchmarks": ", ".join(sorted({row["benchmark"] for row in group})),
            "accelerators": ", ".join(sorted({row["accelerator"] or "not stated" for row in group})),
            "largest": max((row["accelerators"] or 0 for row in group), default=None),
            "multi_node": sum((row["nodes"] or 0) > 1 for row in group),
        }
        for name, group in sorted(groups.items(), key=lambda item: item[0].casefold())
    ]


def _new(name: str, before: set[str]) -> bool:
    """Say whether an organisation is new; a joint entry ("A_B", "A+B") of known ones is not."""
    if one_name(name) in before:
        return False
    partners = name.replace("+", "_").split("_")
    return len(partners) < 2 or not all(one_name(partner) in before for partner in partners)


def _facts(entries: list[Row]) -> dict[str, Any]:
    return {
        "organisations": len({row["organisation"] for row in entries}),
        "systems": len({(row["organisation"], row["system_name"]) for row in entries}),
        "results": len(entries),
        "multi_node_share": sum((row["nodes"] or 0) > 1 for row in entries) / max(len(entries), 1),
        "largest": max((row["accelerators"] or 0 for row in entries), default=0),
    }


def _notes(facts: dict[str, Any], earlier: list[str]) -> list[str]:
    notes = [
        f"{facts['multi_node_share']:.0%} of {facts['results']} results are of more than one node; the "
        f"largest system has {facts['largest']:,} accelerators.",
    ]
    if not earlier:
        return [*notes, "The store has no earlier round: first-timers and changes cannot be told."]
    first = ", ".join(facts["first_timers"]) or "none"
    notes.append(f"First-timers against v{', v'.join(earlier)}: {first}. Older rounds are not in the store.")
    return notes


def _more(entries: list[Row], last: list[Row], earlier: list[str]) -> dict[str, Table]:
    more = {
        "benchmarks": _counts(entries, last, "benchmark", "Benchmark"),
        "accelerators": _counts(entries, last, "accelerator", "Accelerator"),
    }
    if earlier:
        now, then = _facts(entries), _facts(last)
        shares = {"multi_node_share": "multi-node share of results, %"}
        rows = [
            {
                "figure": shares.get(name, name if name != "largest" else "largest system, accelerators"),
                "before": then[name] * (100 if name in shares else 1),
                "now": now[name] * (100 if name in shares else 1),
                "change": (now[name] - then[name]) * (100 if name in shares else 1),
            }
            for name in now
        ]
        more["change"] = Table(title=f"Change against v{earlier[-1]}", columns=_CHANGE, rows=rows)
    return more


def _counts(entries: list[Row], last: list[Row], name: str, title: str) -> Table:
    now, then = (Counter(row[name] or "not stated" for row in rows) for rows in (entries, last))
    rows = [
        {"figure": key, "before": then[key], "now": now[key], "change": now[key] - then[key]}
        for key in sorted(now.keys() | then.keys())
    ]
    return Table(title=f"Results by {title.casefold()}", columns=_CHANGE, rows=rows)


QUESTION = Question(
    ask=roster,
    order=8,
    summary="Show who entered a round, with what, and what changed since the round before",
    options=(ROUND, WITH_OWN),
)
