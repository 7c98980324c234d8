"""Training and evaluation samples of DLRM-DCNv2 from tables of clicks, wherever these come from."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pitboard.training.data.epoch_order import EpochOrder
from pitboard.training.initialize import seeded_generator
from pitboard.training.protocol import Batch

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Numerical features (count, features), FP32; numbers of table rows (count, all tables' ids) and labels
(count,), whole numbers."""


class Source(Protocol):
    """Samples by number."""

    def __len__(self) -> int: ...

    def rows(self, numbers: np.ndarray) -> Rows:
        """Return these samples, in this order."""


class Samples(Dataset[Batch]):
    """Samples of a source, a batch at a time; in order, or with a seed in a new order for each epoch."""

    def __init__(self, source: Source, count: int, seed: int | None = None) -> None:
        self._source = source
        self._count = count
        self._order = None if seed is None else EpochOrder(len(source), seed)

    def __len__(self) -> int:
        return self._count

    def __getitems__(self, numbers: list[int]) -> list[Batch]:
        """Return all of these samples as the one part of a batch."""
        wanted = np.asarray(numbers)
        places = wanted % len(self._source) if self._order is None else self._order.places(wanted)
        dense, ids, label = map(torch.from_numpy, self._source.rows(places))
        return [{"dense": dense, "ids": ids, "label": label}]


class SyntheticSamples(Dataset[Batch]):
    """Random samples: for the warm-up, which must not touch the training data, and the preset `sanity`."""

    def __init__(self, rows: Tensor, dense_features: int, count: int, seed: int) -> None:
        self._rows = rows
        self._dense_features = dense_features
        self._count = count
        self._seed = seed

    def __len__(self) -> int:
        return self._count

    def __getitems__(self, numbers: list[int]) -> list[Batch]:
        """Return all of these samples as the one part of a batch."""
        count = len(numbers)
        generator = seeded_generator(torch.device("cpu"), self._seed, f"samples from {numbers[0]}")
        places = torch.rand(count, len(self._rows), generator=generator)
        return [
            {
                "dense": torch.rand(count, self._dense_features, generator=generator),
                "ids": (places * self._rows).to(torch.int32).minimum(self._rows - 1),
                "label": torch.randint(2, (count,), generator=generator, dtype=torch.int32),
            }
        ]
