"""IGBH-Full as the reference's scripts write it, mapped into memory."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.rgat.data import Source
from pitboard.training.benchmarks.rgat.downloads import (
    CLASSES_FILE,
    EDGES,
    FEATURE_SIZE,
    NODES,
    columns_folder,
    features_file,
)
from pitboard.training.benchmarks.rgat.graph import Columns, Graph, Relation

HELD_OUT = 0.005
"""The part of the labelled papers that is evaluated on."""


def open_source(root: Path) -> Source:
    """Return the graph under a folder; opening reads only the files' structure.

    Raises `PitboardError` for a file that is missing, or not what the reference writes.
    """
    features = {kind: open_features(root, kind) for kind in NODES}
    nodes = {kind: len(rows) for kind, rows in features.items()}
    relations = {relation: open_columns(root, relation, nodes[relation[2]]) for relation in EDGES}
    return Source(Graph(nodes, relations, "paper"), features, open_classes(root))


def open_columns(root: Path, relation: Relation, nodes: int) -> Columns:
    """Return a relation's edges to so many nodes. Raises `PitboardError` where its files do not fit them."""
    folder = root / columns_folder(relation)
    starts, sources = (_mapped(folder / name, torch.int64) for name in ("indptr.pt", "indices.pt"))
    fits = starts.ndim == sources.ndim == 1 and 1 < len(starts) <= nodes + 1
    if not fits or starts[0] != 0 or starts[-1] != len(sources):
        raise PitboardError(
            f"{folder} does not have the edges to {nodes:,} nodes (indptr {starts.shape}, indices"
            f" {sources.shape}): run the reference's compress_graph.py --layout=CSC again."
        )
    return Columns(starts, sources)


def open_features(root: Path, kind: str) -> npt.NDArray[np.float16]:
    """Return the features of a type's nodes. Raises `PitboardError` for another shape."""
    path = root / features_file(kind)
    features = _mapped(path, torch.float16)
    if features.shape != (expected := (NODES[kind], FEATURE_SIZE)):
        raise PitboardError(f"{path} has the shape {features.shape}, expected {expected}: convert it again.")
    return features


def open_classes(root: Path) -> npt.NDArray[np.float32]:
    """Return the class of each paper, NaN or any number where it has none.

    Raises `PitboardError` for a file of another length.
    """
    path = root / CLASSES_FILE
    try:
        classes = np.memmap(path, dtype=np.float32, mode="r")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(classes) != NODES["paper"]:
        raise PitboardError(
            f"{path} has {len(classes):,} numbers, expected {NODES['paper']:,}: download it again."
        )
    return classes


def _mapped(path: Path, dtype: torch.dtype) -> npt.NDArray[Any]:
    """Map a tensor that PyTorch saved; nothing of the file is executed."""
    try:
        found = torch.load(path, mmap=True, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged archive raises whatever its part that is damaged does
        raise _unreadable(path, error) from error
    if not isinstance(found, torch.Tensor) or found.dtype != dtype:
        what = f"a tensor of {found.dtype}" if isinstance(found, torch.Tensor) else "no tensor"
        raise PitboardError(f"{path} has {what}, expected {dtype}: write it again with compress_graph.py.")
    array: npt.NDArray[Any] = found.numpy()
    return array


def _unreadable(path: Path, error: Exception) -> PitboardError:
    reason = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0]
    return PitboardError(
        f"Cannot read {path} ({reason}): `pitboard data rgat` says what to download and how to prepare it."
    )
