"""Axes whose domain and ticks are set here, so that labels find their places before they are drawn."""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from pitboard.charts.vega import Spec

NUMBER = ",~f"
"""How a tick is written: 1,024 and 0.5."""


class Span(NamedTuple):
    """The domain of an axis and how it is scaled."""

    low: float
    high: float
    log: bool

    def share(self, value: float) -> float:
        """Where `value` lies, as a share of the axis: 0 at its low end, 1 at its high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def at(self, share: float) -> float:
        """The value at a share of the axis: the inverse of `share`."""
        if self.log:
            return self.low * float((self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def scale(self) -> Spec:
        """The Vega-Lite scale, with the domain as it is."""
        kind = {"type": "log"} if self.log else {"zero": False}
        return {"domain": [self.low, self.high], "nice": False, **kind}


def log_span(values: Iterable[float], margin: float = 0.06) -> Span:
    """A logarithmic span over values, wider than they by `margin` on each side, and never of no width."""
    low, high = _ends(values)
    room = (high / low) ** margin if high / low > 1.05 else 1.25
    return Span(low / room, high * room, log=True)


def linear_span(values: Iterable[float], margin: float = 0.06) -> Span:
    """A linear span over values, wider than they by `margin` on each side, and never of no width."""
    low, high = _ends(values)
    room = (high - low) * margin or abs(high) * 0.1 or 1.0
    return Span(low - room, high + room, log=False)


def _ends(values: Iterable[float]) -> tuple[float, float]:
    listed = list(values)
    return min(listed), max(listed)


def log_ticks(span: Span, most: int) -> list[float]:
    """Round numbers inside a logarithmic span, `most` at the utmost: only tens where it is wide.

    A span so short that it has fewer than three gets evenly spaced ones.
    """
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [
            round(step * 10.0**power, 9)
            for power in range(math.floor(math.log10(span.low)), math.ceil(math.log10(span.high)) + 1)
            for step in steps
            if span.low <= step * 10.0**power <= span.high
        ]
        if len(ticks) <= most:
            return ticks if len(ticks) > 2 or span.high / span.low > 10 else _even_ticks(span, most)
    return ticks[:: math.ceil(len(ticks) / most)]


def _even_ticks(span: Span, most: int) -> list[float]:
    """Multiples of a round step inside a span, as many as there may be."""
    rough = (span.high - span.low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(span.low / step - 1e-9), math.floor(span.high / step + 1e-9)
    return [round(step * place, 9) for place in range(first, last + 1)]


def binary_ticks(span: Span, most: int) -> list[float]:
    """Powers of two inside a logarithmic span, leaving some out until there are `most` at the utmost."""
    powers = range(math.ceil(math.log2(span.low)), math.floor(math.log2(span.high)) + 1)
    every = max(1, math.ceil(len(powers) / most))
    return [2.0**power for power in powers[::every]]


def x_axis(
    title: str, values: list[float] | None = None, ticks: int = 8, number_format: str = NUMBER
) -> Spec:
    """A horizontal axis without a grid; about so many `ticks` where their `values` are not given."""
    return {
        "title": title,
        **({"tickCount": ticks} if values is None else {"values": values}),
        "grid": False,
        "domain": True,
        "domainWidth": 0.5,
        "labelOverlap": False,
        "format": number_format,
    }


def x_at(place: float | Literal["width"]) -> Spec:
    """A horizontal place in pixels, as a channel."""
    return {"value": place}


def y_axis(title: str | list[str], values: list[float] | None = None, number_format: str = NUMBER) -> Spec:
    """A vertical axis whose title, of one line or several, is read without turning the head: above it."""
    return {
        "title": title,
        "titleAngle": 0,
        "titleAnchor": "end",
        "titleAlign": "left",
        "titleBaseline": "bottom",
        "titleX": -34,
        "titleY": -6,
        **({"tickCount": 6} if values is None else {"values": values}),
        "labelOverlap": False,
        "format": number_format,
    }
