"""What ranks act like, and what the others are lost to: a bar for each number of ranks."""

from collections.abc import Sequence

import altair as alt

from pitboard.charts.axes import Span, x_at, x_axis
from pitboard.charts.frame import data, finish, text_width
from pitboard.charts.rows import ChartRow, number, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import TEXT, find_theme

_ROW_HEIGHT = 34


def lost_ranks(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> alt.VConcatChart:
    """A bar for each number of ranks, in the order given, divided into what it acts like and what is lost.

    A row is a part of a bar: `ranks` (the bar's label), `part` (the first of a bar is what it acts like,
    drawn dark) and `value`, in ranks; what is gained, below 0, is not drawn. Raises `PitboardError` for no
    rows, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    order = list(dict.fromkeys(text_of(row, "ranks") for row in some(rows, "run with a time")))
    parts = list(dict.fromkeys(text_of(row, "part") for row in rows))
    ends = dict.fromkeys(order, 0.0)
    bars: list[dict[str, object]] = []
    words: list[dict[str, object]] = []
    for row in rows:
        bar, part, value = text_of(row, "ranks"), text_of(row, "part"), number(row, "value", positive=False)
        if part == parts[0]:
            words.append({"ranks": bar, "word": f"{value:.1f}"})
        if value > 0:
            bars.append(
                {"ranks": bar, "part": part, "start": ends[bar], "end": ends[bar] + value, "value": value}
            )
            ends[bar] += value
    label = max(text_width(name, TEXT) for name in order) + 20
    plot = width - 24 - label - 44
    span = Span(0.0, max(ends.values()), log=False)
    # The third colour is the ink's: what the ranks act like.
    palette = [look.palette[2], *look.palette[:2], *look.palette[3:]][: len(parts)]
    x = alt.X("start:Q", scale=span.scale(), axis=x_axis("Ranks", None, int(plot / 80)))
    y = alt.Y("ranks:N", sort=None, scale=alt.Scale(domain=order), axis=alt.Axis(title=None))
    boxes = (
        alt.Chart(data(bars))
        .mark_bar(height=18)
        .encode(
            x,
            alt.X2("end:Q"),
            y,
            color=alt.Color(
                "part:N",
                scale=alt.Scale(domain=parts, range=palette),
                legend=alt.Legend(title=None, orient="bottom", columns=4),
            ),
            tooltip=[alt.Tooltip("ranks:N"), alt.Tooltip("part:N"), alt.Tooltip("value:Q", format=".2f")],
        )
    )
    ends_ = alt.Chart(data(words)).mark_text(align="left", dx=10, fontWeight="bold", color=look.ink)
    chart = alt.LayerChart(layer=[boxes, ends_.encode(y, x=x_at("width"), text=alt.Text("word:N"))])
    chart = chart.properties(width=plot, height=_ROW_HEIGHT * len(order))
    note = "Dark, and the number: how many ranks they act like. Coloured: what the others are lost to."
    return finish(
        chart, title=title, subtitle=f"{subtitle} {note}".strip(), caption=caption, theme=look, width=width
    )
