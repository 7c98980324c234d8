"""Bring a store that an older Pitboard wrote up to the present schema, as a new generation."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pitboard.errors import PitboardError
from pitboard.results.schema import TABLES

if TYPE_CHECKING:
    import duckdb

Queries = dict[str, str]


def migrate(
    connection: "duckdb.DuckDBPyConnection",
    folder: Path,
    schema: int,
    write: Callable[[Queries], None],
    published: str | None,
) -> None:
    """Read the tables in `folder`, of an older `schema`, as present ones, and `write` them.

    A table or a column that the old schema lacks comes out empty: it is filled by adding the results again.
    All that was ever added is the user's own; an exported store's copies of `published` systems, given as a
    relation, are not.
    A schema that needs more than this gets its own query here. Raises `PitboardError` where a file cannot be
    read; the old generation then still holds.
    """
    import duckdb

    try:
        write({table: _present(connection, folder, table, published) for table in TABLES})
    except duckdb.Error as error:
        raise PitboardError(
            f"The store at {folder.parent} (schema {schema}) cannot be brought up to date: "
            f"{str(error).splitlines()[0]} Move it away and add the results again."
        ) from error


def _present(connection: "duckdb.DuckDBPyConnection", folder: Path, table: str, published: str | None) -> str:
    path = folder / f"{table}.parquet"
    old: set[str] = set()
    file = f"read_parquet('{str(path).replace(chr(39), chr(39) * 2)}')"
    if path.is_file():
        old = {str(row[0]) for row in connection.execute(f"describe select * from {file}").fetchall()}
    own = "true"
    if published and "submitter" in TABLES[table]:
        same = " and ".join(
            f"p.{name} is not distinct from r.{name}" for name in ("round", "submitter", "system")
        )
        own = f"not exists (select 1 from {published} p where {same})"
    columns = ", ".join(
        f"{own} as own" if name == "own" else name if name in old else f"null::{kind} as {name}"
        for name, kind in TABLES[table].items()
    )
    return f"select {columns} from {file} r" if old else f"select {columns} where false"
