"""FLUX.1: its size, path, loss and samples, and that a model which cheats is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor

import stand_in
from official import official_messages
from pitboard.errors import PitboardError
from pitboard.events import Run, read_events
from pitboard.training.benchmarks.flux1 import benchmark as flux1
from pitboard.training.benchmarks.flux1 import digits
from pitboard.training.benchmarks.flux1.benchmark import Flux1, FluxSettings
from pitboard.training.benchmarks.flux1.model import FluxWithLoss, patches, unpatched
from pitboard.training.initialize import seeded_generator
from pitboard.training.output import Output
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute, settings_for
from stand_in import built, the_plan
from support import Command, the_run

TINY: dict[str, Any] = {
    "double_blocks": 1,
    "single_blocks": 1,
    "attention_heads": 1,
    "precision": "fp32",
    "compile": False,
}


def flux(preset: str = "smoke", **overrides: Any) -> Flux1:
    settings = settings_for("flux1", preset, overrides)
    assert isinstance(settings, FluxSettings)
    return Flux1(settings)


def test_full_is_the_official_size_and_stays_on_meta() -> None:
    benchmark = flux("full")
    with torch.device("meta"):
        model = benchmark.build()
    weights = sum(p.numel() for p in model.parameters())
    assert round(weights / 1e9, 1) == 11.9  # the reference's README
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert len(benchmark.blocks(model)) == 19 + 38
    # At most 6 FLOPs for each weight and token: the weights of double blocks see text or image only.
    tokens = 256 + 256
    assert 6 * 0.5 * weights * tokens < benchmark.flops_per_sample() < 6 * 1.1 * weights * tokens


def test_a_fresh_model_predicts_no_velocity() -> None:
    benchmark = flux(**TINY)
    batch = benchmark.warmup_batch(3)
    with torch.no_grad():
        losses = built(benchmark)(**batch)
    expected = (batch["noise"] - batch["latent"]).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(losses, expected)


def test_its_attention_is_that_of_diffusers() -> None:
    benchmark = flux(**TINY | {"attention_heads": 2})
    model = built(benchmark)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.normal_(std=0.2, generator=seeded_generator(torch.device("cpu"), 0, str(number)))
    batch = benchmark.warmup_batch(3)

    def losses_and_gradients() -> list[Tensor]:
        losses = model(**batch)
        return [losses, *torch.autograd.grad(losses.sum(), list(model.parameters()))]

    ours = losses_and_gradients()
    model.get_submodule("flux").set_attn_processor(FluxAttnProcessor())  # type: ignore[operator]
    theirs = losses_and_gradients()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_patches_are_the_references_and_come_apart_again() -> None:
    latent = torch.randn(2, 3, 4, 6)
    tokens = patches(latent)
    assert tokens.shape == (2, 6, 12)
    # The second token of the first row: channel by channel, each two rows of two columns.
    assert torch.equal(tokens[0, 1], latent[0, :, 0:2, 2:4].flatten())
    assert torch.equal(unpatched(tokens, 2), latent)


def test_starting_values_are_the_references() -> None:
    benchmark = flux(head_size=64, attention_heads=2, double_blocks=1, single_blocks=1)
    parameters = dict(built(benchmark).named_parameters())
    for name in ("transformer_blocks.0.norm1.linear", "single_transformer_blocks.0.norm.linear", "proj_out"):
        assert not parameters[f"flux.{name}.weight"].any()
    width = 128
    for name, fans in (
        ("transformer_blocks.0.attn.to_q", width + 3 * width),
        ("single_transformer_blocks.0.attn.to_q", width + 7 * width),
        ("single_transformer_blocks.0.proj_out", 5 * width + width),
        ("transformer_blocks.0.ff.net.2", 4 * width + width),
    ):
        bound = (6 / fans) ** 0.5
        values = parameters[f"flux.{name}.weight"]
        assert 0.98 * bound < values.abs().max() <= bound
    assert all(not p.any() for name, p in parameters.items() if name.endswith(".bias"))
    assert (parameters["flux.transformer_blocks.0.attn.norm_q.weight"] == 1).all()


def test_training_samples_follow_the_seed_and_evaluation_samples_do_not() -> None:
    benchmark = flux(caption_dropout=0.5)
    first, again, other = (benchmark.training_data(seed) for seed in (1, 1, 2))
    for name, values in first[5].items():
        assert torch.equal(values, again[5][name])
    assert not torch.equal(first[5]["noise"], other[5]["noise"])
    assert not torch.equal(first[5]["noise"], first[6]["noise"])
    empty, _ = digits.encode_caption("", 64, 32)
    dropped = sum(torch.equal(first[index]["text"], empty) for index in range(400))
    assert 150 < dropped < 250

    evaluation, other = benchmark.evaluation_data(1), benchmark.evaluation_data(2)
    assert torch.equal(evaluation[0]["noise"], other[0]["noise"])
    assert not torch.equal(evaluation[0]["noise"], first[0]["noise"])
    times = [evaluation[index]["time"].item() for index in range(16)]
    assert times == [step / 8 for step in range(8)] * 2
    assert not any(torch.equal(evaluation[index]["text"], empty) for index in range(50))


def test_each_image_is_trained_on_once_an_epoch() -> None:
    data = flux().training_data(1)
    count = len(digits.load_digits()[0].images)
    places = [data._order.place(index) for index in range(count)]  # type: ignore[attr-defined]
    assert sorted(places) == list(range(count))
    assert places != [data._order.place(count + index) for index in range(count)]  # type: ignore[attr-defined]


class Peeking(FluxWithLoss):
    """A model that is shown the image whatever the time step."""

    def forward(
        self, latent: Tensor, noise: Tensor, time: Tensor, text: Tensor, pooled: Tensor, **_: Any
    ) -> Tensor:
        predicted = self._velocity(latent, time, text, pooled)
        return (predicted - patches(noise - latent)).square().mean(dim=(1, 2))


def test_a_model_that_sees_what_it_shall_predict_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(flux1, "FluxWithLoss", Peeking)
    with pytest.raises(PitboardError, match="depends on the latent"):
        execute(Output(tmp_path), the_plan("flux1", **TINY), 0, Silent())


def test_settings_that_cannot_be_are_explained() -> None:
    with pytest.raises(PitboardError, match="multiple of 8"):
        flux(evaluation_samples=100)
    with pytest.raises(PitboardError, match="FSDP only"):
        flux(tensor_parallel=2)


def test_full_without_its_data_says_how_to_get_it(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("run", "flux1", "--preset", "full", "--output", tmp_path / "out")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert "`pitboard data flux1` says what to download" in sentence
    assert the_run(tmp_path / "out").status == "aborted"


def test_drawing_gives_a_grid_of_digits() -> None:
    benchmark = flux(**TINY)
    grid = benchmark.draw(built(benchmark), torch.device("cpu"))
    assert grid.shape == (10 * 10, 9 * 10)
    assert 0 <= grid.min() < grid.max() <= 1


def test_the_log_of_full_is_valid_closed(tmp_path: Path) -> None:
    benchmark = flux("full")
    log = stand_in.race(benchmark, the_plan("flux1", "full"), tmp_path, loss=0.598)
    assert official_messages(log) == set()
    run = Run.from_events(read_events(log))
    assert (run.division, run.status) == ("closed", "success")
    assert [e.samples for e in run.evaluations] == [262_144]
    # The rate is constant: a closed log of the round has no steps of decay.
    assert "opt_learning_rate_decay_steps" not in run.settings
