"""The factors of a speed-up, multiplied up to the whole."""

from collections.abc import Sequence

from pitboard.charts.axes import Span, log_span, log_ticks, x_at, x_axis
from pitboard.charts.frame import finish, text_width
from pitboard.charts.rows import ChartRow, brief, number, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered

TOTAL = "Whole speed-up"


def attribution(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> Spec:
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
    y = field(
        "part:N",
        sort=None,
        scale={"domain": parts},
        axis=None
        if narrow
        else {"title": None, "grid": False, "labelLimit": int(width * 0.45), "labelColor": look.ink},
    )
    layers = _draw(bars, span, y, look, inner)
    if narrow:
        above = {"x": x_at(span.share(1.0) * inner + 4), "y": y, "text": field("part:N")}
        layers.append(layer("text", [{"part": part} for part in parts], above, align="left", dy=-18))
    chart = layered(layers, inner, (52 if narrow else 34) * len(parts))
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


def _draw(bars: list[dict[str, object]], span: Span, y: Spec, look: Theme, width: float) -> list[Spec]:
    kinds = ["faster", "slower", "unknown", "whole"]
    fills = [look.palette[0], look.palette[1], look.grid, look.ink]
    fill = field("kind:N", scale={"domain": kinds, "range": fills}, legend=None)
    edges = [look.palette[0], look.palette[1], look.other, look.ink]
    edge = field("kind:N", scale={"domain": kinds, "range": edges}, legend=None)
    dashes = {"domain": kinds, "range": [[1, 0], [1, 0], [4, 3], [1, 0]]}
    axis = x_axis("Speed-up (log scale; right of 1 is faster)", log_ticks(span, int(width / 45)))
    x = field("start:Q", scale=span.scale(), axis=axis)
    box = {
        "x": x,
        "x2": {"field": "end"},
        "y": y,
        "fill": fill,
        "stroke": edge,
        "strokeDash": field("kind:N", scale=dashes, legend=None),
    }
    ranged = [bar for bar in bars if bar["low"] != bar["high"]]
    ends = {"x": field("low:Q", scale=span.scale()), "x2": {"field": "high"}, "y": y}
    word = {"x": field("right:Q", scale=span.scale()), "y": y, "text": field("word:N")}
    return [
        layer("bar", bars, box, height=18, strokeWidth=1.2),
        layer("rule", [{"start": 1}], {"x": x}, color=look.muted, strokeWidth=1),
        layer("rule", ranged, ends, color=look.background, strokeWidth=4),
        layer("rule", ranged, ends, color=look.ink, strokeWidth=1.5),
        layer("text", bars, word, align="left", dx=7),
    ]
