"""The factors of a speed-up, multiplied up to the whole."""

from collections.abc import Sequence

import altair as alt

from pitboard.charts.axes import Span, log_span, log_ticks, x_at, x_axis
from pitboard.charts.frame import data, finish, text_width
from pitboard.charts.rows import ChartRow, brief, number, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, TEXT, Theme, find_theme

TOTAL = "Whole speed-up"


def attribution(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> alt.VConcatChart:
    """The factors of a speed-up as a waterfall: each bar starts where the one above ended; the last is all.

    The scale is logarithmic, so bars add up where factors multiply; right of 1 is faster. A row has `part`,
    `factor`, and may have `low` and `high` (an interval of the factor) and `known`: false for what the logs
    cannot separate, drawn grey, dashed and named so. Raises `PitboardError` for no rows, or for a number that
    cannot be drawn.
    """
    look = find_theme(theme)
    bars = _waterfall(some(rows, "factor"))
    parts = [str(bar["part"]) for bar in bars]
    span = log_span(
        [1.0, *(number(bar, key) for bar in bars for key in ("start", "end", "low", "high"))], 0.05
    )
    narrow = width < NARROW
    names = 0 if narrow else min(max(text_width(part, TEXT) for part in parts) + 20, width * 0.45)
    inner = min(
        (width - 24 - names - 10 - text_width(str(bar["word"]), TEXT))
        / max(0.3, span.share(number(bar, "right")))
        for bar in bars
    )
    y = alt.Y(
        "part:N",
        sort=None,
        scale=alt.Scale(domain=parts),
        axis=None
        if narrow
        else alt.Axis(title=None, grid=False, labelLimit=int(width * 0.45), labelColor=look.ink),
    )
    layers = _draw(bars, span, y, look, inner)
    if narrow:
        above = alt.Chart(data([{"part": part} for part in parts])).mark_text(align="left", dy=-18)
        layers.append(above.encode(y, x=x_at(span.share(1.0) * inner + 4), text=alt.Text("part:N")))
    chart = alt.LayerChart(layer=layers, width=inner, height=(52 if narrow else 34) * len(parts))
    said = " ".join(filter(None, [subtitle, _explained(bars)]))
    return finish(chart, title=title, subtitle=said, caption=caption, theme=look, width=width)


def _explained(bars: list[dict[str, object]]) -> str:
    said = [
        (True, "Each bar starts where the one above ends; blue is faster, orange slower."),
        (any(bar["kind"] == "unknown" for bar in bars), "Grey and dashed: what the logs cannot separate."),
        (any(bar["low"] != bar["high"] for bar in bars), "Thin line: the 95 % interval of a factor."),
    ]
    return " ".join(sentence for holds, sentence in said if holds)


def _waterfall(rows: Sequence[ChartRow]) -> list[dict[str, object]]:
    bars: list[dict[str, object]] = []
    start = 1.0
    for row in rows:
        factor = number(row, "factor")
        known = row.get("known", True) is not False
        low, high = optional(row, "low") or factor, optional(row, "high") or factor
        word = f"× {brief(factor)}" + ("" if known else " not separable")
        kind = ("faster" if factor >= 1 else "slower") if known else "unknown"
        bars.append(_bar(text_of(row, "part"), start, factor, (low, high), kind, word))
        start *= factor
    bars.append(_bar(TOTAL, 1.0, start, (start, start), "whole", f"× {brief(start)}"))
    return bars


def _bar(
    part: str, start: float, factor: float, interval: tuple[float, float], kind: str, word: str
) -> dict[str, object]:
    low, high = start * interval[0], start * interval[1]
    end = start * factor
    return {
        "part": part,
        "start": start,
        "end": end,
        "low": low,
        "high": high,
        "kind": kind,
        "word": word,
        "right": max(start, end, high),
    }


def _draw(bars: list[dict[str, object]], span: Span, y: alt.Y, look: Theme, width: float) -> list[alt.Chart]:
    kinds = ["faster", "slower", "unknown", "whole"]
    fills = [look.palette[0], look.palette[1], look.grid, look.ink]
    fill = alt.Fill("kind:N", scale=alt.Scale(domain=kinds, range=fills), legend=None)
    edges = [look.palette[0], look.palette[1], look.other, look.ink]
    edge = alt.Stroke("kind:N", scale=alt.Scale(domain=kinds, range=edges), legend=None)
    dashes = alt.Scale(domain=kinds, range=[[1, 0], [1, 0], [4, 3], [1, 0]])
    axis = x_axis("Speed-up (log scale; right of 1 is faster)", log_ticks(span, int(width / 45)))
    x = alt.X("start:Q", scale=span.scale(), axis=axis)
    base = alt.Chart(data(bars))
    one = alt.Chart(data([{"start": 1}])).mark_rule(color=look.muted, strokeWidth=1).encode(x)
    box = base.mark_bar(height=18, strokeWidth=1.2).encode(
        x,
        alt.X2("end:Q"),
        y,
        fill=fill,
        stroke=edge,
        strokeDash=alt.StrokeDash("kind:N", scale=dashes, legend=None),
    )
    ranged = alt.Chart(data([bar for bar in bars if bar["low"] != bar["high"]]))
    whisker = ranged.mark_rule(color=look.background, strokeWidth=4).encode(
        alt.X("low:Q", scale=span.scale()), alt.X2("high:Q"), y
    )
    thin = ranged.mark_rule(color=look.ink, strokeWidth=1.5).encode(
        alt.X("low:Q", scale=span.scale()), alt.X2("high:Q"), y
    )
    word = base.mark_text(align="left", dx=7).encode(
        alt.X("right:Q", scale=span.scale()), y, text=alt.Text("word:N")
    )
    return [box, one, whisker, thin, word]
