"""Llama 3.1 405B: its size, what follows from the batch, its log, and the rows that it starts from."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import stand_in
from official import official_messages
from pitboard import suite
from pitboard.errors import PitboardError
from pitboard.events import Run, read_events
from pitboard.training.benchmarks.llama31_405b.benchmark import Llama405B, Llama405BSettings
from pitboard.training.initialize import materialize
from pitboard.training.output import Plan
from pitboard.training.runner import settings_for

RACED = suite.benchmark("llama31_405b")
SMALL: dict[str, Any] = {
    "compile": False,
    "layers": 1,
    "hidden_size": 32,
    "intermediate_size": 48,
    "attention_heads": 4,
    "key_value_heads": 2,
    "sequence_length": 16,
    "vocabulary_size": 300,
}


def llama(preset: str = "full", **overrides: Any) -> Llama405B:
    settings = settings_for("llama31_405b", preset, overrides)
    assert isinstance(settings, Llama405BSettings)
    return Llama405B(settings)


@pytest.mark.parametrize(
    ("vocabulary", "parameters"),
    # Meta's own figure, and what is left with the rows of Mixtral's tokens.
    [(128_256, 405_853_388_800), (32_000, 405_853_388_800 - 2 * 96_256 * 16_384)],
)
def test_full_is_the_official_size_and_stays_on_meta(vocabulary: int, parameters: int) -> None:
    benchmark = llama(vocabulary_size=vocabulary)
    with torch.device("meta"):
        model = benchmark.build()
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == parameters
    assert {p.device.type for p in model.parameters()} == {"meta"}
    config: Any = model.get_submodule("llama").config
    assert config.rope_parameters["rope_type"] == "llama3"
    # 6 FLOPs per weight and token, the embedding left out, and attention.
    expected = 8192 * (6 * (parameters - vocabulary * 16_384) + 12 * 126 * 16_384 * 8192)
    assert benchmark.flops_per_sample() == pytest.approx(expected, rel=1e-3)
    assert all(benchmark.is_pretrained(name) for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("batch", "rate", "warmup", "decay"),
    # As the reference convergence points and published logs of rounds 5.0 and 5.1 have them.
    [
        (960, 6.666666666666667e-05, 9600, 1_430_400),
        (1152, 8e-5, 8000, 1_192_000),
        (1280, 8.888888888888889e-05, 7200, 1_072_800),
        (2304, 16e-5, 4000, 596_000),
        (4608, 32e-5, 2000, 298_000),
    ],
)
def test_rate_and_schedule_follow_the_batch(batch: int, rate: float, warmup: int, decay: int) -> None:
    settings = llama(global_batch_size=str(batch)).settings
    found = settings.learning_rate, settings.warmup_steps, settings.max_steps - settings.warmup_steps
    assert found == (rate, warmup, decay)
    assert settings.end_learning_rate == 8e-7
    assert settings.rules(RACED) == RACED
    own = llama(global_batch_size=batch, learning_rate=1e-4).settings
    assert (own.learning_rate, own.end_learning_rate, own.warmup_steps) == (1e-4, 8e-7, warmup)
    assert llama("smoke", global_batch_size=batch).settings.learning_rate < 0.01


def test_the_log_of_full_is_valid_closed(tmp_path: Path) -> None:
    plan = Plan(benchmark="llama31_405b", preset="full", overrides={}, seeds=[1], system="s", submitter="T")
    benchmark = llama(global_batch_size=2304, micro_batch_size=2304)
    log = stand_in.race(benchmark, plan, tmp_path, loss=5.601)
    assert official_messages(log) == set()
    run = Run.from_events(read_events(log))
    assert (run.division, run.status, run.changed) == (
        "closed",
        "success",
        ["global_batch_size", "learning_rate", "max_steps", "warmup_steps"],
    )
    # Of ⌊0.0026 · 2304 + 12⌋ = 17 skipped evaluations: the first points of the reference are later.
    assert run.evaluations[0].samples == 18 * 18_432


def test_it_starts_from_the_first_rows_of_a_larger_vocabulary_and_every_other_row(tmp_path: Path) -> None:
    benchmark = llama("full", **SMALL, model=tmp_path, precision="fp32")
    with torch.device("meta"):
        model = benchmark.build()
    stored = {
        name.removeprefix("llama."): torch.randn(
            (420, *p.shape[1:]) if "embed" in name or "head" in name else p.shape, dtype=torch.bfloat16
        )
        for name, p in model.named_parameters()
    }
    files = {name: f"model-{1 + place % 2}.safetensors" for place, name in enumerate(stored)}
    for file in set(files.values()):
        save_file({name: w for name, w in stored.items() if files[name] == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))

    materialize(model, benchmark, torch.device("cpu"), 1)

    for name, parameter in model.named_parameters():
        assert parameter.requires_grad
        whole = stored[name.removeprefix("llama.")].float()
        assert torch.equal(parameter, whole[: len(parameter)]), name
    with pytest.raises(PitboardError, match="has shape \\(420, 32\\), expected \\(421, 32\\)"):
        benchmark.rows("llama.lm_head.weight", torch.Size([421, 32]), 0, 1)
    with pytest.raises(PitboardError, match="not the model of this preset"):
        benchmark.rows("llama.model.layers.0.mlp.up_proj.weight", torch.Size([47, 32]), 0, 1)


def test_sanity_starts_from_drawn_weights() -> None:
    benchmark = llama("sanity", **SMALL)
    with torch.device("meta"):
        model = benchmark.build()
    materialize(model, benchmark, torch.device("cpu"), 1)
    with torch.no_grad():
        losses = model(**benchmark.warmup_batch(4))
    torch.testing.assert_close(losses, torch.full((4,), math.log(300)), atol=0.1, rtol=0)
    assert benchmark.settings.layers == 1
    assert llama("sanity").settings.layers == 8
