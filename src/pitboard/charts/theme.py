"""How every chart looks: a palette that survives colour blindness and grey print, in light and in dark.

Hues follow Okabe and Ito, "Color Universal Design" (2008), with each lightness moved until a mark stands out
from its background by 3:1 (WCAG 2.2, 1.4.11) and the first four are told apart without any hue. A series is
told by its shape and its dash as well, never by its colour alone.
"""

import re
from typing import Any, NamedTuple

from pitboard.errors import PitboardError, near

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
TEXT, SMALL, TITLE = 11, 10, 15
NARROW = 480
_STAR = "M0,-1L0.24,-0.32L0.95,-0.31L0.38,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.38,0.12L-0.95,-0.31L-0.24,-0.32Z"
SHAPES = (
    *("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right"),
    *("triangle-left", _STAR),
)
DASHES = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [10, 3], [1, 3], [6, 2, 1, 2, 1, 2])
IN_TURN = 8
"""So many colours of a palette are given in turn; those behind them, to accelerators alone."""


class Theme(NamedTuple):
    """The colours of one theme; `muted` is for words, `other` for marks that are only context."""

    background: str
    ink: str
    muted: str
    other: str
    ideal: str
    grid: str
    palette: tuple[str, ...]

    def colour(self, place: int) -> str:
        """Return a colour of the palette by its place, grey beyond it."""
        return self.palette[place] if place < len(self.palette) else self.other


THEMES = {
    "light": Theme(
        background="#ffffff",
        ink="#1f2328",
        muted="#5c636a",
        other="#8a9096",
        ideal="#8a9096",
        grid="#e6e8ea",
        palette=(
            *("#0070b0", "#dc640a", "#1f2328", "#6b2461", "#00876a", "#7d5600", "#3f8fc9", "#c4527a"),
            *("#661400", "#8a4fe0", "#a6283f", "#323da6"),
        ),
    ),
    "dark": Theme(
        background="#14171a",
        ink="#e8eaed",
        muted="#a6adb4",
        other="#747c84",
        ideal="#7d858d",
        grid="#2c3136",
        palette=(
            *("#5aa9e6", "#e0600f", "#f1f3f5", "#f0b4d8", "#14a87e", "#e5d63c", "#4f8bd0", "#d8718f"),
            *("#ffb070", "#9a5cf0", "#ff3860", "#b2ffba"),
        ),
    ),
}


def _colours(name: str) -> list[str]:
    *words, palette = THEMES[name]
    return [f'"{colour}"' for colour in (*words, *palette)]


# Each colour of the dark theme stands for one thing; in light some have two.
_IN_LIGHT = dict(zip(_colours("dark"), _colours("light"), strict=True))
_DARK = re.compile("|".join(_IN_LIGHT))


def in_light(svg: str) -> str:
    """Return the SVG of a chart of the dark theme as that of the light one: they differ in colours only."""
    return _DARK.sub(lambda found: _IN_LIGHT[found[0]], svg)


def find_theme(name: str) -> Theme:
    """The theme of that name, "light" or "dark"; raises `PitboardError` for another."""
    if name not in THEMES:
        raise PitboardError(f"There is no chart theme '{name}'.{near(name, list(THEMES))}")
    return THEMES[name]


def config(theme: Theme) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme: quiet axes, no frame, words in ink."""
    words = {
        "labelColor": theme.muted,
        "titleColor": theme.muted,
        "labelFontSize": TEXT,
        "titleFontSize": TEXT,
    }
    return {
        "background": theme.background,
        "font": FONT,
        "padding": 12,
        "view": {"stroke": None},
        "axis": {
            **words,
            "titleFontWeight": "normal",
            "gridColor": theme.grid,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "titlePadding": 10,
        },
        "legend": {
            **words,
            "titleFontWeight": "normal",
            "labelLimit": 0,
            "symbolSize": 60,
            "symbolStrokeWidth": 2,
        },
        "title": {"color": theme.ink, "subtitleColor": theme.muted, "anchor": "start", "fontSize": TITLE},
        "text": {"color": theme.ink, "fontSize": TEXT},
    }
