"""How each benchmark got faster over its life, against a Moore's-law line from its first round."""

from collections import Counter
from datetime import date
from itertools import pairwise
from math import exp, log
from typing import Any

from pitboard.results import facets
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, known, missing_rounds, reference, rounds_of
from pitboard.results.question import (
    ACCELERATOR,
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
from pitboard.stats import geometric_mean
from pitboard.suite import find_round, official_targets
from pitboard.suite.lineage import SUCCESSIONS

DEFINITION = (
    "For each round, the fastest published result of the closed division: at any scale, at 8 accelerators, "
    "and the one of fewest accelerator-hours (time-to-train × accelerators; derived, no official metric). "
    "A speed-up is that of the first round of the series ÷ that of the round. The Moore's-law line doubles "
    "every two years from the first round, by the rounds' publication dates (where only the month is known, "
    "its last day). A series goes on under another name where dataset and target stayed; where either "
    "changed, it ends, and another begins at 1. Ahead of Moore is the speed-up ÷ the line: above 1, the "
    "benchmark outpaced it."
)

SQL = """select round, submitter, system, benchmark, accelerator, accelerators, minutes,
  minutes * accelerators / 60 as hours
from results
where division = 'closed' and not own and minutes is not null
  and ($benchmark is null or benchmark in $names)"""
_FILTERS = ("submitter", "accelerator", "precision", "framework")
_ORDER = "\norder by minutes, submitter, system"

_LOST = """select distinct round, submitter, system, benchmark from incomplete
where not own and what like '%missing%' and benchmark is not null"""

MEASURES = {
    "any": "at any scale",
    "eight": "at 8 accelerators",
    "hours": "per accelerator-hour",
}
"""The three measures of a round, as columns and facts name them."""

_EIGHT = 8
_YEARS_TO_DOUBLE = 2.0
_DAYS = 365.25

COLUMNS = [
    Column("series", "Series"),
    Column("round", "Round"),
    Column("benchmark", "Benchmark", detail=True),
    Column("published", "Published", detail=True),
    Column("minutes_any", "Fastest", "number", "min", 2),
    Column("speedup_any", "Speed-up", "number", "×", 2),
    Column("ahead_any", "Ahead of Moore", "number", "×", 2),
    Column("minutes_eight", "At 8", "number", "min", 2),
    Column("speedup_eight", "Speed-up at 8", "number", "×", 2),
    Column("ahead_eight", "Ahead of Moore at 8", "number", "×", 2),
    Column("years", "Years", "number", "", 2, detail=True),
    Column("moore", "Moore's law", "number", "×", 2, detail=True),
    Column("result_any", "Fastest result", detail=True),
    Column("accelerators_any", "Its accelerators", "integer", detail=True),
    Column("result_eight", "Fastest result at 8", detail=True),
    Column("hours_hours", "Fewest accelerator-hours", "number", "h", 2, detail=True),
    Column("speedup_hours", "Accelerator-hours saved", "number", "×", 2, detail=True),
    Column("ahead_hours", "Ahead of Moore per accelerator-hour", "number", "×", 2, detail=True),
    Column("result_hours", "Result of fewest accelerator-hours", detail=True),
    Column("lost", "Entries without their logs", "integer", detail=True),
]
_OUTCOME = [
    Column("measure", "Measure"),
    Column("series", "Series over two rounds or more", "integer"),
    Column("outpaced", "Outpaced Moore's law by their last", "integer"),
    Column("ever", "In some round", "integer"),
    Column("ahead", "Ahead of Moore, geometric mean", "number", "×", 2),
    Column("a_year", "Speed-up a year, geometric mean", "number", "×", 2),
]


def trend(
    benchmark: str | None = None,
    since: str | None = None,
    submitter: Several = None,
    accelerator: Several = None,
    precision: Several = None,
    software: Several = None,
    *,
    store: Store | None = None,
) -> Answer:
    """Say how each benchmark got faster over its life, against a line that doubles every two years.

    Rows are rounds of a series: a benchmark, and what it was called before, while dataset and target stayed.
    `since` leaves out earlier rounds, so that series begin there; the other filters leave only results that
    any of their values names, such as one accelerator's, which software alone makes faster. `facts`: by
    measure ("any", "eight",
    "hours") how many `series` have two rounds or more, how many of them had `outpaced` the line by their last
    round and how many in some round (`ever`), how far `ahead` they were in the last and their speed-up
    `a_year` (geometric means; `None` without a series).
    `more["outcome"]` has them as a table. Raises `PitboardError` for an unknown benchmark or round.
    """
    store = store or default_store()
    name = known(store, "benchmark", benchmark)
    first = known(store, "round", since)
    have = rounds_of(store)
    begin = have.index(first) if first in have else 0
    names = sorted(_family(name)) if name else [""]
    narrowed = facets.chosen(
        store, submitter=submitter, accelerator=accelerator, precision=precision, software=software
    )
    values: facets.Values = {"benchmark": name, "names": names} | narrowed
    sql = SQL + facets.where(narrowed, _FILTERS) + _ORDER
    found: dict[str, dict[str, list[Row]]] = {}
    for row in store.rows(sql, values):
        if have.index(row["round"]) >= begin:
            found.setdefault(row["benchmark"], {}).setdefault(row["round"], []).append(row)
    series, breaks = _series({each: _in_order(rounds, have) for each, rounds in found.items()})
    lost_ones = _LOST + facets.where(narrowed, ["submitter"])
    lost = Counter((row["round"], row["benchmark"]) for row in store.rows(lost_ones, values))
    rows = [
        row | {"lost": lost[row["round"], row["benchmark"]]} for each in series for row in _rows(each, found)
    ]
    facts = _facts(rows)
    return Answer(
        question="trend",
        title=_title(facts, series, name, facets.words(narrowed, software)),
        definition=DEFINITION,
        sql=sql,
        parameters=values | {"since": first, "software": software},
        columns=COLUMNS,
        rows=rows,
        notes=[
            *breaks,
            *_summary(facts),
            *_begun_short(rows),
            *_missing(missing_rounds(store)),
        ],
        facts=facts,
        more={"outcome": _outcome(facts)},
    )


Step = tuple[str, str]
"""A round, and the benchmark's name in it."""


def _family(name: str) -> set[str]:
    """Return a benchmark's names: its own, and those of which it is the continuation or that continue it."""
    names = {name}
    for _ in SUCCESSIONS:
        for step in SUCCESSIONS:
            if step.continues and {step.id, step.earlier} & names:
                names |= {step.id, step.earlier}
    return names


def _in_order(rounds: dict[str, list[Row]], have: list[str]) -> list[str]:
    return sorted(rounds, key=have.index)


def _series(rounds: dict[str, list[str]]) -> tuple[list[list[Step]], list[str]]:
    """Chain the rounds of each benchmark, and of what goes on under another name; say where they break."""
    chains: dict[str, list[Step]] = {
        name: [(number, name) for number in each] for name, each in rounds.items()
    }
    notes = []
    for step in SUCCESSIONS:
        if step.id in chains and step.earlier in chains:
            if step.continues:
                chains[step.id] = chains.pop(step.earlier) + chains[step.id]
                notes.append(f"{step.earlier} goes on as {step.id}: {step.why}.")
            else:
                notes.append(f"Break: {step.id} took the place of {step.earlier}: {step.why}.")
    series = []
    for chain in chains.values():
        parts = [[chain[0]]]
        for (before, old), (after, new) in pairwise(chain):
            targets = [official_targets(find_round(r), b) for r, b in ((before, old), (after, new))]
            if targets[0] != targets[1]:
                notes.append(
                    f"Break: the target of {new} became {_written(targets[1])} in v{after}; in v{before} it "
                    f"was {_written(targets[0])}."
                )
                parts.append([])
            parts[-1].append((after, new))
        series += parts
    series.sort(key=lambda part: (part[-1][1], part[0][0]))
    return series, notes


def _written(targets: tuple[Any, ...]) -> str:
    return " and ".join(map(str, targets)) or "not stated"


def _rows(series: list[Step], found: dict[str, dict[str, list[Row]]]) -> list[Row]:
    label = _label(series)
    start = _day(series[0][0])
    firsts: dict[str, float] = {}
    rows = []
    for number, name in series:
        entries = found[name][number]
        years = (_day(number) - start).days / _DAYS
        row: Row = {
            "series": label,
            "round": number,
            "benchmark": name,
            "published": find_round(number).published,
            "years": years,
            "moore": 2 ** (years / _YEARS_TO_DOUBLE),
        }
        for measure, (best, unit) in _best(entries).items():
            value = best[unit] if best else None
            if value is not None:
                firsts.setdefault(measure, value)
                # A series whose first rounds have no entry at 8 begins, for that measure, where one has.
                firsts.setdefault(f"{measure} years", years)
            since = years - firsts.get(f"{measure} years", years)
            speedup = firsts[measure] / value if value else None
            row[f"{unit}_{measure}"] = value
            row[f"speedup_{measure}"] = speedup
            row[f"ahead_{measure}"] = speedup and speedup / 2 ** (since / _YEARS_TO_DOUBLE)
            row[f"years_{measure}"] = since
            row[f"result_{measure}"] = reference(best) if best else None
            row[f"accelerators_{measure}"] = best and best["accelerators"]
        rows.append(row)
    return rows


def _best(entries: list[Row]) -> dict[str, tuple[Row | None, str]]:
    """Give the best result by each measure, and the column that it is best in; entries come fastest first."""
    counted = [row for row in entries if row["hours"]]
    return {
        "any": (entries[0], "minutes"),
        "eight": (next((row for row in entries if row["accelerators"] == _EIGHT), None), "minutes"),
        "hours": (min(counted, key=lambda row: float(row["hours"]), default=None), "hours"),
    }


def _label(series: list[Step]) -> str:
    """Name a series: its benchmarks, and its rounds, which tell the parts of one benchmark apart."""
    names = " → ".join(dict.fromkeys(name for _, name in series))
    first, last = series[0][0], series[-1][0]
    return f"{names} (v{first})" if first == last else f"{names} (v{first} to v{last})"


def _day(number: str) -> date:
    day = find_round(number).published_by
    assert day is not None, number  # of a published round
    return day


def _facts(rows: list[Row]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for measure in MEASURES:
        lasts: dict[str, Row] = {}
        ever: set[str] = set()
        for row in rows:
            if row[f"speedup_{measure}"] is not None and row[f"years_{measure}"] > 0:
                lasts[row["series"]] = row
                if row[f"ahead_{measure}"] > 1:
                    ever.add(row["series"])
        ahead = [row[f"ahead_{measure}"] for row in lasts.values()]
        a_year = [exp(log(r[f"speedup_{measure}"]) / r[f"years_{measure}"]) for r in lasts.values()]
        facts[measure] = {
            "series": len(ahead),
            "outpaced": sum(each > 1 for each in ahead),
            "ever": len(ever),
            "ahead": geometric_mean(ahead) if ahead else None,
            "a_year": geometric_mean(a_year) if a_year else None,
        }
    return facts


def _title(facts: dict[str, Any], series: list[list[Step]], name: str | None, said: list[str]) -> str:
    if said:
        return f"{', '.join(said)}: {_title(facts, series, name, [])}"
    whole = facts["any"]
    if not whole["series"]:
        have = "one round only" if series else "no published result of the closed division"
        return f"{name or 'every benchmark'}: {have}, so there is no trend"
    if whole["series"] == 1:
        label = _label(max(series, key=len))
        verb = "outpaced" if whole["outpaced"] else "did not outpace"
        return f"{label} {verb} Moore's law at any scale: {whole['ahead']:.2f} × the line"
    return (
        f"At any scale {whole['outpaced']} of {whole['series']} series of benchmarks outpaced Moore's law; "
        f"at 8 accelerators "
        f"{facts['eight']['outpaced']} of {facts['eight']['series']}"
    )


def _summary(facts: dict[str, Any]) -> list[str]:
    return [
        f"Best {words}: {each['outpaced']} of {each['series']} series of two rounds or more outpaced a "
        f"doubling every two years by their last round, {each['ever']} in some round; they ended at "
        f"{each['ahead']:.2f} × the line and became {each['a_year']:.2f} × as fast a year (geometric means; "
        f"the line: {2 ** (1 / _YEARS_TO_DOUBLE):.2f} ×)."
        for measure, words in MEASURES.items()
        if (each := facts[measure])["series"]
    ]


def _begun_short(rows: list[Row]) -> list[str]:
    """Name the series whose first round lacks entries: what they gained since is at most what is shown."""
    short = [row for row in rows if row["years"] == 0 and row["lost"]]
    if not short:
        return []
    names = "; ".join(f"{row['series']}, {row['lost']}" for row in short)
    return [
        "Entries of a first round whose logs this copy lacks may have been faster, so that the speed-ups of "
        f"their series may be too large: {names}."
    ]


def _missing(missing: list[str]) -> list[str]:
    if not missing:
        return []
    return [f"Not in the store, and so not in the trend: v{', v'.join(missing)}."]


def _outcome(facts: dict[str, Any]) -> Table:
    rows = [{"measure": f"Best {words}"} | facts[measure] for measure, words in MEASURES.items()]
    return Table(title="Series against Moore's law, by their last round", columns=_OUTCOME, rows=rows)


def _lines(measure: str) -> Any:
    def data(answer: Answer) -> dict[str, Any]:
        several = {row["series"] for row in answer.rows if row[f"years_{measure}"] > 0}
        rows = [
            {"series": row["series"], "years": row[f"years_{measure}"], "speedup": row[f"speedup_{measure}"]}
            for row in answer.rows
            if row["series"] in several and row[f"speedup_{measure}"] is not None
        ]
        rounds = [row["round"] for row in answer.rows if row["series"] in several]
        rounds.sort(key=_day)
        of = f"v{rounds[0]} to v{rounds[-1]}" if rounds else "one round only"
        shown = {each: answer.parameters[each] for each in ("benchmark", *_FILTERS)}
        name = ", ".join(facets.words(shown, answer.parameters["software"]))
        said = f"{f'{name}: speed-up' if name else 'Speed-up'} of the best {MEASURES[measure]}, {of}"
        return {"rows": rows, "title": f"{said}, against Moore's law"}

    return data


QUESTION = Question(
    ask=trend,
    order=6,
    summary="Show how benchmarks got faster over all rounds, against Moore's law",
    about=(
        "How did benchmarks get faster over all rounds, against a line that doubles every two years? "
        "A row is a round of a series: a benchmark and what it was called before, while data set and "
        "target stayed. Facts count the series that were faster than the line."
    ),
    example={"benchmark": "llama2_70b_lora"},
    options=(
        Option("benchmark", "Only this benchmark.", otherwise="all", column="benchmark"),
        Option(
            "since", "The round that series begin with.", otherwise="the first", column="round", also="from"
        ),
        SUBMITTER,
        ACCELERATOR,
        PRECISION,
        SOFTWARE,
    ),
    charts=(
        Chart("trend", _lines("any"), "Speed-up over years at any scale, a line for each benchmark"),
        Chart("trend_eight", _lines("eight"), "The same at 8 accelerators", form="trend"),
        Chart("trend_hours", _lines("hours"), "The same per accelerator-hour", form="trend"),
    ),
)
