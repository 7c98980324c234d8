"""A table as lines of a width: nothing is cut, what has no room beside the rest goes below its row."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pitboard.results.answer import Column, Table

_GAP = "  "
_TALL = 3
"""Up to so many rows are shown as columns, one field a line, where they have many fields."""
_SENTENCE = 60
"""Longer text goes below its row, indented, where the table is too wide."""
_INDENT = "    "
_NO_FIGURE = "–"
_LABEL = 20
_PROSE = 16
_NAME = 18
"""The fewest letters that text is wrapped to, and that a name keeps of which the middle is left out."""


class Shown(NamedTuple):
    """A table's lines, and the columns that had no room and have one value in all rows."""

    lines: list[str]
    same: "list[tuple[Column, str]]"


class _Cells(NamedTuple):
    """A column with its cells, the fewest letters that it takes, and as many as it has.

    `fair` are the fewest where its heading is broken at spaces only. `shortens` tells that a cell may lose
    letters in its middle, `wraps` that it may go over several lines.
    """

    column: "Column"
    cells: list[str]
    least: int
    fair: int
    most: int
    shortens: bool
    wraps: bool


def default_columns(table: "Table") -> "list[Column]":
    """Return the columns that a terminal shows: those of a page, and the short reference to copy."""
    from pitboard.results.view import shown

    return [*shown(table), *(column for column in table.columns if column.detail and column.name == "ref")]


def laid_out(
    table: "Table", columns: "list[Column]", width: int | None, *, keep: bool = False, grid: bool = False
) -> Shown:
    """Lay out columns of a table to a width, `None` for as wide as they are.

    Where they do not fit, long sentences go below their rows, headings over several lines, then text does;
    names lose their middle, but for those in the first column and where the row has no reference; then the
    least important columns go below their rows, or are left out where all rows have the same, unless `keep`
    says that they were chosen. A few rows of many fields are shown as columns, unless it is to be a `grid`.
    """
    if not table.rows:
        return Shown(["(no rows)"], [])
    named = any(column.name == "ref" for column in columns)
    kept = [_cells(table, column, column is columns[0], named) for column in columns]
    if len(table.rows) <= _TALL and len(columns) > 2 * _TALL and not grid:
        return Shown(_tall(kept, width), [])
    below: list[_Cells] = []
    if width is not None and _total([each.most for each in kept]) > width:
        below = [each for each in kept[1:] if each.wraps and max(map(len, each.cells)) > _SENTENCE]
        kept = [each for each in kept if each not in below]
    beneath: list[_Cells] = []
    same: list[tuple[Column, str]] = []
    while width is not None and len(kept) > 1 and _total([each.least for each in kept]) > width and not keep:
        gone = _least_important(kept)
        kept.remove(gone)
        if _alike(gone) and gone.cells[0]:
            same.insert(0, (gone.column, gone.cells[0]))
        else:
            beneath.insert(0, gone)
    return Shown(_grid(kept, _widths(kept, width), beneath, below, width or 0), same)


def _cells(table: "Table", column: "Column", first: bool, named: bool) -> _Cells:
    cells = [column.cell(row) for row in table.rows]
    longest = max(map(len, cells))
    flows = column.kind == "text" and column.name != "ref"
    shortens = flows and named and not first and column.name != "marks"
    bound = longest if not flows else min(longest, _NAME if shortens or first else _PROSE)
    words = column.heading.split()
    least = max(bound, *(len(part) for word in words for part in _pieces(word, len(word))))
    fair = max(bound, *map(len, words))
    most = max(longest, len(column.heading))
    return _Cells(column, cells, least, fair, most, shortens, wraps=flows and not shortens)


def _alike(each: _Cells) -> bool:
    return len(set(each.cells)) == 1


def _least_important(kept: list[_Cells]) -> _Cells:
    """Return the column that has no room: the last that tells no row from another, or else the last.

    The first stays, and as long as can be the figures that carry marks and the reference to copy.
    """
    free = [each for each in kept[1:] if each.column.name != "ref" and not each.column.mark]
    free = free or [each for each in kept[1:] if each.column.name == "ref"] or kept[1:]
    return ([each for each in free if _alike(each)] or free)[-1]


