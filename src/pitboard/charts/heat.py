"""A heat map of pairs: what each sends to each other, so that a slow row, column or cell stands out."""

from collections.abc import Sequence
from typing import Any

from pitboard.charts.frame import finish, text_width
from pitboard.charts.rows import ChartRow, brief, number, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import SMALL, TEXT, find_theme
from pitboard.charts.vega import Spec, field, layer, layered

_FEW = 12
"""Up to so many senders have their figure in each cell."""

_TALL = 44
"""Pixels of a cell at the utmost."""


def pair_bandwidth(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> Spec:
    """A cell for each pair: `sender` down the side, `receiver` along the top, `bandwidth` in GB/s as colour.

    The palest cell is the slowest. Raises `PitboardError` where there is no pair, or for a number that cannot
    be drawn.
    """
    look = find_theme(theme)
    cells: list[dict[str, object]] = [
        {
            "sender": text_of(row, "sender"),
            "receiver": text_of(row, "receiver"),
            "bandwidth": (rate := number(row, "bandwidth")),
            "word": brief(rate) if rate >= 1 else f"{rate:.3g}",
        }
        for row in some(rows, "pair of ranks")
    ]
    rates = [number(row, "bandwidth") for row in rows]
    order = list(dict.fromkeys([*(str(c["sender"]) for c in cells), *(str(c["receiver"]) for c in cells)]))
    longest = min(max(text_width(name, TEXT) for name in order), width * 0.25)
    # Above the cells, names that are wider than one are slanted; the last then reaches beyond it.
    upright = longest < (width - 60 - longest) / len(order)
    plot = width - 70 - longest - (0 if upright else longest * 0.7)
    side = plot / len(order)
    few = len(order) <= _FEW and side >= 30
    # One colour, more or less of it: a theme's own colours alone are what dark and light images exchange.
    scale = {"domain": [0, max(rates)], "range": [0, 1]}
    labels: dict[str, Any] = {"labelLimit": int(longest) + 8, "labelOverlap": not few}
    above = {"title": "To", "orient": "top", "labelAngle": 0 if upright else -45, **labels}
    place = {
        "x": field("receiver:N", sort=None, scale={"domain": order}, axis=above),
        "y": field("sender:N", sort=None, scale={"domain": order}, axis={"title": "From", **labels}),
    }
    cell = {
        "opacity": field("bandwidth:Q", scale=scale, legend={"title": "GB/s", "orient": "bottom"}),
        "tooltip": [
            field("sender:N"),
            field("receiver:N"),
            field("bandwidth:Q", title="GB/s", format=".4g"),
        ],
    }
    box = {"fill": look.palette[0], "stroke": look.grid, "strokeWidth": 1 if few else 0}
    layers = [layer("rect", cells, place | cell, **box)]
    if few:
        # Words in the ink of the background where the cell's colour is strong.
        strong = {"test": f"datum.bandwidth > {max(rates) * 0.6}", "value": look.background}
        word = {"text": field("word:N"), "color": {"condition": strong, "value": look.ink}}
        layers.append(layer("text", cells, place | word, fontSize=SMALL))
    chart = layered(layers, plot, min(side, _TALL) * len(order))
    return finish(chart, title=title, subtitle=subtitle, caption=caption, theme=look, width=width)
