"""A table as pages show it: its columns, how much room they need, and each cell with what it leads to."""

from collections.abc import Callable
from typing import NamedTuple

from markupsafe import Markup, escape

from pitboard.results.answer import Column, Table
from pitboard.results.schema import Row
from pitboard.text import printable
from pitboard.web.links import place, result_address

MAX_ROWS = 500
"""More rows than these are left to the API: a page must stay quick to read and to send."""
_LONG = 28
_HALF = 18
_WRAPPED = 16
_GAP = 2.5
_ON_A_PHONE = 42
_ROOM = ((118, "fits"), (170, "fits-wide"))
_FEW_ROWS, _MANY_COLUMNS = 3, 6
_NOTHING = '<span class="quiet nil">–</span>'

Leading = Callable[[Row], str]
"""Writes the first cells of a row, as markup."""


class Head(NamedTuple):
    """A column's heading; `css` are the classes of the heading and of every cell under it."""

    name: str
    text: str
    css: str


class Laid(NamedTuple):
    """A table ready to be written: each of `rows` is its cells as markup.

    `upright` tables have few rows of many fields and stand a field a line; then each of `rows` is one field.
    `slim` ones have room on a phone as they are, where others become cards. `room` is the class of a table
    that needs no scrolling at some width, `hidden` how many columns a reader must ask for, `total` how many
    rows there are, of which only the first `MAX_ROWS` are written. `same` are the columns that have one value
    in all rows, each with that as markup: cards say it once, above them.
    """

    heads: list[Head]
    rows: list[Markup]
    upright: bool
    slim: bool
    room: str
    hidden: int
    total: int
    same: list[tuple[str, Markup]]


def laid(table: Table, parameters: Row, *, live: bool, leading: Leading | None = None) -> Laid:
    """Lay a table out; `leading` gives the first cells of a row, which are no column of the table.

    A link with a query is left out where the pages are files (not `live`). Detail columns are written too,
    with a class that hides them, unless the table has no other.
    """
    rows = table.rows[:MAX_ROWS]
    plain = all(column.detail for column in table.columns)
    hidden = 0 if plain else sum(column.detail for column in table.columns)
    texts = [[printable(column.cell(row)) for row in rows] for column in table.columns]
    widths = [max(map(len, written), default=0) for written in texts]
    heads = [
        Head(column.name, printable(column.heading), _css(column, width, plain=plain))
        for column, width in zip(table.columns, widths, strict=True)
    ]
    upright = leading is None and len(rows) <= _FEW_ROWS and len(table.columns) - hidden > _MANY_COLUMNS
    heading = next(
        (at for at, head in enumerate(heads) if head.name == "system" and "detail" not in head.css), 0
    )
    named = any(column.name == "reference" and not column.detail for column in table.columns)

    def inner(column: Column, css: str, row: Row, text: str) -> str:
        to = place(column, row, parameters) if text else None
        if column.name == "minutes" and text and not named and row.get("reference"):
            to = result_address(row["reference"])  # no other cell leads there
        return _inner(
            text, to if live or "?" not in (to or "") else None, breaks=upright or css.startswith("long")
        )

    constant = {
        at
        for at, (head, written) in enumerate(zip(heads, texts, strict=True))
        if at != heading and at > 0 and len(written) > _FEW_ROWS and len(set(written)) == 1 and written[0]
        if "detail" not in head.css and head.name != "minutes"
    }
    heads = [
        head._replace(css=f"{head.css} same") if at in constant else head for at, head in enumerate(heads)
    ]
    cells = [
        [inner(column, head.css, row, text) for row, text in zip(rows, written, strict=True)]
        for column, head, written in zip(table.columns, heads, texts, strict=True)
    ]
    same = [(heads[at].text, Markup(cells[at][0])) for at in sorted(constant)]
    if upright:
        lines = [
            "".join(f'<td class="{head.css}">{each}</td>' for each in given)
            for head, given in zip(heads, cells, strict=True)
        ]
    else:
        around = [_around(head, names=at == heading) for at, head in enumerate(heads)]
        lines = [
            (leading(row) if leading else "")
            + "".join(before + each + after for (before, after), each in zip(around, given, strict=True))
            for row, given in zip(rows, zip(*cells, strict=True), strict=True)
        ]
    needed = sum(
        _needed(head, width) for head, width in zip(heads, widths, strict=True) if "detail" not in head.css
    )
    room = next((name for most, name in _ROOM if needed + (4 if leading else 0) <= most), "")
    slim = needed <= _ON_A_PHONE
    return Laid(heads, [Markup(line) for line in lines], upright, slim, room, hidden, len(table.rows), same)


def _css(column: Column, width: int, *, plain: bool) -> str:
    """Return a column's classes: "broad" takes a line of its own on a phone, "long" may be wrapped."""
    shape = "num" if column.kind in ("integer", "number") else "long broad" if width > _LONG else "short"
    shape += " broad" if shape == "short" and width > _HALF else ""
    return f"{shape} detail" if column.detail and not plain else shape


def _needed(head: Head, width: int) -> float:
    """Return how many characters wide a column must be: a heading and a long text may be wrapped."""
    text = min(width, _WRAPPED) if head.css.startswith("long") else width
    return max(text, *map(len, head.text.split())) + _GAP if head.text else text + _GAP


def _inner(text: str, to: str | None, *, breaks: bool) -> str:
    """Write what a cell holds and leads to; a long name may be broken where its parts end."""
    if not text:
        return _NOTHING
    shown = str(escape(text))
    if breaks:
        shown = shown.replace("_", "_<wbr>").replace("/", "/<wbr>")
    return f'<a href="{escape(to)}">{shown}</a>' if to else shown


def _around(head: Head, *, names: bool) -> tuple[str, str]:
    """Return what stands before and after the content of a column's cells; one column `names` its row."""
    about = f'class="{head.css}" data-label="{escape(head.text)}"'
    return (f'<th scope="row" {about}>', "</th>") if names else (f"<td {about}>", "</td>")
