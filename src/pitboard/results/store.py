"""The store: one Parquet file a table, queried by DuckDB; a change is a new folder of files, then a rename.

    STORE/store.json              which generation holds, and the schema's version
    STORE/<generation>/*.parquet  one file a table

A manifest says the SHA-256 of each table's file, which is checked when a store is opened: a file that was
changed by hand, or cut, is told, and the published rounds still answer.

What the package ships, the published rounds, lies in `rounds/`, in the same form and without generations. All
else is the user's own, whatever its files say: a query sees it beside what is published, with its submitters
marked, and it takes no published row's place.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from pitboard.errors import PitboardError
from pitboard.files import NO_JSON, inside, open_plain, read_plain, scratch, write_atomically
from pitboard.results.migrate import Queries, migrate
from pitboard.results.schema import KEY, OF_RESULTS, OWN, SUBMISSIONS, TABLES, VERSION, Rows
from pitboard.text import encodable

if TYPE_CHECKING:
    import duckdb  # at run time where it is used: to list the questions need not take its third of a second

_Found = TypeVar("_Found")
_Fetched = tuple[list[str], list[tuple[Any, ...]]]
_Groups = dict[tuple[Any, ...], list[tuple[Any, ...]]]
Parameters = Sequence[object] | Mapping[str, object] | None

SHIPPED = Path(__file__).parent / "rounds"
_MANIFEST = "store.json"
_MOST_MANIFEST = 1 << 16
_PARAMETER = re.compile(r"\$(\w+)")
_EXPLAIN = re.compile(
    r"(?:\s|--[^\n]*+\n|(?>/\*.*?\*/))*+explain\b(?P<how>(?:\s+analyze\b)?(?:\s*\([^)]*\))?)(?P<statement>.*)",
    re.DOTALL | re.IGNORECASE,
)
# These are read for a curve only, and would fill a server's memory.
_NEVER_HELD = ("evaluations", "statistics")
_MOST_CELLS = 1_000_000
_REMOTE = ("s3://", "https://", "http://", "gs://", "hf://", "r2://", "az://")
_IDENTITY = {
    "rounds": ("round",),
    "systems": ("round", "submitter", "system"),
    "stack": ("round", "submitter", "system"),
    "incomplete": tuple(KEY),
} | dict.fromkeys(OF_RESULTS, tuple(KEY))
# A row replaces earlier ones by the presence of its owner: a system's rows, a result's rows.
_OWNER = {"stack": "systems", "runs": "results", "evaluations": "results", "statistics": "results"}


class Added(msgspec.Struct, frozen=True):
    """What an add changed, counted in results: `new`, `changed`, and `same` as the store already had."""

    new: int
    changed: int
    same: int
    problems: list[str]


class Manifest(msgspec.Struct):
    """What `store.json` holds; `generation` is a folder beside it, "." where the files lie beside it.

    `digests` has the SHA-256 of each table's file; an older Pitboard wrote none.
    """

    schema: int
    generation: str
    digests: dict[str, str] = {}


class _DamagedError(PitboardError):
    """A table's file is not there, or not what was written."""


