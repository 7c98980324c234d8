"""The pages of results: the table and its filters, one system, two results side by side, the rounds."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import HTTPException
from starlette.datastructures import QueryParams

from pitboard.errors import PitboardError, UnknownError, near
from pitboard.results import marks
from pitboard.results.answer import Answer
from pitboard.results.find import reference, rounds_of
from pitboard.results.likeness import disclosures
from pitboard.results.question import Option, as_list
from pitboard.results.questions import question
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.web import asking
from pitboard.web.rendering import Page

FILTERS = ("benchmark", "accelerators", "accelerator", "submitter", "division", "availability")
_CHOICES = f"select distinct {', '.join(FILTERS)} from results where round in $round and not own"
_BENCHMARKS = "select distinct benchmark from results where not own order by all"
_BY_ROUND = """select benchmark, round, count(*) as results, min(minutes) as fastest
from results where not own group by all"""
_OF_SYSTEM = "where round = $1 and submitter = $2 and system = $3"
_OF_BENCHMARK = """select round, submitter, system, benchmark, accelerators, accelerator, minutes from results
where benchmark = $1 and not own and minutes is not null order by round desc, accelerators, minutes"""


def results(store: Store, query: Mapping[str, str]) -> Page:
    """The table of results, filtered and sorted as the query says; that of one benchmark can be compared."""
    values = asking.read("table", query)
    answer = asking.ask(store, "table", values)
    single = answer.parameters["benchmark"]
    benchmark = single if isinstance(single, str) else None
    sort = query.get("sort") or benchmark or "submitter"
    leading = (str(benchmark), "submitter", "accelerator", "accelerators", "system")
    answer.columns.sort(key=lambda column: _place(leading, column.name))
    page: dict[str, Any] = {
        "answer": sorted_by(answer, sort),
        "sort": sort,
        "query": urlencode(values, doseq=True),
        "values": answer.parameters,
        "given": {name: as_list(value) or [] for name, value in answer.parameters.items()},
        "filters": {option.name: option.label for option in _filters()},
        "choices": _choices(store, as_list(answer.parameters["round"]) or []),
        "benchmark": benchmark,
    }
    return Page("results.html", page, "_results.html")


def _filters() -> list[Option]:
    """Give the table's options but the round, those that narrow it most first."""
    options = {option.name: option for option in question("table").options}
    return [options[name] for name in FILTERS]


def _place(leading: tuple[str, ...], name: str) -> int:
    trailing = ("nodes", "availability", "division", "framework")
    return leading.index(name) if name in leading else 9 + (name in trailing)


def tidy(query: Mapping[str, str]) -> str | None:
    """Give the query without the empty values that a form sends, to be shared; `None` if it is that."""
    every = query.multi_items() if isinstance(query, QueryParams) else list(query.items())
    kept = [(name, value) for name, value in every if value.strip()]
    return None if len(kept) == len(every) else urlencode(kept)


def sorted_by(answer: Answer, sort: str) -> Answer:
    """Sort an answer's rows by a column, "-" before its name for descending; what has no value comes last.

    Raises `UnknownError` for a column that the answer does not have.
    """
    name = sort.removeprefix("-")
    if name not in (names := [column.name for column in answer.columns]):
        raise UnknownError(f"There is no column '{name:.60}' to sort by.{near(name, names)}")
    given = [row for row in answer.rows if row[name] is not None]
    given.sort(key=lambda row: _sortable(row[name]), reverse=sort.startswith("-"))
    answer.rows = given + [row for row in answer.rows if row[name] is None]
    return answer


def _sortable(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _choices(store: Store, rounds: list[Any]) -> dict[str, list[Any]]:
    rows = store.rows(_CHOICES, {"round": rounds})
    found = {name: {row[name] for row in rows} - {None} for name in FILTERS}
    return {"round": rounds_of(store)[::-1]} | {name: sorted(found[name], key=_sortable) for name in FILTERS}


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


def rounds_of_benchmark(store: Store, benchmark: str, since: str | None = None) -> Page:
    """How one benchmark's results changed from round to round, by default since the last but one."""
    known = [str(row["benchmark"]) for row in store.rows(_BENCHMARKS)]
    if benchmark not in known:
        raise UnknownError(f"No result has the benchmark '{benchmark:.60}'.{near(benchmark, sorted(known))}")
    return Page(
        "rounds_of_benchmark.html",
        {
            "benchmark": benchmark,
            "section": asking.section(store, "rounds", benchmark=benchmark, since=since),
        },
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
