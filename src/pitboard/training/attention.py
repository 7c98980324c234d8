"""Causal attention for `transformers` models: the device's flash kernel, or blocked products on the CPU."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "pitboard_causal"
_MOST_BLOCKS = 4
_LEAST_ROWS, _MOST_ROWS = 32, 512


def causal_attention(
    module: nn.Module,  # noqa: ARG001 - the interface of transformers
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - causal by construction
    scaling: float | None = None,
    dropout: float = 0.0,
    first: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend from each token to itself and those before it, with grouped key and value heads.

    `first` (samples, length) holds the index of the first token of each token's document, where a sequence
    packs several: nothing before it is attended to.
    `query` is (samples, heads, length, head size), `key` and `value` have fewer heads; returns
    (samples, length, heads, head size), as `transformers.AttentionInterface` wants, and no weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cpu" and dropout == 0.0:
        output = _blocked(query, key, value, scale, first)
    else:
        grouped = query.shape[1] != key.shape[1]
        output = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if first is None else document_mask(first),
            dropout_p=dropout,
            is_causal=first is None,
            scale=scale,
            enable_gqa=grouped,
        )
    return output.transpose(1, 2), None


def document_mask(first: Tensor) -> Tensor:
    """Return which keys each token sees, (samples, 1, length, length), from its document's first token."""
    place = torch.arange(first.shape[1], device=first.device)
    row, column = place.unsqueeze(1), place
    return ((column <= row) & (column >= first.unsqueeze(2))).unsqueeze(1)


def _blocked(query: Tensor, key: Tensor, value: Tensor, scale: float, first: Tensor | None) -> Tensor:
    """Compute blocks of rows, each against the keys up to its own end, as plain batched products.

    At the lengths raced on a CPU this is three times as fast as PyTorch's CPU flash kernel compiled in BF16,
    and 1.2 times uncompiled in FP32: the products run at the full rate, key heads are not repeated, most of
    the masked half is skipped.
    """
    samples, heads, length, size = query.shape
    groups = samples * key.shape[1]
    shared = heads // key.shape[1]
    keys, values = key.reshape(groups, length, size), value.reshape(groups, length, size)
    queries = query.reshape(groups, shared, length, size)
    rows = min(_MOST_ROWS, max(_LEAST_ROWS, -(-length // _MOST_BLOCKS)))
    outputs = []
    for start in range(0, length, rows):
        end = min(length, start + rows)
        block = queries[:, :, start:end].reshape(groups, shared * (end - start), size)
        row = torch.arange(start, end, device=query.device).unsqueeze(1)
        column = torch.arange(end, device=query.device)
        seen = column <= row
        if first is not None:
            # One mask a sample, the same for its groups of heads: (groups, 1, rows, keys).
            inside = column >= first[:, start:end].unsqueeze(2)
            seen = (seen & inside).repeat_interleave(key.shape[1], dim=0).unsqueeze(1)
        weights = torch.softmax(_scores(block, keys[:, :end], seen, scale), dim=-1).to(values.dtype)
        product = torch.bmm(weights, values[:, :end])
        outputs.append(product.view(groups, shared, end - start, size))
    return torch.cat(outputs, dim=2).view(samples, heads, length, size)


def _scores(block: Tensor, keys: Tensor, seen: Tensor, scale: float) -> Tensor:
    """Return the scaled products of a block's rows with the keys in FP32, −∞ where a key is not seen.

    `block` is (groups, shared heads × rows, head size), and `seen` (rows, keys) or (groups, 1, rows, keys).
    """
    shape = (block.shape[0], block.shape[1] // seen.shape[-2], *seen.shape[-2:])
    if block.dtype == torch.float32:
        # The product adds the mask and scales as it goes: one pass over the scores instead of three.
        mask = torch.where(seen, 0.0, float("-inf")).expand(shape).flatten(1, 2)
        return torch.baddbmm(mask, block, keys.transpose(1, 2), alpha=scale)
    scores = torch.bmm(block, keys.transpose(1, 2)).view(shape)
    return torch.where(seen, scores.float() * scale, float("-inf")).flatten(1, 2)


AttentionInterface.register(NAME, causal_attention)
