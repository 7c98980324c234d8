"""Who entered a round, with what, and what changed against the round before, or an earlier one."""

from collections import Counter
from itertools import takewhile
from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import facets, own
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, known, latest_round, missing_rounds, rounds_of
from pitboard.results.organisations import one_name
from pitboard.results.question import (
    ACCELERATOR,
    AVAILABILITY,
    DIVISION,
    ONLY_BENCHMARK,
    PRECISION,
    ROUND,
    SOFTWARE,
    WITH_OWN,
    Option,
    Question,
    Several,
)
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.suite.lineage import GENERATIVE, SUCCESSIONS

DEFINITION = (
    "An organisation is the submitter that a system description names, so a joint entry in another "
    "submitter's folder is one of its own; a system is a distinct pair of organisation and system name "
    "with a result. A multi-node result or system is of more than one node. Generative benchmarks train or "
    "fine-tune a model that generates text or pictures. First-timers are organisations that no "
    "earlier round in the store has, under any of their known names and with whatever entry; the notes name "
    "these rounds, and those that are missing."
)

SQL = f"""select organisation, submitter, system, system_name, benchmark, division, availability, nodes,
  accelerator, accelerators
from results where round = $round
  and {own.SHOWN}"""
_FILTERS = ("benchmark", "division", "availability", "accelerator", "precision", "framework")
_ORDER = "\norder by all"

_BEFORE = f"select distinct round, organisation from results where {own.SHOWN}"

_ORGANISATIONS = [
    Column("organisation", "Organisation"),
    Column("results", "Results", "integer"),
    Column("systems", "Systems", "integer"),
    Column("multi_node", "Multi-node", "integer", "results"),
    Column("largest", "Largest", "integer", "accelerators"),
    Column("first_timer", "First time", "boolean"),
    Column("accelerators", "Accelerators"),
    Column("benchmarks", "Benchmarks"),
]
_CHANGE = [
    Column("before", "Before", "number", "", 1),
    Column("now", "Now", "number", "", 1),
    Column("change", "Change", "number", "", 1),
]
_FIGURES = {
    "multi_node_systems": "multi-node systems, by folder",
    "multi_node_results": "multi-node results",
    "multi_node_share": "multi-node share of results, %",
    "generative_share": "generative benchmarks' share of results, %",
    "accelerator_models": "accelerator models",
    "largest": "largest system, accelerators",
}


