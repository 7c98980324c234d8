"""Embedding tables whose rows lie on all ranks, and the Adagrad that changes only rows that were looked up.

What `torchrec` does with `fbgemm`'s kernels, in plain PyTorch: `fbgemm-gpu-cpu` 1.9.0 does not load beside
PyTorch 2.13 (an undefined symbol of the autograd engine), and beside 1.8.0, which does, `torchrec` failed on
a missing `tensordict`. A gradient is kept as the numbers of the rows and one vector a sample; neither a dense
gradient of a table nor one vector for each looked-up row exists.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn import functional

from pitboard.training.distributed import World


class EmbeddingTables(nn.Module):
    """Tables of one width, each of which gives the sum of the rows that a sample names.

    `forward(ids)` takes (samples, sum of `counts`) row numbers, table by table as many as `counts` says, and
    returns (samples, tables × width). Gradients are no `Tensor.grad`: `RowAdagrad` takes them.
    """

    def __init__(self, rows: Sequence[int], counts: Sequence[int], width: int) -> None:
        super().__init__()
        self.counts = list(counts)
        self.width = width
        self.tables = nn.ParameterList(nn.Parameter(torch.empty(count, width)) for count in rows)
        self.gradients: list[tuple[Tensor, Tensor]] = []
        """Row numbers and the gradient of what was returned for them, of each micro-batch of a step."""
        self._group: dist.ProcessGroup | None = None
        self._ranks = 1

    def shard(self, world: World) -> set[nn.Parameter]:
        """Spread each table's rows over all ranks; return the parameters that now stand for them."""
        assert world.mesh is not None
        mesh = world.mesh["shard"]
        self._group, self._ranks = mesh.get_group(), mesh.size()
        for number, table in enumerate(self.tables):
            # Each rank takes its part of a tensor on `meta`: nothing is sent.
            spread = distribute_tensor(table.data, mesh, [Shard(0)], src_data_rank=None)
            self.tables[number] = nn.Parameter(spread)
        return set(self.tables)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the sums of the rows named, (samples, tables × width), in the tables' own precision."""
        # Autograd calls the backward of what depends on something that needs a gradient.
        anchor = torch.zeros((), requires_grad=torch.is_grad_enabled())
        found: Tensor = _Lookup.apply(anchor, ids, self)  # type: ignore[no-untyped-call]
        return found

    def look_up(self, ids: Tensor) -> Tensor:
        """Return what `forward` does: each rank adds up its rows for the samples of all; those are summed."""
        ids = self.of_all_ranks(ids)
        parts = []
        for table, wanted in zip(self.tables, columns(ids, self.counts), strict=True):
            rows, first = local_rows(table)
            if self._group is None:
                parts.append(functional.embedding_bag(wanted, rows, mode="sum"))
                continue
            own = (wanted >= first) & (wanted < first + len(rows))
            places = (wanted - first).clamp(0, max(len(rows) - 1, 0))
            if len(rows) == 0:  # a table may have fewer rows than there are ranks
                rows = rows.new_zeros(1, self.width)
            weights = own.to(rows.dtype)
            parts.append(functional.embedding_bag(places, rows, mode="sum", per_sample_weights=weights))
        found = torch.cat(parts, dim=1)
        if self._group is None:
            return found
        mine = found.new_empty(len(found) // self._ranks, found.shape[1])
        dist.reduce_scatter_tensor(mine, found, group=self._group)
        return mine

    def keep(self, ids: Tensor, gradient: Tensor) -> None:
        """Keep the gradient of what was returned for these row numbers, as its part of the ranks' mean."""
        self.gradients.append((self.of_all_ranks(ids), self.of_all_ranks(gradient) / self._ranks))

    def of_all_ranks(self, values: Tensor) -> Tensor:
        """Return the ranks' equally long tensors one after the other, which is the order of the samples."""
        if self._group is None:
            return values
        whole = values.new_empty(self._ranks * len(values), *values.shape[1:])
        dist.all_gather_into_tensor(whole, values.contiguous(), group=self._group)
        return whole


class _Lookup(torch.autograd.Function):
    """`EmbeddingTables.look_up`, whose backward leaves the gradient with the module."""

    @staticmethod
    def forward(ctx: Any, _anchor: Tensor, ids: Tensor, tables: EmbeddingTables) -> Tensor:
        ctx.tables = tables
        ctx.save_for_backward(ids)
        return tables.look_up(ids)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        (ids,) = ctx.saved_tensors
        ctx.tables.keep(ids, gradient)
        return None, None, None


class RowAdagrad(torch.optim.Optimizer):
    """Adagrad over the rows of `EmbeddingTables` that were looked up, as `torch.optim.Adagrad` over all.

    A row that was not looked up has no gradient, and keeps its value and its sum of squares. The sums are
    there from the beginning, as in PyTorch's, so that a checkpoint finds where to load them.
    """

    def __init__(self, tables: EmbeddingTables, learning_rate: float, epsilon: float) -> None:
        super().__init__(list(tables.tables), {"lr": learning_rate, "eps": epsilon})
        self._tables = tables
        for table in tables.tables:
            self.state[table]["sum"] = torch.zeros_like(table, requires_grad=False)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Change the rows by the gradients that the tables kept."""
        if not self._tables.gradients:
            return
        (group,) = self.param_groups
        ids, gradients = (torch.cat(parts) for parts in zip(*self._tables.gradients, strict=True))
        widths = [self._tables.width] * len(self._tables.counts)
        parts = columns(ids, self._tables.counts), columns(gradients, widths)
        for table, wanted, gradient in zip(group["params"], *parts, strict=True):
            rows, first = local_rows(table)
            places, summed = row_gradients(wanted - first, gradient, len(rows))
            squares, _ = local_rows(self.state[table]["sum"])
            total = squares[places] + summed.square()
            squares.index_copy_(0, places, total)
            rows.index_add_(0, places, summed / (total.sqrt() + group["eps"]), alpha=-group["lr"])

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: ARG002
        """Drop the gradients that the tables kept."""
        self._tables.gradients.clear()


def columns(values: Tensor, counts: list[int]) -> tuple[Tensor, ...]:
    """Return so many columns of a matrix after each other."""
    parts: tuple[Tensor, ...] = values.split(counts, dim=1)  # type: ignore[no-untyped-call]
    return parts


def row_gradients(ids: Tensor, gradient: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the rows below `count` that `ids`, (samples, per sample), names, and each one's gradient.

    `gradient` is that of each sample's sum. A row's gradient adds up those of its samples in their order, so
    that it is the same on any number of ranks.
    """
    flat = ids.flatten()
    own = ((flat >= 0) & (flat < count)).nonzero().squeeze(1)
    in_order, order = flat[own].sort(stable=True)
    rows, times = torch.unique_consecutive(in_order, return_counts=True)
    samples = own[order] // ids.shape[1]
    if len(rows) == 0:
        return rows.long(), gradient.new_empty(0, gradient.shape[1])
    starts = times.cumsum(0) - times
    return rows.long(), functional.embedding_bag(samples, gradient.contiguous(), starts, mode="sum")


def local_rows(table: Tensor) -> tuple[Tensor, int]:
    """Return the rows of a table that lie on this rank, and the number of the first."""
    if not isinstance(table, DTensor):
        return table.detach(), 0
    with torch.no_grad():
        local = table.to_local()
    # As `torch.chunk`: equal parts, but for the last ones.
    part = -(-table.shape[0] // table.device_mesh.size())
    return local, min(part * table.device_mesh.get_local_rank(), table.shape[0])
