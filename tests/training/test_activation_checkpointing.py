"""What of a block is computed again in the backward pass, and that nothing learned depends on it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pitboard.errors import PitboardError
from pitboard.training.activations import choose_checkpointing
from pitboard.training.distributed import World, prepare
from pitboard.training.initialize import materialize
from pitboard.training.output import Plan
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import _decided, decide, settings_for, settings_of
from stand_in import ALONE, Products

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "layers": 2,
    "attention_heads": 2,
    "sequence_length": 32,
    "dataset": "synthetic",
    "compile": False,
}


def step(checkpointing: object, precision: str) -> tuple[int, Tensor, dict[str, Tensor]]:
    """Return how many products a small Llama's step takes, its loss and its gradients."""
    from pitboard.training.precision import autocast, convert

    changes = {**SMALL, "precision": precision, "activation_checkpointing": checkpointing}
    benchmark = benchmark_class("llama31_8b")(settings_for("llama31_8b", "smoke", changes))
    with torch.device("meta"):
        model = benchmark.build()
    convert(benchmark.blocks(model), benchmark.settings, ALONE.device, benchmark.keep_bf16)
    prepare(model, benchmark, ALONE)
    materialize(model, benchmark, ALONE.device, 1)
    batch = benchmark.warmup_batch(2)
    with Products() as products:
        with autocast(benchmark.settings, ALONE.device):
            loss = model(**batch).mean()
        torch.manual_seed(3)  # of what NVFP4 rounds gradients by
        loss.backward()
    gradients = {
        name.replace("_checkpoint_wrapped_module.", ""): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return products.count, loss.detach(), gradients


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize("precision", ["fp32", "bf16", "nvfp4"])
def test_selective_computes_no_product_twice_and_learns_the_same(precision: str) -> None:
    plain, loss, gradients = step("none", precision)
    for checkpointing, again in (("selective", False), ("full", True)):
        count, same, others = step(checkpointing, precision)
        torch.testing.assert_close(same, loss, rtol=1e-6, atol=1e-6)
        assert others.keys() == gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(others[name], gradient, rtol=1e-6, atol=1e-6)
        assert (count > plain) is again, (checkpointing, count, plain)
        assert again or count == plain


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize(("old", "new"), [("true", "full"), (True, "full"), (False, "none"), ("0", "none")])
def test_the_settings_of_earlier_runs_are_read(old: object, new: str) -> None:
    settings = settings_for("llama31_8b", "smoke", {"activation_checkpointing": old})
    assert settings.activation_checkpointing == new


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "gigabytes", "chosen"),
    [
        ("llama31_8b", 80, "selective"),
        ("llama31_8b", 192, "none"),
        ("flux1", 80, "full"),
        ("flux1", 192, "selective"),
        # Sequences of 8,192 tokens through 80 layers of the 70B base: the input of each is all that fits.
        ("llama2_70b_lora", 80, "full"),
        ("llama2_70b_lora", 192, "full"),
    ],
)
def test_auto_recomputes_what_a_device_cannot_keep(benchmark: str, gigabytes: int, chosen: str) -> None:
    settings = settings_for(benchmark, "full", {"precision": "bf16"})
    assert settings.activation_checkpointing == "auto"
    world = World(0, 8, torch.device("cpu"), None, 0, 8, 1)
    choice = choose_checkpointing(benchmark, settings, world, gigabytes * 10**9)
    assert choice.checkpointing == chosen, choice.reason
    assert "it may not fit" not in choice.reason


@pytest.mark.slow
def test_what_rank_0_refuses_is_refused_on_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rank 0 decides; the others would wait for it, and tell that contact was lost."""
    uneven = {**SMALL, "activation_checkpointing": "auto", "global_batch_size": 6, "precision": "fp32"}
    settings = settings_for("llama31_8b", "smoke", uneven)
    plan = Plan(benchmark="llama31_8b", preset="smoke", overrides={}, seeds=[1], system="s", submitter="m")
    sent: list[Any] = []

    def broadcast(world: World, value: Any) -> Any:
        sent.extend([value] if world.is_main else [])
        return sent[0]

    monkeypatch.setattr(World, "broadcast", broadcast)
    for rank in range(2):
        with pytest.raises(PitboardError, match="global_batch_size 6 cannot be divided over 4"):
            _decided(settings, plan, World(rank, 4, torch.device("cpu"), None, rank, 4, 1))


@pytest.mark.slow
def test_what_auto_decided_is_left_to_the_next_machine_again() -> None:
    settings = settings_for("llama31_8b", "smoke", {**SMALL, "activation_checkpointing": "auto"})
    settings, reasons = decide("llama31_8b", settings.model_copy(update={"precision": "fp32"}), ALONE)
    assert settings.activation_checkpointing == "none"
    assert "GiB" in reasons["activation_checkpointing"]
    plan = Plan(
        benchmark="llama31_8b",
        preset="smoke",
        overrides={},
        seeds=[1],
        system="here",
        submitter="me",
        settings=settings.model_dump(mode="json"),
        decisions=reasons,
    )
    assert settings_of(plan).activation_checkpointing == "auto"
