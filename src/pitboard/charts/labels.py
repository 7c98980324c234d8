"""Where labels go so that none lies on another: greedy placement of boxes, and spreading along one axis."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

LINE = 13.0
_SHIFTS = (0.0, *(sign * step * LINE / 2 for step in range(1, 13) for sign in (1, -1)))


class Box(NamedTuple):
    """A rectangle in pixels, by its middle and its size."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: "Box") -> bool:
        """Whether two boxes lie on each other."""
        across = abs(self.x - other.x) * 2 < self.width + other.width
        return across and abs(self.y - other.y) * 2 < self.height + other.height


def place(wanted: Sequence[Box], marks: Sequence[Box], lines: Sequence[Box], bottom: float) -> list[float]:
    """Heights (0 to `bottom`) at which the boxes lie free, each near to where it wanted to be.

    A box keeps clear of the boxes before it, of `marks` and of `lines`. Where a line's height either way is
    not room enough it may lie on `lines`, since a name moved far comes to stand beside another's mark; then
    on `marks` too; where there is no room even so, it stays where it wanted to be.
    """
    placed: list[Box] = []
    for box in wanted:
        tries = [t for t in (box._replace(y=box.y + shift) for shift in _SHIFTS) if 0 <= t.y <= bottom]
        ranked = ((tries[:5], [*placed, *marks, *lines]), (tries[:9], [*placed, *marks]), (tries, placed))
        free = (t for some, taken in ranked for t in some if not any(t.meets(other) for other in taken))
        placed.append(next(free, box))
    return [box.y for box in placed]


def trace(corners: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes along a line through `corners`, for labels to keep clear of."""
    return [
        Box(x0 + (x1 - x0) * i / 30, y0 + (y1 - y0) * i / 30, 3, 3)
        for (x0, y0), (x1, y1) in pairwise(corners)
        for i in range(31)
    ]


def spread(middles: Sequence[float], bottom: float) -> list[float]:
    """The same middles, in the same order, pushed apart to one line's height between 0 and `bottom`.

    Each moves as little as it can: least squares under an order, by pooling neighbours that violate it.
    """
    order = sorted(range(len(middles)), key=lambda i: middles[i])
    gap = min(LINE, bottom / max(1, len(order) - 1))
    pools: list[tuple[float, int]] = []
    for rank, i in enumerate(order):
        mean, size = middles[i] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        pools.append((mean, size))
    level = [mean for mean, size in pools for _ in range(size)]
    highest = bottom - (len(order) - 1) * gap
    out = [0.0] * len(order)
    for rank, i in enumerate(order):
        out[i] = min(max(level[rank], 0.0), highest) + rank * gap
    return out