class _Held:
    """Rows of queries that were asked before, by the query's text; the least recently used are given up.

    `most` bounds the values that are held, and with them the memory.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._found: OrderedDict[str, Any] = OrderedDict()
        self._cells = 0

    def get(self, sql: str) -> Any:
        """Return what was held of a query, `None` for nothing."""
        with self._lock:
            if sql in self._found:
                self._found.move_to_end(sql)
            return self._found.get(sql)

    def put(self, sql: str, fetched: "tuple[list[str], list[tuple[Any, ...]] | _Groups]") -> None:
        """Hold what a query gave, or that in groups, unless it is a large part of all that may be held."""
        if self._size(sql, fetched) > self._most // 8:
            return
        with self._lock:
            if sql not in self._found:
                self._found[sql] = fetched
                self._cells += self._size(sql, fetched)
            while self._cells > self._most:
                self._cells -= self._size(*self._found.popitem(last=False))

    @staticmethod
    def _size(sql: str, fetched: "tuple[list[str], list[tuple[Any, ...]] | _Groups]") -> int:
        names, found = fetched
        rows = sum(map(len, found.values())) if isinstance(found, dict) else len(found)
        return len(sql) // 8 + (rows + 1) * len(names)


class Store:
    """A store opened for reading; `add` and `remove` write the next generation and move on to it.

    `place` is a folder, or an address that DuckDB reads (`s3://`, `https://`) of one that `export` wrote;
    `shipped` tells whether the rounds that come with the package are seen too; without them nothing is known
    to be published but what the rows themselves say. `held` is for a server: all tables but the largest are
    in memory, and so are the answers to what was asked before, as they were when the store was opened. With
    `rounds`, nothing of any other round is seen.

    `damage` says what is wrong with the user's own files, where something is: then only what ships is seen,
    and nothing is added. Raises `PitboardError` where the store cannot be read and nothing ships.
    """

    damage: str | None = None

    def __init__(
        self,
        place: str | Path | None = None,
        *,
        shipped: bool = True,
        held: bool = False,
        rounds: Sequence[str] = (),
    ) -> None:
        self._remote = str(place).rstrip("/") if str(place).startswith(_REMOTE) else None
        self.folder = Path(place) if place and not self._remote else default_folder()
        self.shipped = shipped and (SHIPPED / "results.parquet").is_file()
        # Many small queries at once, each of a reader: a thread for each is enough.
        self._connection = _connect(**({"threads": 1} if held else {}))
        self._held = _Held(_MOST_CELLS) if held else None
        self._only = f" where round in {_literal(list(rounds))}" if rounds else ""
        self._seen = ("", "")
        self._moving_on = Lock()
        self._kept: tuple[object, dict[Hashable, Any]] = ("", {})
        self._open()

    @property
    def version(self) -> str:
        """Name what a query would see: it changes with every change to the store."""
        manifest = None if self._remote else _manifest(self.folder)
        return f"{VERSION}-{manifest.generation if manifest else 'shipped'}"

    @property
    def place(self) -> str:
        """The folder or the address by which the same store can be opened again."""
        return self._remote or str(self.folder)

    def query(self, sql: str, parameters: Parameters = None) -> "duckdb.DuckDBPyRelation":
        """Give the relation of a query over the store's tables. Raises `PitboardError` for a bad query."""
        bound = _bound(sql, parameters)
        return self._answered(lambda: self._connection.cursor().sql(bound))

    def rows(self, sql: str, parameters: Parameters = None) -> list[dict[str, Any]]:
        """Give the rows of a query as dictionaries by column."""
        bound = _bound(sql, parameters)
        held = self._held  # what is fetched now is held with what was fetched of the same tables
        fetched = held.get(bound) if held else None
        if fetched is None:
            fetched = self._answered(lambda: self._fetch(bound))
            if held:
                held.put(bound, fetched)
        names, rows = fetched
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _fetch(self, bound: str) -> _Fetched:
        cursor = self._connection.cursor().execute(bound)
        return [column[0] for column in cursor.description or []], cursor.fetchall()

    @property
    def held(self) -> bool:
        """Whether this is a server's store, which keeps in memory what it read."""
        return self._held is not None

    def having(
        self, columns: str, table: str, values: Mapping[str, object], then: str = "", at_once: int = 1
    ) -> list[dict[str, Any]]:
        """Give the rows of a table, or of a join, whose columns have the values; `then` orders or groups.

        A held store asks for all rows with the first `at_once` values together, and finds the others' among
        these: the pages of a round ask for one key of it after another.
        """
        alike = [f"{name} {'is' if value is None else '='} ${name}" for name, value in values.items()]
        held = self._held
        if held is None:
            return self.rows(f"select {columns} from {table} where {' and '.join(alike)} {then}", values)
        names = list(values)[at_once:]
        keys = "".join(f"{name}, " for name in names)
        wide = f"select {keys}{columns} from {table} where {' and '.join(alike[:at_once])} {then}"
        bound = _bound(wide, values)
        found: tuple[list[str], _Groups] | None = held.get(f"{bound} by {keys}")
        if found is None:
            fields, rows = self._answered(lambda: self._fetch(bound))
            groups: _Groups = {}
            for row in rows:
                groups.setdefault(row[: len(names)], []).append(row[len(names) :])
            found = fields[len(names) :], groups
            held.put(f"{bound} by {keys}", found)
        fields, groups = found
        wanted = groups.get(tuple(values[name] for name in names), [])
        return [dict(zip(fields, row, strict=True)) for row in wanted]

    def once(self, name: Hashable, make: Callable[[], _Found]) -> _Found:
        """Give what `make` returns, kept under a name until the store changes; nobody may change it."""
        version = self._seen if self.held else self.version
        if self._kept[0] != version:
            self._kept = (version, {})
        kept = self._kept[1]
        if name not in kept:
            kept[name] = make()
        found: _Found = kept[name]
        return found

    def read_only(self, sql: str) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        """Run a stranger's query, which sees the store's tables and nothing else: no file, no network.

        It runs over copies of the tables in memory, so that the store's own files cannot be written either.
        Gives the columns (name, DuckDB's type) and the rows; of EXPLAIN the plan, as a tree. Raises
        `PitboardError` unless it is one statement that only reads, without an error.
        """
        with _answering(), _connect() as connection:
            return self._asked(connection, sql, None)

    def in_memory(
        self, sql: str, most: int, max_bytes: int
    ) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        """Run a query as `read_only` does, within limits.

        Gives at most `most` rows. DuckDB uses one thread, nothing on the disk, and `max_bytes` of memory for
        all that it counts, which is not everything.
        """
        settings = {"threads": 1, "memory_limit": f"{max_bytes}B", "temp_directory": ""}
        with _answering(), _connect(**settings) as connection:
            return self._asked(connection, sql, most)

    def _asked(
        self, connection: "duckdb.DuckDBPyConnection", sql: str, most: int | None
    ) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        statement, explained = _read_only_statement(encodable(sql))
        self._define(connection, "table")
        connection.execute("set enable_external_access = false; set lock_configuration = true")
        if explained:
            (plan,) = connection.execute(f"explain (format json) {statement}").fetchall()
            return [("plan", "VARCHAR")], [(line,) for line in _tree(msgspec.json.decode(plan[1]))][:most]
        result = connection.execute(statement)
        rows = result.fetchall() if most is None else result.fetchmany(most)
        return [(str(column[0]), str(column[1])) for column in result.description or []], rows

    def add(self, rows: Rows) -> Added:
        """Add rows, replacing those of the same results and systems added before; the same change nothing.

        What equals a published row is that. Nothing else ever takes its place.

        Raises `PitboardError` where the store cannot be written, or is an address.
        """
        if self._remote:
            raise PitboardError(f"{self._remote} is read-only: add to a folder, then export and upload it.")
        problems = [_sentence(row) for row in rows["incomplete"]]
        with _locked(self.folder):
            self._open_whole()
            fresh, counts = self._fresh(rows)
            if counts["new"] + counts["changed"] or any(fresh.values()):
                self._write(fresh)
        return Added(**counts, problems=problems)

    def remove(self, round: str, submitter: str | None = None, system: str | None = None) -> int:
        """Remove what was added of a round, a submitter or a system; gives the number of results removed.

        The submitter may be written as it is shown, marked as own. What the package ships stays. Raises
        `PitboardError` where there is nothing to remove.
        """
        with _locked(self.folder):
            self._open_whole()
            folder = _generation(self.folder)
            name = submitter and submitter.removesuffix(OWN)
            values = {"round": round, "submitter": name and [name, name + OWN], "system": system}
            gone = {table: _condition(values, columns) for table, columns in TABLES.items()}
            count = 0
            if folder:
                counted = f"select count(*) as n from {_file(folder, 'results')} where {gone['results']}"
                count = int(self.rows(counted)[0]["n"])
            if not count or folder is None:
                raise PitboardError("Nothing to remove: the store has no such results of its own.")
            self._next(
                {
                    table: f"select * from {_file(folder, table)} where not coalesce({where}, false)"
                    for table, where in gone.items()
                }
            )
        return count

    def export(self, folder: Path) -> None:
        """Write all that the store shows into a folder of plain Parquet, which can be served or uploaded.

        Raises `PitboardError` where the folder exists and holds anything else, or cannot be written, and for
        a damaged store.
        """
        self._open_whole()
        if folder.exists() and any(entry.name not in _files() for entry in folder.iterdir()):
            raise PitboardError(f"{folder} holds other files: choose an empty folder for the export.")
        with _fail_plainly(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with scratch(folder.parent, f".{folder.name}.") as temporary:
                self._copy(temporary, {table: f"select * from {table}" for table in TABLES})
                folder.mkdir(exist_ok=True)
                for name in _files():
                    (temporary / name).replace(folder / name)

    def _open(self) -> None:
        if self._remote:
            self._define(self._connection)
            return
        manifest = _manifest(self.folder)
        if manifest and manifest.schema != VERSION:
            with _locked(self.folder):
                copied = _file(SHIPPED, "systems") if self.shipped and manifest.generation == "." else None
                folder = self.folder / manifest.generation
                migrate(self._connection, folder, manifest.schema, self._next, copied)
        self._define(self._connection)

    def _open_whole(self) -> None:
        """Open what is there now. Raises `PitboardError` where it is damaged, for whoever would write."""
        self._open()
        if self.damage:
            raise PitboardError(self.damage)

    def _define(
        self, connection: "duckdb.DuckDBPyConnection", kind: Literal["view", "table", "held"] = "view"
    ) -> None:
        """Define the tables; of the store's own connection, note the generation and what is wrong with it."""
        if connection is self._connection and self._held:
            kind = "held"
        generation, damage = "", ""
        if self._remote:
            self._define_remote(connection, self._remote, kind)
        else:
            try:
                generation = self._define_local(connection, kind)
            except _DamagedError as error:
                if not self.shipped:
                    raise
                damage = f"{error} Until then only the published rounds are seen."
                self._define_in(connection, kind, None)
        connection.execute(f"create or replace view submissions as {SUBMISSIONS}")
        if connection is self._connection:
            self._seen, self.damage = (generation, damage), damage or None
            self._held = self._held and _Held(_MOST_CELLS)

    def _define_local(self, connection: "duckdb.DuckDBPyConnection", kind: str) -> str:
        """Define the tables over the generation that holds, and name it; a writer may move on meanwhile."""
        if self.shipped:
            try:
                _verify(SHIPPED, _manifest(SHIPPED))
            except _DamagedError as error:
                again = "pip install --force-reinstall --no-deps pitboard"
                raise PitboardError(f"{error} Run `{again}`.") from error
        while True:
            manifest = _manifest(self.folder)
            folder = self.folder / manifest.generation if manifest else None
            try:
                if folder:
                    _verify(folder, manifest)
                self._define_in(connection, kind, folder)
                return manifest.generation if manifest else ""
            except _DamagedError as error:
                now = _manifest(self.folder)
                if now is None or manifest is None or now.generation == manifest.generation:
                    raise _DamagedError(
                        f"{error} Move {self.folder} away, and add the results again with `pitboard results"
                        " add PATH`."
                    ) from error

    def _define_in(self, connection: "duckdb.DuckDBPyConnection", kind: str, folder: Path | None) -> None:
        import duckdb

        for table in TABLES:
            try:
                seen = f"select * from ({self._view(table, folder)}){self._only}"
                connection.execute(f"create or replace {_made(kind, table)} as {seen}")
            except duckdb.Error as error:
                if folder is None or isinstance(error, duckdb.OutOfMemoryException):
                    raise
                raise _DamagedError(_not_as_written(folder / f"{table}.parquet")) from error

    def _answered(self, ask: "Callable[[], _Found]") -> "_Found":
        """Ask; once more where the files changed since: another process added to the store, or damaged it."""
        import duckdb

        before = self._seen
        with _answering():
            try:
                return ask()
            except duckdb.Error:
                if self._remote:
                    raise
                with self._moving_on:  # one thread does it for all
                    if self._seen == before:
                        self._define(self._connection)
                if self._seen == before:
                    raise
                return ask()

    def _view(self, table: str, folder: Path | None) -> str:
        if folder is None:
            if self.shipped:
                return f"select * from {_file(SHIPPED, table)}"
            columns = ", ".join(f"null::{kind} as {name}" for name, kind in TABLES[table].items())
            return f"select {columns} where false"
        # By name, so that another table's file in its place is told here.
        return self._beside_shipped(table, f"(select {', '.join(TABLES[table])} from {_file(folder, table)})")

    def _beside_shipped(self, table: str, rows: str) -> str:
        """Select a table's rows of the store, and of the published rounds."""
        if not self.shipped:
            return f"select * from {rows}"
        mark = quoted(OWN)
        marked = [
            f"case when ends_with({name}, {mark}) then {name} else {name} || {mark} end as {name}"
            for name in ("submitter", "organisation")
            if name in TABLES[table]
        ]
        # An exported store holds a copy of what is published, too; of rounds that only a newer Pitboard ships
        # nothing here can tell whether it is true.
        return (
            f"select * replace ({', '.join(['true as own', *marked])}) from {rows} r"
            f" where own or not exists (select 1 from {_file(SHIPPED, 'rounds')} s where s.round = r.round)"
            f" union all select * from {_file(SHIPPED, table)}"
        )

    def _define_remote(self, connection: "duckdb.DuckDBPyConnection", address: str, kind: str) -> None:
        import duckdb

        _load_httpfs(connection)
        for table in TABLES:
            rows = f"read_parquet({quoted(f'{address}/{table}.parquet')})"
            try:
                seen = f"select * from ({self._beside_shipped(table, rows)}){self._only}"
                connection.execute(f"create or replace {_made(kind, table)} as {seen}")
            except duckdb.Error as error:
                raise PitboardError(
                    f"Cannot read the store at {address}: {str(error).splitlines()[0]}"
                ) from error

    def _fresh(self, rows: Rows) -> tuple[Rows, dict[str, int]]:
        """Leave out what the store has already."""
        folder = _generation(self.folder)
        known = {table: self._digests(folder, table) for table in ("results", "systems")}
        shipped = SHIPPED if self.shipped else None
        published = {table: self._digests(shipped, table) for table in known}
        changed: dict[str, set[tuple[object, ...]]] = {"results": set(), "systems": set()}
        counts = {"new": 0, "changed": 0, "same": 0}
        for table in ("results", "systems"):
            for row in rows[table]:
                key = tuple(row[name] for name in _IDENTITY[table])
                if row["digest"] in (known[table].get(key), published[table].get(key)):
                    counts["same"] += table == "results"
                    continue
                changed[table].add(key)
                if table == "results":
                    counts["changed" if key in known[table] else "new"] += 1
        fresh: Rows = {}
        for table in TABLES:
            owner = _OWNER.get(table, table)
            if owner in changed:
                names = _IDENTITY[table]
                fresh[table] = [row for row in rows[table] if tuple(row[n] for n in names) in changed[owner]]
        for table in ("rounds", "incomplete"):
            names = _IDENTITY[table]
            here = self._keys(folder, table) | self._keys(shipped, table)
            fresh[table] = [row for row in rows[table] if tuple(row[n] for n in names) not in here]
        return fresh, counts

    def _digests(self, folder: Path | None, table: str) -> dict[tuple[object, ...], str]:
        return {tuple(key): digest for *key, digest in self._keys(folder, table, "digest")}

    def _keys(self, folder: Path | None, table: str, *more: str) -> set[tuple[Any, ...]]:
        if folder is None:
            return set()
        columns = ", ".join((*_IDENTITY[table], *more))
        return set(self._connection.execute(f"select {columns} from {_file(folder, table)}").fetchall())

    def _write(self, fresh: Rows) -> None:
        """Write the next generation: our own rows without what is replaced, and the new ones."""
        folder = _generation(self.folder)
        with _fail_plainly(self.folder), scratch(self.folder, ".add-") as temporary:
            files = {table: _spool(temporary, table, rows) for table, rows in fresh.items()}
            queries: Queries = {}
            for table in TABLES:
                new = f"select * from {files[table]}"
                if folder:
                    kept = _without(_file(folder, table), files[_OWNER.get(table, table)], table)
                    new = f"{kept} union all {new}"
                queries[table] = f"{new} order by all" if table != "evaluations" else new
            self._next(queries)

    def _next(self, queries: Queries) -> None:
        """Write a generation, make it the one that holds, and open it; the one before the last goes."""
        with _fail_plainly(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix="generation-", dir=self.folder))
            try:
                digests = self._copy(new, queries)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
        before = _manifest(self.folder)
        write_atomically(self.folder / _MANIFEST, msgspec.json.encode(Manifest(VERSION, new.name, digests)))
        for stale in self.folder.glob("generation-*"):
            # A reader that opened the last generation may still be at it.
            if stale.name not in (new.name, before and before.generation):
                shutil.rmtree(stale, ignore_errors=True)
        self._open()

    def _copy(self, folder: Path, queries: Queries) -> dict[str, str]:
        """Write each query's rows as a table's file, and a manifest of them; give the files' digests."""
        for table, sql in queries.items():
            file = quoted(str(folder / f"{table}.parquet"))
            columns = ", ".join(f"{name}::{kind} as {name}" for name, kind in TABLES[table].items())
            self._connection.execute(
                f"copy (select {columns} from ({sql})) to {file} "
                "(format parquet, compression zstd, parquet_version v2)"
            )
        return seal(folder)


