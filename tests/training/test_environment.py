"""What Pitboard sets in the environment for PyTorch, and that it is set before PyTorch reads it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pitboard.launch.plan import RunRequest, make_plan
from pitboard.training import ALLOCATOR_SETTINGS, set_defaults
from pitboard.training.distributed import World
from pitboard.training.log_header import log_header
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import settings_of
from support import command_environment

EXPANDABLE = "expandable_segments:True"


def test_gpu_memory_is_allocated_in_expandable_segments_unless_the_user_set_the_allocator() -> None:
    ours: dict[str, str] = {}
    set_defaults(ours)
    assert ours["PYTORCH_ALLOC_CONF"] == EXPANDABLE
    for name in ALLOCATOR_SETTINGS:
        theirs = {name: "backend:cudaMallocAsync"}
        set_defaults(theirs)
        assert {key: value for key, value in theirs.items() if "ALLOC" in key} == {
            name: "backend:cudaMallocAsync"
        }


def test_it_is_set_before_torch_is_loaded(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ALLOCATOR_SETTINGS}
    environment["PYTHONPATH"] = command_environment(tmp_path)["PYTHONPATH"]
    # Loading torch fails, as it would have read the environment as it was.
    code = (
        "import os, sys; sys.modules['torch'] = None; import pitboard.training;"
        "print(os.environ['PYTORCH_ALLOC_CONF'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == (EXPANDABLE, "")


def test_the_log_of_a_gpu_says_how_memory_was_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALLOCATOR_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:512")
    plan = make_plan(RunRequest(benchmark="llama31_8b", overrides={"precision": "fp32"}))
    benchmark = benchmark_class("llama31_8b")(settings_of(plan))

    def logged(device: str) -> object:
        world = World(0, 1, torch.device(device), None, 0, 1, 1)
        return log_header(benchmark, plan, 1, world, "asked for").get("pitboard_gpu_allocator")

    assert (logged("cuda"), logged("cpu")) == ("max_split_size_mb:512", None)


def test_ranks_import_nothing_from_the_folder_where_they_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed.launcher import api

    from pitboard.launch.torchrun import launch_ranks

    started: list[str] = []

    def elastic_launch(_: object, executable: str) -> Callable[..., None]:
        return lambda *arguments: started.extend([executable, *arguments])

    monkeypatch.setattr(api, "elastic_launch", elastic_launch)
    launch_ranks(["--version"], 1)
    (tmp_path / "pitboard.py").write_text("print('this ran')")
    done = subprocess.run(
        started, cwd=tmp_path, env=command_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("pitboard ")
