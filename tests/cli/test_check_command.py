"""`pitboard check` and `pitboard explain` as processes: what they print, and how they exit."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from typer.testing import CliRunner

from made_logs import valid_log, write_log
from made_results import run_log, submit
from pitboard.cli import app

Pitboard = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """Two logs of one result, of which one lacks its end."""
    runs = tmp_path / "round" / "Acme" / "results" / "acme_1x" / "llama31_8b"
    write_log(runs / "result_0.txt", valid_log())
    write_log(runs / "result_1.txt", valid_log()[:-1])
    return tmp_path / "round"


def test_a_valid_log_exits_0(pitboard: Pitboard, tmp_path: Path) -> None:
    done = pitboard("check", write_log(tmp_path / "any.log", valid_log()))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Round 5.1: 1 log, 1 valid, 0 not valid",
        "0 errors, 0 warnings",
        "Verdict: valid; the log, not a result: llama31_8b needs 10 runs",
    ]


def test_a_broken_log_exits_1_and_says_where_what_and_how_to_mend_it(
    pitboard: Pitboard, submission: Path
) -> None:
    done = pitboard("check", "--level", "log", submission)

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "Acme · acme_1x · llama31_8b",
        "  result_1.txt  error[log-missing-key]  run_stop is not logged (training_5.1.0/common.yaml:81)",
        "      fix: Log run_stop.",
        "",
        "Round 5.1: 2 logs, 1 valid, 1 not valid",
        "1 error, 0 warnings",
        "Verdict: not valid",
    ]


def test_a_result_and_its_logs_stand_together(pitboard: Pitboard, tmp_path: Path) -> None:
    folder = submit(tmp_path / "Acme")
    write_log(folder / "result_3.txt", run_log(seed=103)[:-1])
    (folder / "notes.md").write_text("")

    done = pitboard("check", tmp_path / "Acme")

    assert done.stdout.splitlines()[:3] == [
        "Acme · box · llama31_8b",
        "  result_3.txt  error[log-missing-key]  run_stop is not logged (training_5.1.0/common.yaml:81)",
        "      fix: Log run_stop.",
    ]
    assert done.stdout.count("·") == 2
    assert "warning[result-stray]" in done.stdout
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == (
        "Verdict: valid; the errors are of runs that the olympic mean drops:"
        " results/box/llama31_8b/result_3.txt"
    )
    assert "RCP test of Acme/box/llama31_8b: passed: " in done.stdout
    assert "% more than the reference, 157,920 would pass" in done.stdout


def test_a_narrow_terminal_breaks_lines_between_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = submit(tmp_path / "Acme")
    write_log(folder / "result_3.txt", run_log(seed=103)[:-1])
    monkeypatch.setenv("COLUMNS", "80")

    lines = CliRunner().invoke(app, ["check", str(tmp_path / "Acme")]).stdout.splitlines()

    assert max(map(len, lines)) <= 80
    # What goes on stands under its line, not beside it.
    at = next(at for at, line in enumerate(lines) if "error[log-missing-key]" in line)
    assert lines[at + 1] == "      (training_5.1.0/common.yaml:81)"
    assert lines[at + 2] == "      fix: Log run_stop."


def test_json_has_the_shape_that_scripts_rely_on(pitboard: Pitboard, submission: Path) -> None:
    done = pitboard("check", "--format", "json", "--level", "log", submission)

    report = json.loads(done.stdout)
    path = "Acme/results/acme_1x/llama31_8b/result_{}.txt"
    assert (report["round"], report["valid"], report["results"]) == ("5.1", False, [])
    assert report["logs"][0] == {
        "path": path.format(0),
        "benchmark": "llama31_8b",
        "division": "closed",
        "valid": True,
        "kind": "mlperf",
        "preset": None,
        "findings": [],
    }
    assert report["logs"][1]["path"] == path.format(1)
    assert report["logs"][1]["findings"] == [
        {
            "rule": "log-missing-key",
            "severity": "error",
            "line": None,
            "message": "run_stop is not logged (training_5.1.0/common.yaml:81)",
            "expected": "exactly 1",
            "found": 0,
            "fix": "Log run_stop.",
        }
    ]


def test_the_round_can_be_named(pitboard: Pitboard, tmp_path: Path) -> None:
    log = write_log(tmp_path / "result_0.txt", valid_log())

    told = json.loads(pitboard("check", "--round", "v5.0", "--format", "json", log).stdout)

    assert told["round"] == "5.0"
    assert {finding["rule"] for finding in told["logs"][0]["findings"]} == {"log-unknown-rules", "log-value"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "Nothing to check at nowhere"),
        (["."], "No log under ."),
        ([__file__, "--round", "5.2"], "There is no round '5.2'. The nearest are 5.0 and 5.1."),
    ],
)
def test_what_cannot_run_exits_2_with_a_sentence(
    words: list[str], sentence: str, pitboard: Pitboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = pitboard("check", "--level", "log", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {sentence}")
    assert "Traceback" not in done.stderr


def test_what_a_log_says_cannot_steer_the_terminal(pitboard: Pitboard, tmp_path: Path) -> None:
    evil = [
        {**each, "value": "\x1b[2J\x9b31m\n"} if each["key"] == "opt_name" else each for each in valid_log()
    ]

    done = pitboard("check", write_log(tmp_path / "result_0.txt", evil))

    assert done.returncode == 1
    assert "\\x1b[2J" in done.stdout
    assert not {char for char in done.stdout if ord(char) < 32 or 127 <= ord(char) < 160} - {"\n"}


def test_it_takes_archives_streams_patterns_and_several_paths(pitboard: Pitboard, tmp_path: Path) -> None:
    submit(tmp_path / "Acme")
    with tarfile.open(tmp_path / "acme.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "Acme", "Acme")
    folder = tmp_path / "folder"
    text = write_log(folder / "a.log", valid_log()).read_text()
    write_log(folder / "b.out", valid_log()[:-1])
    (folder / "notes.md").write_text("no log")

    packed = pitboard("check", tmp_path / "acme.tar.gz").stdout
    assert packed == pitboard("check", tmp_path / "Acme").stdout
    assert "Round 5.1: 10 logs, 10 valid" in packed

    for place in ("-", "/dev/stdin"):
        piped = CliRunner().invoke(app, ["check", place], input=text)
        assert (piped.exit_code, piped.output.splitlines()[0]) == (
            0,
            "Round 5.1: 1 log, 1 valid, 0 not valid",
        )

    several = [
        pitboard("check", folder / "a.log", folder / "b.out"),
        pitboard("check", f"{folder}/[ab].*"),
        pitboard("check", folder, "--level", "log"),
    ]
    for done in several:
        assert done.returncode == 1
        assert "Round 5.1: 2 logs, 1 valid, 1 not valid" in done.stdout
    both = json.loads(pitboard("check", folder / "a.log", tmp_path / "Acme", "--format", "json").stdout)
    assert [(each["path"][-5:], each["valid"]) for each in both["reports"]] == [
        ("a.log", True),
        ("/Acme", True),
    ]
    nothing = pitboard("check", f"{folder}/*.none")
    assert (nothing.returncode, nothing.stderr.startswith("Error: Nothing matches")) == (2, True)
    unnamed = pitboard("check", folder)
    assert (unnamed.returncode, "Level 'log' takes files of other names" in unnamed.stderr) == (2, True)


def test_a_file_that_is_no_log_is_of_no_round(pitboard: Pitboard, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")

    done = pitboard("check", tmp_path / "notes.txt")

    assert done.returncode == 1
    assert "No round told: 1 log, 0 valid, 1 not valid" in done.stdout
    assert "6.1" not in done.stdout


def test_explain_says_what_a_rule_means_and_why(pitboard: Pitboard) -> None:
    done = pitboard("explain", "log-init-time")

    assert done.returncode == 0
    assert done.stdout.startswith("log-init-time: Initialisation takes too long\n")
    assert "\nWhy: " in done.stdout
    assert "\nWritten in: " in done.stdout


def test_explain_lists_every_rule_and_knows_near_misses(pitboard: Pitboard) -> None:
    assert "log-target " in pitboard("explain").stdout

    done = pitboard("explain", "log-taget")

    assert (done.returncode, done.stderr) == (2, "Error: No rule 'log-taget'. Did you mean 'log-target'?\n")
