"""Sequences shared by several ranks: which tokens each has, and attention over all of them.

As for Llama 3 (arXiv:2407.21783, section 3.3.2): a sequence is cut into twice as many chunks as ranks, rank i
has the i-th of them from the start and from the end, so that causal attention costs all ranks the same, and
keys and values are gathered before the attention. With fewer key heads than query heads they are small; any
mask can be used; and the kernels are those of one rank, on a CPU too. (PyTorch's
`experimental.context_parallel`, a ring, wraps CUDA's attention kernels only and has no mask of documents.)
"""

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Shard
from torch.nn.attention.bias import causal_lower_right


class SequenceParts:
    """This rank's part of sequences of a length, among the ranks of a one-dimensional mesh.

    The length must be a multiple of twice the number of ranks.
    """

    def __init__(self, ranks: DeviceMesh, length: int) -> None:
        self._ranks = ranks
        self._length = length
        self._chunks = 2 * ranks.size()
        self._mine = ranks.get_local_rank(), self._chunks - 1 - ranks.get_local_rank()
        size = length // self._chunks
        # Made here: a compiler cannot make them. On a GPU they are no tensors, but choose a kernel.
        self._causal = [causal_lower_right(size, (number + 1) * size) for number in self._mine]

    def positions(self, device: torch.device) -> Tensor:
        """Return the places of this rank's tokens in the sequence."""
        chunks = torch.arange(self._length, device=device).chunk(self._chunks)
        return torch.cat([chunks[number] for number in self._mine])

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, first: Tensor | None, dropout: float
    ) -> Tensor:
        """Return causal attention of this rank's tokens to those of all ranks, in the query's shape.

        `query`, `key` and `value` are (samples, heads, tokens, head size) of this rank's tokens. `first`
        (samples, tokens) are the places in the whole sequence at which their documents begin, if attention
        ends there.
        """
        keys, values = self._gathered(key, value)
        size = query.shape[2] // 2
        outputs: list[Tensor] = []
        begins = (None, None) if first is None else torch.split(first, size, dim=1)
        for number, causal, rows, begin in zip(
            self._mine, self._causal, torch.split(query, size, dim=2), begins, strict=True
        ):
            end = (number + 1) * size
            seen_keys, seen_values = keys[:, :, :end], values[:, :, :end]
            mask: Tensor = causal
            if begin is not None:
                mask = document_mask(begin, end - size)
                # The kernel that takes such a mask on a GPU knows no grouped heads.
                group = query.shape[1] // key.shape[1]
                seen_keys = seen_keys.repeat_interleave(group, dim=1)
                seen_values = seen_values.repeat_interleave(group, dim=1)
            outputs.append(
                F.scaled_dot_product_attention(
                    rows,
                    seen_keys,
                    seen_values,
                    attn_mask=mask,
                    dropout_p=dropout,
                    scale=scale,
                    enable_gqa=seen_keys.shape[1] != rows.shape[1],
                )
            )
        return torch.cat(outputs, dim=2)

    def _gathered(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of the sequence's tokens up to this rank's last, in their order."""
        local = DTensor.from_local(torch.stack([key, value]), self._ranks, [Shard(3)], run_check=False)
        # Each rank's tokens give a part of the gradients of all keys and values.
        by_rank = local.full_tensor(grad_placements=[Partial()]).chunk(self._chunks, dim=3)
        # Rank i has chunk i and, as its second, the i-th from the end.
        in_order = [*by_rank[0::2], *reversed(by_rank[1::2])]
        keys, values = torch.cat(in_order[: self._mine[1] + 1], dim=3)
        return keys, values


def document_mask(first: Tensor, start: int) -> Tensor:
    """Return which of all keys up to their own the tokens from place `start` on see, of their documents."""
    row = torch.arange(start, start + first.shape[1], device=first.device).unsqueeze(1)
    column = torch.arange(start + first.shape[1], device=first.device)
    return ((column <= row) & (column >= first.unsqueeze(2))).unsqueeze(1)
