"""The results one a line, and the part of an answer that a reader wants to see."""

import pytest

from pitboard.errors import PitboardError, UnknownError
from pitboard.results.find import result
from pitboard.results.questions.entries import entries
from pitboard.results.questions.table import table
from pitboard.results.store import Store
from pitboard.results.view import shown, view


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_entries_are_the_results_of_the_table_under_the_same_columns_for_every_filter(store: Store) -> None:
    whole = entries(store=store)
    pivot = table(store=store)
    benchmarks = {row["benchmark"] for row in whole}
    cells = {(row["system"], b): row[b] for row in pivot for b in benchmarks if row[b] is not None}

    assert {(r["system"], r["benchmark"]): r["minutes"] for r in whole if r["minutes"] is not None} == cells
    ordered = [(row["benchmark"], row["minutes"]) for row in whole if row["minutes"] is not None]
    assert ordered == sorted(ordered)
    narrow = entries(benchmark="flux1", accelerators=[8, 16], with_own=True, store=store)
    assert narrow.columns == whole.columns
    assert [column.name for column in shown(whole)] == [
        *("minutes", "benchmark", "system", "submitter", "accelerators", "accelerator", "precision")
    ]
    row = whole.rows[0]
    assert result(store, row["reference"])["minutes"] == row["minutes"]


def test_a_search_takes_what_has_all_its_words_and_may_find_nothing(store: Store) -> None:
    found = entries(search=" Nebius  FP4 llama31_8b", store=store)
    assert {(row["submitter"], row["precision"], row["benchmark"]) for row in found} == {
        ("Nebius", "NVFP4", "llama31_8b")
    }
    assert 'with "Nebius FP4 llama31_8b"' in found.title
    assert entries(search="it's nowhere", store=store).rows == []
    assert entries(search=" ", store=store).rows == entries(store=store).rows


def test_a_figure_of_which_something_must_be_known_is_marked(store: Store) -> None:
    answer = entries("5.1", "llama31_8b", submitter="University-of-Florida", store=store)
    cells = {row["system"]: (answer.columns[0].cell(row)[-1], row["to_know"]) for row in answer}
    assert cells["hpg.dgxb200x8.n1"] == ("*", "RCP scaling factor 1.0085")
    assert cells["hpg.dgxb200x8.n4"][1] is None
    assert cells["hpg.dgxb200x8.n4"][0] != "*"
    assert answer.notes[-1].startswith("* ")
    assert "to_know" in answer.notes[-1]


def test_a_view_chooses_sorts_and_limits_a_copy(store: Store) -> None:
    answer = entries("5.1", "llama31_8b", store=store)
    before = (list(answer.columns), list(answer.rows))
    seen = view(answer, columns=["precision", "runs", "precision"], sort="-minutes", limit=3)

    assert [column.name for column in seen.columns] == ["precision", "runs"]
    assert [r["minutes"] for r in seen] == sorted((r["minutes"] for r in answer), reverse=True)[:3]
    by_precision = [row["precision"] for row in view(answer, sort="precision")]
    assert by_precision[-1] is None
    assert by_precision[0] is not None
    assert view(answer).columns == shown(answer)
    assert (answer.columns, answer.rows) == before
    with pytest.raises(UnknownError, match=r"no column 'minuts' to sort by\. Did you mean 'minutes'"):
        view(answer, sort="-minuts")
    with pytest.raises(UnknownError, match=r"no column 'precison'\. Did you mean 'precision'"):
        view(answer, columns=["system", "precison"])
    with pytest.raises(PitboardError, match="limit of -1"):
        view(answer, limit=-1)
