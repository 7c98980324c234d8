"""Entries that cannot be as they say: told where they enter, and nothing else suffers."""

import json
import os
from pathlib import Path

import pytest

import made_results
from made_logs import event, write_log
from pitboard.errors import PitboardError
from pitboard.results.ingest import Names, read_rows
from pitboard.results.questions.compare import compare
from pitboard.results.store import Store
from pitboard.web.system_page import system
from support import Command


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_time_of_zero_has_no_score_and_is_told(store: Store, tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        log = made_results.run_log(run)
        for each in log:
            each["time_ms"] = 1_760_000_000_000
        write_log(folder / f"result_{run}.txt", log)
    added = store.add(read_rows(tmp_path / "Acme", "5.1"))
    assert added.problems == ["Acme/box/llama31_8b: its time of 0 minutes cannot be"]
    with pytest.raises(PitboardError, match="no score"):
        compare("5.1/Acme/box/llama31_8b", "5.1/Acme/box/llama31_8b", store=store)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("\ud800", "\\ud800"), (json.loads("[" * 600 + "]" * 600), "nested too deeply")],
    ids=["half a character", "nested deeply"],
)
def test_what_a_description_cannot_be_shown_with_is_replaced(
    value: object, shown: str, store: Store, tmp_path: Path
) -> None:
    made_results.submit(tmp_path / "Acme")
    made_results.describe(tmp_path / "Acme", "box", other_software_stack=value, sw_notes="kept")
    store.add(read_rows(tmp_path / "Acme", "5.1"))
    page = system(store, "5.1", "Acme (own)", "box")
    assert shown in page.values["description"]["other_software_stack"]
    assert page.values["description"]["sw_notes"] == "kept"


def test_pipes_and_links_to_themselves_are_not_waited_for(
    store: Store, pitboard: Command, tmp_path: Path
) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    os.mkfifo(tmp_path / "Acme" / "MISSING.txt")
    (folder / "result_3.txt").unlink()
    os.mkfifo(folder / "result_3.txt")
    assert store.add(read_rows(tmp_path / "Acme", "5.1")).new == 1
    (tmp_path / "loop").symlink_to("loop")
    for command in (["check"], ["score"], ["results", "add"]):
        done = pitboard(*command, tmp_path / "loop")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "expected a log, or a folder that holds logs" in done.stderr


def test_what_a_log_discloses_of_precision_and_parallelism_is_compared(store: Store, tmp_path: Path) -> None:
    for name, disclosed in {
        "a": {"lowest_numerical_precision_in_linear": "mxfp6", "tensor_parallelism": 1},
        "b": {"lowest_numerical_precision_in_linear": "fp64", "tensor_parallelism": 4},
    }.items():
        folder = made_results.submit(tmp_path / name)
        for run in range(10):
            log = made_results.run_log(run, minutes=20 + run)
            log[2:2] = [event(key, value) for key, value in disclosed.items()]
            write_log(folder / f"result_{run}.txt", log)
        store.add(read_rows(tmp_path / name, "5.1", Names(system="box")))
    answer = compare("5.1/a/box/llama31_8b", "5.1/b/box/llama31_8b", store=store)
    assert [row["precision"] for row in answer.rows] == ["MXFP6", "FP64"]
    assert answer.warnings == ["The precisions differ: MXFP6 and FP64."]
    assert any("tensor_parallelism 1 and 4" in note for note in answer.notes)