def seal(folder: Path) -> dict[str, str]:
    """Write the manifest of a folder of tables, with the digests of what they hold now; give those.

    Raises `OSError` where a table has no file.
    """
    digests = {table: _digest(folder / f"{table}.parquet") for table in TABLES}
    write_atomically(folder / _MANIFEST, msgspec.json.encode(Manifest(VERSION, ".", digests)))
    return digests


def without_paths(sentence: str, place: str) -> str:
    """Return a sentence for a stranger, who is not told where on this machine a store at `place` lies."""
    for folder in (place, os.path.realpath(place), str(SHIPPED)):
        if len(folder) > 1 and folder.startswith("/"):
            sentence = sentence.replace(folder, "the store")
    return sentence


def default_folder() -> Path:
    """Where the store lies: `PITBOARD_STORE`, or `pitboard/store` in the user's data folder (XDG)."""
    if named := os.environ.get("PITBOARD_STORE"):
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "pitboard" / "store"


def _made(kind: str, table: str) -> str:
    """Name what a table becomes in DuckDB: a copy in memory, or a view of its files."""
    return f"{('view' if table in _NEVER_HELD else 'table') if kind == 'held' else kind} {table}"


def _connect(**settings: Any) -> "duckdb.DuckDBPyConnection":
    import duckdb

    return duckdb.connect(config={"threads": min(4, os.cpu_count() or 1)} | settings)


