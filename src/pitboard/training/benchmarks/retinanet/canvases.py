"""The images of RetinaNet's `smoke` preset: handwritten digits at several scales on a noisy canvas.

Each canvas follows from its number alone: its ground, and two to four digits, each cut to its ink,
enlarged, tinted and placed where it hides no other. A digit's box is exactly what was pasted.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from pitboard.training.benchmarks.retinanet.data import Labelled
from pitboard.training.data.scans import load_scans

CLASSES = 10

_FEWEST, _MOST = 2, 4
# Height of a digit over that of the canvas.
_SMALLEST, _LARGEST = 0.25, 0.6
# Of the images to pre-train on.
_SMALLEST_ALONE = 0.4
# The ground's level and noise, and the ink's level.
_LIGHTEST, _NOISE, _DARKEST = 0.25, 0.12, 0.5
_ATTEMPTS = 20


class Canvases:
    """So many canvases of a split's digits, in order."""

    def __init__(self, count: int, size: int, *, held_out: bool) -> None:
        self._count, self._size, self._held_out = count, size, held_out

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Labelled:
        return _canvas(index, self._size, held_out=self._held_out)


@cache
def _canvas(number: int, size: int, *, held_out: bool) -> Labelled:
    random = np.random.default_rng([number, size, held_out])
    return _draw(random, size, int(random.integers(_FEWEST, _MOST + 1)), held_out=held_out)


def _draw(random: np.random.Generator, size: int, digits: int, *, held_out: bool) -> Labelled:
    scans = load_scans()[held_out]
    image = random.normal(random.uniform(0.0, _LIGHTEST), _NOISE, (3, size, size)).astype(np.float32)
    boxes: list[tuple[int, int, int, int]] = []
    labels: list[int] = []
    for _ in range(digits):
        chosen = random.integers(len(scans.images))
        ink = enlarged(scans.images[chosen], round(size * random.uniform(_SMALLEST, _LARGEST)))
        place = _free_place(random, ink.shape, boxes, size)
        if place is None:
            continue
        left, top, right, bottom = place
        tint = random.uniform(_DARKEST, 1.0, (3, 1, 1)).astype(np.float32)
        ground = image[:, top:bottom, left:right]
        ground += ink * (tint - ground)
        boxes.append(place)
        labels.append(int(scans.digits[chosen]))
    pixels = torch.from_numpy((image.clip(0, 1) * 255).round().astype(np.uint8))
    return Labelled(pixels, torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels))


def digits_alone(
    count: int, size: int, generator: torch.Generator, *, held_out: bool
) -> tuple[Tensor, Tensor]:
    """Return images in [0, 1] of one digit each, at many scales and places, and these digits.

    They are made in few operations: a classifier takes thousands.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    scans = load_scans()[held_out]
    chosen = torch.randint(len(scans.images), (count,), generator=generator)
    ink = torch.from_numpy(scans.images)[chosen][:, None]
    share = uniform(_SMALLEST_ALONE, 1.0)
    # Where each pixel lies in the digit, whose sides are at −1 and 1.
    where = torch.zeros(count, 2, 3)
    where[:, 0, 0] = where[:, 1, 1] = 1 / share
    where[:, :, 2] = uniform(-1, 1, 2) * (1 / share - 1)[:, None]
    grid = affine_grid(where, [count, 1, size, size], align_corners=False)
    ink = grid_sample(ink, grid, padding_mode="zeros", align_corners=False)
    ground = uniform(0.0, _LIGHTEST, 1, 1, 1) + _NOISE * torch.randn(
        count, 3, size, size, generator=generator
    )
    tint = uniform(_DARKEST, 1.0, 3, 1, 1)
    return (ground + ink * (tint - ground)).clamp(0, 1), torch.from_numpy(scans.digits)[chosen]


def enlarged(image: np.ndarray, height: int) -> np.ndarray:
    """Return the ink of an image, and nothing around it, enlarged to a height."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    ink = torch.from_numpy(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    width = max(1, round(height * ink.shape[1] / ink.shape[0]))
    return interpolate(ink[None, None], size=(height, width), mode="bilinear")[0, 0].numpy()


def _free_place(
    random: np.random.Generator, shape: tuple[int, ...], taken: list[tuple[int, int, int, int]], size: int
) -> tuple[int, int, int, int] | None:
    """Return where a digit hides no other, or `None` where it found none."""
    height, width = shape
    for _ in range(_ATTEMPTS):
        left, top = int(random.integers(size - width + 1)), int(random.integers(size - height + 1))
        right, bottom = left + width, top + height
        if all(right <= a or left >= c or bottom <= b or top >= d for a, b, c, d in taken):
            return left, top, right, bottom
    return None
