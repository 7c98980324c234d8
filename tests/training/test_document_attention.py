"""Attention within packed documents off the CPU: FlexAttention sees what a dense mask shows, by tiles."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import flex_attention as torchs
from torch.utils._python_dispatch import TorchDispatchMode

from pitboard.training import attention


def first_of(begins: list[list[int]], length: int) -> Tensor:
    """Return each token's document's first token, for documents that begin at these places."""
    marks = torch.zeros(len(begins), length, dtype=torch.bool)
    for row, places in zip(marks, begins, strict=True):
        row[places] = True
    return torch.where(marks, torch.arange(length), 0).cummax(dim=1).values


def dense(first: Tensor) -> Tensor:
    place = torch.arange(first.shape[1])
    return ((place <= place.unsqueeze(1)) & (place >= first.unsqueeze(2))).unsqueeze(1)


PACKED: dict[str, tuple[list[list[int]], int]] = {
    "one document": ([[], []], 300),
    "on and beside the edges of tiles": ([[128, 256], [127, 129, 255]], 384),
    "shorter and longer than a tile": ([[1, 2, 3, 140, 400], [60]], 517),
    "shorter than a tile in all": ([[7, 20], []], 40),
}


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("packed", PACKED)
def test_flex_attention_is_attention_under_a_dense_mask(
    packed: str, heads: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch refuses its gradients on a CPU, where only the plain version computes them, but rightly."""
    monkeypatch.setattr(torchs, "_validate_device", lambda *_: None)
    monkeypatch.setattr(attention, "_compiled_flex_attention", lambda: torchs.flex_attention)
    first = first_of(*PACKED[packed])
    generator = torch.Generator().manual_seed(1)
    query, key, value = (
        torch.randn(2, n, first.shape[1], 16, generator=generator, requires_grad=True)
        for n in (heads[0], heads[1], heads[1])
    )
    wanted = nn.functional.scaled_dot_product_attention(query, key, value, dense(first), enable_gqa=True)
    found, _ = attention.causal_attention(
        nn.Module(), query, key, value, None, documents=attention.document_tiles(first)
    )
    torch.testing.assert_close(found.transpose(1, 2), wanted, rtol=1e-4, atol=1e-5)
    along = torch.randn(wanted.shape, generator=generator)
    for mine, theirs in zip(
        torch.autograd.grad(found.transpose(1, 2), (query, key, value), along),
        torch.autograd.grad(wanted, (query, key, value), along),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("packed", PACKED)
def test_the_tiles_are_those_that_pytorch_finds_in_the_mask(packed: str) -> None:
    """PyTorch's plain version looks at the mask only; its kernels compute no tile that is not listed."""
    first = first_of(*PACKED[packed])
    ours = attention.document_tiles(first)
    length = first.shape[1]
    theirs = torchs.create_block_mask(ours.mask_mod, len(first), None, length, length, device="cpu")
    for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for name in ("kv", "full_kv", "q", "full_q"):
        for mask in (ours, theirs):
            listed = torch.arange(mask.kv_indices.shape[-1]) < getattr(mask, f"{name}_num_blocks")[..., None]
            getattr(mask, f"{name}_indices").masked_fill_(~listed, -1)
        assert torch.equal(getattr(ours, f"{name}_indices"), getattr(theirs, f"{name}_indices")), name


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The elements of the largest tensor that is made in it."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_the_tiles_are_made_without_a_mask_of_length_by_length() -> None:
    with Largest() as largest:  # type: ignore[no-untyped-call]
        attention.document_tiles(torch.zeros(1, 8192, dtype=torch.int64))
    assert largest.elements == 8192


def test_documents_on_a_gpu_are_attended_to_by_flex_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dense mask with grouped heads has only the kernel that holds all scores: 16 GiB here, a layer."""
    called: list[dict[str, Any]] = []

    def flex(query: Tensor, key: Tensor, value: Tensor, **named: Any) -> Tensor:
        assert query.dtype == key.dtype == value.dtype
        called.append(named)
        return torch.empty_like(query)

    tiles = attention.document_tiles(torch.zeros(1, 8192, dtype=torch.int64))
    monkeypatch.setattr(attention, "_compiled_flex_attention", lambda: flex)
    # Indexing needs a GPU even of a tensor that only claims to be on one.
    monkeypatch.setattr(attention, "document_tiles", lambda _: tiles)
    with FakeTensorMode(), Largest() as largest:  # type: ignore[no-untyped-call]
        first = torch.zeros(1, 8192, dtype=torch.int64, device="cuda")
        query = torch.empty(1, 64, 8192, 128, device="cuda")
        key, value = (torch.empty(1, 8, 8192, 128, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        made = attention.documents(first)
        found, _ = attention.causal_attention(nn.Module(), query, key, value, None, documents=made)
    assert made is tiles
    assert called == [{"block_mask": tiles, "scale": 128**-0.5, "enable_gqa": True}]
    assert found.shape == (1, 8192, 64, 128)
    assert largest.elements == query.numel()
    assert isinstance(attention.documents(torch.zeros(1, 8, dtype=torch.int64)), Tensor)
