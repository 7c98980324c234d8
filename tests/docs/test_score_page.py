"""Every command and every line of Python in docs/score.md runs as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

import made_results
from support import Command

_PAGE = (Path(__file__).parents[2] / "docs" / "score.md").read_text()
_COMMANDS = re.findall(r"^\$ pitboard (.*)$", _PAGE, re.MULTILINE)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_results.submit(tmp_path / "runs")
    made_results.run_output(tmp_path / "output" / "first", made_results.preset_log())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"))


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_of_the_page_runs(command: str, pitboard: Command) -> None:
    done = pitboard(*shlex.split(command))

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)

    exec(code, {})

    assert capsys.readouterr().out.startswith("True 1.0231")


def test_the_page_names_every_field_of_the_json() -> None:
    from pitboard.scoring import Score

    assert all(f"`{field}`" in _PAGE for field in Score.__struct_fields__)