@contextmanager
def _answering() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise PitboardError(f"The store cannot answer: {error}") from error


def _load_httpfs(connection: "duckdb.DuckDBPyConnection") -> None:
    """Load DuckDB's extension from its package, where that is installed; else DuckDB fetches it itself."""
    import duckdb

    package = find_spec("duckdb_extension_httpfs")
    for place in package.submodule_search_locations or [] if package else []:
        for file in Path(place).glob(f"extensions/v{duckdb.__version__}/httpfs.duckdb_extension"):
            with suppress(duckdb.Error):
                connection.execute(f"load {quoted(str(file))}")


def _bound(sql: str, parameters: Parameters) -> str:
    """Write the parameters into the query: DuckDB's own binding imports pandas, if installed, for each."""
    if not parameters:
        return sql
    values: Mapping[str, object]
    if isinstance(parameters, Mapping):
        values = parameters
    else:
        values = {str(number): value for number, value in enumerate(parameters, 1)}
    return _PARAMETER.sub(lambda found: _literal(values[found[1]]), sql)


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"'{value!r}'::double"
    if isinstance(value, list):
        return f"({', '.join(map(_literal, value))})"
    text = str(value)
    if "\0" in text:
        raise PitboardError("A name holds a zero byte: the store has none like it.")
    return quoted(encodable(text))


def _read_only_statement(sql: str) -> tuple[str, bool]:
    """Return the one SELECT of a stranger's query, and whether its plan is asked for rather than its rows.

    Raises `PitboardError` for anything else; DuckDB's own parser tells what a statement is.
    """
    import duckdb

    explained = _EXPLAIN.fullmatch(sql)
    statements = duckdb.extract_statements(explained["statement"] if explained else sql)
    if [statement.type.name for statement in statements] != ["SELECT"]:
        raise PitboardError("The store is read-only here: expected one SELECT, DESCRIBE or EXPLAIN.")
    if explained and "analyze" in explained["how"].casefold():
        raise PitboardError("EXPLAIN ANALYZE would run the query: expected EXPLAIN alone.")
    return statements[0].query, explained is not None


def _tree(operators: Any, before: str = "") -> Iterator[str]:
    """Yield the lines of a plan, an operator each with what it works on, those that feed it below it."""
    for number, operator in enumerate(operators, 1):
        last = number == len(operators)
        said = operator.get("extra_info", {}).items()
        facts = "; ".join(f"{name}: {_in_one_line(value)}" for name, value in said if value)
        yield f"{before}{'└─' if last else '├─'} {operator['name'].strip()}{f'  ({facts})' if facts else ''}"
        yield from _tree(operator.get("children", []), f"{before}{'  ' if last else '│ '} ")


