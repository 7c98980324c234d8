"""A graph with several types of nodes, in compressed columns as the reference has it, and sampling."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Relation = tuple[str, str, str]
"""The type of nodes that send messages, what they are to the others, and the type that receives."""
Integers = npt.NDArray[np.int64]

# The constants of SplitMix64 (doi:10.1145/2660193.2660195).
_STRIDE = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
    (np.uint64(31), np.uint64(1)),
)


@dataclass(frozen=True)
class Columns:
    """The edges of one relation by who receives: node t from `sources[starts[t] : starts[t + 1]]`.

    Nodes after the last that receives anything may be left out.
    """

    starts: Integers
    sources: Integers


@dataclass(frozen=True)
class Graph:
    """How many nodes there are of each type, the relations between them, and the type that has classes."""

    nodes: Mapping[str, int]
    relations: Mapping[Relation, Columns]
    classified: str


@dataclass(frozen=True)
class Layer:
    """What one layer computes: messages along edges, from the nodes it is given to those it keeps.

    `edges` has for each relation who sends and who receives, shape (2, edges): the sender's place among the
    given nodes of its type, the receiver's among the kept ones of its own. `kept` has the places of the kept
    nodes of each type among the given ones.
    """

    edges: Mapping[Relation, Integers]
    kept: Mapping[str, Integers]


@dataclass(frozen=True)
class Neighbourhood:
    """The sampled surroundings of some nodes: the `nodes` to read, by type, in order of their numbers.

    The layers are in the order in which they are computed. `seeds` are the places of the nodes that were
    asked for among those that the last layer keeps.
    """

    nodes: Mapping[str, Integers]
    layers: Sequence[Layer]
    seeds: Integers


def relations_by_layer(
    relations: Sequence[Relation], classified: str, layers: int
) -> list[tuple[Relation, ...]]:
    """Return which relations each layer computes: those by which a message can still reach the classified."""
    reached, found = {classified}, []
    for _ in range(layers):
        used = tuple(relation for relation in relations if relation[2] in reached)
        reached |= {source for source, _, _ in used}
        found.append(used)
    return found[::-1]


def neighbourhood(graph: Graph, seeds: Integers, fan_out: Sequence[int], key: str) -> Neighbourhood:
    """Sample what some classified nodes depend on: `fan_out` neighbours a relation, nearest first.

    For each layer a node draws its neighbours anew, without replacement, by the `key`, the layer and its own
    number: whatever else is sampled beside it, so a batch may be divided over ranks in any way.
    """
    classified, places = np.unique(seeds, return_inverse=True)
    wanted: dict[str, Integers] = {graph.classified: classified}
    chosen = relations_by_layer(list(graph.relations), graph.classified, len(fan_out))
    layers = []
    for hop, (width, relations) in enumerate(zip(fan_out, reversed(chosen), strict=True)):
        drawn = {
            relation: _draw(graph.relations[relation], wanted[relation[2]], width, f"{key}:{hop}:{relation}")
            for relation in relations
        }
        given = dict(wanted)
        for (kind, _, _), (sources, _) in drawn.items():
            given[kind] = np.union1d(given[kind], sources) if kind in given else np.unique(sources)
        edges = {
            relation: np.stack([np.searchsorted(given[relation[0]], sources), receivers])
            for relation, (sources, receivers) in drawn.items()
        }
        kept = {kind: np.searchsorted(given[kind], numbers) for kind, numbers in wanted.items()}
        layers.append(Layer(edges, kept))
        wanted = given
    return Neighbourhood(wanted, layers[::-1], places)


def _draw(columns: Columns, receivers: Integers, width: int, key: str) -> tuple[Integers, Integers]:
    """Return who sends, up to `width` for each receiver, and to which: its place among the receivers."""
    known = len(columns.starts) - 1
    begins = columns.starts[np.minimum(receivers, known)]
    counts = columns.starts[np.minimum(receivers + 1, known)] - begins
    places = np.broadcast_to(np.arange(width), (len(receivers), width)).copy()
    many = np.flatnonzero(counts > width)
    places[many] = _distinct(counts[many], width, receivers[many], key)
    taken = np.minimum(counts, width)
    edges = (begins[:, None] + places)[np.arange(width) < taken[:, None]]
    return columns.sources[edges], np.repeat(np.arange(len(receivers)), taken)


def _distinct(counts: Integers, width: int, nodes: Integers, key: str) -> Integers:
    """Return for each node `width` different numbers below its count, by Floyd's algorithm.

    (Bentley and Floyd, doi:10.1145/30401.315746.) Its cost does not depend on the counts, and hubs have
    millions of neighbours.
    """
    chosen = np.empty((len(nodes), width), dtype=np.int64)
    purpose = _mixed(np.array([zlib.crc32(key.encode())], dtype=np.uint64))
    state = nodes.astype(np.uint64) * _STRIDE + purpose
    for slot in range(width):
        last = counts - width + slot
        state = state + _STRIDE
        # The upper half of the random number, as a fraction of the numbers up to `last`.
        high = _mixed(state) >> np.uint64(32)
        number = ((high * (last + 1).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)
        taken = (chosen[:, :slot] == number[:, None]).any(axis=1)
        chosen[:, slot] = np.where(taken, last, number)
    return chosen


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    for shift, factor in _MIXERS:
        state = (state ^ (state >> shift)) * factor
    return state
