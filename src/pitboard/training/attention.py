"""Causal attention for `transformers` models: the device's fused kernels, or blocked products on the CPU."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface

from pitboard.training.context_parallel import SequenceParts, document_mask

NAME = "pitboard_causal"
_MOST_BLOCKS = 4
_LEAST_ROWS, _MOST_ROWS = 32, 512
# Rows and columns of a tile of FlexAttention's kernels.
_TILE = 128

Documents = Tensor | BlockMask
"""What keeps packed documents from each other, for the device it is on: see `documents`."""


def causal_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - causal by construction
    scaling: float | None = None,
    dropout: float = 0.0,
    documents: Documents | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend from each token to itself and those before it, with grouped key and value heads.

    `documents`, where a sequence packs several, are what the function of that name returns: nothing before
    the first token of its own document is attended to. Where ranks share sequences
    (`module.sequence_parts`), the tokens are this rank's, they attend to those of all, and `documents` are
    where each token's document begins in the whole sequence.
    `query` is (samples, heads, length, head size), `key` and `value` have fewer heads; returns
    (samples, length, heads, head size), as `transformers.AttentionInterface` wants, and no weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    parts: SequenceParts | None = getattr(module, "sequence_parts", None)
    if parts is not None:
        assert not isinstance(documents, BlockMask), "made for whole sequences"
        return parts.attend(query, key, value, scale, documents, dropout).transpose(1, 2), None
    if isinstance(documents, BlockMask):
        return _by_documents(query, key, value, documents, scale).transpose(1, 2), None
    if query.device.type == "cpu" and dropout == 0.0:
        exact = query.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if exact and not torch.compiler.is_compiling():
            attended: Tensor = _Eager.apply(query, key, value, scale, documents)  # type: ignore[no-untyped-call]
            return attended, None
        output = _blocked(query, key, value, scale, documents)
    else:
        assert documents is None, "made for the CPU"
        output = F.scaled_dot_product_attention(
            query,
            key,
            value,
            dropout_p=dropout,
            is_causal=True,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    return output.transpose(1, 2), None


def documents(first: Tensor) -> Documents:
    """Return packed documents as `causal_attention` takes them, to be made once for all layers of a model.

    `first` (samples, length) holds the index of the first token of each token's document. On the CPU that is
    all; elsewhere it is a mask of tiles for FlexAttention. PyTorch's other kernels take no documents with
    grouped heads: with a mask of length × length they would hold all scores, 16 GiB a layer at 8,192 tokens
    of 64 heads.
    """
    return first if first.device.type == "cpu" else document_tiles(first)


def document_tiles(first: Tensor) -> BlockMask:
    """Return which tiles of the scores are computed, and which of these whole, from `first` as `documents`.

    In a tile's rows the first tokens of documents never go back, so that the keys they see begin in the tile
    of the first row's `first` and are all seen from the last row's on: nothing of length × length is made.
    """
    length = first.shape[1]
    tile = torch.arange(-(-length // _TILE), device=first.device)
    begins = first[:, ::_TILE].unsqueeze(2)
    whole_from = first[:, (tile * _TILE + _TILE - 1).clamp(max=length - 1)].unsqueeze(2)
    row, column = tile.unsqueeze(1), tile
    whole = (column < row) & (column * _TILE >= whole_from) & ((row + 1) * _TILE <= length)
    seen = (column <= row) & (column >= begins // _TILE)

    def mask(sample: Tensor, _head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return (column <= row) & (column >= first[sample, row])

    made: BlockMask = BlockMask.from_kv_blocks(
        *_listed(seen & ~whole),
        *_listed(whole),
        BLOCK_SIZE=_TILE,
        mask_mod=mask,
        seq_lengths=(length, length),
    )
    return made


def _listed(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many tiles of each row are set, and the columns of these followed by the others."""
    tiles = tiles.unsqueeze(1)
    columns = torch.argsort(tiles.int(), dim=-1, descending=True, stable=True)
    return tiles.sum(dim=-1, dtype=torch.int32), columns.to(torch.int32)


def _by_documents(query: Tensor, key: Tensor, value: Tensor, tiles: BlockMask, scale: float) -> Tensor:
    """Attend by FlexAttention, whose kernels exist only compiled, also where the model is not."""
    flex: Any = flex_attention if torch.compiler.is_compiling() else _compiled_flex_attention()
    # Rotary tables may have widened them; unlike PyTorch's other kernels this one knows no autocast.
    query, key = query.to(value.dtype), key.to(value.dtype)
    output: Tensor = flex(
        query, key, value, block_mask=tiles, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )
    return output


@cache
def _compiled_flex_attention() -> Any:
    return torch.compile(flex_attention, dynamic=False)


def _blocked(query: Tensor, key: Tensor, value: Tensor, scale: float, first: Tensor | None) -> Tensor:
    """Compute blocks of rows, each against the keys up to its own end, as plain batched products.

    At the lengths raced on a CPU this is three times as fast as PyTorch's CPU flash kernel compiled in BF16,
    and 1.2 times uncompiled in FP32: the products run at the full rate, key heads are not repeated, most of
    the masked half is skipped. `_Eager` is the same in FP32 where no compiler removes what autograd adds.
    """
    samples, heads, length, size = query.shape
    groups = samples * key.shape[1]
    shared = heads // key.shape[1]
    keys, values = key.reshape(groups, length, size), value.reshape(groups, length, size)
    queries = query.reshape(groups, shared, length, size)
    outputs = []
    for start, end in _blocks(length):
        block = queries[:, :, start:end].reshape(groups, shared * (end - start), size)
        if first is None:
            row = torch.arange(start, end, device=query.device).unsqueeze(1)
            seen = torch.arange(end, device=query.device) <= row
        else:
            # One mask a sample, the same for its groups of heads: (groups, 1, rows, keys).
            seen = document_mask(first[:, start:end], start).repeat_interleave(key.shape[1], dim=0)
        weights = torch.softmax(_scores(block, keys[:, :end], seen, scale), dim=-1).to(values.dtype)
        product = torch.bmm(weights, values[:, :end])
        outputs.append(product.view(groups, shared, end - start, size))
    return torch.cat(outputs, dim=2).view(samples, heads, length, size)


