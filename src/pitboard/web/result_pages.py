"""The pages of results: the table and its filters, the rounds, and any question."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from pitboard.errors import PitboardError, UnknownError, near
from pitboard.results import marks
from pitboard.results.answer import Answer
from pitboard.results.find import latest_round, reference, rounds_of
from pitboard.results.question import Option, as_list
from pitboard.results.questions import question
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.web import asking
from pitboard.web.links import result_address
from pitboard.web.rendering import Page

FILTERS = ("benchmark", "accelerators", "accelerator", "submitter", "division", "availability")
_CHOICES = f"select distinct {', '.join(FILTERS)} from results where round in $round and not own"
_BENCHMARKS = "select distinct benchmark from results where not own order by all"
_BY_ROUND = """select benchmark, round, count(*) as results, min(minutes) as fastest
from results where not own group by all"""
_FASTEST = """select *, count(*) over same as entered from results
where round = $round and not own and division = 'closed' and minutes is not null and accelerators is not null
  and availability ilike 'available%'
window same as (partition by benchmark, accelerators)
qualify row_number() over (partition by benchmark, accelerators order by minutes) = 1 and entered > 1
order by benchmark, accelerators"""


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
            "address": result_address(reference(row)),
        }
        table.setdefault(str(row["benchmark"]), {})[row["accelerators"]] = cell
    return {"counts": counts, "table": table}
