"""Boxes, anchors, and what is done with them: overlaps, matching, encoding, suppression of duplicates.

A box is (left, top, right, bottom) in pixels, right and bottom beyond its last pixel. Everything is as the
reference's copy of torchvision's detection code has it.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

BACKGROUND, IGNORED = -1, -2
"""What an anchor is matched with if not with a box: nothing, or too little to be either."""

_FOREGROUND_OVERLAP, _BACKGROUND_OVERLAP = 0.5, 0.4
_RATIOS = (0.5, 1.0, 2.0)
# Of a predicted width or height over its anchor's: exp() of more would overflow.
_LARGEST_LOG_SCALE = math.log(1000 / 16)

Suppress = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""Takes boxes, scores, labels and an overlap; returns the numbers of those kept, the best first."""


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return intersection over union of each of n boxes with each of m, shape (n, m)."""
    low = torch.maximum(first[:, None, :2], second[:, :2])
    high = torch.minimum(first[:, None, 2:], second[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    return shared / (_areas(first)[:, None] + _areas(second) - shared)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)


@cache
def anchors(image: int, grids: Sequence[int], smallest: int, device: torch.device) -> Tensor:
    """Return the nine anchors of each place of each grid of a square image, shape (anchors, 4).

    The anchors of the first grid have the areas of squares of `smallest` pixels and of 2^(1/3) and 2^(2/3)
    times as many, in three shapes; those of each further grid are twice as wide.
    """
    levels = []
    for level, grid in enumerate(grids):
        stride = image // grid
        shifts = torch.arange(grid, device=device, dtype=torch.float32) * stride
        rows, columns = torch.meshgrid(shifts, shifts, indexing="ij")
        places = torch.stack([columns, rows, columns, rows], dim=2).view(-1, 1, 4)
        levels.append((places + _at_origin(smallest << level, device)).view(-1, 4))
    return torch.cat(levels)


def _at_origin(size: int, device: torch.device) -> Tensor:
    sizes = torch.tensor([int(size * 2 ** (third / 3)) for third in range(3)], dtype=torch.float32)
    heights = torch.tensor(_RATIOS).sqrt()
    wide, high = ((factor[:, None] * sizes).flatten() for factor in (1 / heights, heights))
    return (torch.stack([-wide, -high, wide, high], dim=1) / 2).round().to(device)


def match(boxes: Tensor, anchors: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return for each anchor the number of the box that it shall find, else `BACKGROUND` or `IGNORED`.

    That is the box with which it overlaps most, if by half; a box's own best anchors are matched whatever
    their overlap. With `counted`, (boxes,), only those boxes are there.
    """
    if not len(boxes):
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    quality = overlaps(boxes, anchors)
    if counted is not None:
        quality = quality.where(counted[:, None], -1.0)
    best, number = quality.max(dim=0)
    found = number.where(best >= _FOREGROUND_OVERLAP, IGNORED).where(best >= _BACKGROUND_OVERLAP, BACKGROUND)
    own = (quality == quality.amax(dim=1, keepdim=True)) & (quality >= 0)
    return number.where(own.any(dim=0), found)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return what must be predicted at these anchors for these boxes: shifts and log scales, (n, 4)."""
    (centre, size), (at, of) = _centred(boxes), _centred(anchors)
    return torch.cat([(centre - at) / of, (size / of).log()], dim=1)


def decode(predicted: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes that are predicted at these anchors, shape (n, 4)."""
    at, of = _centred(anchors)
    centre = at + predicted[:, :2] * of
    half = predicted[:, 2:].clamp(max=_LARGEST_LOG_SCALE).exp() * of / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _centred(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + size / 2, size


@cache
def suppression() -> Suppress:
    """Return torchvision's suppression of duplicates, or ours where its operators cannot be loaded.

    Its package does not load beside a PyTorch that is built for another device, as the CPU-only one.
    """
    try:
        from torchvision.ops import batched_nms
    except (ImportError, RuntimeError, OSError):
        return suppress
    found: Suppress = batched_nms
    return found


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, overlap: float) -> Tensor:
    """Return the numbers of the boxes that no better one of the same label overlaps by more, best first.

    A box that was itself suppressed suppresses none. That is found for all at once: assume that all stay,
    and take out those that one which stays suppresses, until nothing changes; then it is what going through
    them one by one gives (the state of the n best is final after n rounds; usually a few do).
    """
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes, sorted_labels = boxes[order], labels[order]
    conflicts = overlaps(sorted_boxes, sorted_boxes) > overlap
    conflicts = (conflicts & (sorted_labels[:, None] == sorted_labels)).triu(diagonal=1)
    stays = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    while True:
        now = ~(conflicts & stays[:, None]).any(dim=0)
        if torch.equal(now, stays):
            return order[stays]
        stays = now
