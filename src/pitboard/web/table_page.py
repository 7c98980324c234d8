"""The page of results: one table, its filters with counts, its columns, and results picked for comparing."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape
from msgspec.structs import replace
from starlette.datastructures import ImmutableMultiDict

from pitboard.errors import PitboardError, UnknownError
from pitboard.results import facets
from pitboard.results.answer import Answer, Column
from pitboard.results.question import as_list
from pitboard.results.questions import question
from pitboard.results.questions.filters import OFFERED
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.results.view import shown, sortable, view
from pitboard.text import printable
from pitboard.web import asking
from pitboard.web.compare_page import MOST as MOST_PICKS
from pitboard.web.links import compare_address
from pitboard.web.rendering import Page
from pitboard.web.tables import Leading

PARAMETERS = ("sort", "columns", "r", "view", "shown", "compare")
"""What an address of the page takes beside the question's options.

`shown` names the columns that the form showed anyway, so that only another choice is kept; `compare` leads to
the comparison of the picks `r`.
"""

_OFFICIAL = "official"
_ORDER = (
    *("benchmark", "accelerators", "accelerator", "submitter", "precision", "round", "division"),
    "availability",
)
_LABELS = {"accelerators": "Accelerator count"}
_NO_PICK = '<td class="pick"></td>'

Pairs = list[tuple[str, str]]


class Facet(NamedTuple):
    """A filter with what it offers; `said` is what is chosen, in short; `silent` results state no value.

    `choices` are the values as boxes to tick, each with the results that it leaves beside the other filters.
    """

    name: str
    label: str
    said: str
    choices: Markup
    silent: int


class Chip(NamedTuple):
    """Something chosen, and the address of the page without it."""

    label: str
    text: str
    without: str


class Sort(NamedTuple):
    """A way to sort: `value` stands in the address."""

    value: str
    text: str
    holds: bool


def tidy(query: Mapping[str, str]) -> str:
    """Return the query to share: without empty values, what a form repeats, and what holds anyway."""
    pairs = _pairs(query)
    columns = _names(pairs)
    anyway = ",".join(_all(pairs, "shown")).split(",")
    kept = [
        (name, value)
        for name, value in dict.fromkeys(pairs)
        if name not in ("sort", "columns", "shown", "r", "compare")
    ]
    kept += [("sort", value) for value in _all(pairs, "sort")[-1:]]
    kept += [("columns", ",".join(columns))] if columns and set(columns) != set(anyway) else []
    return urlencode([*kept, *(("r", pick) for pick in _picks(pairs))], safe="/,")


def comparison(query: Mapping[str, str]) -> str | None:
    """Return the address of the comparison that a query asks for; `None` where it asks for the table."""
    pairs = _pairs(query)
    if not _all(pairs, "compare"):
        return None
    return compare_address(_picks(pairs))


def results(store: Store, query: Mapping[str, str]) -> tuple[Page, int]:
    """Return the page of the table of results as a query asks for it, and its status.

    A filter value that no result has, or a column that the table has not, is said on the page, which keeps
    its filters. Raises `PitboardError` for a value of the wrong kind.
    """
    pairs = _pairs(query)
    asked = "table" if query.get("view") == _OFFICIAL else "entries"
    values = asking.read(asked, query)
    page: dict[str, Any] = {"status": 200, "said": [], "answer": None, "sort": "", "sorts": []}
    page |= {"columns": [], "anyway": "", "leading": None}
    known = values
    try:
        answer = asking.ask(store, asked, values)
    except PitboardError as error:
        known = _known(store, values)
        if known == values:
            raise
        page |= {"status": error.status, "said": [str(error)]}
    else:
        page |= _shaped(answer, pairs)
    counted = asking.ask(
        store,
        "filters",
        {name: value for name, value in known.items() if name in question("filters").parameters},
    )
    page |= {
        "asked": asked,
        "facets": _facets(counted, known, values),
        "chips": _chips(pairs, asked),
        "picks": _chips([pair for pair in pairs if pair[0] == "r"], "r", pairs),
        "most_picks": MOST_PICKS,
        "search": query.get("search", ""),
        "with_own": values.get("with_own", False),
        "energy": values.get("energy", False),
        "has_own": bool(store.rows("select 1 from results where own limit 1")),
        "query": urlencode(values, doseq=True),
        "other_view": _other_view(pairs),
    }
    return Page("results.html", page, "_results_swapped.html"), page["status"]


def _shaped(answer: Answer, pairs: Pairs) -> dict[str, Any]:
    """Choose the columns, sort the rows, and say what of the choice there is not."""
    names = [column.name for column in answer.columns]
    wanted, sort = _names(pairs), "".join(_all(pairs, "sort")[-1:])
    said = [_lacking(name) for name in wanted if name not in names]
    if sort and sort.removeprefix("-") not in names:
        said.append(_lacking(sort.removeprefix("-")))
        sort = ""
    anyway = [column.name for column in shown(answer)]
    chosen = [name for name in wanted if name in names] or anyway
    if isinstance(answer.parameters["round"], list) and "round" in names:
        # Rows of several rounds say of which they are, whatever is chosen.
        chosen = list(dict.fromkeys([chosen[0], "round", *chosen]))
    usual = _usual_sort(answer)
    table = view(answer, columns=chosen, sort=sort or usual)
    table.columns = [replace(column, detail=False) for column in table.columns]
    return {
        "said": said,
        # The official table's columns follow its filters: a sort that went with them is no mistake.
        "status": UnknownError.status if said and answer.question == "entries" else 200,
        "answer": table,
        "columns": [(column, column.name in chosen) for column in answer.columns],
        "anyway": ",".join(anyway),
        "sort": sort or usual,
        "sorts": _sorts(table.columns, sort, usual),
        "leading": _picking(pairs) if answer.question == "entries" else None,
    }


def _lacking(name: str) -> str:
    return f"The table has no column '{printable(name):.60}'."


def _usual_sort(answer: Answer) -> str:
    """Return what rows are sorted by unless the query says: the minutes, if all are of one benchmark."""
    single = answer.parameters["benchmark"]
    if not isinstance(single, str):
        return ""
    return next((c.name for c in answer.columns if c.name in ("minutes", single)), "")


def _sorts(columns: list[Column], sort: str, usual: str) -> list[Sort]:
    """Return every way to sort, for a list: the usual one, which needs no place in the address, first."""
    ways = [
        (f"{sign}{c.name}", f"{c.heading} {arrow}")
        for c in columns
        for sign, arrow in (("", "▲"), ("-", "▼"))
    ]
    first = next((text for value, text in ways if value == usual), "Benchmark, then the fastest")
    return [
        Sort("", first, sort in ("", usual)),
        *(Sort(value, text, value == sort) for value, text in ways if value != usual),
    ]


def _picking(pairs: Pairs) -> Leading:
    """Return what writes the box by which a row is picked for comparing."""
    picks = _picks(pairs)

    def pick(row: Row) -> str:
        name = row["reference"]
        if row["minutes"] is None:
            return _NO_PICK
        state = " checked" if name in picks else " disabled" if len(picks) >= MOST_PICKS else ""
        value, id = escape(name), escape("pick-" + quote(name, safe="/"))
        return (
            f'<td class="pick"><label><input type="checkbox" name="r" id="{id}" value="{value}"{state}>'
            f'<span class="hidden">Compare {value}</span></label></td>'
        )

    return pick


def _facets(counted: Answer, known: asking.Values, asked: asking.Values) -> list[Facet]:
    """Return the filters with what they offer: what some result has beside the others, and what is chosen."""
    made = []
    for name in _ORDER:
        counts = {row["value"]: row["results"] for row in counted.rows if row["filter"] == name}
        meant = {str(value) for value in as_list(counted.parameters[name]) or []}
        meant = meant if name in known or name == "round" else set()
        given = [str(value) for value in as_list(asked.get(name)) or []]
        offered = {value: count for value, count in counts.items() if value is not None}
        # What is chosen and leaves nothing can be taken back where it stands, if no other name of it does.
        offered |= {
            v: 0 for v in given if v not in offered and (v in meant or not _is_known(v, known.get(name)))
        }
        values = sorted(offered, key=lambda value: _place(name, value))
        chosen = [value for value in values if value in meant or value in given]
        made.append(
            Facet(
                name,
                _LABELS.get(name, name.capitalize()),
                chosen[0] if len(chosen) == 1 else f"{len(chosen)} chosen" if chosen else "",
                Markup("".join(_choice(name, v, offered[v], chosen=v in chosen) for v in values)),
                counts.get(None, 0),
            )
        )
    return made


def _choice(name: str, value: str, results: int, *, chosen: bool) -> str:
    """Write a value of a filter as a line with a box to tick."""
    # What no result has is the asker's own, and not worth keeping.
    before, after = (_around_a_tick if results else _around_a_tick.__wrapped__)(name, value)
    return f"{before}{' checked' if chosen else ''}{after}{results:,}</small></label></li>\n"


@lru_cache(maxsize=4096)
def _around_a_tick(name: str, value: str) -> tuple[str, str]:
    """Write what stands in such a line before and after the tick; a page has a hundred, all of a few."""
    id, text = escape(f"{name}-{quote(value, safe='')}"), escape(printable(value))
    box = f'<input type="checkbox" name="{escape(name)}" id="{id}" value="{escape(value)}"'
    return f"  <li><label>{box}", f"> {text} <small>"


def _is_known(value: str, known: object) -> bool:
    return value in map(str, as_list(known) or [])


def _place(name: str, value: str) -> Any:
    if name == "accelerators":
        return int(value) if value.isdecimal() else 0
    if name == "round":
        return [-int(part) if part.isdecimal() else 0 for part in value.split(".")]
    return sortable(value)


def _known(store: Store, values: asking.Values) -> asking.Values:
    """Return the values without those that no result has."""
    return {
        name: kept[0] if len(kept) == 1 else kept
        for name, value in values.items()
        if (kept := [each for each in as_list(value) or [] if _has(store, name, each)])
    }


def _has(store: Store, name: str, value: object) -> bool:
    if name not in (*OFFERED, "software"):
        return True
    try:
        facets.chosen(store, **{name: value})
    except PitboardError:
        return False
    return True


def _chips(pairs: Pairs, asked: str, of: Pairs | None = None) -> list[Chip]:
    """Return what is chosen, each with the address of the page without it."""
    names = (
        ["r"]
        if asked == "r"
        else [name for name in question(asked).parameters if name not in ("with_own", "energy")]
    )
    every = pairs if of is None else of
    return [
        Chip(name.capitalize(), value, _address([pair for pair in every if pair != (name, value)]))
        for name, value in dict.fromkeys(pairs)
        if name in names
    ]


def _other_view(pairs: Pairs) -> str:
    """Return the address of the same results, one system a line in place of one result, or the reverse."""
    official = ("view", _OFFICIAL) in pairs
    kept = [
        pair
        for pair in pairs
        if pair[0] not in ("view", "sort", "columns", "shown", *(() if official else ("search",)))
    ]
    return _address(kept if official else [*kept, ("view", _OFFICIAL)])


def _address(pairs: Pairs) -> str:
    query = tidy(ImmutableMultiDict(pairs))
    return f"/results?{query}" if query else "/results"


def _pairs(query: Mapping[str, str]) -> Pairs:
    every = query.multi_items() if isinstance(query, ImmutableMultiDict) else list(query.items())
    return [(name, value.strip()) for name, value in every if value.strip()]


def _all(pairs: Pairs, name: str) -> list[str]:
    return [value for each, value in pairs if each == name]


def _names(pairs: Pairs) -> list[str]:
    """Return the columns that are asked for: repeated, or with commas between."""
    return list(dict.fromkeys(name for text in _all(pairs, "columns") for name in text.split(",") if name))


def _picks(pairs: Pairs) -> list[str]:
    return list(dict.fromkeys(_all(pairs, "r")))[:MOST_PICKS]
