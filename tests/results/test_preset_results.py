"""Results of a preset other than `full`: compared among themselves, never with published ones."""

from pathlib import Path
from typing import Any

import pytest

from made_results import preset_log, run_output
from pitboard.errors import PitboardError
from pitboard.results.answer import document
from pitboard.results.ingest import Names, read_rows
from pitboard.results.questions.compare import compare
from pitboard.results.questions.roster import roster
from pitboard.results.questions.table import table
from pitboard.results.store import Store

PUBLISHED = "5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31_8b"

CHANGED: dict[str, Any] = {"pitboard_changed": ["layers"]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The published rounds, and of our own two smoke runs and one with changed settings."""
    store = Store(tmp_path / "store")
    for name, settings in {"a": {}, "b": {}, "changed": CHANGED}.items():
        folder = run_output(tmp_path / f"Quixote {name}", preset_log(**settings))
        added = store.add(read_rows(folder, None, Names("Quixote", name)))
        assert added.problems == []
    return store


def test_two_of_the_same_preset_are_like_for_like_and_marked(store: Store) -> None:
    answer = compare("5.1/Quixote/a/llama31_8b", "5.1/Quixote/b/llama31_8b", store=store)

    assert answer.warnings == []
    assert [(row["kind"], row["preset"]) for row in answer.rows] == [("preset", "smoke")] * 2
    assert {"kind", "preset"} <= {column.name for column in answer.columns}
    assert answer.notes[0] == "Both are of preset smoke: not an MLPerf result."
    assert not any("Unverified MLPerf" in note for note in answer.notes)
    changed = compare("5.1/Quixote/a/llama31_8b", "5.1/Quixote/changed/llama31_8b", store=store)
    assert changed.warnings == ["B changed settings of its preset: layers."]


def test_with_a_published_result_there_is_no_comparison(store: Store) -> None:
    with pytest.raises(PitboardError, match="preset smoke, which is not an MLPerf result"):
        compare("5.1/Quixote/a/llama31_8b", PUBLISHED, store=store)


def test_it_is_in_no_published_table_or_roster(store: Store) -> None:
    assert store.rows(
        "select distinct own, preset, valid from results where submitter = 'Quixote (own)'"
    ) == [{"own": True, "preset": "smoke", "valid": True}]
    for answer in (table("5.1", store=store), roster("5.1", store=store)):
        text = str(document(answer))
        assert "NVIDIA" in text
        assert "Quixote" not in text
    assert store.rows(
        "select code_url, results_url from systems where submitter = 'Quixote (own)' and system = 'a'"
    ) == [{"code_url": None, "results_url": None}]
