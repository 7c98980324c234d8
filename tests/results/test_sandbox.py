"""A query from an address: the store's tables, limits that hold, and nothing else of the machine."""

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


def test_it_has_no_file_and_cannot_tell_where_the_store_is(store: Store, tmp_path) -> None:
    for query in (
        "select * from read_text('/etc/passwd')",
        "select * from '/proc/self/environ'",
        f"copy results to '{tmp_path}/out.csv'",
        "drop table results",
    ):
        with pytest.raises(PitboardError):
            ask(query, store=store)
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
