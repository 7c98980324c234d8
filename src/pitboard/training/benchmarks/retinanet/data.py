"""Training and evaluation samples of RetinaNet from labelled images, wherever these come from."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torch.utils.data import Dataset

from pitboard.training.data.epoch_order import EpochOrder
from pitboard.training.initialize import seeded_generator
from pitboard.training.protocol import Batch

_DIFFERENT = 16

NO_LABEL = -1
"""The label of a box that fills up an image's to as many as the others of its batch have."""


@dataclass(frozen=True)
class Labelled:
    """An image of bytes, shape (3, height, width), its boxes in pixels, (n, 4), and their classes, (n,)."""

    pixels: Tensor
    boxes: Tensor
    labels: Tensor


class Source(Protocol):
    """Labelled images by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Labelled: ...


class SyntheticImages:
    """Noise with boxes, to measure how fast the detector trains: so many images, of which 16 differ."""

    def __init__(self, count: int, size: int, classes: int) -> None:
        self._count, self._size, self._classes = count, size, classes
        self._different = [self._made(number) for number in range(min(count, _DIFFERENT))]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Labelled:
        return self._different[index % _DIFFERENT]

    def _made(self, number: int) -> Labelled:
        generator = seeded_generator(torch.device("cpu"), 0, f"image {number}")
        pixels = torch.randint(256, (3, self._size, self._size), dtype=torch.uint8, generator=generator)
        # OpenImages has 8 boxes an image.
        corners = torch.rand(8, 2, 2, generator=generator) * (self._size - 1)
        boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1) + 1], dim=1)
        return Labelled(pixels, boxes, torch.randint(self._classes, (8,), generator=generator))


class Samples(Dataset[Batch]):
    """Samples from labelled images, scaled to a square of `size` pixels, boxes with them.

    With a seed they are to train on: in a new order each epoch, a share of them mirrored, all of it by the
    seed and the sample's number, so that sample i is the same for any number of ranks, and in a resumed run.
    """

    def __init__(
        self, source: Source, count: int, size: int, *, seed: int | None = None, mirrored: float = 0.0
    ) -> None:
        self._source = source
        self._count = count
        self._size = size
        self._seed = seed
        self._share_mirrored = mirrored
        self._order = None if seed is None else EpochOrder(len(source), seed)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        found = self._source[index if self._order is None else self._order.place(index)]
        height, width = found.pixels.shape[1:]
        images, boxes = found.pixels.float().div(255), found.boxes
        if (height, width) != (self._size, self._size):
            images = interpolate(images[None], size=(self._size, self._size), mode="bilinear")[0]
            boxes = boxes * torch.tensor([self._size / width, self._size / height]).repeat(2)
        if self._mirrored(index):
            images = images.flip(2)
            boxes = torch.stack(
                [self._size - boxes[:, 2], boxes[:, 1], self._size - boxes[:, 0], boxes[:, 3]], dim=1
            )
        return {
            "images": images,
            "boxes": boxes,
            "labels": found.labels,
            "size": torch.tensor([height, width]),
            "number": torch.tensor(index),
        }

    def _mirrored(self, index: int) -> bool:
        if self._seed is None:
            return False
        generator = seeded_generator(torch.device("cpu"), self._seed, f"sample {index}")
        return bool(torch.rand((), generator=generator) < self._share_mirrored)


def collated(samples: list[Batch]) -> Batch:
    """Return one batch of samples, their boxes and labels filled up to the most that one has, at least 1."""
    most = max(1, *(len(sample["labels"]) for sample in samples))
    filled = [
        sample
        | {
            "boxes": pad(sample["boxes"], (0, 0, 0, most - len(sample["labels"]))),
            "labels": pad(sample["labels"], (0, most - len(sample["labels"])), value=NO_LABEL),
        }
        for sample in samples
    ]
    return {name: torch.stack([sample[name] for sample in filled]) for name in filled[0]}
