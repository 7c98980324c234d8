"""The small base: trained once whoever asks, checked when taken, named after all that it depends on."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pitboard.suite.benchmarks.llama31_8b import LLAMA31_8B
from pitboard.training.benchmarks.llama31_8b import base_weights
from pitboard.training.benchmarks.llama31_8b.base_weights import PretrainedBase, pretrained_base
from pitboard.training.benchmarks.llama31_8b.benchmark import LlamaSettings

TINY: dict[str, object] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "layers": 2,
    "sequence_length": 32,
    "compile": False,
    "precision": "fp32",
    "vocabulary_size": 300,
    "evaluation_interval": None,
    "target": None,
    "max_steps": 2,
}


def base(said: list[str], **changes: object) -> PretrainedBase:
    values = LLAMA31_8B.preset("smoke").values
    settings = LlamaSettings.build(values, TINY | {"preset": "smoke"} | changes)
    return pretrained_base(settings, torch.device("cpu"), said.append)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(made))


def test_two_that_ask_at_once_get_the_base_of_one() -> None:
    said: list[str] = []
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda _: base(said), range(2))
    assert first == second
    assert said == ["pre-training the base for 2 steps, once for this machine"]
    assert {value.dtype for value in load_file(first.folder / "model.safetensors").values()} == {
        torch.bfloat16
    }


def test_a_damaged_base_is_made_anew() -> None:
    file = base([]).folder / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + b"\x7f", b""):
        file.write_bytes(damaged)
        said: list[str] = []
        base(said)
        assert len(said) == 1
        assert file.read_bytes() == whole


def test_its_name_holds_what_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []

    def remember(folder: Path, _build: object) -> Path:
        folders.append(folder)
        return whole

    whole = base([]).folder
    monkeypatch.setattr(base_weights, "cached", remember)
    base([])
    for change in ({"max_steps": 3}, {"rope_theta": 1e4}, {"vocabulary_size": 301}, {"learning_rate": 1e-3}):
        base([], **change)
    for name, value in (("__version__", "0"), ("_FORMAT_VERSION", 0), ("_SEED", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(base_weights, name, value)
            base([])
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0")
        base([])
    assert folders[0] == whole
    assert len(set(folders)) == len(folders) == 9
