"""Scale curves: minutes, or efficiency against ideal, over accelerators; one line per family."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from pitboard.charts import families
from pitboard.charts.axes import Span, binary_ticks, log_span, log_ticks, x_axis, y_axis
from pitboard.charts.frame import finish, haloed, text_width, wrap
from pitboard.charts.labels import LINE, Box, place, trace
from pitboard.charts.rows import ChartRow, number, optional, some, text_of
from pitboard.charts.theme import NARROW, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered
from pitboard.text import clean

ThemeName = Literal["light", "dark"]
MOST = 6
LEFT = 48
_HIGHLIGHTED = 12
"""So many families are labelled where they were asked for."""


class _Point(NamedTuple):
    """A result; `cost` is what the best has least of: its minutes, or minus its efficiency."""

    family: str
    name: str
    accelerator: str
    x: float
    y: float
    low: float | None
    high: float | None
    single: bool
    cost: float


class _Plot(NamedTuple):
    """Where points come to lie: the spans of both axes, the size in pixels, and who is named or grey."""

    theme: Theme
    x: Span
    y: Span
    width: float
    height: float
    named: tuple[str, ...]
    muted: frozenset[str]
    key: families.Key
    dashes: dict[str, list[int]]


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
) -> Spec:
    """Scale curves, logarithmic on both axes, with an ideal line.

    A row has `family` (its label), `accelerators`, `minutes`, and may have `accelerator` (which gives it
    colour and shape; by default what its label says behind a comma), `name` (a shorter label), `minutes_low`
    and `minutes_high` (the range of its runs) and `single` (the family has one count: drawn hollow). `fitted`
    rows have `family`, `accelerators`, `minutes`, and may have `low` and `high`: a fitted law and its
    interval, a broad band behind the line through the points. The families with most points are labelled,
    six at the utmost; with `highlight` those whose labels have its words, and all others are grey. The ideal
    line is strong scaling's: the minutes at a family's fewest accelerators, falling in proportion; that of
    the first family, or of all highlighted. Raises `PitboardError` for no rows, for a number that cannot be
    drawn, or where nothing is called what `highlight` says.
    """
    points = _points(some(rows, "result with a score"), "minutes")
    spots = {point.family: point for point in points}
    fits = [
        spots[text_of(r, "family")]._replace(
            x=number(r, "accelerators"),
            y=number(r, "minutes"),
            low=optional(r, "low"),
            high=optional(r, "high"),
        )
        for r in fitted
        if text_of(r, "family") in spots
    ]
    span = log_span(v for p in (*points, *fits) for v in (p.y, p.low, p.high) if v is not None)
    name = f"Time-to-train, {quantity} (log scale)" if quantity == "minutes" else f"{quantity} (log scale)"
    plot = _plot(points, span, find_theme(theme), highlight, width)
    fits = [point for point in fits if point.family not in plot.muted]
    ideal = [p for family in plot.named[: None if highlight else 1] for p in _ideal(points, family, span)]
    axis = y_axis(clean(name), log_ticks(span, 8))
    layers = [*_ideal_line(ideal, plot, axis), *_fit(fits, plot, axis), *_family_layers(points, plot, axis)]
    said = f"{subtitle} {_explained(points, fits, ideal, plot)}".strip()
    return _sized(layers, plot, title, said, caption, width)


def efficiency(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    highlight: Sequence[str] = (),
    width: int = 720,
) -> Spec:
    """Scaling efficiency against ideal (100 % is ideal) over accelerators.

    A row has `family`, `accelerators`, `efficiency`, and may have `accelerator`, `name`, `low` and `high`,
    and `single`: a family of one count says nothing of efficiency and is left out. Colours, labels and
    `highlight` as in `scale`. Raises `PitboardError` where no family has two counts, for a number that cannot
    be drawn, or where nothing is called what `highlight` says.
    """
    whole = [row for row in rows if not row.get("single")]
    points = _points(
        some(whole, "family with results at two accelerator counts"), "efficiency", "low", "high"
    )
    span = Span(0.0, max(1.08, *(p.high or p.y for p in points)), log=False)
    plot = _plot(points, span, find_theme(theme), highlight, width)
    name = wrap("Scaling efficiency, % of ideal from the family's fewest accelerators", width - 24, TEXT)
    axis = y_axis(name, number_format=".0%")
    level = points[0]._replace(family="", y=1.0)
    ideal = [level._replace(x=plot.x.low), level._replace(x=plot.x.high)]
    layers = [*_ideal_line(ideal, plot, axis), *_family_layers(points, plot, axis)]
    said = f"{subtitle} {_explained(points, [], ideal, plot)}".strip()
    return _sized(layers, plot, title, said, caption, width)


def _explained(points: list[_Point], fits: list[_Point], ideal: list[_Point], plot: _Plot) -> str:
    """Say what is drawn how, of what there is."""
    joined = {p.family for p in points if not p.single and p.family not in plot.muted}
    said = [
        (bool(joined), "Lines join a family's best results, each family in a dash of its own."),
        (bool(fits), "Broad line: a law fitted to them, in its 95 % interval."),
        (bool(ideal), "Dotted grey: ideal scaling."),
        (any(p.single for p in points), "Hollow: one count only."),
        (any(p.low and p.high and p.family in plot.named for p in points), "Upright: the range of the runs."),
    ]
    return " ".join(sentence for holds, sentence in said if holds)


def _sized(layers: list[Spec], plot: _Plot, title: str, subtitle: str, caption: str, width: float) -> Spec:
    sized = layered(layers, plot.width, plot.height)
    return finish(sized, title=title, subtitle=subtitle, caption=caption, theme=plot.theme, width=width)


def _points(
    rows: Sequence[ChartRow], key: str, low: str = "minutes_low", high: str = "minutes_high"
) -> list[_Point]:
    points = []
    for row in rows:
        family = text_of(row, "family")
        points.append(
            _Point(
                family,
                clean(row.get("name") or "") or family,
                families.accelerator(row, family),
                number(row, "accelerators"),
                number(row, key),
                optional(row, low),
                optional(row, high),
                bool(row.get("single")),
                number(row, key) * (-1 if key == "efficiency" else 1),
            )
        )
    return points


def _plot(points: list[_Point], y: Span, theme: Theme, highlight: Sequence[str], width: float) -> _Plot:
    """Share the width out: room at the right for the labels of the lines that end there."""
    x = log_span(p.x for p in points)
    every = list(dict.fromkeys(p.family for p in points))
    picked = families.chosen(highlight, ((p.family, p.accelerator) for p in points))
    named = tuple(sorted(picked, key=_longest(points, len(every)).index)) if picked else ()
    named = named[:_HIGHLIGHTED] or tuple(_longest(points, MOST))
    muted = frozenset(set(every) - set(picked)) if picked else frozenset()
    narrow = width < NARROW
    room = inner = width - LEFT - 24
    ends = _ends(points, named)
    for end, label in zip(ends, _labels(ends, narrow=narrow), strict=True):
        room = min(room, (inner - 14 - text_width(label, TEXT)) / max(0.2, x.share(end.x)))
    styles = {p.accelerator: families.of_accelerator(p.accelerator) for p in points if p.family not in muted}
    key = families.key(styles, theme, "accelerator", inner, title="Accelerator", muted=bool(muted))
    several = [(p.family, p.accelerator) for p in points if not p.single]
    size = max(room, inner * 0.5), 300 if narrow else 400
    return _Plot(theme, x, y, *size, named, muted, key, families.dashes(several))


def _labels(ends: list[_Point], *, narrow: bool) -> list[str]:
    """The short names, with the accelerator's where two are alike."""
    names = [p.name for p in ends]
    long = [
        f"{p.name} {p.accelerator.split(' ', 1)[-1]}"
        if names.count(p.name) > 1 and p.name != p.family
        else p.name
        for p in ends
    ]
    return [clean(name, 22 if narrow else 32) for name in long]


