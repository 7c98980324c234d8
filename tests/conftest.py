"""The fixtures that several tests share: the command as a real process, and one real smoke run."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import Command, command_environment


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder that the tests of this session share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def pitboard(cache: Path) -> Command:
    """Return a function that runs `pitboard` with arguments as a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pitboard", *map(str, arguments)],
            check=False,
            **{"env": command_environment(cache), "capture_output": True, "text": True, "timeout": 300}
            | options,
        )

    return run


@pytest.fixture(scope="session")
def smoke(pitboard: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the smoke preset to its target once; return its output folder and what it printed."""
    folder = tmp_path_factory.mktemp("smoke") / "out"
    done = pitboard("run", "llama31_8b", "--seed", 1, "--output", folder, "--submitter", "Test")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout
