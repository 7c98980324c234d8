"""Scale curves: minutes, or efficiency against ideal, over accelerators; one line per family."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import altair as alt

from pitboard.charts.axes import Span, binary_ticks, log_span, log_ticks, x_axis, y_axis
from pitboard.charts.frame import data, finish, haloed, text_width
from pitboard.charts.labels import LINE, Box, place, trace
from pitboard.charts.rows import ChartRow, number, optional, some, text_of
from pitboard.charts.theme import DASHES, NARROW, SHAPES, TEXT, Theme, find_theme
from pitboard.text import clean

ThemeName = Literal["light", "dark"]
MOST = 6
LEFT = 48


class _Point(NamedTuple):
    family: str
    x: float
    y: float
    low: float | None
    high: float | None
    single: bool


class _Plot(NamedTuple):
    """Where points come to lie: the spans of both axes, the size in pixels, and who is coloured."""

    theme: Theme
    x: Span
    y: Span
    width: float
    height: float
    coloured: tuple[str, ...]
    legend: bool


def scale(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    quantity: str = "minutes",
    fitted: Sequence[ChartRow] = (),
    highlight: Sequence[str] = (),
    width: int = 720,
) -> alt.VConcatChart:
    """Scale curves, logarithmic on both axes, with the ideal line of each coloured family.

    A row has `family` (its label), `accelerators`, `minutes`, and may have `minutes_low` and `minutes_high`
    (the range of its runs) and `single` (the family has one point, which is drawn hollow). `fitted` rows have
    `family`, `accelerators`, `minutes`, and may have `low` and `high`: a fitted law and its interval, drawn
    instead of the line through the points. `highlight` names the families to colour and label; by default
    those with most points, six at the utmost; the others are grey. The ideal line is strong scaling's: the
    minutes at a family's fewest accelerators, falling in proportion. Raises `PitboardError` for no rows, or
    for a number that cannot be drawn.
    """
    points = _points(some(rows, "result with a score"), "minutes")
    fits = [
        _Point(
            text_of(r, "family"),
            number(r, "accelerators"),
            number(r, "minutes"),
            *_range(r, "low", "high"),
            False,
        )
        for r in fitted
    ]
    span = log_span(v for p in (*points, *fits) for v in (p.y, p.low, p.high) if v is not None)
    name = f"Time-to-train, {quantity} (log scale)" if quantity == "minutes" else f"{quantity} (log scale)"
    plot = _plot(points, span, find_theme(theme), highlight, width)
    ideal = [p for family in plot.coloured for p in _ideal(points, family, span)]
    axis = y_axis(clean(name), log_ticks(span, 8))
    layers = [
        *_ideal_line(ideal, plot, axis),
        *_fit(fits, plot, axis),
        *_family_layers(points, fits, plot, axis),
    ]
    return _sized(layers, plot, title, subtitle, caption, width)


def efficiency(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    highlight: Sequence[str] = (),
    width: int = 720,
) -> alt.VConcatChart:
    """Scaling efficiency against ideal (1 is ideal) over accelerators.

    A row has `family`, `accelerators`, `efficiency`, and may have `low` and `high`, and `single`: a family of
    one point says nothing of efficiency and is left out. Colours and labels as in `scale`. Raises
    `PitboardError` where no family has two points, or for a number that cannot be drawn.
    """
    whole = [row for row in rows if not row.get("single")]
    points = _points(
        some(whole, "family with results at two accelerator counts"), "efficiency", "low", "high"
    )
    span = Span(0.0, max(1.08, *(p.high or p.y for p in points)), log=False)
    plot = _plot(points, span, find_theme(theme), highlight, width)
    axis = y_axis("Scaling efficiency, against the family's smallest entry", number_format=".0%")
    ideal = [_Point("", plot.x.low, 1.0, None, None, False), _Point("", plot.x.high, 1.0, None, None, False)]
    layers = [*_ideal_line(ideal, plot, axis), *_family_layers(points, [], plot, axis)]
    return _sized(layers, plot, title, subtitle, caption, width)


def _sized(
    layers: list[alt.Chart], plot: _Plot, title: str, subtitle: str, caption: str, width: float
) -> alt.VConcatChart:
    sized = alt.LayerChart(layer=layers).properties(width=plot.width, height=plot.height)
    return finish(sized, title=title, subtitle=subtitle, caption=caption, theme=plot.theme, width=width)


def _range(row: ChartRow, low: str, high: str) -> tuple[float | None, float | None]:
    return optional(row, low), optional(row, high)


def _points(
    rows: Sequence[ChartRow], key: str, low: str = "minutes_low", high: str = "minutes_high"
) -> list[_Point]:
    return [
        _Point(
            text_of(row, "family"),
            number(row, "accelerators"),
            number(row, key),
            *_range(row, low, high),
            bool(row.get("single")),
        )
        for row in rows
    ]


def _plot(points: list[_Point], y: Span, theme: Theme, highlight: Sequence[str], width: float) -> _Plot:
    """Share the width out: room at the right for the labels of the lines that end there."""
    x = log_span(p.x for p in points)
    coloured = tuple(clean(name) for name in highlight) or _longest(points)
    coloured = tuple(name for name in coloured if any(p.family == name for p in points))[: len(SHAPES)]
    legend = width < NARROW
    room = inner = width - LEFT - 24
    if not legend:
        for end in _ends(points, coloured):
            room = min(room, (inner - 14 - text_width(end.family, TEXT)) / max(0.2, x.share(end.x)))
    return _Plot(theme, x, y, max(room, inner * 0.5), 300 if legend else 400, coloured, legend)


def _longest(points: list[_Point]) -> tuple[str, ...]:
    """The families to colour where nobody named any: those with most points, then the fastest."""
    families: dict[str, list[float]] = defaultdict(list)
    for point in points:
        families[point.family].append(point.y)
    if len(families) > MOST:
        families = {name: ys for name, ys in families.items() if len(ys) > 1} or families
    return tuple(sorted(families, key=lambda name: (-len(families[name]), min(families[name])))[:MOST])


def _ends(points: list[_Point], names: Iterable[str]) -> list[_Point]:
    """The last point of each family: most accelerators, then fewest minutes."""
    return [max((p for p in points if p.family == name), key=lambda p: (p.x, -p.y)) for name in names]


def _best(points: list[_Point], family: str) -> list[_Point]:
    """A family's best point at each accelerator count, in that order: what its line goes through."""
    best: dict[float, _Point] = {}
    for point in points:
        if point.family == family and (point.x not in best or point.y < best[point.x].y):
            best[point.x] = point
    return [best[x] for x in sorted(best)]


def _ideal(points: list[_Point], family: str, y: Span) -> list[_Point]:
    """The ideal line from a family's smallest point to its largest, cut where it leaves the chart."""
    line = _best(points, family)
    if len(line) < 2:
        return []
    first = line[0]
    last = min(line[-1].x, first.y * first.x / y.low)
    return [first, first._replace(x=last, y=first.y * first.x / last)]


def _xy(plot: _Plot, axis: alt.Axis) -> tuple[alt.X, alt.Y]:
    bottom = x_axis("Accelerators (log scale)", binary_ticks(plot.x, int(plot.width / 40)))
    return (
        alt.X("x:Q", scale=plot.x.scale(), axis=bottom),
        alt.Y("y:Q", scale=plot.y.scale(), axis=axis),
    )


def _ideal_line(points: list[_Point], plot: _Plot, axis: alt.Axis) -> list[alt.Chart]:
    if not points:
        return []
    x, y = _xy(plot, axis)
    base = alt.Chart(data([{"family": p.family, "x": p.x, "y": p.y} for p in points]))
    line = base.mark_line(strokeDash=[3, 3], strokeWidth=1, color=plot.theme.ideal).encode(
        x, y, detail="family:N"
    )
    last = max(points, key=lambda p: p.x)
    right = last.x == plot.x.high
    word = alt.Chart(data([{"x": last.x, "y": last.y, "word": "ideal"}])).mark_text(
        dx=-5 if right else 6,
        dy=-7,
        align="right" if right else "left",
        color=plot.theme.muted,
        fontStyle="italic",
    )
    return [line, word.encode(x, y, text="word:N")]


def _fit(fits: list[_Point], plot: _Plot, axis: alt.Axis) -> list[alt.Chart]:
    if not fits:
        return []
    x, y = _xy(plot, axis)
    base = _layer([p._replace(low=p.low or p.y, high=p.high or p.y) for p in fits], plot)
    colour = _colour(plot, legend=False)
    low = alt.Y("low:Q", scale=plot.y.scale(), axis=axis)
    band = base.mark_area(opacity=0.16, clip=True).encode(
        x, low, alt.Y2("high:Q"), color=colour, detail="family:N"
    )
    return [band, base.mark_line(strokeWidth=1.5, clip=True).encode(x, y, color=colour, detail="family:N")]


