"""Where labels go so that none lies on another: greedy placement of boxes, and spreading along one axis."""

from collections.abc import Sequence
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
    """The heights (0 to `bottom`) at which the boxes lie free, each as near as it can to where it wanted to be.

    A box keeps clear of the boxes before it, of `marks` and of `lines`; where there is no such room, of the boxes
    before it alone; where there is none even so, it stays where it wanted to be.
    """
    placed: list[Box] = []
    for box in wanted:
        tries = [t for t in (box._replace(y=box.y + shift) for shift in _SHIFTS) if 0 <= t.y <= bottom]
        near = tries[:9]
        clear = (t for t in near if not any(t.meets(other) for other in (*placed, *marks, *lines)))
        apart = (t for t in tries if not any(t.meets(other) for other in placed))
        placed.append(next(clear, None) or next(apart, box))
    return [box.y for box in placed]


def spread(middles: Sequence[float], top: float, bottom: float) -> list[float]:
    """The same middles, in the same order, pushed apart to one line's height between `top` and `bottom`."""
    order = sorted(range(len(middles)), key=lambda i: middles[i])
    gap = min(LINE, (bottom - top) / max(1, len(middles) - 1))
    out = [0.0] * len(middles)
    last = top - gap
    for i in order:
        last = out[i] = max(middles[i], last + gap)
    limit = bottom
    for i in reversed(order):
        out[i] = min(out[i], limit)
        limit = out[i] - gap
    return out
