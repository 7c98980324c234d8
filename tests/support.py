"""Helpers that several tests share, beside the fixtures of `conftest.py`."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import pitboard as package
from pitboard import charts
from pitboard.charts import answers
from pitboard.events import Run, read_events

# A model small enough to train a few steps in a second; the same code path as every other.
TINY = [
    *("--set", "hidden_size=32", "--set", "intermediate_size=64", "--set", "layers=2"),
    *("--set", "attention_heads=4", "--set", "key_value_heads=2", "--set", "sequence_length=32"),
    *("--set", "vocabulary_size=300", "--set", "evaluation_samples=10", "--set", "evaluation_interval=16"),
    *("--set", "max_samples=64", "--set", "compile=false"),
]

Command = Callable[..., subprocess.CompletedProcess[str]]


def command_environment(home: Path) -> dict[str, str]:
    """Return the environment of a command under test: no colours, a cache of its own, no ranks inherited."""
    environment = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE", "PITBOARD_DATA"}}
    # The sources under test, whatever the working folder is and whatever is installed.
    sources = str(Path(package.__file__).parents[1])
    data = {"XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home)}
    ours = data | {"COLUMNS": "120", "NO_COLOR": "1", "PYTHONPATH": sources}
    return environment | ours


def the_log(folder: Path, number: int = 0) -> Path:
    """Return the log of one run of an output folder."""
    return next(folder.glob(f"results/*/*/result_{number}.txt"))


def the_run(folder: Path, number: int = 0) -> Run:
    """Return what the log of one run of an output folder says."""
    return Run.from_events(read_events(the_log(folder, number)))


def curve(folder: Path, number: int = 0) -> list[tuple[int, float]]:
    """Return a run's validation losses by samples."""
    return [(int(e.samples or 0), e.quality) for e in the_run(folder, number).evaluations]


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let every chart be an empty image: drawing takes most of a site's build, and has tests of its own."""
    empty = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    patch.setattr(answers, "draw", lambda *_: None)
    patch.setattr(charts, "svg", lambda _: empty)