def _in_one_line(value: object) -> str:
    parts = value if isinstance(value, list) else [value]
    return " ".join(", ".join(map(str, parts)).split())


def quoted(text: str) -> str:
    """Write a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _condition(values: Mapping[str, object], columns: dict[str, str]) -> str:
    """Give what picks rows by the values; a table without such a column keeps all."""
    given = {name: value for name, value in values.items() if value is not None}
    if not given.keys() <= columns.keys():
        return "false"
    same = {name: "in" if isinstance(value, list) else "=" for name, value in given.items()}
    return " and ".join(f"{name} {same[name]} {_literal(value)}" for name, value in given.items())


def _files() -> list[str]:
    return [*(f"{table}.parquet" for table in TABLES), _MANIFEST]


def _file(folder: Path, table: str) -> str:
    path = quoted(str(folder / f"{table}.parquet"))
    return f"read_parquet({path})"


def _without(rows: str, owner: str, table: str) -> str:
    """Select a table's rows but those that belong to what `owner` has."""
    same = " and ".join(f"o.{key} is not distinct from r.{key}" for key in _IDENTITY[table])
    return f"select * from {rows} r where not exists (select 1 from {owner} o where {same})"


def _spool(folder: Path, table: str, rows: "list[dict[str, object]]") -> str:
    """Hand rows to DuckDB as lines of JSON: it needs no other library for that, and takes them fast."""
    path = folder / f"{table}.json"
    path.write_bytes(b"\n".join(map(msgspec.json.Encoder().encode, rows)))
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in TABLES[table].items())
    return f"read_json({quoted(str(path))}, format = 'newline_delimited', columns = {{{columns}}})"


