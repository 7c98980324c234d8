"""`import pitboard`: typed for mypy, cheap at run time, and no more than `__all__` says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pitboard
from pitboard.results import questions

_ROOT = Path(__file__).parents[1]


def test_the_names_of_the_front_page_are_those_that_it_lists() -> None:
    assert pitboard.__all__ == ["__version__", "results"]
    assert all(getattr(pitboard, name) is not None for name in pitboard.__all__)
    assert sorted(pitboard.results.__all__) == sorted(["Answer", "Store", *questions.names()])
    assert all(callable(getattr(pitboard.results, name)) for name in pitboard.results.__all__)
    with pytest.raises(AttributeError, match="no attribute 'result'"):
        _ = pitboard.result  # type: ignore[attr-defined]


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import pitboard; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(Path(pitboard.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["pitboard"]


@pytest.mark.slow
def test_mypy_knows_the_questions_by_the_front_page(tmp_path: Path) -> None:
    program = tmp_path / "asks_the_front_page.py"
    program.write_text(
        "import pitboard\n"
        "reveal_type(pitboard.results.table)\n"
        "reveal_type(pitboard.results.scale('llama31_8b', at=64).rows)\n"
        "pitboard.results.table(rounds='5.1')\n"
        "pitboard.result\n"
    )
    # Only what the package itself says: reading the libraries' types takes most of a minute where mypy has
    # no cache, and the whole tree with all of them is another check.
    config = tmp_path / "mypy.ini"
    config.write_text(
        "[mypy]\n"
        "strict = True\n"
        f"mypy_path = {_ROOT / 'src'}\n"
        "follow_imports = skip\n"
        "[mypy-pitboard.*]\n"
        "follow_imports = silent\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", os.devnull, program],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    said = done.stdout.replace("builtins.", "")
    assert "def (round: str | list[str] | None =, benchmark: str | list[str] | None =" in said
    assert "-> pitboard.results.answer.Answer" in said
    assert '"list[dict[str, Any]]"' in said
    assert 'Unexpected keyword argument "rounds" for "table"' in said
    assert 'Module has no attribute "result"' in said
    assert "Found 2 errors" in said
