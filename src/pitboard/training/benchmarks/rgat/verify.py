"""Check IGBH-Full, as the reference's scripts write it, against what is known about it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.rgat.downloads import (
    CLASSES,
    CLASSES_FILE,
    EDGES,
    LABELLED,
    NODES,
    columns_folder,
    features_file,
)
from pitboard.training.benchmarks.rgat.graph import Relation
from pitboard.training.benchmarks.rgat.igbh import open_classes, open_columns, open_features
from pitboard.training.data.verify import FileReport, checked_report

_BLOCK = 1 << 24


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for the features of each type, each relation's folder, and the classes, under `root`.

    Features must have the published number of rows; edges must go between nodes that have features, which
    reads all of them, and be as many as published, where that is known; each labelled paper must have one of
    the 2,983 classes.
    """
    nodes: dict[str, int] = {}
    for kind in NODES:
        yield checked_report(root, features_file(kind), partial(_features, root, kind, nodes))
    for relation in EDGES:
        folder = columns_folder(relation)
        if relation[0] in nodes and relation[2] in nodes:
            yield checked_report(root, folder, partial(_edges, root, relation, nodes))
        else:
            yield FileReport(folder, "unchecked", "the features of its nodes are missing or wrong")
    yield checked_report(root, CLASSES_FILE, partial(_classes, root))


def _features(root: Path, kind: str, nodes: dict[str, int]) -> str:
    nodes[kind] = len(open_features(root, kind))
    return f"{nodes[kind]:,} nodes"


def _edges(root: Path, relation: Relation, nodes: dict[str, int]) -> str:
    columns = open_columns(root, relation, nodes[relation[2]])
    senders = nodes[relation[0]]
    for begin in range(0, len(columns.sources), _BLOCK):
        block = columns.sources[begin : begin + _BLOCK]
        if block.min() < 0 or block.max() >= senders:
            raise PitboardError(f"has edges from nodes that are none of the {senders:,}; write it again")
    if (np.diff(columns.starts) < 0).any():
        raise PitboardError("its indptr.pt does not ascend; write it again")
    counted = f"{len(columns.sources):,} edges"
    if (expected := EDGES[relation]) is None:
        return f"{counted}; their number is not checked, since none is published"
    if len(columns.sources) != expected:
        raise PitboardError(f"{counted}; expected {expected:,}")
    return counted


def _classes(root: Path) -> str:
    classes = open_classes(root)
    for begin in range(0, LABELLED, _BLOCK):
        block = classes[begin : min(begin + _BLOCK, LABELLED)]
        # A number that is none fails the comparison too.
        if not ((block >= 0) & (block < CLASSES)).all():
            raise PitboardError(f"not all of the first {LABELLED:,} papers have a class below {CLASSES:,}")
    return f"{LABELLED:,} papers with a class"
