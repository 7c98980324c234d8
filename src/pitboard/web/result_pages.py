"""The pages of what changed from round to round, and of any question."""

from collections.abc import Mapping
from typing import Any

from pitboard.errors import PitboardError, UnknownError, near
from pitboard.results.find import benchmarks_of, rounds_of
from pitboard.results.questions import question
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.web import asking
from pitboard.web.rendering import Page

_BY_ROUND = """select benchmark, round, count(*) as results, min(minutes) as fastest
from results where not own group by all"""


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
    known = benchmarks_of(store)
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
    page["highlights"] = []
    values: asking.Values = {}
    if query or not asked.required:
        try:
            values = asking.read(name, query)
            section = asking.present(store, name, values)
            (page["section"],), page["highlights"] = asking.highlighted([section], query.get("highlight", ""))
        except PitboardError as error:
            page["sentence"] = str(error)
            page["status"] = error.status
    page["fields"] = asking.fields(store, asked, values)
    return Page("question.html", page), page["status"]
