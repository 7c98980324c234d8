"""Where labels go so that none lies on another: greedy placement of boxes, and spreading along one axis."""

from collections.abc import Sequence
from typing import NamedTuple

LINE = 13.0


class Box(NamedTuple):
    """A rectangle of text in pixels: its left edge, its middle and its width; it is one line high."""

    left: float
    middle: float
    width: float

    def meets(self, other: "Box") -> bool:
        """Whether two boxes lie on each other."""
        across = self.left < other.left + other.width and other.left < self.left + self.width
        return across and abs(self.middle - other.middle) < LINE


def place(wanted: Sequence[Box], taken: Sequence[Box], top: float, bottom: float) -> list[float]:
    """The middles at which the boxes lie free of one another and of `taken`, each as near as it can to its own.

    A box that finds no room within `top` to `bottom` stays where it wanted to be.
    """
    placed: list[Box] = list(taken)
    middles = []
    for box in wanted:
        tries = (box._replace(middle=box.middle + shift * LINE / 2) for shift in _SHIFTS)
        free = (b for b in tries if top <= b.middle <= bottom and not any(b.meets(p) for p in placed))
        chosen = next(free, box)
        placed.append(chosen)
        middles.append(chosen.middle)
    return middles


_SHIFTS = (0, *(sign * step for step in range(1, 16) for sign in (1, -1)))


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
