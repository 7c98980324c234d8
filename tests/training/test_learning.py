"""The parts of a training step: schedule, clipping, and which samples a rank computes."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import default_collate

from pitboard.errors import PitboardError
from pitboard.training.distributed import World
from pitboard.training.loading import evaluation_batches, micro_batch, training_batches
from pitboard.training.optimizer import AdamWSettings, adamw, clip_gradients, cosine_learning_rate


def settings(**values: object) -> AdamWSettings:
    base = {
        "preset": "p",
        "global_batch_size": 8,
        "learning_rate": 1.0,
        "end_learning_rate": 0.1,
        "warmup_steps": 10,
        "max_steps": 110,
        "beta1": 0.9,
        "beta2": 0.95,
        "epsilon": 1e-5,
        "weight_decay": 0.1,
        "gradient_clip_norm": 1.0,
    }
    return AdamWSettings.build({**base, **values}, {})


def ranks(size: int) -> list[World]:
    return [World(rank, size, torch.device("cpu"), None, rank, size, 1) for rank in range(size)]


class Numbers(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"number": torch.tensor(index)}


def test_the_learning_rate_rises_linearly_then_falls_as_a_cosine() -> None:
    rates = [cosine_learning_rate(step, settings()) for step in range(130)]
    assert rates[0] == pytest.approx(1 / 11)
    assert [b - a for a, b in pairwise(rates[:11])] == [pytest.approx(1 / 11)] * 10
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[110:] == [pytest.approx(0.1)] * 20
    assert rates[10:111] == sorted(rates[10:111], reverse=True)
    # FLUX.1's reference is at the peak in its last step of warm-up, not after it.
    rates = [cosine_learning_rate(step, settings(), peak_in_warmup=True) for step in range(11)]
    assert rates == pytest.approx([*(step / 10 for step in range(1, 11)), 1.0])


FLOATS = st.floats(-10, 10, width=32, allow_subnormal=False)


@given(st.lists(FLOATS, min_size=1, max_size=20), st.floats(0.1, 5))
def test_clipping_is_pytorchs(values: list[float], limit: float) -> None:
    ours, theirs = (nn.Parameter(torch.zeros(len(values))) for _ in range(2))
    for parameter in (ours, theirs):
        parameter.grad = torch.tensor(values)
    norm = clip_gradients([ours], limit)
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_([theirs], limit))
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_weight_decay_spares_vectors() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    groups = adamw(model, settings(weight_decay=0.5)).param_groups
    decayed = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {decayed[id(p)] for p in model.parameters() if p.ndim > 1} == {0.5}
    assert {decayed[id(p)] for p in model.parameters() if p.ndim == 1} == {0.0}


@given(
    size=st.sampled_from([1, 2, 4]),
    micro=st.sampled_from([1, 2, None]),
    start=st.integers(0, 5),
    steps=st.integers(1, 4),
)
def test_the_samples_of_a_step_do_not_depend_on_the_ranks(
    size: int, micro: int | None, start: int, steps: int
) -> None:
    chosen = settings(micro_batch_size=micro)
    per_rank = [
        [
            batch["number"].tolist()
            for batch in training_batches(Numbers(), chosen, world, default_collate, start * 8, steps)
        ]
        for world in ranks(size)
    ]
    _, accumulation = micro_batch(chosen, ranks(size)[0])
    for step in range(steps):
        taken = [
            number
            for batches in per_rank
            for batch in batches[step * accumulation : (step + 1) * accumulation]
            for number in batch
        ]
        assert sorted(taken) == list(range((start + step) * 8, (start + step + 1) * 8))


@given(count=st.integers(1, 40), size=st.sampled_from([1, 2, 4]), keep=st.booleans())
def test_every_evaluation_sample_counts_once(count: int, size: int, keep: bool) -> None:
    chosen = settings(evaluation_samples=count, micro_batch_size=2)
    shares = [
        list(evaluation_batches(Numbers(), chosen, world, default_collate, keep=keep))
        for world in ranks(size)
    ]
    assert len({len(share) for share in shares}) == 1
    counted = [
        number
        for share in shares
        for batch, weights in share
        for number, weight in zip(batch["number"].tolist(), weights.tolist(), strict=True)
        if weight == 1.0
    ]
    assert sorted(counted) == list(range(count))


def test_a_batch_that_cannot_be_divided_is_explained() -> None:
    with pytest.raises(PitboardError, match="choose a multiple of 3"):
        micro_batch(settings(), ranks(3)[0])
    with pytest.raises(PitboardError, match="choose a divisor of 4"):
        micro_batch(settings(micro_batch_size=3), ranks(2)[0])
