"""Features of nodes that are spread over the ranks: each reads its part, and they exchange what they need."""

from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from pitboard.training.benchmarks.rgat.data import Source


class SharedFeatures:
    """The features of a graph's nodes, of each type a run of consecutive nodes on each of the ranks.

    No rank reads the rows of another from its files, so a machine's memory holds only the part of the mapped
    files that belongs to its ranks. Asking is a collective: all ranks ask for the types in the same order.
    `source` opens the graph when it is first asked.
    """

    def __init__(self, source: Callable[[], Source], ranks: int) -> None:
        self._source = source
        self._ranks = ranks

    def __call__(self, kind: str, numbers: Tensor) -> Tensor:
        """Return the features of nodes of a type, given by their numbers in ascending order."""
        if self._ranks == 1:
            return self._read(kind, numbers)
        share = -(-self._source().graph.nodes[kind] // self._ranks)
        borders = torch.arange(1, self._ranks, device=numbers.device) * share
        # In ascending order, what one rank has lies together, and the ranks' parts in their order.
        asked = torch.diff(
            torch.searchsorted(numbers, borders),
            prepend=numbers.new_zeros(1),
            append=numbers.new_tensor([len(numbers)]),
        )
        wanted = torch.empty_like(asked)
        dist.all_to_all_single(wanted, asked)
        to_ask, to_give = asked.tolist(), wanted.tolist()
        theirs = numbers.new_empty(sum(to_give))
        dist.all_to_all_single(theirs, numbers, to_give, to_ask)
        given = self._read(kind, theirs)
        found = given.new_empty(len(numbers), given.shape[1])
        dist.all_to_all_single(found, given, to_ask, to_give)
        return found

    def _read(self, kind: str, numbers: Tensor) -> Tensor:
        rows = np.ascontiguousarray(self._source().features[kind][numbers.cpu().numpy()])
        return torch.from_numpy(rows).to(numbers.device)