def roster(
    round: str | None = None,
    against: str | None = None,
    benchmark: Several = None,
    division: Several = None,
    availability: Several = None,
    accelerator: Several = None,
    precision: Several = None,
    software: Several = None,
    with_own: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Give a round's organisations, one a row, and in `facts` the round's counts; `more` holds the change.

    `facts`: organisations, systems, results, multi_node_systems (by folder: one name may stand for several
    sizes), multi_node_results, multi_node_share and generative_share (0 to 1 of results, `None` where there
    are none), accelerator_models, largest, first_timers, and `before` with the same of the round that it is
    set against. `more`: "change" against the round before (the latest that the store has, or `against`),
    "benchmarks" and "accelerators" with their results. The filters leave only entries that any of their
    values names, of both rounds; an organisation enters for the first time whatever they say. `with_own`
    counts what the user added, too. Raises `PitboardError` for a round or a value that the store does not
    have, and for a round to set it against that is not earlier.
    """
    store = store or default_store()
    round = known(store, "round", round) or latest_round(store)
    against = known(store, "round", against)
    earlier = list(takewhile(lambda other: other != round, rounds_of(store)))
    narrowed = facets.chosen(
        store,
        benchmark=benchmark,
        division=division,
        availability=availability,
        accelerator=accelerator,
        precision=precision,
        software=software,
    )
    sql = SQL + facets.where(narrowed, _FILTERS) + _ORDER
    values = {"round": round, "with_own": with_own} | narrowed
    entries = store.rows(sql, values)
    before = {
        one_name(row["organisation"])
        for row in store.rows(_BEFORE, {"with_own": with_own})
        if row["round"] in earlier
    }
    rows = _organisations(entries, before if earlier else None)
    if against is not None and against not in earlier:
        raise PitboardError(
            f"Round {round} is set against an earlier one, not {against}: "
            f"the store has {', '.join(earlier) or 'none'}."
        )
    other = against or (earlier[-1] if earlier else None)
    last = store.rows(sql, values | {"round": other}) if other else []
    facts = _facts(entries) | {
        "first_timers": [row["organisation"] for row in rows if row["first_timer"]],
        "before": _facts(last) | {"round": other} if other else None,
    }
    return Answer(
        question="roster",
        title=_title([f"v{round}", *facets.words(narrowed, software)], facts, asked=against is not None),
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=_ORGANISATIONS,
        rows=rows,
        notes=[
            *own.notes(with_own),
            *lines_and_systems(entries),
            *_notes(facts, earlier, missing_rounds(store, round)),
            *_renamed(entries, last),
        ],
        facts=facts,
        more=_more(entries, last, round, other),
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


def lines_and_systems(entries: list[Row]) -> list[str]:
    """Return the note of why systems are fewer than lines of the official table; none where they are not.

    Each of `entries` has its organisation, submitter, system and system_name.
    """
    folders: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for row in entries:
        system = (row["organisation"], row["system_name"])
        folders.setdefault(system, set()).add((row["submitter"], row["system"]))
    lines = len(set().union(*folders.values()))
    if lines == len(folders):
        return []
    (organisation, name), most = max(folders.items(), key=lambda item: len(item[1]))
    return [
        f"{len(folders)} systems by the names in their descriptions, which is how MLCommons counts, are "
        f"{lines} lines of the official table: a system entered at several sizes or with several software "
        f"stacks has a folder for each, as {organisation}'s {name} has {len(most)}."
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
        "multi_node_systems": len(
            {(row["submitter"], row["system"]) for row in entries if (row["nodes"] or 0) > 1}
        ),
        "multi_node_results": sum((row["nodes"] or 0) > 1 for row in entries),
        "multi_node_share": _share([(row["nodes"] or 0) > 1 for row in entries]),
        "generative_share": _share([row["benchmark"] in GENERATIVE for row in entries]),
        "accelerator_models": len({row["accelerator"] for row in entries if row["accelerator"]}),
        "largest": max((row["accelerators"] or 0 for row in entries), default=0),
    }


def _share(among: list[bool]) -> float | None:
    """Return the share of results that are among those meant; nothing is no share of nothing."""
    return sum(among) / len(among) if among else None


def _title(of: list[str], facts: dict[str, Any], *, asked: bool) -> str:
    systems, organisations = (
        f"{facts[name]} {name.removesuffix('s') if facts[name] == 1 else name}"
        for name in ("systems", "organisations")
    )
    title = f"MLPerf Training {', '.join(of)}: {systems} from {organisations}"
    if not asked:
        return title
    now, then = facts["multi_node_results"], facts["before"]["multi_node_results"]
    return f"{title}; against v{facts['before']['round']}, {now} multi-node results instead of {then}"


def _notes(facts: dict[str, Any], earlier: list[str], missing: list[str]) -> list[str]:
    notes = []
    if facts["results"]:
        notes.append(
            f"{facts['multi_node_share']:.0%} of {facts['results']} results are of more than one node; the "
            f"largest system has {facts['largest']:,} accelerators."
        )
    if not earlier:
        return [*notes, "The store has no earlier round: first-timers and changes cannot be told."]
    first = ", ".join(facts["first_timers"]) or "none"
    unknown = f"v{', v'.join(missing)}" if missing else ""
    notes.append(
        f"First-timers against v{', v'.join(earlier)}: {first}."
        + (f" Not in the store: {unknown}; who entered only those counts as new." if unknown else "")
    )
    return notes


def _renamed(entries: list[Row], last: list[Row]) -> list[str]:
    """Say which benchmarks are the same under another name, where the tables count both."""
    now, then = ({row["benchmark"] for row in rows} for rows in (entries, last))
    return [
        f"{step.earlier} goes on as {step.id}: {step.why}."
        for step in SUCCESSIONS
        if step.continues and step.id in now - then and step.earlier in then - now
    ]


def _more(entries: list[Row], last: list[Row], round: str, other: str | None) -> dict[str, Table]:
    against = f", v{round} against v{other}" if other else ""
    counts = {
        f"{name}s": _counts(entries, last, name, f"Results by {name}{against}")
        for name in ("benchmark", "accelerator")
    }
    if not other:
        return counts
    now, then = _facts(entries), _facts(last)
    rows = []
    for name in now:
        scale = 100 if name.endswith("_share") else 1
        was, has = (None if facts[name] is None else facts[name] * scale for facts in (then, now))
        change = None if was is None or has is None else has - was
        rows.append({"figure": _FIGURES.get(name, name), "before": was, "now": has, "change": change})
    change = Table(
        title=f"v{round} against v{other}", columns=[Column("figure", "Figure"), *_CHANGE], rows=rows
    )
    return {"change": change, **counts}


def _counts(entries: list[Row], last: list[Row], name: str, title: str) -> Table:
    now, then = (Counter(row[name] or "not stated" for row in rows) for rows in (entries, last))
    rows = [
        {"figure": key, "before": then[key], "now": now[key], "change": now[key] - then[key]}
        for key in sorted(now.keys() | then.keys())
    ]
    return Table(title=title, columns=[Column("figure", name.capitalize()), *_CHANGE], rows=rows)


QUESTION = Question(
    ask=roster,
    order=8,
    summary="Show who entered a round, with what, and what changed since the round before",
    about=(
        "Who entered a round, and what changed since an earlier one? A row is an organisation. Facts "
        "count systems, results, accelerator models and those on more than one node; the table change "
        "sets them against the earlier round."
    ),
    options=(
        ROUND,
        Option(
            "against", "The earlier round to set it against.", otherwise="the round before", column="round"
        ),
        ONLY_BENCHMARK,
        DIVISION,
        AVAILABILITY,
        ACCELERATOR,
        PRECISION,
        SOFTWARE,
        WITH_OWN,
    ),
)