def _total(widths: list[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _widths(kept: list[_Cells], width: int | None) -> list[int]:
    """Give each column its width: headings give way at spaces, then text, then names, then headings."""
    widths = [each.most for each in kept]
    gives_way: list[Callable[[_Cells], int]] = [
        lambda each: each.most if each.wraps or each.shortens else each.fair,
        lambda each: each.least if each.wraps else each.most if each.shortens else each.fair,
        lambda each: each.least if each.wraps or each.shortens else each.fair,
        lambda each: each.least,
    ]
    for fewest in gives_way if width is not None else []:
        while _total(widths) > (width or 0):
            wide = [n for n, each in enumerate(kept) if widths[n] > fewest(each)]
            if not wide:
                break
            widths[max(wide, key=lambda n: (widths[n], n))] -= 1
    return widths


def _grid(
    kept: list[_Cells], widths: list[int], beneath: list[_Cells], below: list[_Cells], width: int
) -> list[str]:
    """Show a row a line, or several where text wraps.

    What is `beneath` follows it as one line, sentences of `below` each on their own, with their titles.
    """
    numbers = [each.column.kind in ("integer", "number") for each in kept]
    headings = [_wrapped(each.column.heading, room) for each, room in zip(kept, widths, strict=True)]
    deepest = max(map(len, headings))
    headings = [[""] * (deepest - len(lines)) + lines for lines in headings]
    lines = [*_joined(headings, widths, numbers), _GAP.join("─" * room for room in widths)]
    for number in range(len(kept[0].cells)):
        row = [
            _lines(each, each.cells[number] or (_NO_FIGURE if figure else ""), room)
            for each, room, figure in zip(kept, widths, numbers, strict=True)
        ]
        lines += _joined(row, widths, numbers)
        named = [f"{each.column.heading}: {each.cells[number]}" for each in beneath if each.cells[number]]
        lines += [f"{_INDENT}{part}" for part in _wrapped(" · ".join(named), width - len(_INDENT)) if part]
        for each in below:
            if each.cells[number]:
                said = f"{each.column.title}: {each.cells[number]}"
                lines += [f"{_INDENT}{part}" for part in _wrapped(said, width - len(_INDENT))]
    return lines


def _tall(kept: list[_Cells], width: int | None) -> list[str]:
    """Show rows as columns: a line a field, of several lines where the width asks for it."""
    names = max(len(each.column.heading) for each in kept)
    rows = [list(cells) for cells in zip(*(each.cells for each in kept), strict=True)]
    widths = [max(map(len, cells)) for cells in rows]
    while width is not None and _total([names, *widths]) > width and max(names, *widths) > _PROSE:
        widest = max(widths)
        if names > max(widest, _LABEL):
            names -= 1
        elif widest > _PROSE:
            widths[widths.index(widest)] -= 1
        else:
            names -= 1
    lines = []
    for number, each in enumerate(kept):
        cells = [_wrapped(row[number], room) for row, room in zip(rows, widths, strict=True)]
        left = [False] * (1 + len(rows))
        lines += _joined([_wrapped(each.column.heading, names), *cells], [names, *widths], left)
    return lines


def _joined(cells: list[list[str]], widths: list[int], numbers: list[bool]) -> list[str]:
    """Set the lines of a row's cells side by side."""
    return [
        _GAP.join(
            part.rjust(width) if number else part.ljust(width)
            for lines, width, number in zip(cells, widths, numbers, strict=True)
            for part in [lines[at] if at < len(lines) else ""]
        ).rstrip()
        for at in range(max(map(len, cells)))
    ]


def _lines(each: _Cells, cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    if each.shortens:
        tail = 0 if "/" in cell else width // 3  # a reference ends with what all rows have, its benchmark
        return [f"{cell[: width - tail - 1]}…{cell[len(cell) - tail :]}"]
    return _wrapped(cell, width)


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines at spaces; longer words after a hyphen, an underscore or a slash."""
    lines = [""]
    for token in re.findall(r"\S+\s*", text):
        for part in [token] if len(token.rstrip()) <= width else _pieces(token, width):
            if lines[-1] and len(lines[-1] + part.rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return [line.rstrip() for line in lines]


def _pieces(word: str, width: int) -> list[str]:
    parts = re.findall(r"[^_/-]*[_/-]+|[^_/-]+$", word)
    return [part[at : at + width] for part in parts for at in range(0, len(part), width)]
