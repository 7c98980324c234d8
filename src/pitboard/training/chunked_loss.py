"""The next-token loss of a head whose logits would fill the memory: a chunk of tokens at a time.

The gradient is computed with the loss, so that no logits are kept or made twice, and its chunks are added up
in FP32. (PyTorch 2.13's `linear_cross_entropy` adds them, and on a GPU each token's label too, in the type of
the weight: BF16.) A head whose vocabulary is split over tensor-parallel ranks is computed likewise.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Replicate

from pitboard.training.data.packed import IGNORED

# Tokens whose logits are held at once: in FP32 1 GB at a vocabulary of 128,256, on each of 8 ranks 131 MB.
_CHUNK = 2048

Softmax = Callable[[Tensor, Tensor, torch.dtype | None], tuple[Tensor, Tensor | None]]
"""`softmax_loss`, compiled, or of a part of the vocabulary."""


def softmax_loss(
    logits: Tensor,
    target: Tensor,
    gradient: torch.dtype | None,
    first: int = 0,
    group: dist.ProcessGroup | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return the summed loss of logits, (tokens, vocabulary), in FP32, and its `gradient` by them in a type.

    The logits are changed. Where the ranks of a group have a part of the vocabulary each, from its word
    `first` on, the loss is the same on all of them: of the others' logits a softmax needs only the largest
    and the sum of the exponentials.
    """
    logits = logits.float()
    highest = logits.amax(dim=1)
    if group is not None:
        dist.all_reduce(highest, op=dist.ReduceOp.MAX, group=group)
    logits.sub_(highest.unsqueeze(1))
    place = (target - first).unsqueeze(1)
    here = (place >= 0) & (place < logits.shape[1])
    place = torch.where(here, place, 0)
    of_target = torch.where(here, logits.gather(1, place), 0.0).squeeze(1)
    sums = torch.stack([logits.exp_().sum(dim=1), of_target])
    if group is not None:
        dist.all_reduce(sums, group=group)
    labelled = target != IGNORED
    loss = torch.where(labelled, sums[0].log() - sums[1], 0.0).sum()
    if gradient is None:
        return loss, None
    logits.div_(sums[0].unsqueeze(1)).scatter_add_(1, place, -here.float())
    return loss, logits.mul_(labelled.unsqueeze(1)).to(gradient)


def chunked_head_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    counts: Tensor | None = None,
    softmax: Softmax = softmax_loss,
) -> Tensor:
    """Return each sequence's mean loss in nats over the tokens with a label (not −100), shape (samples,).

    `hidden` is (samples, length, width), `weight` (vocabulary, width), `labels` (samples, length). With
    `counts`, (samples,), the sum is divided by these, not by the number of labels.
    """
    training = torch.is_grad_enabled()
    sums = [
        _ChunkedLoss.apply(states, weight, target, softmax, training)  # type: ignore[no-untyped-call]
        for states, target in zip(hidden, labels, strict=True)
    ]
    return torch.stack(sums) / ((labels != IGNORED).sum(dim=1) if counts is None else counts)


def sharded_head_loss(hidden: DTensor, weight: DTensor, labels: Tensor) -> Tensor:
    """Return `chunked_head_loss` where tensor-parallel ranks share the vocabulary.

    The vocabulary is split over the ranks of `weight`'s mesh, as equal parts in their order; `labels` are
    whole on each rank, and so is the result.
    """
    mesh = weight.device_mesh
    # What a rank's part of the vocabulary gives of the states' gradient is summed where it is scattered.
    whole = hidden.redistribute(placements=[Replicate()])
    states, part = whole.to_local(grad_placements=[Partial()]), weight.to_local()
    first = mesh.get_local_rank() * part.shape[0]
    softmax = partial(softmax_loss, first=first, group=mesh.get_group())
    return chunked_head_loss(states, part, labels, softmax=softmax)


class _ChunkedLoss(torch.autograd.Function):
    """The summed loss of one sequence in FP32; its matrix products are in autocast's type."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, target: Tensor, softmax: Softmax, training: bool
    ) -> Tensor:
        ctx.types = states.dtype, weight.dtype
        by_states, by_weight = (training and each for each in ctx.needs_input_grad[:2])
        if torch.is_autocast_enabled(states.device.type):
            dtype = torch.get_autocast_dtype(states.device.type)
            states, weight = states.to(dtype), weight.to(dtype)
        total = torch.zeros((), device=states.device)
        to_states = torch.empty_like(states) if by_states else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if by_weight else None
        for start in range(0, len(target), _CHUNK):
            chunk, wanted = states[start : start + _CHUNK], target[start : start + _CHUNK]
            loss, to_logits = softmax(F.linear(chunk, weight), wanted, states.dtype if training else None)
            total += loss
            if to_states is not None and to_logits is not None:
                torch.mm(to_logits, weight, out=to_states[start : start + _CHUNK])
            if to_weight is not None and to_logits is not None:
                to_weight += torch.mm(to_logits.t(), chunk)
        ctx.save_for_backward(to_states, to_weight)
        return total

    @staticmethod
    def backward(ctx: Any, along: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        to_states, to_weight = ctx.saved_tensors
        of_states, of_weight = ctx.types
        return (
            None if to_states is None else (to_states.float() * along).to(of_states),
            # In place: at a vocabulary of 128,256 it takes 2 GB.
            None if to_weight is None else to_weight.mul_(along).to(of_weight),
            None,
            None,
            None,
        )
