import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import made_results
from pitboard.cli import app
from support import Command


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made_results.submit(tmp_path / "Acme")
    return tmp_path / "Acme"


def test_json_has_the_promised_fields_and_full_numbers(pitboard: Command, place: Path) -> None:
    done = pitboard("score", place, "--round", "5.1", "--format", "json")

    (result,) = json.loads(done.stdout)["results"]
    assert done.returncode == 0
    assert result == {
        "submitter": "Acme",
        "system": "box",
        "system_name": "box",
        "benchmark": "llama31_8b",
        "division": "closed",
        "availability": "Available on-premise",
        "nodes": 2,
        "accelerator": "Racer",
        "accelerators": 16,
        "runs": [float(20 + run) for run in range(10)],
        "runs_needed": 10,
        "minutes": pytest.approx(24.5 * result["rcp_scale"]),
        "rcp_scale": result["rcp_scale"],
        "unused_scale": None,
        "samples_to_target": [made_results.SAMPLES[run % 2] for run in range(10)],
        "joules": None,
        "run_joules": [],
        "valid": True,
        "emulated": False,
        "kind": "mlperf",
        "preset": None,
    }


def test_one_run_of_ten_is_no_valid_result_and_a_system_has_a_folder_and_a_name(
    pitboard: Command, place: Path
) -> None:
    alone = pitboard("score", place / "results" / "box" / "llama31_8b" / "result_0.txt").stdout
    assert "1 of 1 runs (a result needs 10)  not valid" in alone
    assert alone.endswith("1 result, 1 with a score, 0 valid\n")

    made_results.describe(place, "box", system_name="Racer (2 nodes)")
    assert "Acme  box  (Racer (2 nodes))  llama31_8b" in pitboard("score", place).stdout
    (place / "results" / "box" / "llama31_8b" / "notes.md").write_text("")
    assert "Acme · box (Racer (2 nodes)) · llama31_8b" in pitboard("check", place).stdout


def test_csv_has_a_row_for_each_result(pitboard: Command, place: Path) -> None:
    made_results.submit(place.parent / "Bolt")

    rows = list(csv.DictReader(io.StringIO(pitboard("score", place.parent, "--format", "csv").stdout)))

    assert [row["submitter"] for row in rows] == ["Acme", "Bolt"]
    assert len(rows[0]["runs"].split()) == 10


def test_text_lists_the_runs_of_one_result(pitboard: Command, place: Path) -> None:
    done = pitboard("score", place / "results" / "box" / "llama31_8b")
    text = done.stdout

    assert done.stderr.startswith("Round 5.1. Told from its newest run, of 2025-")
    assert "24.5" in text
    assert "run 10: 29.000 min" in text
    assert text.count(" samples to the target\n") == 10
    assert text.endswith("1 result, 1 with a score, 1 valid\n")


def test_a_narrow_terminal_shows_the_score_first_and_the_rest_below(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_results.describe(place, accelerator_model_name="Racer of a long name", system_name="Box of a name")
    shown = []
    for columns in ("400", "60"):
        monkeypatch.setenv("COLUMNS", columns)
        shown.append(CliRunner().invoke(app, ["score", str(place)]).stdout)
    wide, narrow = shown

    assert max(map(len, narrow.splitlines())) <= 60
    assert narrow.splitlines()[0] == "24.500 min  llama31_8b  Acme"
    assert sorted(narrow.split()) == sorted(wide.split())  # and nothing is left out


def test_a_single_log_has_a_score(pitboard: Command, place: Path) -> None:
    log = place / "results" / "box" / "llama31_8b" / "result_0.txt"

    (result,) = json.loads(pitboard("score", log, "--format", "json").stdout)["results"]

    assert result["minutes"] == 20


def test_a_result_without_a_score_exits_with_1(pitboard: Command, place: Path) -> None:
    folder = place / "results" / "box" / "llama31_8b"
    for run in (1, 2):
        (folder / f"result_{run}.txt").write_text(":::MLLOG {}\n")

    done = pitboard("score", place)

    assert done.returncode == 1
    assert "no score" in done.stdout
    assert "not valid" in done.stdout


def test_nothing_to_score_is_one_sentence_and_2(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("score", tmp_path / "nowhere")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: Nothing to check at")


def test_control_characters_of_a_description_do_not_reach_the_terminal(
    pitboard: Command, place: Path
) -> None:
    made_results.describe(place, accelerator_model_name="\x1b[2JRacer")

    assert "\x1b" not in pitboard("score", place).stdout


def test_a_package_says_what_is_missing(pitboard: Command, place: Path, tmp_path: Path) -> None:
    (place / "systems" / "box.json").unlink()

    done = pitboard(
        "package", place, "--out", tmp_path / "acme.tar.gz", "--submitter", "Acme", "--round", "5.1"
    )

    assert done.returncode == 1
    assert "Drafted" in done.stdout
    assert "Still missing:" in done.stdout
    assert (tmp_path / "acme.tar.gz").is_file()
