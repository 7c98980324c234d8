"""Any query over the store, read-only."""

from decimal import Decimal

from pitboard.results.answer import Answer, Column, Kind
from pitboard.results.find import default_store
from pitboard.results.schema import TABLES
from pitboard.results.store import Store


def sql(query: str, *, store: Store | None = None) -> Answer:
    """Answer one SELECT (or DESCRIBE, SUMMARIZE, EXPLAIN) in DuckDB's SQL over the store's tables.

    The query sees the store and nothing else: it reads no other file, writes none and loads no extension.
    Raises `PitboardError` for a statement that is none of these, for more than one, or for an error in it.
    """
    store = store or default_store()
    found, values = store.read_only(query)
    columns = [
        Column(name, name, _kind(kind))
        for name, kind in zip(_unique(found), (k for _, k in found), strict=True)
    ]
    rows = [{c.name: _plain(value) for c, value in zip(columns, row, strict=True)} for row in values]
    return Answer(
        question="sql",
        title=f"{len(rows):,} row{'' if len(rows) == 1 else 's'}",
        definition=f"Your query over the tables {', '.join(TABLES)}.",
        sql=query,
        parameters={},
        columns=columns,
        rows=rows,
    )


def _unique(columns: list[tuple[str, str]]) -> list[str]:
    """Number the names that occur again, so that a row is a dictionary."""
    names: list[str] = []
    for name, _ in columns:
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def _kind(kind: str) -> Kind:
    if kind == "BOOLEAN":
        return "boolean"
    if kind.endswith("INT") or kind == "INTEGER":
        return "integer"
    return "number" if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") else "text"


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
