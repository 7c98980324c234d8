"""Speed-up over the years: a line for each benchmark, against one that doubles every two."""

from collections import Counter
from collections.abc import Sequence

import altair as alt

from pitboard.charts.axes import linear_span, log_span, log_ticks, x_axis, y_axis
from pitboard.charts.converging import MOST, by_label
from pitboard.charts.frame import data, finish, haloed
from pitboard.charts.rows import ChartRow, number, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import find_theme

_HEIGHT = 360
_YEARS_TO_DOUBLE = 2.0


def trend(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> alt.VConcatChart:
    """Speed-up since each series' first round on a logarithmic scale, over the years since then.

    A row has `series` (label), `years` (0 at its first round) and `speedup` (1 there). Moore's law is the
    dashed straight line. Beyond eight series the shorter ones are grey, named at their ends. Raises
    `PitboardError` for no rows, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    points: list[dict[str, object]] = [
        {
            "series": text_of(row, "series"),
            "years": number(row, "years", positive=False),
            "speedup": number(row, "speedup"),
        }
        for row in some(rows, "benchmark with two rounds")
    ]
    counts = Counter(str(point["series"]) for point in points)
    series = sorted(counts, key=lambda name: (-counts[name], name))
    last = max(number(point, "years", positive=False) for point in points)
    law: list[dict[str, object]] = [
        {"years": years, "speedup": 2 ** (years / _YEARS_TO_DOUBLE), "word": "Moore's law"}
        for years in (0.0, last)
    ]
    inner = width - 24 - 44
    x_span = linear_span([0.0, last], 0.03)
    y_span = log_span(number(point, "speedup") for point in [*points, *law])
    x = alt.X("years:Q", scale=x_span.scale(), axis=x_axis("Years since its first round", ticks=8))
    y = alt.Y("speedup:Q", scale=y_span.scale(), axis=y_axis("Speed-up (log scale)", log_ticks(y_span, 8)))
    base = alt.Chart(data(points))
    encoded = {
        "x": x,
        "y": y,
        "detail": "series:N",
        "tooltip": [
            alt.Tooltip("series:N"),
            alt.Tooltip("years:Q", format=".2f"),
            alt.Tooltip("speedup:Q", format=".3"),
        ],
        **by_label("series", series, look, width),
    }
    lines = base.mark_line(strokeWidth=1.8, point=alt.OverlayMarkDef(size=22)).encode(**encoded)
    moore = alt.Chart(data(law))
    word = alt.Chart(data(law[-1:])).mark_text(
        align="right", dx=-4, dy=30, fontStyle="italic", color=look.muted
    )
    ends = {str(point["series"]): point for point in points}
    halo, name = haloed([ends[label] for label in series[MOST:]], look)
    layers = [
        moore.mark_line(strokeDash=[4, 3], strokeWidth=1.6, color=look.ink).encode(x, y),
        lines,
        word.encode(x, y, text="word:N"),
        *(each.encode(x, y, text="series:N") for each in (halo, name)),
    ]
    chart = alt.LayerChart(layer=layers).properties(width=inner, height=_HEIGHT)
    note = "Dashed: Moore's law, a doubling every two years from each benchmark's first round."
    return finish(
        chart, title=title, subtitle=f"{subtitle} {note}".strip(), caption=caption, theme=look, width=width
    )
