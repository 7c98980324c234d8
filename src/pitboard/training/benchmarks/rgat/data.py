"""Samples of R-GAT: classified nodes and what surrounds them, wherever the graph comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from pitboard.training.benchmarks.rgat.graph import (
    Columns,
    Graph,
    Integers,
    Neighbourhood,
    Relation,
    neighbourhood,
)
from pitboard.training.data.cached import cached, default_cache
from pitboard.training.data.epoch_order import EpochOrder
from pitboard.training.protocol import Batch

SPLIT_SEED = 42
TRAINED = 0.6
"""The part of the classified nodes that is trained on."""
# A permutation of more nodes is kept on disk, where all processes of the machine share it.
_SPLIT_CACHED_FROM = 1 << 24


class Rows(Protocol):
    """The features of a type's nodes, (nodes, size): an array, or a file mapped into memory."""

    def __getitem__(self, numbers: Integers, /) -> npt.NDArray[np.float16]: ...


@dataclass(frozen=True)
class Source:
    """A graph with the features of its nodes by type, and the class of each classified node."""

    graph: Graph
    features: Mapping[str, Rows]
    classes: npt.NDArray[np.generic]


def split(labelled: int, held_out: float) -> tuple[Integers, Integers]:
    """Return which nodes are trained on and which are evaluated on: a permutation of the reference's seed.

    The first 60 % are trained on, the fraction `held_out` that follows is evaluated on.
    """
    if labelled < _SPLIT_CACHED_FROM:
        shuffled = _permutation(labelled)
    else:

        def build(folder: Path) -> None:
            np.save(folder / "permutation.npy", _permutation(labelled), allow_pickle=False)

        folder = cached(default_cache() / f"rgat-split-{SPLIT_SEED}-{labelled}", build, large=True)
        shuffled = np.load(folder / "permutation.npy", mmap_mode="r", allow_pickle=False)
    trained, evaluated = split_sizes(labelled, held_out)
    return shuffled[:trained], shuffled[trained : trained + evaluated]


def split_sizes(labelled: int, held_out: float) -> tuple[int, int]:
    """Return how many nodes are trained on and how many are evaluated on."""
    return int(labelled * TRAINED), int(labelled * held_out)


def _permutation(count: int) -> Integers:
    order: Integers = torch.randperm(count, generator=torch.Generator().manual_seed(SPLIT_SEED)).numpy()
    return order


class Samples(Dataset[Batch]):
    """Classified nodes with their sampled surroundings, fetched a batch at a time.

    To train on, in a new order each epoch. A node draws its neighbours by the seed and the training step, so
    a step's sample is the same for any number of ranks, and in a resumed run. With `shuffled` off they are
    to evaluate on: in order, and with the same neighbours at each evaluation.
    """

    def __init__(
        self,
        source: Source,
        chosen: Integers,
        fan_out: Sequence[int],
        seed: int,
        batch_size: int,
        *,
        shuffled: bool,
        with_features: bool = True,
    ) -> None:
        self._source = source
        self._chosen = chosen
        self._fan_out = fan_out
        self._seed = seed
        self._batch_size = batch_size
        self._with_features = with_features
        self._order = EpochOrder(len(chosen), seed) if shuffled else None
        if self._order is not None:
            # Minutes for a hundred million nodes are not the clock's, nor each loader process's.
            self._order.draw(0)

    def nodes(self, numbers: Sequence[int]) -> Integers:
        """Return the classified nodes that are these samples."""
        places = np.asarray(numbers)
        chosen: Integers = self._chosen[places if self._order is None else self._order.places(places)]
        return chosen

    def sampled(self, numbers: Sequence[int]) -> Neighbourhood:
        """Return the sampled surroundings of some samples, all of one training step."""
        return self._around(self.nodes(numbers), numbers[0])

    def _around(self, nodes: Integers, first: int) -> Neighbourhood:
        step = f"step {first // self._batch_size}" if self._order is not None else "evaluation"
        return neighbourhood(self._source.graph, nodes, self._fan_out, f"{self._seed}:{step}")

    def __getitems__(self, numbers: list[int]) -> list[Batch]:
        """Return these samples as one batch, in a list of one."""
        nodes = self.nodes(numbers)
        features = self._source.features if self._with_features else None
        return [batch_of(self._around(nodes, numbers[0]), features, self._source.classes[nodes])]


def batch_of(
    sampled: Neighbourhood, features: Mapping[str, Rows] | None, classes: npt.NDArray[np.generic]
) -> Batch:
    """Return what the model's forward takes; without `features`, nodes come by their numbers."""
    batch = {
        f"nodes.{kind}": torch.from_numpy(numbers if features is None else features[kind][numbers])
        for kind, numbers in sampled.nodes.items()
    }
    for number, layer in enumerate(sampled.layers):
        for relation, edges in layer.edges.items():
            batch[f"{number}.edges.{'.'.join(relation)}"] = torch.from_numpy(edges)
        for kind, kept in layer.kept.items():
            batch[f"{number}.kept.{kind}"] = torch.from_numpy(kept)
    batch["seeds"] = torch.from_numpy(sampled.seeds)
    batch["classes"] = torch.from_numpy(classes.astype(np.int64))
    return batch


class Repeated:
    """Random features, of which a node has one of 4,096 rows: made-up ones need no more."""

    def __init__(self, size: int) -> None:
        self._rows = np.random.RandomState(0).standard_normal((4096, size)).astype(np.float16)

    def __getitem__(self, numbers: Integers) -> npt.NDArray[np.float16]:
        rows: npt.NDArray[np.float16] = self._rows[numbers % len(self._rows)]
        return rows


def synthetic(
    nodes: Mapping[str, int], edges: Mapping[Relation, int], classified: str, size: int, classes: int
) -> Source:
    """Return a made-up graph with these relations, so many edges each, and random features and classes."""
    random = np.random.default_rng(0)
    relations = {}
    for (sender, name, receiver), count in edges.items():
        degrees = random.multinomial(count, np.full(nodes[receiver], 1 / nodes[receiver]))
        starts = np.concatenate([[0], np.cumsum(degrees)])
        relations[sender, name, receiver] = Columns(starts, random.integers(nodes[sender], size=count))
    labels = random.integers(classes, size=nodes[classified])
    return Source(Graph(nodes, relations, classified), dict.fromkeys(nodes, Repeated(size)), labels)
