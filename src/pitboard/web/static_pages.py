"""The pages that are others where the site is files: the table and the comparison, made by a script of ours.

Every table is there without the script, too: one of each round, and of each benchmark of a round.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from pitboard.results.answer import Answer
from pitboard.results.find import latest_round, reference, rounds_of
from pitboard.results.likeness import ASPECTS
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.results.view import view
from pitboard.text import printable
from pitboard.web import asking
from pitboard.web.compare_page import MOST
from pitboard.web.rendering import Page, render
from pitboard.web.routes import store_of

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_HELD = "select round, benchmark, count(*) as results from results where not own group by all order by all"
# How far the runs of a result lie apart, and the quality that they raced to.
_MORE = """select round, submitter, system, benchmark, any_value(r.target) as target,
  min(runs.minutes) filter (runs.counted) as fastest, max(runs.minutes) filter (runs.counted) as slowest
from results r left join runs using (round, submitter, system, benchmark)
where round = $round and not r.own group by all"""


@router.get("/results")
def newest(request: Request) -> HTMLResponse:
    """The table of the newest round, which the script filters, sorts and changes to another round's."""
    store = store_of(request)
    return render(request, _table(store, latest_round(store), None))


@router.get("/results/{round}")
def of_round(request: Request, round: str) -> HTMLResponse:
    """The table of a round."""
    return render(request, _table(store_of(request), round, None))


@router.get("/results/{round}/{benchmark}")
def of_benchmark(request: Request, round: str, benchmark: str) -> HTMLResponse:
    """The table of a benchmark in a round."""
    return render(request, _table(store_of(request), round, benchmark))


def _table(store: Store, round: str, benchmark: str | None) -> Page:
    answer = _entries(store, round, benchmark)
    shown = view(answer, sort="minutes" if benchmark else "")
    return Page(
        "static_results.html",
        {
            "answer": shown,
            "round": round,
            "benchmark": benchmark,
            "most_picks": MOST,
            "tables": _tables(store),
        },
    )


def _entries(store: Store, round: str, benchmark: str | None = None) -> Answer:
    values = {"round": round} | ({"benchmark": benchmark} if benchmark else {})
    return asking.ask(store, "entries", values)


def _tables(store: Store) -> dict[str, list[str]]:
    """Return the benchmarks of each round, the newest round first."""
    found: dict[str, list[str]] = {round: [] for round in reversed(rounds_of(store))}
    for row in store.rows(_HELD):
        found[str(row["round"])].append(str(row["benchmark"]))
    return found


@router.get("/compare")
def compare(request: Request) -> HTMLResponse:
    """Up to six results, which the address names and the script puts side by side."""
    values = {"tables": _tables(store_of(request)), "most_picks": MOST}
    return render(request, Page("static_compare.html", values))


@router.get("/data")
def data(request: Request) -> HTMLResponse:
    """What there is as files, and what needs a server."""
    return render(request, Page("static_data.html", {"tables": _tables(store_of(request))}))


@router.get("/data/{round}.json")
def columns(request: Request, round: str) -> Response:
    """All results of a round, a column a list: what the script reads, and anybody may."""
    store = store_of(request)
    if round not in rounds_of(store):
        raise HTTPException(404)
    answer = _entries(store, round)
    more = {reference(row): row for row in store.rows(_MORE, {"round": round})}
    of_rows = [more[row["reference"]] for row in answer.rows]
    found = _columnar(answer) | {
        name: [row[name] for row in of_rows] for name in ("target", "fastest", "slowest")
    }
    found["aspects"] = [
        {
            "name": aspect.name,
            "because": aspect.because,
            "values": [aspect.value(row) for row in answer.rows],
        }
        for aspect in ASPECTS
    ]
    return Response(msgspec.json.encode(found), media_type="application/json")


def _columnar(answer: Answer) -> Row:
    """Return an answer by columns; of texts each value once, with its number in every row."""
    columns = []
    for column in answer.columns:
        made: dict[str, Any] = {
            "name": column.name,
            "heading": printable(column.heading),
            "kind": column.kind,
            "digits": column.digits,
            "detail": column.detail,
        }
        values = [row[column.name] for row in answer.rows]
        if column.kind == "text":
            known = list(dict.fromkeys(values))
            at = {value: number for number, value in enumerate(known)}
            made |= {"texts": [value and printable(str(value)) for value in known]}
            values = [at[value] for value in values]
        if column.mark:
            made["marks"] = [row.get(column.mark) or "" for row in answer.rows]
        columns.append(made | {"values": values})
    return {
        "title": answer.title,
        "definition": answer.definition,
        "notes": answer.notes,
        "rows": len(answer.rows),
        "columns": columns,
    }


@router.get("/404.html")
def missing(request: Request) -> HTMLResponse:
    """What a server of files shows where there is no such file."""
    return render(request, Page("static_404.html", {}))
