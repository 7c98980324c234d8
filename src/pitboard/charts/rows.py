"""Reads a chart's plain rows: numbers that can be drawn, labels that fit and carry no control code."""

import math
from collections.abc import Mapping, Sequence

from pitboard.errors import PitboardError
from pitboard.text import clean

ChartRow = Mapping[str, object]


def text_of(row: ChartRow, key: str) -> str:
    """The cleaned text under `key`; raises `PitboardError` where there is none."""
    text = clean(row.get(key, ""))
    if not text:
        raise PitboardError(f"A chart's row needs a label in '{key}', not {clean(repr(row.get(key)))}.")
    return text


def number(row: ChartRow, key: str, *, positive: bool = True) -> float:
    """The finite number under `key`, above 0 if `positive`; raises `PitboardError` for anything else."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PitboardError(f"A chart's row needs a number in '{key}', not {clean(repr(value))}.")
    if positive and value <= 0:
        raise PitboardError(f"A chart's row needs a number above 0 in '{key}', not {value}.")
    return float(value)


def optional(row: ChartRow, key: str, *, positive: bool = True) -> float | None:
    """As `number`, or `None` where the row says nothing."""
    return None if row.get(key) is None else number(row, key, positive=positive)


def brief(value: float) -> str:
    """A number in three significant digits, or whole where it has more: 7.00, 0.931, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def some(rows: Sequence[ChartRow], what: str) -> Sequence[ChartRow]:
    """The rows, of which there must be one at least; raises `PitboardError` otherwise."""
    if not rows:
        raise PitboardError(
            f"There is nothing to draw: no {what} matched. Widen the filters, or choose another round."
        )
    return rows
