"""How commands end where the output cannot be written, a signal comes, or a name is hostile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import made_results
from made_logs import as_text, event, write_log
from pitboard.cli import answers
from pitboard.results import sql
from pitboard.results.store import Store
from pitboard.text import printable_json
from support import Command, Python, command_environment

HOSTILE = "\x1b[31mred\u202eevil\x9b2J"


def test_output_that_cannot_be_written_is_no_verdict(tmp_path: Path) -> None:
    made_results.submit(tmp_path / "Acme")
    with Path("/dev/full").open("w") as full:
        for command in (
            ["check", tmp_path / "Acme"],
            ["explain"],
            ["suite"],
            ["--help"],
            ["results", "roster"],
        ):
            done = subprocess.run(
                [sys.executable, "-P", "-m", "pitboard", *map(str, command)],
                env=command_environment(tmp_path),
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
                text=True,
            )
            assert done.returncode == 2
            assert done.stderr == "Error: Cannot read or write the output: No space left on device.\n"


def test_a_terminal_without_unicode_is_no_reason_to_fail(tmp_path: Path) -> None:
    environment = command_environment(tmp_path) | {"PYTHONIOENCODING": "ascii"}
    for command in (["suite"], ["suite", "llama31_8b"], ["run", "--help"], ["results", "scale"]):
        more = ["--benchmark", "llama31_8b", "--format", "json"] if command[0] == "results" else []
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pitboard", *command, *more],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii()


def test_nothing_that_was_read_or_typed_moves_a_terminal_s_cursor(pitboard: Command, tmp_path: Path) -> None:
    made_results.submit(tmp_path / "Acme")
    made_results.describe(tmp_path / "Acme", framework=HOSTILE)
    folder = made_results.submit(tmp_path / "Bolt")
    log = made_results.run_log(1)
    log.insert(3, event("opt_name", HOSTILE))
    write_log(folder / "result_1.txt", log)
    at = ("--store", tmp_path / "store")
    pitboard("results", "add", tmp_path / "Acme", *at)
    query = f"select framework, '{HOSTILE}' as x from systems where own"
    commands = [
        ("results", "sql", query, "--format", "json", *at),
        ("results", "sql", query, "--format", "markdown", "--explain", *at),
        ("results", "sql", f'select * from "{HOSTILE}"', *at),
        ("results", "table", "--benchmark", HOSTILE, *at),
        ("check", tmp_path / HOSTILE),
        ("check", "--format", "sarif", tmp_path / "Bolt"),
        ("package", tmp_path / "Bolt", "--submitter", HOSTILE),
        ("run", "--resume", tmp_path / HOSTILE),
    ]
    for command in commands:
        done = pitboard(*command)
        assert (done.stdout + done.stderr).replace("\n", "").isprintable(), command
        assert "Traceback" not in done.stderr
    assert printable_json('"\u202e\U000e0001é"') == '"\\u202e\\udb40\\udc01é"'


def test_a_table_for_a_spreadsheet_is_masked_on_a_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = sql(f"select '{HOSTILE}' as x", store=Store(tmp_path / "none"))
    assert HOSTILE in answers.as_csv(answer)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert answers.as_csv(answer) == "x\n�[31mred�evil�2J\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_folder_and_no_process(python: Python, tmp_path: Path, number: int) -> None:
    log = made_results.run_log(1)
    log[5:5] = [event("tracked_stats", {"loss": 1.0}, 6, step=step) for step in range(15_000)]
    folder = made_results.submit(tmp_path / "Acme", runs=16)
    large = as_text(log)  # so that there are workers, which are at it for a while
    for run in range(16):
        write_log(folder / f"result_{run}.txt", large)
    for command in (
        ["package", tmp_path / "Acme", "--out", tmp_path / "packed" / "a.tar.gz"],
        ["results", "add", tmp_path / "Acme", "--store", tmp_path / "store"],
    ):
        (tmp_path / "packed").mkdir(exist_ok=True)
        started = python("-m", "pitboard", *command)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
        workers: list[str] = []
        while started.poll() is None and not workers:
            workers = children.read_text().split()
        os.kill(started.pid, number)
        _, said = started.communicate(60)
        assert started.returncode == 128 + number, said
        assert f"Stopped by {signal.Signals(number).name}; what was written so far is complete." in said
        deadline = time.monotonic() + 60
        while any(Path("/proc", worker).exists() for worker in workers):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert list((tmp_path / "packed").iterdir()) == []
        assert not list(tmp_path.glob("store/generation-*"))


def test_what_a_resumed_run_would_not_follow_is_refused_by_name(pitboard: Command, tmp_path: Path) -> None:
    more = ("llama31_8b", "--set", "layers=3", "--seed", 4, "--precision", "fp8", "--nproc", 2, "--quiet")
    done = pitboard("run", *more, "--resume", tmp_path)
    swept = pitboard("precision", "--resume", tmp_path, "--runs", 3)

    assert (done.returncode, swept.returncode) == (2, 2)
    assert "leave out BENCHMARK, --seed, --precision, --set." in done.stderr
    assert "leave out --runs." in swept.stderr


@pytest.mark.parametrize("given", ["target=nan", "learning_rate=inf", "peak_tflops=-inf"])
def test_a_setting_is_a_finite_number(pitboard: Command, given: str) -> None:
    done = pitboard("run", "llama31_8b", "--set", given, "--dry-run")
    assert done.returncode == 2
    assert "finite number" in done.stderr
