"""Show an answer: as text for a terminal, as Markdown, CSV or JSON, or drawn to a file."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pitboard.errors import PitboardError
from pitboard.text import json_text, masked, printable_lines

if TYPE_CHECKING:
    from pitboard.results.answer import Answer, Table

Format = Literal["table", "json", "csv", "markdown"]
"""The forms in which an answer is shown, each a key of `SHOW`."""

_TALL = 3
"""Up to so many rows are shown as columns, one field a line, where they have many fields."""


def as_text(answer: "Answer") -> str:
    """Write the title, the warnings, the table, further tables and the notes, as wide as the terminal."""
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000
    blocks = [answer.title, *(f"! {warning}" for warning in answer.warnings), "", *_block(answer, width)]
    for table in _readable(answer):
        blocks += ["", table.title, "", *_block(table, width)]
    if answer.notes:
        blocks += ["", *(f"- {note}" for note in answer.notes)]
    return "\n".join(map(masked, blocks)) + "\n"


def as_markdown(answer: "Answer") -> str:
    """Write the same as Markdown; a cell's own marks are escaped."""
    parts = [f"**{_escaped(answer.title)}**", *(f"> {_escaped(warning)}" for warning in answer.warnings)]
    parts.append(_pipes(answer))
    for table in _readable(answer):
        parts += [f"**{_escaped(table.title)}**", _pipes(table)]
    parts.append("\n".join(f"- {_escaped(note)}" for note in answer.notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def as_csv(answer: "Answer") -> str:
    """Write the rows with their columns' names and every number in full; a formula stays text.

    A terminal gets "�" for what does not print, but for the ends of lines; a file gets every character.
    """
    from pitboard.results import answer as answers

    rows = answers.as_csv(answer)
    return "\n".join(map(masked, rows.split("\n"))) if sys.stdout.isatty() else rows


def as_json(answer: "Answer") -> str:
    """Write all of the answer as one JSON object."""
    from pitboard.results.answer import document

    return json_text(document(answer)) + "\n"


def explained(answer: "Answer") -> str:
    """Write what the figures mean and how they were asked for."""
    values = ", ".join(f"${name} = {value!r}" for name, value in answer.parameters.items())
    said = f"\n{answer.definition}\n\n{answer.sql}\n" + (f"\n{values}\n" if values else "")
    return printable_lines(said)


def draw(answer: "Answer", path: Path, highlight: Sequence[str] = ()) -> None:
    """Draw the answer to a file, with what has the words of `highlight` in colour and the rest in grey.

    Raises `PitboardError` without a chart, for a bad file name, or where nothing in it is called so.
    """
    try:
        from pitboard import charts
        from pitboard.charts.answers import draw as drawn
    except ModuleNotFoundError as error:
        raise PitboardError(
            "Charts need Altair: install it with `pip install 'pitboard[charts]'`."
        ) from error
    charts.save(drawn(answer, highlight=highlight), path)


SHOW: dict[Format, Callable[["Answer"], str]] = {
    "table": as_text,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _readable(answer: "Answer") -> "list[Table]":
    return [table for table in answer.more.values() if not table.detail]


def _block(table: "Table", width: int) -> list[str]:
    if not table.rows:
        return ["(no rows)"]
    columns = [column for column in table.columns if not column.detail]
    cells = [[column.cell(row) for column in columns] for row in table.rows]
    headings = [column.heading for column in columns]
    if len(cells) <= _TALL and len(headings) > 2 * _TALL:
        return _grid([headings, *cells], [False] * (1 + len(cells)), tall=True)
    numbers = [column.kind in ("integer", "number") for column in columns]
    lines = _grid(list(zip(headings, *cells, strict=True)), numbers)
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _grid(
    columns: "list[tuple[str, ...]] | list[list[str]]", numbers: list[bool], tall: bool = False
) -> list[str]:
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, numbers, strict=True)
        ).rstrip()
        for cells in zip(*columns, strict=True)
    ]
    return lines if tall else [lines[0], "  ".join("─" * width for width in widths), *lines[1:]]


def _pipes(table: "Table") -> str:
    marks = ["---:" if column.kind in ("integer", "number") else "---" for column in table.columns]
    lines = [[column.heading for column in table.columns], marks]
    lines += [[_escaped(column.cell(row)) for column in table.columns] for row in table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(text: str) -> str:
    for mark in ("\\", "|", "<", "[", "*", "`"):
        text = text.replace(mark, "\\" + mark if mark != "<" else "&lt;")
    return masked(text)
