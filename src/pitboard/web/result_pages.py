"""The pages of results: one system, two results side by side, the rounds."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import HTTPException

from pitboard.errors import PitboardError, UnknownError, near
from pitboard.results import marks
from pitboard.results.find import latest_round, reference, rounds_of
from pitboard.results.likeness import disclosures
from pitboard.results.questions import question
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.web import asking
from pitboard.web.links import system_address
from pitboard.web.rendering import Page

_BENCHMARKS = "select distinct benchmark from results where not own order by all"
_BY_ROUND = """select benchmark, round, count(*) as results, min(minutes) as fastest
from results where not own group by all"""
_OF_SYSTEM = "where round = $1 and submitter = $2 and system = $3"
_FASTEST = """select *, count(*) over same as entered from results
where round = $round and not own and division = 'closed' and minutes is not null and accelerators is not null
  and availability ilike 'available%'
window same as (partition by benchmark, accelerators)
qualify row_number() over (partition by benchmark, accelerators order by minutes) = 1 and entered > 1
order by benchmark, accelerators"""
_OF_BENCHMARK = """select round, submitter, system, benchmark, accelerators, accelerator, minutes from results
where benchmark = $1 and not own and minutes is not null order by round desc, accelerators, minutes"""


def system(store: Store, round: str, submitter: str, system: str) -> Page:
    """One system: its results, what its description says, its software and where both are public."""
    key: list[object] = [round, submitter, system]
    found = store.rows(f"select * from systems {_OF_SYSTEM}", key)
    own = store.rows(f"select * from results {_OF_SYSTEM} order by benchmark", key)
    if not found and not own:
        raise HTTPException(404, f"The store has no system {round}/{submitter}/{system}.")
    row = found[0] if found else own[0]
    results = [each | {"disclosed": disclosures(each)} for each in marks.tell(store, own)]
    return Page(
        "system.html",
        {
            "system": row,
            "results": results,
            "description": _description(row),
            "links": {
                what: row[name]
                for what, name in (
                    ("Code", "code_url"),
                    ("Logs", "results_url"),
                    ("Description", "system_url"),
                )
                if row.get(name)
            },
            "stack": asking.section(store, "stack", a=f"{round}/{submitter}/{system}"),
        },
    )


def _description(row: Row) -> dict[str, str]:
    """Give the description's fields with what was written in them; the empty ones are left out."""
    text = row.get("description")
    fields = msgspec.json.decode(text) if text else {}
    written = {name: _written(value) for name, value in fields.items()} if isinstance(fields, dict) else {}
    return {name: value for name, value in written.items() if value.strip()}


def _written(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_written(part)}" for name, part in value.items())
    return ", ".join(map(_written, value)) if isinstance(value, list) else str(value)


def compare(store: Store, query: Mapping[str, str]) -> tuple[Page, int]:
    """Two results side by side, with what is not like for like first; and the page's status.

    What cannot be compared is said beside the pickers, so that another can be chosen.
    """
    a, b = (query.get(name, "").strip() for name in ("a", "b"))
    normalise = bool(query.get("normalise"))
    page: dict[str, Any] = {
        "a": a,
        "b": b,
        "normalise": normalise,
        "sentence": "",
        "status": 200,
        "sections": [],
    }
    page |= _pickers(store, query.get("benchmark", "").strip(), (a, b))
    if a and b:
        try:
            page["sections"] = _compared(store, a, b, normalise)
        except PitboardError as error:
            page["sentence"] = str(error)
            page["status"] = error.status
    return Page("compare.html", page), page["status"]


def _compared(store: Store, a: str, b: str, normalise: bool) -> list[asking.Section]:
    values = {"a": a, "b": b} | ({"normalise": True} if normalise else {})
    further = [asking.section(store, question, a=a, b=b) for question in ("why", "stack")]
    return [asking.present(store, "compare", values), *(part for part in further if part)]


def _pickers(store: Store, benchmark: str, chosen: tuple[str, str]) -> dict[str, Any]:
    """Give the results of one benchmark to choose from: that of the chosen ones, or the one asked for."""
    known = [str(row["benchmark"]) for row in store.rows(_BENCHMARKS)]
    named = [text.rpartition("/")[2] for text in chosen if text]
    benchmark = next((name for name in [benchmark, *named, "llama31_8b", *known] if name in known), "")
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in store.rows(_OF_BENCHMARK, [benchmark]):
        groups.setdefault(str(row["round"]), []).append((reference(row), _label(row)))
    return {"benchmark": benchmark, "benchmarks": known, "groups": groups}


def _label(row: Row) -> str:
    what = f"{row['accelerators'] or '?'} × {row['accelerator'] or 'not stated'}"
    return f"{what} · {row['submitter']} · {row['minutes']:.2f} min · {row['system']}"


def rounds(store: Store) -> Page:
    """The benchmarks, each with the rounds that have it."""
    found = store.rows(_BY_ROUND)
    versions = rounds_of(store)
    table: dict[str, Row] = {}
    for row in found:
        table.setdefault(str(row["benchmark"]), {})[str(row["round"])] = row
    return Page("rounds.html", {"versions": versions, "table": dict(sorted(table.items()))})


def rounds_of_benchmark(store: Store, benchmark: str) -> Page:
    """How one benchmark's results changed from round to round."""
    known = [str(row["benchmark"]) for row in store.rows(_BENCHMARKS)]
    if benchmark not in known:
        raise UnknownError(f"No result has the benchmark '{benchmark:.60}'.{near(benchmark, sorted(known))}")
    return Page(
        "rounds_of_benchmark.html",
        {"benchmark": benchmark, "section": asking.section(store, "rounds", benchmark=benchmark)},
    )


def any_question(store: Store, name: str, query: Mapping[str, str]) -> tuple[Page, int]:
    """Any question by its name: the form that it declares and, once it can be asked, the answer; the status.

    Raises `UnknownError` for a question that there is not.
    """
    asked = question(name)
    page: dict[str, Any] = {"question": asked, "section": None, "sentence": "", "status": 200}
    values: asking.Values = {}
    if query or not asked.required:
        try:
            values = asking.read(name, query)
            page["section"] = asking.present(store, name, values)
        except PitboardError as error:
            page["sentence"] = str(error)
            page["status"] = error.status
    page["fields"] = asking.fields(store, asked, values)
    return Page("question.html", page), page["status"]


def fastest(store: Store) -> dict[str, Any]:
    """The fastest closed result of each benchmark at each count of accelerators that two or more entered.

    Only available systems, and only the newest round: at one count they are like for like.
    """
    rows = store.rows(_FASTEST, {"round": latest_round(store)})
    counts = sorted({row["accelerators"] for row in rows})
    known = marks.of_rounds(store, [latest_round(store)])
    table: dict[str, Row] = {}
    for row in rows:
        cell = row | {
            "mark": "; ".join(known.get(marks.key(row), [])),
            "address": f"{system_address(row['round'], row['submitter'], row['system'])}#{row['benchmark']}",
        }
        table.setdefault(str(row["benchmark"]), {})[row["accelerators"]] = cell
    return {"counts": counts, "table": table}
