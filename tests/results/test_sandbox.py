"""A query from an address: the store's tables, limits that hold, and nothing else of the machine."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pitboard.errors import BusyError, PitboardError
from pitboard.results import questions, sandbox
from pitboard.results.store import Store

ask = questions.question("sql").remote


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_it_answers_as_sql_does(store: Store) -> None:
    query = "select round, count(*) as n, 1.5 as d, max(started) as t from runs group by all order by all"

    limited, own = ask(query, store=store), questions.question("sql").ask(query, store=store)

    assert limited.rows == own.rows
    assert limited.columns == own.columns


def test_it_has_no_file_and_cannot_tell_where_the_store_is(store: Store, tmp_path: Path) -> None:
    for query in (
        "select * from read_text('/etc/passwd')",
        "select * from '/proc/self/environ'",
        f"copy results to '{tmp_path}/out.csv'",
        f"explain analyze copy results to '{tmp_path}/out.csv'",
    ):
        with pytest.raises(PitboardError):
            ask(query, store=store)
    assert list(tmp_path.iterdir()) == []
    told = "select count(*) as n from duckdb_settings() where value ilike '%pitboard%' or value like '/root%'"
    assert ask(told, store=store).rows == [{"n": 0}]
    assert ask("select count(*) as n from duckdb_views() where sql like '%parquet%'", store=store).rows == [
        {"n": 0}
    ]


@pytest.mark.parametrize(
    "query",
    [
        "select length(repeat('x', 2000000000))",
        "select list_sum(range(2000000000))",
        "select levenshtein(repeat('a', 100000), repeat('b', 100000))",
    ],
)
def test_a_query_that_would_take_too_much_is_ended(store: Store, query: str) -> None:
    with pytest.raises(PitboardError, match=r"[mM]emory|longer than 1 seconds"):
        sandbox.run(store, query, seconds=1)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select unnest(range(10000)), repeat('a', 2000)", "larger than 8 MB"),
        (f"select {'*, ' * 40} 1 from results limit 1", "columns, expected at most 1,000"),
    ],
    ids=["bytes", "columns"],
)
def test_an_answer_that_would_fill_the_server_s_memory_is_refused(
    store: Store, query: str, said: str
) -> None:
    with pytest.raises(PitboardError, match=said):
        ask(query, store=store)


def test_an_error_is_short_and_does_not_tell_where_the_store_is(tmp_path: Path) -> None:
    made = Store(tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text("damaged after the server started")
    for query in ("select 1", f"select error('{'x' * 5000}')"):
        with pytest.raises(PitboardError) as refused:
            ask(query, store=made if query == "select 1" else Store("/nowhere/at/all"))
        assert str(tmp_path) not in str(refused.value)
        assert len(str(refused.value)) <= 1000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it lives until its time is over")
def test_a_query_ends_with_the_server_that_was_killed() -> None:
    code = "from pitboard.results import sandbox; from pitboard.results.store import Store; "
    code += "sandbox.run(Store('/nowhere/at/all'), 'select sleep_ms(60000)')"
    with subprocess.Popen([sys.executable, "-c", code]) as server:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        _wait_until(lambda: children.read_text().strip() != "")
        query = Path("/proc") / children.read_text().strip()
        _wait_until(lambda: re.search(r"Max file size +0 ", (query / "limits").read_text()) is not None)
        server.send_signal(signal.SIGKILL)
    _wait_until(lambda: not query.exists())


def _wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_rows_are_limited_and_it_is_said(store: Store) -> None:
    answer = ask("select run from evaluations", store=store)

    assert len(answer.rows) == sandbox.MOST_ROWS
    assert "the first 10,000 are given" in answer.notes[0]


def test_only_so_many_queries_are_answered_at_once(store: Store) -> None:
    for _ in range(sandbox.AT_ONCE):
        assert sandbox._free.acquire(blocking=False)
    try:
        with pytest.raises(BusyError):
            ask("select 1", store=store)
    finally:
        sandbox._free.release(sandbox.AT_ONCE)
    assert ask("select 1 as one", store=store).rows == [{"one": 1}]
