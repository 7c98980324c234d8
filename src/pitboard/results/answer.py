"""What a question to the results returns: rows with named, typed columns, and what they mean."""

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pitboard.results.schema import Row

if TYPE_CHECKING:
    import duckdb

Kind = Literal["text", "integer", "number", "boolean"]

_SQL = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}


class Column(msgspec.Struct, frozen=True):
    """A column: its `name` in rows, a `title` for people, its `unit` ("min", "samples", "×"; "" for none).

    `digits` are the decimals that people are shown; a file gets the number whole. `detail` columns are left
    out of a table for a terminal. `mark` names the field of a row that holds a sign to show behind the value.
    """

    name: str
    title: str
    kind: Kind = "text"
    unit: str = ""
    digits: int = 2
    detail: bool = False
    mark: str = ""

    def cell(self, row: Row) -> str:
        """Write a row's value for people, with its mark."""
        text = self.text(row[self.name])
        return text + str(row.get(self.mark) or "") if text and self.mark else text

    def text(self, value: object) -> str:
        """Write a value for people; nothing for `None`."""
        if value is None:
            return ""
        if self.kind == "boolean":
            return "yes" if value else "no"
        if isinstance(value, float):
            return f"{round(value, self.digits) + 0.0:,.{self.digits}f}"  # never "-0.00"
        if self.kind != "text" and isinstance(value, int):
            return f"{value:,}"
        return str(value)

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


class Table(msgspec.Struct, kw_only=True):
    """Rows under columns; every row has every column. Frames of any library can be made of it.

    `detail` marks rows for charts and programs, too many to read. `df()`, `pl()` and `arrow()` need pandas,
    Polars and PyArrow; `relation` needs nothing.
    """

    title: str
    columns: list[Column]
    rows: list[Row]
    detail: bool = False

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def relation(self) -> "duckdb.DuckDBPyRelation":
        """The rows as a DuckDB relation."""
        import duckdb

        columns = ", ".join(f'r."{c.name}"::{_SQL[c.kind]} as "{c.name}"' for c in self.columns)
        rows = [{c.name: row[c.name] for c in self.columns} for row in self.rows]
        if not rows:
            empty = ", ".join(f'null::{_SQL[c.kind]} as "{c.name}"' for c in self.columns)
            return duckdb.connect().sql(f"select {empty} where false")
        return duckdb.connect().sql(
            f"select {columns} from (select unnest($rows) as r)", params={"rows": rows}
        )

    def df(self) -> Any:
        """The rows as a pandas frame."""
        return self.relation.df()

    def pl(self) -> Any:
        """The rows as a Polars frame."""
        return self.relation.pl()

    def arrow(self) -> Any:
        """The rows as a PyArrow table."""
        return self.relation.to_arrow_table()

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.relation.__arrow_c_stream__(requested_schema)


class Answer(Table, kw_only=True):
    """A question's answer. `definition` says what the figures are and by which rule; `sql` is what was asked.

    `warnings` are what makes the answer less than like for like; `notes` what it cannot tell, and sources.
    `more` holds further tables by name, `facts` single values by name.
    """

    question: str
    definition: str
    sql: str
    parameters: dict[str, Any]
    warnings: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    more: dict[str, Table] = msgspec.field(default_factory=dict)


def document(answer: Answer) -> dict[str, object]:
    """Give an answer as plain data for JSON: rows hold the columns' fields and no others."""
    plain: dict[str, object] = msgspec.to_builtins(answer)
    plain["rows"] = _rows(answer)
    plain["more"] = {
        name: {"title": t.title, "columns": t.columns, "rows": _rows(t)} for name, t in answer.more.items()
    }
    return plain


def as_csv(answer: Answer) -> str:
    """Write the rows with their columns' names and every number in full; a formula stays text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in answer.columns])
    for row in answer.rows:
        writer.writerow([_in_csv(row[column.name]) for column in answer.columns])
    return out.getvalue()


def _in_csv(value: object) -> object:
    """Keep a spreadsheet from running a cell: what a log says is data."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _rows(table: Table) -> list[Row]:
    return [{column.name: row[column.name] for column in table.columns} for row in table.rows]