def _colour(plot: _Plot, *, legend: bool) -> alt.Color:
    names = list(plot.coloured)
    palette = [*plot.theme.palette[: len(names)], plot.theme.other]
    return alt.Color(
        "series:N",
        scale=alt.Scale(domain=[*names, _OTHER], range=palette),
        legend=_key(plot) if legend else None,
    )


def _key(plot: _Plot) -> alt.Legend | None:
    names = list(plot.coloured)
    return (
        alt.Legend(title=None, orient="bottom", columns=1, values=names, symbolStrokeWidth=0)
        if plot.legend
        else None
    )


_OTHER = "others"


def _family_layers(points: list[_Point], fits: list[_Point], plot: _Plot, axis: alt.Axis) -> list[alt.Chart]:
    """Lines, ranges of the runs, points and labels, the grey ones beneath the coloured."""
    x, y = _xy(plot, axis)
    fitted = {p.family for p in fits}
    names = [*plot.coloured, _OTHER]
    colour = _colour(plot, legend=plot.legend)
    shape = alt.Shape(
        "series:N",
        scale=alt.Scale(domain=names, range=[*SHAPES[: len(names) - 1], "circle"]),
        legend=_key(plot),
    )
    dash = alt.StrokeDash(
        "series:N", scale=alt.Scale(domain=names, range=[*DASHES[: len(names) - 1], [1, 0]]), legend=None
    )
    families = sorted({p.family for p in points}, key=lambda name: (name in plot.coloured, name))
    line_points = [p for name in families if name not in fitted for p in _best(points, name)]
    drawn = sorted(points, key=lambda p: p.family in plot.coloured)
    tip = [alt.Tooltip("family:N"), alt.Tooltip("x:Q", title="accelerators"), alt.Tooltip("y:Q", format=".4")]
    by_series = {"color": colour, "strokeDash": dash, "detail": "family:N"}
    layers = [
        _layer([p for p in line_points if p.family not in plot.coloured], plot)
        .mark_line(strokeWidth=1)
        .encode(x, y, **by_series),
        _layer([p for p in line_points if p.family in plot.coloured], plot)
        .mark_line(strokeWidth=2)
        .encode(x, y, **by_series),
        _layer([p for p in drawn if p.low and p.high and p.family in plot.coloured], plot)
        .mark_rule(strokeWidth=1)
        .encode(x, alt.Y("low:Q", scale=plot.y.scale(), axis=axis), alt.Y2("high:Q"), color=colour),
        _layer([p for p in drawn if p.single], plot)
        .mark_point(size=46, strokeWidth=1.5, fill=plot.theme.background, opacity=1)
        .encode(x, y, color=colour, shape=shape, tooltip=tip),
        _layer([p for p in drawn if not p.single], plot)
        .mark_point(size=46, filled=True, opacity=1)
        .encode(x, y, color=colour, shape=shape, tooltip=tip),
    ]
    return layers if plot.legend else [*layers, *_end_labels(points, plot, x, y, colour)]


def _layer(points: list[_Point], plot: _Plot) -> alt.Chart:
    return alt.Chart(
        data(
            [
                {
                    "family": p.family,
                    "series": p.family if p.family in plot.coloured else _OTHER,
                    "x": p.x,
                    "y": p.y,
                    "low": p.low,
                    "high": p.high,
                }
                for p in points
            ]
        )
    )


def _pixel(point: _Point, plot: _Plot) -> tuple[float, float]:
    return plot.x.share(point.x) * plot.width, plot.height * (1 - plot.y.share(point.y))


def _end_labels(points: list[_Point], plot: _Plot, x: alt.X, y: alt.Y, colour: alt.Color) -> list[alt.Chart]:
    """Each coloured family's name at the end of its line, moved up or down until it lies on nothing."""
    ends = sorted(_ends(points, plot.coloured), key=lambda p: -p.y)
    marks = [Box(*_pixel(p, plot), 8, 8) for p in points]
    lines = [box for name in plot.coloured for box in trace([_pixel(p, plot) for p in _best(points, name)])]
    wanted = [
        Box(x + 9 + width / 2, y, width, LINE)
        for (x, y), width in ((_pixel(p, plot), text_width(p.family, TEXT)) for p in ends)
    ]
    rows: list[dict[str, object]] = [
        {"series": p.family, "x": p.x, "y": plot.y.at(1 - middle / plot.height)}
        for p, middle in zip(ends, place(wanted, marks, lines, plot.height), strict=True)
    ]
    halo, word = haloed(rows, plot.theme)
    return [halo.encode(x, y, text="series:N"), word.encode(x, y, text="series:N", color=colour)]
