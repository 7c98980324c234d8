"""Results as bars from the fastest to the slowest, each with its minutes and their interval."""

from collections.abc import Sequence

import altair as alt

from pitboard.charts.axes import Span, x_axis
from pitboard.charts.frame import data, finish, text_width
from pitboard.charts.rows import ChartRow, number, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, SMALL, TEXT, Theme, find_theme
from pitboard.text import clean

_BAR = 14
_VALUE = 64
"""Pixels at the right for the minutes, which stand in one column."""


def ranked(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> alt.VConcatChart:
    """A bar for each result, the fastest first, from 0 minutes, with a line for the interval of its score.

    A row has `label`, `minutes` and `family` (such as its accelerator: one colour), and may have `note` (a
    second line under the label), `low` and `high` (the interval), and `muted` (drawn grey: it is context).
    Raises `PitboardError` for no rows, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    narrow = width < NARROW
    bars: list[dict[str, object]] = [
        {
            "place": place,
            "label": text_of(row, "label"),
            "note": clean(row.get("note") or ""),
            "minutes": number(row, "minutes"),
            "low": optional(row, "low"),
            "high": optional(row, "high"),
            "family": text_of(row, "family"),
            "muted": bool(row.get("muted")),
            "word": f"{number(row, 'minutes'):,.2f}",
        }
        for place, row in enumerate(sorted(some(rows, "result with a score"), key=_minutes))
    ]
    span = Span(0.0, max(float(str(bar["high"] or bar["minutes"])) for bar in bars) * 1.02, log=False)
    names = 0.0 if narrow else min(width * 0.42, max(_name_width(bar) for bar in bars) + 8)
    plot = width - 24 - names - _VALUE, (46 if narrow else 34) * len(bars)
    y = alt.Y("place:O", axis=None, scale=alt.Scale(paddingInner=0.5, paddingOuter=0.25))
    layers = _layers(bars, span, y, look, plot[0]) + _names(bars, y, look, narrow, names)
    chart = alt.LayerChart(layer=layers).properties(width=plot[0], height=plot[1])
    padded = f"{subtitle} " if subtitle else ""
    note = "Number: the score." + (" Line: its 95 % interval." if any(bar["low"] for bar in bars) else "")
    return finish(chart, title=title, subtitle=padded + note, caption=caption, theme=look, width=width)


def _minutes(row: ChartRow) -> float:
    return number(row, "minutes")


def _name_width(bar: dict[str, object]) -> float:
    return max(text_width(str(bar["label"]), TEXT), text_width(str(bar["note"]), SMALL))


def _layers(
    bars: list[dict[str, object]], span: Span, y: alt.Y, look: Theme, width: float
) -> list[alt.Chart]:
    base = alt.Chart(data(bars))
    x = alt.X("minutes:Q", scale=span.scale(), axis=x_axis("Time-to-train, minutes", ticks=int(width / 80)))
    ends = alt.X("low:Q", scale=span.scale()), alt.X2("high:Q")
    tip = ["label:N", "note:N", "family:N", *(alt.Tooltip(f"{n}:Q", format=".4") for n in ("minutes", "low"))]
    tip.append(alt.Tooltip("high:Q", format=".4"))
    interval = base.transform_filter("isValid(datum.low)")
    return [
        base.mark_bar(height=_BAR).encode(
            x, y, x2=alt.datum(0), color=_colour(bars, look, width), opacity=alt.value(1), tooltip=tip
        ),
        interval.mark_rule(strokeWidth=4, color=look.background).encode(*ends, y=y),
        interval.mark_rule(strokeWidth=1.6, color=look.ink).encode(*ends, y=y, tooltip=tip),
        base.mark_text(align="right", dx=_VALUE, fontWeight="bold", color=look.ink).encode(
            y=y, x=alt.value("width"), text="word:N"
        ),
    ]


def _colour(bars: list[dict[str, object]], look: Theme, width: float) -> alt.Color:
    """One colour a family, the same for the same families; the key is left out where there is one."""
    families = sorted({str(bar["family"]) for bar in bars if not bar["muted"]})
    colours = [*look.palette, *[look.other] * len(families)][: len(families)]
    widest = max(text_width(name, TEXT) for name in families) + 40
    key = alt.Legend(title=None, orient="bottom", columns=max(1, int(width / widest)), symbolType="square")
    colour = alt.Color(
        "family:N",
        scale=alt.Scale(domain=families, range=colours),
        legend=key if len(families) > 1 else None,
    )
    muted = any(bar["muted"] for bar in bars)
    return alt.condition("datum.muted", alt.value(look.other), colour) if muted else colour


def _names(
    bars: list[dict[str, object]], y: alt.Y, look: Theme, narrow: bool, room: float
) -> list[alt.Chart]:
    base = alt.Chart(data(bars)).encode(y)
    if narrow:  # above the bar, on one line
        both = base.transform_calculate(name="datum.note ? datum.label + ' · ' + datum.note : datum.label")
        return [
            both.mark_text(align="left", dy=-16, color=look.ink, limit=360).encode(
                x=alt.value(0), text="name:N"
            )
        ]
    lines = (
        ("label", -7 if any(bar["note"] for bar in bars) else 0, TEXT, look.ink),
        ("note", 7, SMALL, look.muted),
    )
    return [
        base.mark_text(align="right", dx=-8, dy=dy, fontSize=size, color=colour, limit=room).encode(
            x=alt.value(0), text=f"{name}:N"
        )
        for name, dy, size, colour in lines
    ]