def _longest(points: list[_Point], most: int) -> list[str]:
    """The families to label where nobody named any: those with most counts, then the best.

    A family of one count, which has no line, is labelled where all are, or where no family has a line.
    """
    counts, costs = defaultdict(set), defaultdict(list)
    for point in points:
        counts[point.family].add(point.x)
        costs[point.family].append(point.cost)
    names = [*costs]
    if len(names) > most:
        names = [name for name in names if len(counts[name]) > 1] or names
    return sorted(names, key=lambda name: (-len(counts[name]), min(costs[name])))[:most]


def _ends(points: list[_Point], names: Iterable[str]) -> list[_Point]:
    """The last point of each family: most accelerators, then the best."""
    return [max((p for p in points if p.family == name), key=lambda p: (p.x, -p.cost)) for name in names]


def _best(points: list[_Point], family: str) -> list[_Point]:
    """A family's best point at each accelerator count, in that order: what its line goes through."""
    best: dict[float, _Point] = {}
    for point in points:
        if point.family == family and (point.x not in best or point.cost < best[point.x].cost):
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


def _xy(plot: _Plot, axis: Spec) -> Spec:
    """Where a point lies: the channels of every layer."""
    bottom = x_axis("Accelerators (log scale)", binary_ticks(plot.x, int(plot.width / 40)))
    return {
        "x": field("x:Q", scale=plot.x.scale(), axis=bottom),
        "y": field("y:Q", scale=plot.y.scale(), axis=axis),
    }


