"""What ranks share of sequences and of the vocabulary, with each rank a thread of this process."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor
from torch._C import _distributed_c10d
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.testing._internal.distributed import multi_threaded_pg

from pitboard.training import chunked_loss
from pitboard.training.context_parallel import SequenceParts

OnRanks = Callable[[Callable[[DeviceMesh], list[Tensor]]], list[list[Tensor]]]


@pytest.fixture(params=[2, 4])
def on_ranks(request: pytest.FixtureRequest) -> Iterator[OnRanks]:
    """Return a function that runs another on each of so many ranks, and gives what each returned."""
    # Neither tells its types.
    threads: Any = multi_threaded_pg
    distributed: Any = _distributed_c10d
    size, store = request.param, distributed.HashStore()

    def rank(number: int, work: Callable[[DeviceMesh], list[Tensor]]) -> list[Tensor]:
        dist.init_process_group("threaded", rank=number, world_size=size, store=store)
        try:
            return work(init_device_mesh("cpu", (size,)))
        except BaseException as error:
            threads.ProcessLocalGroup.exception_handle(error)
            raise
        finally:
            dist.destroy_process_group()

    def run(work: Callable[[DeviceMesh], list[Tensor]]) -> list[list[Tensor]]:
        with ThreadPoolExecutor(size) as pool:
            return list(pool.map(rank, range(size), [work] * size))

    distributed._set_thread_isolation_mode(True)
    threads._install_threaded_pg()
    yield run
    threads.ProcessLocalGroup.reset()
    threads._uninstall_threaded_pg()
    distributed._set_thread_isolation_mode(False)


@pytest.mark.parametrize("documents", [False, True])
def test_ranks_that_share_sequences_attend_to_all_of_them(documents: bool, on_ranks: OnRanks) -> None:
    samples, heads, key_heads, length, size = 2, 4, 2, 48, 8
    query = torch.randn(samples, heads, length, size)
    key, value = torch.randn(2, samples, key_heads, length, size)
    along = torch.randn(samples, heads, length, size)
    first = torch.where(torch.rand(samples, length) < 0.1, torch.arange(length), 0).cummax(dim=1).values
    seen = torch.ones(length, length, dtype=torch.bool).tril()
    if documents:
        seen = (seen & (torch.arange(length) >= first.unsqueeze(2))).unsqueeze(1)
    whole = q, k, v = [x.clone().requires_grad_() for x in (query, key, value)]
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True, scale=0.3)
    gradients = torch.autograd.grad(expected, whole, along)

    def attend(ranks: DeviceMesh) -> list[Tensor]:
        parts = SequenceParts(ranks, length)
        mine = parts.positions(torch.device("cpu"))
        local = q, k, v = [x[:, :, mine].requires_grad_() for x in (query, key, value)]
        output = parts.attend(q, k, v, 0.3, first[:, mine] if documents else None, 0.0)
        return [mine, output.detach(), *torch.autograd.grad(output, local, along[:, :, mine])]

    found = on_ranks(attend)
    assert torch.cat([mine for mine, *_ in found]).sort().values.equal(torch.arange(length))
    for mine, *theirs in found:
        for part, wanted in zip(theirs, (expected, *gradients), strict=True):
            torch.testing.assert_close(part, wanted[:, :, mine])


def test_ranks_that_share_the_vocabulary_find_the_loss_and_its_gradient(
    on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last chunk is not whole, and no chunk's logits are held with another's.
    monkeypatch.setattr(chunked_loss, "_CHUNK", 5)
    hidden, weight = torch.randn(3, 12, 8), torch.randn(20, 8)
    labels = torch.randint(20, (3, 12))
    labels[0, :7] = -100
    along = torch.randn(3)
    whole = [x.clone().requires_grad_() for x in (hidden, weight)]
    logits = F.linear(*whole).flatten(0, 1)
    losses = F.cross_entropy(logits, labels.flatten(), reduction="none").view(3, 12)
    expected = losses.sum(dim=1) / (labels != -100).sum(dim=1)
    gradients = torch.autograd.grad(expected, whole, along)

    def loss(ranks: DeviceMesh) -> list[Tensor]:
        states = distribute_tensor(hidden, ranks, [Shard(1)]).requires_grad_()
        words = distribute_tensor(weight, ranks, [Shard(0)]).requires_grad_()
        assert isinstance(states, DTensor)
        assert isinstance(words, DTensor)
        found = chunked_loss.sharded_head_loss(states, words, labels)
        back = torch.autograd.grad(found, (states, words), along)
        assert all(isinstance(x, DTensor) for x in back)
        return [found.detach(), *(x.full_tensor() for x in back if isinstance(x, DTensor))]

    for theirs in on_ranks(loss):
        for part, wanted in zip(theirs, (expected, *gradients), strict=True):
            torch.testing.assert_close(part, wanted)
