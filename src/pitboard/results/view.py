"""The part of an answer that a reader wants to see: chosen columns, sorted by one of them, the first rows."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from pitboard.errors import PitboardError, UnknownError, near
from pitboard.results.answer import Answer, Column, Table


def view(answer: Answer, *, columns: Sequence[str] = (), sort: str = "", limit: int = 0) -> Answer:
    """Return a copy of an answer with its default columns, or those named, in the order named.

    Its rows are sorted by a column, shown or not, "-" before its name for descending; what has no value comes
    last. `limit` keeps the first rows; 0 keeps all. Raises `UnknownError` for a column that the answer does
    not have, with the nearest, and `PitboardError` for a limit below 0.
    """
    if limit < 0:
        raise PitboardError(f"A limit of {limit} rows cannot be shown: expected 1 or more, or 0 for all.")
    rows = sorted_rows(answer, sort) if sort else list(answer.rows)
    chosen = [_column(answer, name) for name in dict.fromkeys(columns)] or shown(answer)
    return replace(answer, columns=chosen, rows=rows[:limit] if limit else rows)


def shown(table: Table) -> list[Column]:
    """Return the columns that a table shows by default: those that are not detail."""
    return [column for column in table.columns if not column.detail]


def sorted_rows(answer: Answer, sort: str) -> list[dict[str, Any]]:
    """Return the rows sorted by a column, "-" before its name for descending; without a value comes last.

    Raises `UnknownError` for a column that the answer does not have, with the nearest.
    """
    name = _column(answer, sort.removeprefix("-"), " to sort by").name
    given = [row for row in answer.rows if row[name] is not None]
    given.sort(key=lambda row: sortable(row[name]), reverse=sort.startswith("-"))
    return given + [row for row in answer.rows if row[name] is None]


def sortable(value: Any) -> Any:
    """Return what to sort a value by: letters without regard to case."""
    return value.casefold() if isinstance(value, str) else value


def _column(answer: Answer, name: str, purpose: str = "") -> Column:
    columns = {column.name: column for column in answer.columns}
    if name not in columns:
        raise UnknownError(f"There is no column '{name:.60}'{purpose}.{near(name[:60], list(columns))}")
    return columns[name]
