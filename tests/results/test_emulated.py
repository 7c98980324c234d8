"""A result whose precision was emulated is marked, and its time set beside no other."""

from pathlib import Path

import pytest

import made_results
from made_logs import as_text, event
from pitboard.cli.score import as_text as scores_as_text
from pitboard.compliance import check_tree
from pitboard.errors import PitboardError
from pitboard.results.ingest import read_rows
from pitboard.results.questions.compare import compare
from pitboard.results.store import Store
from pitboard.scoring import score_tree


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A result of ten runs, one of which was emulated, and one like it that was not."""
    made_results.submit(tmp_path / "Bolt")
    log = made_results.submit(tmp_path / "Acme") / "result_3.txt"
    log.write_text(as_text([event("pitboard_emulated", True)]) + log.read_text())
    return tmp_path


def test_the_store_marks_it_and_no_comparison_is_made(place: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", shipped=False)
    added = store.add(read_rows(place, "5.1"))

    assert "its time is comparable with nothing" in " ".join(added.problems)
    assert store.rows("select submitter, emulated from results order by submitter") == [
        {"submitter": "Acme", "emulated": True},
        {"submitter": "Bolt", "emulated": False},
    ]
    assert store.rows("select run from runs where emulated") == [{"run": 3}]
    with pytest.raises(PitboardError, match="the precision of Acme's was emulated"):
        compare("5.1/Acme/box/llama31_8b", "5.1/Bolt/box/llama31_8b", store=store)


def test_its_score_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    acme, bolt, *_ = scores_as_text(score_tree(check_tree(place, "5.1"))).splitlines()

    assert acme.endswith("emulated: not comparable")
    assert "emulated" not in bolt