def _ideal_line(points: list[_Point], plot: _Plot, axis: Spec) -> list[Spec]:
    if not points:
        return []
    at = _xy(plot, axis)
    rows = [{"family": p.family, "x": p.x, "y": p.y} for p in points]
    dotted = {"strokeDash": [1, 3], "strokeWidth": 1.2, "color": plot.theme.ideal}
    last = max(points, key=lambda p: p.x)
    aside = {"dx": -5, "dy": -7} if last.x == plot.x.high else {"dx": -8, "dy": -5}
    word = {"align": "right", "color": plot.theme.muted, "fontStyle": "italic"}
    end = [{"x": last.x, "y": last.y, "word": "ideal"}]
    return [
        layer("line", rows, at | {"detail": field("family:N")}, **dotted),
        layer("text", end, at | {"text": field("word:N")}, **aside, **word),
    ]


def _fit(fits: list[_Point], plot: _Plot, axis: Spec) -> list[Spec]:
    """Fitted laws: broad and pale, so that none is taken for a line from point to point."""
    if not fits:
        return []
    rows = _rows([p._replace(low=p.low or p.y, high=p.high or p.y) for p in fits], plot)
    law = _xy(plot, axis) | {"color": plot.key.colour, "detail": field("family:N")}
    return [
        layer("area", rows, law | _range(plot, axis), opacity=0.1, clip=True),
        layer("line", rows, law, strokeWidth=7, opacity=0.3, clip=True, strokeCap="round"),
    ]


def _range(plot: _Plot, axis: Spec) -> Spec:
    return {"y": field("low:Q", scale=plot.y.scale(), axis=axis), "y2": {"field": "high"}}


def _family_layers(points: list[_Point], plot: _Plot, axis: Spec) -> list[Spec]:
    """Lines, ranges of the runs, points and labels, the grey ones beneath the coloured."""
    at = _xy(plot, axis)
    coloured = at | {"color": plot.key.colour}
    named, drawn = (
        set(plot.named),
        sorted(points, key=lambda p: (p.family not in plot.muted, p.family in plot.named)),
    )
    lines = [p for name in sorted({p.family for p in drawn}) for p in _best(points, name)]
    tip = [field("family:N"), field("x:Q", title="accelerators"), field("y:Q", format=".4")]
    dashes = {"domain": list(plot.dashes), "range": list(plot.dashes.values())}
    dash = field("family:N", scale=dashes, legend=None)
    line = coloured | {"strokeDash": dash, "detail": field("family:N")}
    mark = coloured | {"shape": plot.key.shape, "tooltip": tip}
    grey, bold, ranged, hollow, filled = (
        _rows(chosen, plot)
        for chosen in (
            [p for p in lines if p.family not in named],
            [p for p in lines if p.family in named],
            [p for p in drawn if p.low and p.high and p.family in named],
            [p for p in drawn if p.single],
            [p for p in drawn if not p.single],
        )
    )
    return [
        layer("line", grey, line, strokeWidth=0.9, opacity=0.6),
        layer("line", bold, line, strokeWidth=1.8),
        layer("rule", ranged, coloured | _range(plot, axis), strokeWidth=1),
        layer("point", hollow, mark, size=40, strokeWidth=1.5, fill=plot.theme.background, opacity=1),
        layer("point", filled, mark, size=46, filled=True, opacity=1),
        *_end_labels(points, plot, at),
    ]


def _rows(points: list[_Point], plot: _Plot) -> list[dict[str, object]]:
    return [
        {
            "family": p.family,
            "accelerator": families.OTHERS if p.family in plot.muted else p.accelerator,
            "x": p.x,
            "y": p.y,
            "low": p.low,
            "high": p.high,
        }
        for p in points
    ]


def _pixel(point: _Point, plot: _Plot) -> tuple[float, float]:
    return plot.x.share(point.x) * plot.width, plot.height * (1 - plot.y.share(point.y))


def _end_labels(points: list[_Point], plot: _Plot, at: Spec) -> list[Spec]:
    """Each named family at the end of its line, moved up or down until its name lies on nothing."""
    ends = sorted(_ends(points, plot.named), key=lambda p: -p.y)
    names = _labels(ends, narrow=plot.width < NARROW - LEFT)
    marks = [Box(*_pixel(p, plot), 8, 8) for p in points]
    lines = [box for name in plot.named for box in trace([_pixel(p, plot) for p in _best(points, name)])]
    wanted = [
        Box(x + 9 + width / 2, y, width, LINE)
        for (x, y), width in (
            (_pixel(p, plot), text_width(name, TEXT)) for p, name in zip(ends, names, strict=True)
        )
    ]
    rows: list[dict[str, object]] = [
        {"name": name, "x": p.x, "y": plot.y.at(1 - middle / plot.height)}
        for p, name, middle in zip(ends, names, place(wanted, marks, lines, plot.height), strict=True)
    ]
    return haloed(rows, at | {"text": field("name:N")}, plot.theme)
