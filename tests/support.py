"""Helpers that several tests share, beside the fixtures of `conftest.py`."""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import forked
import pitboard as package
from pitboard import charts, suite
from pitboard.charts import answers
from pitboard.events import Run, read_events
from pitboard.suite.model import Scalar

if TYPE_CHECKING:
    from playwright.sync_api import Locator

# Runs of a second: the machine's peak, which the summary wants, takes a fifth of one to measure.
_SHORT = {"evaluation_interval": 16, "max_samples": 64, "compile": "false", "peak_tflops": 0.1}
_TINY: dict[str, dict[str, object]] = {
    "llama31_8b": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "layers": 2,
        "attention_heads": 4,
        "key_value_heads": 2,
        "sequence_length": 32,
        "vocabulary_size": 300,
        "evaluation_samples": 10,
        "global_batch_size": 8,
    },
    "flux1": {
        "double_blocks": 1,
        "single_blocks": 1,
        "attention_heads": 2,
        "text_width": 32,
        "evaluation_samples": 24,
        "global_batch_size": 8,
        "warmup_steps": 1,
    },
    "dlrm_dcnv2": {
        "embedding_width": 4,
        "bottom_widths": "16,4",
        "top_widths": "16,8,1",
        "cross_rank": 4,
        "evaluation_samples": 100,
        "global_batch_size": 8,
    },
    "llama2_70b_lora": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "layers": 2,
        "attention_heads": 4,
        "key_value_heads": 2,
        "sequence_length": 32,
        "vocabulary_size": 300,
        "evaluation_samples": 10,
        "evaluations_skipped": 0,
        "evaluations_skipped_per_batch_sample": 0,
        "base_steps": 10,
        "learning_rate": 0.005,
    },
    "retinanet": {
        "planes": 8,
        "groups": 4,
        "pyramid_width": 16,
        "image_size": 32,
        "smallest_anchor": 6,
        "training_images": 16,
        "evaluation_samples": 10,
        "global_batch_size": 8,
    },
    "rgat": {
        "feature_size": 32,
        "hidden_size": 32,
        "fan_out": "3-2",
        "evaluation_samples": 30,
        "global_batch_size": 8,
        # Gradients of attention that are zero but for rounding become whole steps of Adam.
        "learning_rate": 0.002,
    },
    "llama31_405b": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "layers": 2,
        "attention_heads": 4,
        "key_value_heads": 2,
        "sequence_length": 32,
        "vocabulary_size": 300,
        "evaluation_samples": 10,
        "evaluations_skipped": 0,
        "evaluations_skipped_per_batch_sample": 0,
        "base_steps": 10,
        "learning_rate": 0.001,
        "warmup_steps": 1,
    },
}
TINY = list(_TINY)
"""The benchmarks that have a tiny configuration."""

Command = Callable[..., subprocess.CompletedProcess[str]]
Python = Callable[..., forked.Started]


def command_environment(home: Path) -> dict[str, str]:
    """Return the environment of a command under test: no colours, a cache of its own, no ranks inherited."""
    environment = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE", "PITBOARD_DATA"}}
    # The sources under test, whatever the working folder is and whatever is installed.
    sources = str(Path(package.__file__).parents[1])
    # Workers share a cache, not a store of results: what one adds, another's tables must not have.
    store = home / "data" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
    data = {"XDG_DATA_HOME": str(store), "XDG_CACHE_HOME": str(home)}
    ours = data | {"COLUMNS": "120", "NO_COLOR": "1", "PYTHONPATH": sources}
    return environment | ours


def tiny(benchmark: str) -> list[str]:
    """Return the command that trains a model a few steps in a second; the same code path as every other."""
    settings = (_SHORT | _TINY[benchmark]).items()
    return ["run", benchmark, *(word for key, value in settings for word in ("--set", f"{key}={value}"))]


def the_log(folder: Path, number: int = 0) -> Path:
    """Return the log of one run of an output folder."""
    return next(folder.glob(f"results/*/*/result_{number}.txt"))


def the_run(folder: Path, number: int = 0) -> Run:
    """Return what the log of one run of an output folder says."""
    return Run.from_events(read_events(the_log(folder, number)))


def curve(folder: Path, number: int = 0) -> list[tuple[int, float]]:
    """Return the quality at each of a run's evaluations by samples."""
    return [(int(e.samples or 0), e.quality) for e in the_run(folder, number).evaluations]


def learning(folder: Path, number: int = 0) -> list[tuple[int, float]]:
    """Return a run's losses by samples: the validation's, else, where the quality is none, the training's."""
    run = the_run(folder, number)
    if suite.benchmark(str(run.benchmark)).lower_is_better:
        return curve(folder, number)
    tracked = [event for event in read_events(the_log(folder, number)) if event.key == "tracked_stats"]
    return [
        (int(event.metadata["samples_count"]), event.value["train_loss"])
        for event in tracked
        if "train_loss" in event.value
    ]


def near(curve: Iterable[tuple[int, float]], rel: float) -> list[tuple[int, object]]:
    """Return what equals a curve of the same samples whose losses differ by no more than a fraction."""
    return [(samples, pytest.approx(quality, rel=rel)) for samples, quality in curve]


def number(values: Mapping[str, Scalar], setting: str) -> float:
    """Return a setting of a preset that is a number."""
    value = values[setting]
    assert isinstance(value, int | float)
    return value


def tick(box: "Locator") -> None:
    """Tick a box in a browser.

    Playwright's `check` asks the box itself right after the click; a page that is written anew as soon as it
    is ticked may have another in its place by then, which is waited for here.
    """
    from playwright.sync_api import expect

    box.click()
    expect(box).to_be_checked()


def wait_until(condition: Callable[[], bool], process: forked.Started) -> None:
    """Wait for what a running process is to bring about; fail where it ends before, or in 200 s."""
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ranks_of(launcher: forked.Started) -> list[int]:
    """Return the processes of a launcher's ranks, in their order."""
    return sorted(map(int, Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()))


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let every chart be an empty image: drawing takes most of a site's build, and has tests of its own."""
    empty = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    patch.setattr(answers, "draw", lambda *_: None)
    patch.setattr(charts, "svg", lambda *_: empty)
