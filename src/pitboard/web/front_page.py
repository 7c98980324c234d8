"""What a round shows: its front page, its precisions, and the claims that were made about the rounds."""

from typing import Any
from urllib.parse import quote, urlencode

from fastapi import HTTPException

from pitboard.results.find import latest_round, rounds_of
from pitboard.results.questions.claims import NOT, PARTLY, SUPPORTED
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.web import asking
from pitboard.web.links import result_address
from pitboard.web.rendering import Page

_FIRST = ("gains", "gain", "precision", "paid", "scaling", "multi_node", "new", "first", "moore", "again")
"""The findings in the order in which the page shows them; what is fastest has a table of its own."""

_HEADINGS = {
    "gains": "Gains, like for like",
    "precision": "Low precision",
    "scaling": "Scaling",
    "multi_node": "More than one node",
    "new": "Benchmarks",
    "first": "First-timers",
    "moore": "Over the years",
    "again": "Entered again",
}
_CHARTS = {
    "gains": "gains",
    "precision": "low_precision",
    "scaling": "scaling",
    "multi_node": "multi_node",
    "new": "new",
    "moore": "moore",
}
_TOGETHER = {"gain": "gains", "paid": "precision"}
_VERDICTS = {SUPPORTED: "good", PARTLY: "warn", NOT: "bad"}


def front(store: Store, round: str | None = None) -> Page:
    """What a round shows, the newest by default; one that the store does not have is not found."""
    shown = _round(store, round)
    found = asking.section(store, "findings", round=shown)
    values: dict[str, Any] = {
        "round": shown,
        "rounds": rounds_of(store)[::-1],
        "roster": asking.section(store, "roster", round=shown),
        "found": found,
        "cards": [],
        "fastest": {},
    }
    if found and found.answer:
        newest = shown == latest_round(store)
        values["cards"] = _cards(found, newest)
        values["fastest"] = _matrix(found.answer.more["fastest"].rows)
        values["fastest_sentence"] = next(
            (row["sentence"] for row in found.answer.rows if row["finding"] == "fastest"), ""
        )
    return Page("front.html", values)


def precision(store: Store, round: str | None = None) -> Page:
    """Who states which number format in a round, and what it cost in samples."""
    shown = _round(store, round)
    return Page(
        "precision.html",
        {
            "round": shown,
            "rounds": rounds_of(store)[::-1],
            "section": asking.section(store, "formats", round=shown),
        },
    )


def claims(store: Store) -> Page:
    """What was said in public about the rounds, each with its verdict and its evidence."""
    section = asking.section(store, "claims")
    rows = section.answer.rows if section and section.answer else []
    return Page(
        "claims.html",
        {
            "section": section,
            "rows": [
                row
                | {
                    "colour": _VERDICTS.get(row["verdict"], ""),
                    "to": row["address"] and _table_of(row["address"]),
                }
                for row in rows
            ],
        },
    )


def _round(store: Store, round: str | None) -> str:
    if round is not None and round not in rounds_of(store):
        have = ", ".join(rounds_of(store))
        raise HTTPException(404, f"The store has no published round '{round:.20}'. It has {have}.")
    return round or latest_round(store)


def _cards(found: asking.Section, newest: bool) -> list[dict[str, Any]]:
    """Give the findings as cards: a heading, sentences each with its caveat and evidence, and a chart."""
    assert found.answer is not None
    drawn = {chart.name: chart for chart in found.charts}
    cards: dict[str, dict[str, Any]] = {}
    shown = [row for row in found.answer.rows if row["finding"] in _FIRST]
    for row in sorted(shown, key=lambda row: _FIRST.index(row["finding"])):
        name = _TOGETHER.get(str(row["finding"])) or str(row["finding"])
        chart = drawn.get(_CHARTS.get(name, ""))
        card = cards.setdefault(
            name, {"name": name, "heading": _HEADINGS[name], "chart": chart, "findings": []}
        )
        card["findings"].append(row | {"to": _evidence(row, newest)})
    return list(cards.values())


def _evidence(row: Row, newest: bool) -> str:
    """Give the page that shows a finding best: one of ours where there is one, else the question's own."""
    options = row["options"]
    round, benchmark = str(options.get("round", "")), quote(str(options.get("benchmark", "")), safe="")
    if row["question"] == "rounds":  # the newest round against the one before is what that page shows
        return f"/rounds/{benchmark}" + ("" if newest else "?" + urlencode({"since": options["since"]}))
    if row["question"] == "formats":
        return "/precision" if newest else f"/precision/{quote(round, safe='')}"
    if row["question"] == "scale" and newest:
        return f"/benchmarks/{benchmark}#scale"
    if row["question"] == "roster" and "against" not in options:
        return "#roster-table"
    return _table_of(str(row["address"]))


def _table_of(address: str) -> str:
    """Give the table of results for the question of its entries, which has filters of its own."""
    return address.replace("/questions/entries?", "/results?")


def _matrix(rows: list[Row]) -> dict[str, Any]:
    """Arrange the fastest by benchmark and count of accelerators."""
    table: dict[str, Row] = {}
    for row in rows:
        cell = row | {"mark": row["to_know"], "address": result_address(row["reference"])}
        table.setdefault(str(row["benchmark"]), {})[row["accelerators"]] = cell
    return {"counts": sorted({row["accelerators"] for row in rows}), "table": table}
