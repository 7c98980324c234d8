"""Show an answer: as text for a terminal, as Markdown, CSV or JSON, or drawn to a file."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from pitboard.cli.tables import Shown, default_columns, laid_out
from pitboard.text import json_text, masked, printable_lines

if TYPE_CHECKING:
    from pitboard.cli.engine import Engine
    from pitboard.results.answer import Answer, Table

Format = Literal["table", "json", "csv", "markdown"]
"""The forms in which an answer is shown."""


_FURTHER = 12
"""So many rows of a further table are shown to people."""


class Look(NamedTuple):
    """What of an answer is shown: chosen columns, the column that sorts its rows, how many; `wide` for all.

    `explain` says that the definition follows. A command without these options says where every column is.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    limit: int = 0
    wide: bool = False
    explain: bool = False


def show(answer: "Answer", format: Format, look: Look | None = None) -> str:
    """Return an answer in a format. CSV and JSON have every column, unless some are chosen.

    Raises `PitboardError` for a column that the answer does not have, or a limit below 0.
    """
    from pitboard.results.view import view

    names = look.columns if look else ()
    every = [column.name for column in answer.columns]
    seen = view(answer, columns=names or every, sort=look.sort, limit=look.limit) if look else answer
    if format in ("table", "markdown"):
        beyond = [f"{len(seen)} of {len(answer)} rows."] if len(seen) < len(answer) else []
        return as_text(seen, look, beyond) if format == "table" else as_markdown(seen, look, beyond)
    return as_csv(seen) if format == "csv" else as_json(seen)


def as_text(answer: "Answer", look: Look | None = None, beyond: Sequence[str] = ()) -> str:
    """Write the title, the warnings, the table, further tables and the notes, to fit the terminal.

    Under a table stands what was left out of it, and how to see it.
    """
    width = None if look and look.wide else width_of_output()
    sentences = [answer.title, *(f"! {warning}" for warning in answer.warnings)]
    lines = [line for sentence in sentences for line in _filled(sentence, width)]
    lines += ["", *_block(answer, width, look, beyond)]
    for table in _readable(answer):
        lines += ["", *_filled(table.title, width), "", *_further(table, width, look)]
    notes = list(answer.notes)
    if look and not look.explain:
        notes.append("What the figures mean, and how they were asked for: --explain.")
    lines += [""] if notes else []
    lines += [line for note in notes for line in _filled(f"- {note}", width)]
    return "\n".join(map(masked, lines)) + "\n"


def _block(answer: "Answer", width: int | None, look: Look | None, said: Sequence[str]) -> list[str]:
    """Lay out the answer's own table; under it stand what is `said`, what was left out, and what shows it."""
    chosen = bool(look and look.columns)
    columns = answer.columns if chosen or (look and look.wide) else default_columns(answer)
    shown = laid_out(answer, columns, width, keep=chosen, grid=bool(said))
    hidden = len(answer.columns) - len(columns) if look else 0
    more = "--wide, or --columns NAME,NAME" if look else "--format csv"
    return shown.lines + _under(_left_out(shown, hidden, more, said), width)


def _further(table: "Table", width: int | None, look: Look | None) -> list[str]:
    """Lay out another table of the answer, the first rows of it where people read."""
    said = []
    rows = table.rows
    if look and width is not None and len(rows) > _FURTHER:
        said, rows = [f"{_FURTHER} of {len(rows)} rows: --wide shows all."], rows[:_FURTHER]
    columns = table.columns if look and look.wide else default_columns(table)
    shown = laid_out(replace(table, rows=rows), columns, width, grid=bool(said))
    return shown.lines + _under(_left_out(shown, 0, "--wide" if look else "--format csv", said), width)


def _under(sentence: str, width: int | None) -> list[str]:
    return ["", *_filled(sentence, width)] if sentence else []


def width_of_output() -> int | None:
    """Return how wide the output is to be: `None`, as wide as it gets, into a file or a pipe.

    `COLUMNS` in the environment sets it for both.
    """
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size((120, 24)).columns
    return None


def _left_out(shown: Shown, hidden: int, more: str, said: Sequence[str]) -> str:
    """Write, after what is `said`, what a table leaves out, and what shows more."""
    parts = list(said)
    if shown.same:
        values = ", ".join(f"{column.name} {value}" for column, value in shown.same)
        parts.append(f"In every row: {values}.")
    if hidden:
        parts.append(f"{hidden} more column{'s' * (hidden > 1)}: {more}.")
    return " ".join(parts)


def _filled(sentence: str, width: int | None) -> list[str]:
    """Break a sentence at words to a width."""
    text = masked(sentence)
    return broken(text, width, "  " if text[:2] in ("- ", "! ") else "")


def broken(line: str, width: int | None, indent: str) -> list[str]:
    """Break a line at spaces to a width, `None` for as wide as it is; what goes on is indented.

    A word that is longer than the width stays whole: it may be a path or a command to copy.
    """
    if width is None or len(line) <= width:
        return [line]
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def as_markdown(answer: "Answer", look: Look | None = None, beyond: Sequence[str] = ()) -> str:
    """Write the same as Markdown, as wide as it gets; a cell's own marks are escaped."""
    parts = [f"**{_escaped(answer.title)}**", *(f"> {_escaped(warning)}" for warning in answer.warnings)]
    every = look is not None and look.wide
    parts.append(_pipes(answer, every or bool(look and look.columns)))
    parts += map(_escaped, beyond)
    for table in _readable(answer):
        parts += [f"**{_escaped(table.title)}**", _pipes(table, every)]
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


def draw(answer: "Answer", path: Path, highlight: Sequence[str] = (), engine: "Engine | None" = None) -> None:
    """Draw the answer to a file, with what has the words of `highlight` in colour and the rest in grey.

    An `engine` that was started for the file draws it. Raises `PitboardError` without a chart, for a bad file
    name, or where nothing in it is called so.
    """
    from pitboard import charts
    from pitboard.charts.answers import draw as drawn

    charts.save(drawn(answer, highlight=highlight), path, engine.drawn if engine else None)


def _readable(answer: "Answer") -> "list[Table]":
    return [table for table in answer.more.values() if not table.detail]


def _pipes(table: "Table", every: bool) -> str:
    columns = table.columns if every else default_columns(table)
    marks = ["---:" if column.kind in ("integer", "number") else "---" for column in columns]
    lines = [[column.heading for column in columns], marks]
    lines += [[_escaped(column.cell(row)) for column in columns] for row in table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(text: str) -> str:
    for mark in ("\\", "|", "<", "[", "*", "`"):
        text = text.replace(mark, "\\" + mark if mark != "<" else "&lt;")
    return masked(text)
