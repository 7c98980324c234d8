"""The questions on the rounds that come with the package."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pitboard
from pitboard import results
from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.likeness import unlike
from pitboard.results.store import SHIPPED, Store
from pitboard.stats import ratio_interval

LENOVO = "5.1/Lenovo/SR680aV3-8xB200_SXM_180GB/llama31_8b"
NVIDIA = "5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31_8b"
LARGE = "5.1/NVIDIA/tyche_ngpu512_ngc25.09_nemo/llama31_8b"


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_the_table_holds_each_system_once_with_its_minutes(store: Store) -> None:
    table = results.table("5.1", store=store)

    names = [(row["submitter"], row["system"]) for row in table]
    assert len(names) == len(set(names)) == 91
    scores = store.rows("select count(*) as n from results where round = '5.1' and minutes is not null")
    benchmarks = [column.name for column in table.columns if column.unit == "min"]
    assert sum(row[name] is not None for row in table for name in benchmarks) == scores[0]["n"] == 184


def test_the_table_is_filtered_and_says_what_is_missing(store: Store) -> None:
    table = results.table("v5.1", "llama31_8b", accelerator="b200", accelerators=8, store=store)

    assert {row["accelerator"] for row in table} == {"NVIDIA B200"}
    assert {row["accelerators"] for row in table} == {8}
    dell = results.table("5.1", submitter="dell", store=store)
    assert any("2xXE9685Lx8B200" in note and "missing" in note for note in dell.notes)


@pytest.mark.parametrize(("round", "name"), [("5.0", "krai"), ("5.1", "Krai")])
def test_a_submitter_who_is_spelt_otherwise_in_each_round_is_found(
    store: Store, round: str, name: str
) -> None:
    for wanted in ("krai", "Krai", "KRAI"):
        assert {row["submitter"] for row in results.table(round, submitter=wanted, store=store)} == {name}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"round": "9.9"}, "round '9.9'"),
        ({"benchmark": "llama31_8"}, "Did you mean 'llama31_8b'"),
        ({"submitter": "Nvidea"}, "Did you mean 'NVIDIA'"),
        ({"accelerator": "B2000"}, "Known|Did you mean"),
    ],
)
def test_an_unknown_value_is_refused_with_the_near_miss(
    store: Store, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(PitboardError, match=message):
        results.table(**filters, store=store)


def test_an_answer_goes_into_every_frame(store: Store) -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")

    answer = pitboard.results.table(round="5.1", benchmark="flux1", store=store)

    assert answer.relation.shape == (16, 13)
    minutes = [row["flux1"] for row in answer]
    assert isinstance(answer.df(), pandas.DataFrame)
    assert answer.pl()["flux1"].to_list() == minutes
    assert answer.arrow().column("flux1").to_pylist() == minutes
    assert pyarrow.table(answer).num_rows == polars.DataFrame(answer).height == 16
    empty = results.table("5.1", "flux1", accelerators=3, store=store)
    assert empty.pl().shape == (0, 10)


def test_like_results_are_compared_without_a_warning(store: Store) -> None:
    answer = results.compare(LENOVO, NVIDIA, store=store)

    assert answer.warnings == []
    lenovo, nvidia = answer.rows
    assert answer.facts["speedup"] == lenovo["minutes"] / nvidia["minutes"]
    assert answer.facts["low"] < answer.facts["speedup"] < answer.facts["high"]
    assert "accelerator_hours_ratio" not in answer.facts
    assert any("MLPerf Training v5.1 closed division" in note for note in answer.notes)


def test_what_is_not_like_for_like_is_said_first(store: Store) -> None:
    answer = results.compare(LENOVO, LARGE, normalise=True, store=store)

    assert any("8 and 512" in warning for warning in answer.warnings)
    small, large = (row["minutes"] * row["accelerators"] for row in answer.rows)
    assert answer.facts["accelerator_hours_ratio"] == pytest.approx(small / large)
    assert any("not an official metric" in note for note in answer.notes)


def test_different_benchmarks_are_refused(store: Store) -> None:
    with pytest.raises(PitboardError, match="different benchmarks"):
        results.compare(LENOVO, "5.1/NVIDIA/theia_ngpu16_ngc25.09_nemo/flux1", store=store)
    with pytest.raises(PitboardError, match="Did you mean"):
        results.compare(LENOVO, LENOVO + "x", store=store)
    with pytest.raises(PitboardError, match="names no result"):
        results.compare(LENOVO, "NVIDIA", store=store)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"round": "5.0"}, "rounds"),
        ({"division": "open"}, "divisions"),
        ({"availability": "Preview"}, "availability"),
        ({"accelerators": 16}, "counts"),
        ({"own": True}, "not verified"),
        ({"target": 3.6}, "targets"),
    ],
)
def test_each_difference_has_its_sentence(store: Store, change: dict[str, object], word: str) -> None:
    (row,) = store.rows("select * from results where system = $1 and benchmark = $2", LENOVO.split("/")[2:])

    (reason,) = unlike(row, row | change)

    assert word in reason
    assert unlike(row, row) == []


@given(st.lists(st.floats(1, 1e4), min_size=4, max_size=12), st.floats(0.1, 10))
def test_the_interval_of_a_ratio_scales_with_it(runs: list[float], factor: float) -> None:
    interval = ratio_interval(runs, runs)
    assert interval is not None
    low, high = interval
    scaled = ratio_interval([factor * run for run in runs], runs)

    assert low <= 1 <= high
    assert scaled == pytest.approx((factor * low, factor * high))


def test_too_few_runs_have_no_interval() -> None:
    assert ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]) is None


def test_the_software_of_one_and_of_two(store: Store) -> None:
    one = results.stack(NVIDIA, store=store)
    two = results.stack(LENOVO, NVIDIA, store=store)

    nccl = {row["key"]: row["value"] for row in one}["NCCL"]
    (row,) = (row for row in two if row["key"] == "NCCL")
    assert row == {"key": "NCCL", "a": None, "b": nccl, "difference": "only B states it"}
    assert {row["difference"] for row in results.stack(NVIDIA, NVIDIA, store=store)} == {"same"}
    with pytest.raises(PitboardError, match="Did you mean"):
        results.stack("5.1/NVIDIA/theia_ngpu8_ngc25.09_nem", store=store)


def test_the_roster_is_the_published_count(store: Store) -> None:
    answer = results.roster("5.1", store=store)

    assert (answer.facts["systems"], answer.facts["organisations"]) == (65, 20)
    assert answer.facts["largest"] == 5120
    assert "University-of-Florida" in answer.facts["first_timers"]
    assert "Quanta_Cloud_Technology" not in answer.facts["first_timers"]
    assert "Supermicro_MangoBoost" not in answer.facts["first_timers"]
    assert sum(row["results"] for row in answer) == 184
    change = {row["figure"]: row["change"] for row in answer.more["benchmarks"]}
    assert change["bert"] == -34
    assert change["llama31_8b"] == 39
    first = results.roster("1.0", store=store)
    assert "change" not in first.more
    assert first.facts["first_timers"] == []


def test_a_published_run_is_set_beside_its_like(store: Store) -> None:
    answer = results.sanity("5.1/Supermicro/AS-8126GS-NB3RT/llama31_8b", store=store)

    assert {row["reference"].split("/")[1] for row in answer} == {"Dell", "Lenovo", "Nebius"}
    assert answer.facts["within"] is (answer.facts["throughput"] >= answer.facts["published_slowest"])


def test_sql_reads_the_store_and_nothing_else(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    count = results.sql("select count(*) as n, 1.5 as d from results", store=store)
    assert count.rows == [{"n": 1354, "d": 1.5}]
    assert len(results.sql("describe results", store=store)) > 20
    entered = results.sql("select systems, results from submissions where submitter = 'Lambda'", store=store)
    assert {"systems": 1, "results": 2} in entered.rows
    same = results.sql("select 1 as a, 2 as a_2, 3 as a", store=store)
    assert list(same.rows[0].values()) == [1, 2, 3]

    for query in (
        f"select * from '{secret}'",
        f"select * from read_text('{secret}')",
        f"copy results to '{tmp_path}/out.csv'",
        "drop view results",
        "select 1; select 2",
        "attach 'x.db'",
        "install httpfs",
        "set enable_external_access = true",
        "select",
        "",
    ):
        with pytest.raises(PitboardError):
            results.sql(query, store=store)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "before",
    [
        "explain analyze",
        "/* a */ explain (analyze, format json)",
        "explain(analyze)",
        "-- a\nEXPLAIN ANALYZE\t",
    ],
)
def test_explain_analyze_runs_nothing(tmp_path: Path, before: str) -> None:
    """It would run what it explains."""
    store = Store(tmp_path)
    shipped = SHIPPED / "rounds.csv"
    for file in (tmp_path / "out.csv", shipped):
        with pytest.raises(PitboardError, match="read-only"):
            results.sql(f"{before} copy rounds to '{file}'", store=store)
        assert not file.exists()
    with pytest.raises(PitboardError, match="expected EXPLAIN alone"):
        results.sql(f"{before} select 1", store=store)


@pytest.mark.parametrize("question", questions.names())
def test_every_question_explains_itself(question: str) -> None:
    asked = getattr(results, question)

    assert asked.__doc__
    module = __import__(f"pitboard.results.questions.{question}", fromlist=["DEFINITION"])
    assert len(module.DEFINITION) > 100


def test_an_answer_is_plain_data(store: Store) -> None:
    from pitboard.cli.answers import as_json

    document = json.loads(as_json(results.compare(LENOVO, NVIDIA, store=store)))

    assert document["question"] == "compare"
    assert set(document["rows"][0]) == {column["name"] for column in document["columns"]}
