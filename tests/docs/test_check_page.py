"""Every command and every line of Python in docs/check.md runs, and prints what the page shows."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from made_logs import valid_log, write_log
from made_results import preset_log, run_output, submit

_PAGE = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
_BLOCKS = "".join(re.findall(r"```console\n(.*?)```", _PAGE, re.DOTALL))
_COMMANDS = re.findall(r"^\$ pitboard (.*)\n((?:(?!\$ ).*\n)*)", _BLOCKS, re.MULTILINE)


@pytest.fixture
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay out what the page checks: a valid submission, a smoke run, a log that missed."""
    submit(tmp_path / "acme")
    run_output(tmp_path / "output" / "first", preset_log())
    missed = [{**each, "value": 3.5} if each["key"] == "eval_accuracy" else each for each in valid_log()]
    write_log(tmp_path / "run.txt", missed)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize(("command", "shown"), _COMMANDS)
def test_a_command_of_the_page_prints_what_it_shows(
    command: str, shown: str, pitboard: Callable[..., "CompletedProcess[str]"]
) -> None:
    done = pitboard(*shlex.split(command))

    broken = "run.txt" in command or "5.0" in command
    assert (done.returncode, done.stderr) == (int(broken), "")
    assert done.stdout == shown or not shown


@pytest.mark.usefixtures("_runs")
def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)

    exec(code, {})

    assert capsys.readouterr().out == "False ['log-target']\nTrue\n"