def _manifest(folder: Path) -> Manifest | None:
    path = folder / _MANIFEST
    try:
        manifest = msgspec.json.decode(read_plain(path, _MOST_MANIFEST), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, *NO_JSON) as error:
        raise PitboardError(f"{path} is damaged ({error}): move the store away and add again.") from error
    if manifest.schema > VERSION:
        raise PitboardError(
            f"{path} was written by a newer Pitboard (schema {manifest.schema}, not {VERSION}): upgrade."
        )
    if manifest.generation != ".":
        try:
            inside(folder, manifest.generation)
        except PitboardError as error:
            raise PitboardError(f"{path} points out of the store: {error}") from error
    return manifest


def _verify(folder: Path, manifest: Manifest | None) -> None:
    """Compare the tables' files with what the manifest says of them. Raises `_DamagedError`."""
    for table in TABLES:
        path = folder / f"{table}.parquet"
        try:
            known = manifest.digests.get(table) if manifest else None
            if known is None and path.is_file():  # an older Pitboard wrote it
                continue
            if _digest(path) != known:
                raise _DamagedError(_not_as_written(path))
        except OSError as error:
            raise _DamagedError(f"{path} cannot be read ({error.strerror}).") from error


def _digest(path: Path) -> str:
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _not_as_written(path: Path) -> str:
    return f"{path} is not what was written: it was changed by hand, or is damaged."


def _generation(folder: Path) -> Path | None:
    manifest = _manifest(folder)
    return folder / manifest.generation if manifest else None


def _sentence(row: "dict[str, object]") -> str:
    place = "/".join(str(row[name]) for name in ("submitter", "system", "benchmark") if row[name])
    return f"{place}: {row['what']}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one writer at a time at a store."""
    with _fail_plainly(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _fail_plainly(folder: Path) -> Iterator[None]:
    import duckdb

    try:
        yield
    except OSError as error:
        raise PitboardError(f"Cannot write {folder}: {error.strerror or error}.") from error
    except duckdb.IOException as error:
        raise PitboardError(f"Cannot write {folder}: {str(error).splitlines()[0]}") from error
