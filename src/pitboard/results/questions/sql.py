"""Any query over the store, read-only."""

from collections.abc import Sequence

from pitboard.results import sandbox
from pitboard.results.answer import Answer, Column, Kind
from pitboard.results.find import default_store
from pitboard.results.question import Option, Question
from pitboard.results.schema import TABLES
from pitboard.results.store import Store

DEFINITION = (
    f"Your query over the tables {', '.join(TABLES)} and the view submissions, in DuckDB's SQL. It sees the "
    "store and nothing else. `describe results` names the columns of a table; docs/store.md says what they "
    "hold."
)


def sql(query: str, *, store: Store | None = None, untrusted: bool = False) -> Answer:
    """Answer one SELECT (or DESCRIBE, SUMMARIZE, EXPLAIN) in DuckDB's SQL over the store's tables.

    The query sees the store and nothing else: it reads no other file, writes none and loads no extension.
    With `untrusted` it runs within limits of time, memory and rows, too. Raises `PitboardError` for a
    statement that is none of these, for more than one, or for an error in it.
    """
    store = store or default_store()
    if not untrusted:
        return _answer(query, *store.read_only(query))
    found, values = sandbox.run(store, query)
    answer = _answer(query, found, values[: sandbox.MOST_ROWS])
    if len(values) > sandbox.MOST_ROWS:
        answer.notes.append(
            f"There are more rows: the first {sandbox.MOST_ROWS:,} are given. Add a LIMIT and an OFFSET, or "
            "run `pitboard results sql`."
        )
    return answer


def _answer(query: str, found: list[tuple[str, str]], values: Sequence[Sequence[object]]) -> Answer:
    columns = [
        Column(name, name, _kind(kind))
        for name, kind in zip(_unique(found), (k for _, k in found), strict=True)
    ]
    rows = [{c.name: sandbox.plain(value) for c, value in zip(columns, row, strict=True)} for row in values]
    return Answer(
        question="sql",
        title=f"{len(rows):,} row{'' if len(rows) == 1 else 's'}",
        definition=DEFINITION,
        sql=query,
        parameters={},
        columns=columns,
        rows=rows,
    )


def _unique(columns: list[tuple[str, str]]) -> list[str]:
    """Number the names that occur again, so that a row is a dictionary."""
    names: dict[str, None] = {}
    for own, _ in columns:
        name, number = own, len(names)
        while name in names:
            name, number = f"{own}_{number}", number + 1
        names[name] = None
    return list(names)


def _kind(kind: str) -> Kind:
    if kind == "BOOLEAN":
        return "boolean"
    if kind.endswith("INT") or kind == "INTEGER":
        return "integer"
    return "number" if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") else "text"


QUESTION = Question(
    ask=sql,
    order=11,
    summary="Ask the store anything in SQL, read-only, such as `show tables` or `describe results`",
    about=(
        "Anything else: one query in DuckDB's SQL over the tables of the store, which `show tables` "
        "and `describe results` list. It only reads, sees nothing but the store, and has 5 seconds "
        "and an answer of at most 10,000 rows."
    ),
    example={
        "query": "select benchmark, min(minutes) as fastest from results where round = '5.1' group by all"
    },
    options=(Option("query", "One SELECT, DESCRIBE or EXPLAIN.", argument=True, lines=4),),
)
