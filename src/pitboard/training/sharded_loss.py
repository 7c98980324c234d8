"""The next-token loss of a head whose vocabulary is split over tensor-parallel ranks."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Replicate

from pitboard.training.data.packed import IGNORED

# Tokens whose logits are held at once: on each of 8 ranks 131 MB in FP32 at a vocabulary of 128,256.
_CHUNK = 2048


def sharded_head_loss(hidden: DTensor, weight: DTensor, labels: Tensor) -> Tensor:
    """Return each sequence's mean loss in nats over the tokens with a label (not −100), shape (samples,).

    `hidden` is (samples, length, width), `weight` (vocabulary, width) with the vocabulary split over the
    ranks of its mesh, as equal parts in their order; `labels`, (samples, length), are whole on each rank, and
    so is the result.
    """
    mesh = weight.device_mesh
    # What a rank's part of the vocabulary gives of the states' gradient is summed where it is scattered.
    whole = hidden.redistribute(placements=[Replicate()])
    states, part = whole.to_local(grad_placements=[Partial()]), weight.to_local()
    if torch.is_autocast_enabled(states.device.type):
        dtype = torch.get_autocast_dtype(states.device.type)
        states, part = states.to(dtype), part.to(dtype)
    first = mesh.get_local_rank() * part.shape[0]
    totals = [
        _ShardedLoss.apply(each, part, target, first, mesh.get_group())  # type: ignore[no-untyped-call]
        for each, target in zip(states, labels, strict=True)
    ]
    return torch.stack(totals) / (labels != IGNORED).sum(dim=1)


class _ShardedLoss(torch.autograd.Function):
    """The summed loss of one sequence, its gradient computed with it: no logits are kept or made twice.

    A softmax needs of the other ranks' logits their largest and the sum of their exponentials only.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, target: Tensor, first: int, group: dist.ProcessGroup
    ) -> Tensor:
        """Return the sum over (length,) targets; the words of `weight` are `first` and those after it."""
        training = any(ctx.needs_input_grad)
        total = torch.zeros((), device=states.device)
        to_states = torch.empty_like(states) if training else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if training else None
        for start in range(0, len(target), _CHUNK):
            chunk, wanted = states[start : start + _CHUNK], target[start : start + _CHUNK]
            logits = F.linear(chunk, weight).float()
            highest = logits.amax(dim=1)
            dist.all_reduce(highest, op=dist.ReduceOp.MAX, group=group)
            logits.sub_(highest.unsqueeze(1))
            place = (wanted - first).unsqueeze(1)
            here = (place >= 0) & (place < len(weight))
            place = torch.where(here, place, 0)
            of_target = torch.where(here, logits.gather(1, place), 0.0).squeeze(1)
            sums = torch.stack([logits.exp_().sum(dim=1), of_target])
            dist.all_reduce(sums, group=group)
            labelled = wanted != IGNORED
            total += torch.where(labelled, sums[0].log() - sums[1], 0.0).sum()
            if to_states is None or to_weight is None:
                continue
            logits.div_(sums[0].unsqueeze(1)).scatter_add_(1, place, -here.float())
            to_logits = logits.mul_(labelled.unsqueeze(1)).to(states.dtype)
            torch.mm(to_logits, weight, out=to_states[start : start + _CHUNK])
            to_weight += torch.mm(to_logits.t(), chunk)
        if training:
            ctx.save_for_backward(to_states, to_weight)
            ctx.dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, along: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return this rank's part of the states' gradient, and the gradient of its part of the weight."""
        to_states, to_weight = ctx.saved_tensors
        return to_states * along.to(to_states.dtype), (to_weight * along).to(ctx.dtype), None, None, None