def _scores(block: Tensor, keys: Tensor, seen: Tensor, scale: float) -> Tensor:
    """Return the scaled products of a block's rows with the keys in FP32, −∞ where a key is not seen.

    `block` is (groups, shared heads × rows, head size), and `seen` (rows, keys) or (groups, 1, rows, keys).
    """
    shape = (block.shape[0], block.shape[1] // seen.shape[-2], *seen.shape[-2:])
    scores = torch.bmm(block, keys.transpose(1, 2)).view(shape)
    return torch.where(seen, scores.float() * scale, float("-inf")).flatten(1, 2)


def _blocks(length: int) -> list[tuple[int, int]]:
    """Return where each block of rows starts and ends."""
    rows = min(_MOST_ROWS, max(_LEAST_ROWS, -(-length // _MOST_BLOCKS)))
    return [(start, min(length, start + rows)) for start in range(0, length, rows)]


class _Eager(torch.autograd.Function):
    """`_blocked` in FP32, with its gradient written out: nothing is sliced, filled or copied twice.

    Inside, a row is a token's query of one head, the heads that share a key next to each other:
    (samples × key heads, length × shared heads, head size).
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, first: Tensor | None
    ) -> Tensor:
        """Return (samples, length, heads, head size)."""
        samples, heads, length, size = query.shape
        shared = heads // key.shape[1]
        queries = query.new_empty(samples, key.shape[1], length, shared, size)
        torch.mul(query.reshape(samples, -1, shared, length, size).transpose(2, 3), scale, out=queries)
        queries, keys, values = (
            queries.view(-1, length * shared, size),
            key.flatten(0, 1),
            value.flatten(0, 1),
        )
        output = query.new_empty(samples, length, key.shape[1], shared, size)
        rows = output.transpose(1, 2)
        weights = []
        for start, end in _blocks(length):
            block = queries[:, start * shared : end * shared]
            # Changed in place below: selective checkpointing must not keep it, and does not with `out`.
            scores = block.new_empty(len(block), block.shape[1], end)
            torch.bmm(block, keys[:, :end].transpose(1, 2), out=scores)
            _hide(scores.view(samples, -1, end - start, shared, end), start, first)
            weights.append(torch.softmax(scores, dim=-1))
            product = torch.bmm(weights[-1], values[:, :end])
            rows[:, :, start:end] = product.view(samples, -1, end - start, shared, size)
        output = output.view(samples, length, heads, size)
        ctx.save_for_backward(queries, keys, values, output, *weights)
        ctx.scale, ctx.key_heads = scale, key.shape[1]
        return output

    @staticmethod
    def backward(ctx: Any, along: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of query, key and value, in their shapes."""
        queries, keys, values, output, *weights = ctx.saved_tensors
        samples, length, heads, size = output.shape
        shared = heads // ctx.key_heads
        # As FlashAttention (arXiv:2205.14135): a row's sum over weights × their gradients is one of products.
        totals = _rows(torch.mul(along, output).sum(dim=-1, keepdim=True), shared)
        along = _rows(along, shared)
        to_queries, to_keys, to_values = (
            torch.empty_like(queries),
            torch.empty_like(keys),
            torch.empty_like(values),
        )
        # From the last block, whose keys are all keys, so that the others add to what it wrote.
        for (start, end), block in zip(reversed(_blocks(length)), reversed(weights), strict=True):
            mine = slice(start * shared, end * shared)
            beta = float(end != length)
            to_values[:, :end].baddbmm_(block.transpose(1, 2), along[:, mine], beta=beta)
            to_scores = torch.bmm(along[:, mine], values[:, :end].transpose(1, 2))
            to_scores.sub_(totals[:, mine]).mul_(block)
            to_keys[:, :end].baddbmm_(to_scores.transpose(1, 2), queries[:, mine], beta=beta)
            torch.bmm(to_scores, keys[:, :end], out=to_queries[:, mine])
        to_queries = to_queries.mul_(ctx.scale).view(samples, -1, length, shared, size)
        split = (samples, -1, length, size)
        return (
            to_queries.transpose(2, 3).flatten(1, 2),
            to_keys.view(split),
            to_values.view(split),
            None,
            None,
        )


def _rows(of_heads: Tensor, shared: int) -> Tensor:
    """Return (samples, length, heads, n) as `_Eager` orders its rows."""
    samples, length, heads, size = of_heads.shape
    grouped = of_heads.reshape(samples, length, heads // shared, shared, size)
    return grouped.transpose(1, 2).reshape(-1, length * shared, size)


def _hide(scores: Tensor, start: int, first: Tensor | None) -> None:
    """Set to −∞ what a row's token does not see, in place: (samples, key heads, rows, shared heads, keys)."""
    length, end = scores.shape[2], scores.shape[4]
    later = torch.full((length, length), float("-inf"), device=scores.device).triu_(1)
    # All of these rows see the keys before the block, unless those are of another document.
    scores[..., start:].add_(later.unsqueeze(1))
    if first is not None and bool((first[:, start:end] > 0).any()):
        before = torch.arange(end, device=scores.device) < first[:, start:end].unsqueeze(2)
        scores.masked_fill_(before[:, None, :, None], float("-inf"))


AttentionInterface.register(NAME, causal_attention)
