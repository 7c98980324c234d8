"""Checking a tree of logs: which files are logs, in one process or several, and what is damaged."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from backports import zstd

from made_logs import as_text, valid_log, write_log
from pitboard.compliance import check, check_tree
from pitboard.errors import PitboardError

_FOLDER = Path("Acme/results/acme_1x/llama31_8b")


def _rules(root: Path, round: str | None = "5.1") -> dict[str, list[str]]:
    report = check_tree(root, round, "log")
    told = {log.path: [finding.rule for finding in log.findings] for log in report.logs}
    return told | {finding.file: [finding.rule] for finding in report.findings}


def test_logs_are_found_by_their_names_plain_or_packed(tmp_path: Path) -> None:
    text = as_text(valid_log()).encode()
    write_log(tmp_path / _FOLDER / "result_0.txt", text)
    write_log(tmp_path / _FOLDER / "result_1.txt.zst", zstd.compress(text))
    write_log(tmp_path / _FOLDER / "notes.txt", "none")
    write_log(tmp_path / "Acme" / "systems" / "acme_1x.json", "{}")

    assert _rules(tmp_path) == {f"{_FOLDER}/result_0.txt": [], f"{_FOLDER}/result_1.txt.zst": []}


def test_one_damaged_log_does_not_keep_the_others_from_being_checked(tmp_path: Path) -> None:
    write_log(tmp_path / "result_0.txt", b"\x1f\x8b\x08 no gzip after all")
    write_log(tmp_path / "result_1.txt", valid_log())
    (tmp_path / "result_2.txt").symlink_to(tmp_path / "nowhere")

    assert _rules(tmp_path) == {
        "result_0.txt": ["log-unreadable", "log-no-events"],
        "result_1.txt": [],
        "result_2.txt": ["log-unreadable", "log-no-events"],
    }


def test_links_do_not_lead_out_of_the_checked_folder(tmp_path: Path) -> None:
    secret = write_log(tmp_path / "secret.txt", valid_log())
    inside = write_log(tmp_path / "round" / "result_0.txt", valid_log())
    (tmp_path / "round" / "result_1.txt").symlink_to(secret)
    (tmp_path / "round" / "result_2.txt").symlink_to(inside)

    report = check_tree(tmp_path / "round", "5.1", "log")

    assert not report.valid
    assert [(finding.rule, finding.file) for finding in report.findings] == [
        ("log-outside-tree", "result_1.txt")
    ]
    assert [log.path for log in report.logs] == ["result_0.txt", "result_2.txt"]


def test_several_processes_tell_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        write_log(tmp_path / f"result_{number}.txt", valid_log()[number % 3 :])
    alone = check_tree(tmp_path, "5.1", "log")
    steps: list[tuple[int, int]] = []

    monkeypatch.setattr(check, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(check, "_processors", lambda: 3)
    together = check_tree(tmp_path, "5.1", "log", progress=lambda done, total: steps.append((done, total)))

    assert together == alone
    assert steps == [(number, 12) for number in range(1, 13)]


def test_the_round_is_told_from_benchmarks_then_rules_then_dates(tmp_path: Path) -> None:
    write_log(tmp_path / "a" / "result_0.txt", valid_log("stable_diffusion"))
    write_log(tmp_path / "b" / "result_0.txt", valid_log("dlrmv4"))
    write_log(tmp_path / "c" / "result_0.txt", valid_log("llama31_8b"))
    late = [{**each, "time_ms": each["time_ms"] + 10**11} for each in valid_log("llama31_8b")]
    write_log(tmp_path / "d" / "result_0.txt", late)
    write_log(tmp_path / "e" / "result_0.txt", "")

    told = {name: check_tree(tmp_path / name, level="log").round for name in "abcde"}

    # d is of 2028, and its rules did not change after 5.1 but for settings that 6.0 asks for; e holds no
    # event, so it is of no round.
    assert told == {"a": "5.0", "b": "6.1", "c": "5.1", "d": told["d"], "e": None}
    assert told["d"] in ("5.1", "6.0", "6.1")


def test_nothing_to_check_is_said(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="Nothing to check"):
        check_tree(tmp_path / "missing")
    with pytest.raises(PitboardError, match="No log under"):
        check_tree(tmp_path, level="log")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_check_that_is_ended_leaves_no_process_behind(number: signal.Signals, tmp_path: Path) -> None:
    """Workers that outlive it would hold its output open for ever."""
    chatter = b"." * 99 + b"\n"
    for run in range(4):
        log = write_log(tmp_path / f"result_{run}.txt", valid_log())
        with log.open("ab") as file:
            file.write(chatter * 400_000)
    command = [sys.executable, "-m", "pitboard", "check", str(tmp_path), "--round", "5.1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():
        assert process.poll() is None, "it was done before it could be ended"
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    ended = 128 + number if number == signal.SIGTERM else -number  # which it takes to clear up
    assert (process.returncode, output) == (ended, b"")
