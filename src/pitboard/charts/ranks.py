"""Runs of one's own: the speed-up by ranks, what ranks are lost to, and where the time of a step goes."""

from collections.abc import Sequence
from statistics import fmean, median

from pitboard.charts.axes import Span, binary_ticks, log_span, log_ticks, x_at, x_axis, y_axis
from pitboard.charts.frame import finish, haloed, text_width, wrap
from pitboard.charts.rows import ChartRow, brief, number, optional, some, text_of
from pitboard.charts.scaling import LEFT, ThemeName
from pitboard.charts.theme import NARROW, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered
from pitboard.text import clean

_ROW_HEIGHT = 34
_LONGEST = 28
_NAMED = 2
"""So many ranks that are behind are named in a row, those that are furthest."""
# What ranks act like is in ink; a part has its colour wherever it is drawn.
_COLOURS = {
    "Acts like": 2,
    "Convergence": 0,
    "Compute": 1,
    "Exposed communication": 3,
    "Load imbalance": 4,
    "Data": 5,
    "Evaluation": 6,
    "Other": 7,
}


def ranks(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    speedups: Sequence[ChartRow] = (),
    steps: Sequence[ChartRow] = (),
    width: int = 720,
) -> Spec:
    """The speed-up by ranks beside the ideal one; a bar a number of ranks, divided; each rank's step.

    A row is a part of a bar: `ranks` (the bar's label), `part` ("Acts like" is in ink) and `value`, in
    ranks; what is gained, below 0, is not drawn. A row of `speedups` has `ranks` (a number), `speedup`,
    `efficiency`, and may have `speedup_low` and `speedup_high`; fewer than two are not drawn. A row of
    `steps` is a rank: `ranks` (the label), `name`, `busy_ms` and `step_ms` (all of the step), and `behind`
    where it is to be named. Raises `PitboardError` for no rows, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    order = list(dict.fromkeys(text_of(row, "ranks") for row in some(rows, "run with a time")))
    order += [name for row in steps if (name := text_of(row, "ranks")) not in order]
    panels = [_speedups(speedups, order, look, width)] if len(speedups) > 1 else []
    panels.append(_lost(rows, order, look, width))
    if steps:
        panels.append(_steps(steps, order, look, width))
    whole = {"vconcat": panels, "spacing": 22}
    return finish(whole, title=title, subtitle=subtitle, caption=caption, theme=look, width=width)


def step_parts(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> Spec:
    """A bar for each result, in the order given: its mean step in milliseconds, divided into its parts.

    A row is a part of a bar: `result` (the bar's label), `part` and `value`, in ms; it may have `slowest`,
    how long the slowest rank computes. Raises `PitboardError` for no rows, or for a number that cannot be
    drawn.
    """
    look = find_theme(theme)
    order = list(dict.fromkeys(text_of(row, "result") for row in some(rows, "step of a run of your own")))
    slowest = {text_of(row, "result"): s for row in rows if (s := optional(row, "slowest"))}
    bars, ends = _divided(rows, "result", order)
    room, plot = _shares(order, width)
    span = Span(0.0, max([*ends.values(), *slowest.values()]) or 1.0, log=False)
    x = field("start:Q", scale=span.scale(), axis=x_axis("Mean step, ms", None, int(plot / 80)))
    y = _rows_axis(order, room)
    words: list[dict[str, object]] = [{"row": name, "word": brief(ends[name])} for name in order]
    marks: list[dict[str, object]] = [{"row": name, "at": at} for name, at in slowest.items()]
    layers = [_bars(bars, x, y, look, width), _words(words, y, look)]
    if marks:
        layers.append(_upright(marks, {"x": field("at:Q", scale=span.scale()), "y": y}, look, 26))
    chart = layered(layers, plot, _ROW_HEIGHT * len(order))
    note = "The number: all of the step." + (" Upright: how long the slowest rank computes." if marks else "")
    return finish(
        chart, title=title, subtitle=f"{subtitle} {note}".strip(), caption=caption, theme=look, width=width
    )


def _speedups(rows: Sequence[ChartRow], order: list[str], look: Theme, width: float) -> Spec:
    points: list[dict[str, object]] = [
        {
            "ranks": number(row, "ranks"),
            "speedup": (speedup := number(row, "speedup")),
            "low": optional(row, "speedup_low"),
            "high": optional(row, "speedup_high"),
            "word": f"{speedup:.3g} × ({number(row, 'efficiency'):.0%} of ideal)",
        }
        for row in rows
    ]
    counts = [number(row, "ranks") for row in rows]
    first = min(counts)
    ideal = [count / first for count in (first, max(counts))]
    ranges = [v for row in rows for key in ("speedup_low", "speedup_high") if (v := optional(row, key))]
    across, up = log_span(counts), log_span([*ideal, *ranges, *(number(row, "speedup") for row in rows)])
    # All panels begin where the bars do.
    _, plot = _shares(order, width, max(text_width(str(point["word"]), TEXT) for point in points))
    few = len(counts) <= 8
    bottom = x_axis("Ranks (log scale)", sorted(counts) if few else binary_ticks(across, int(plot / 40)))
    side = y_axis(
        "Speed-up, × (log scale)", [count / first for count in sorted(counts)] if few else log_ticks(up, 6)
    )
    x = field("ranks:Q", scale=across.scale(), axis=bottom)
    y = field("speedup:Q", scale=up.scale(), axis=side)
    ends: list[dict[str, object]] = [
        {"ranks": count, "speedup": value, "word": "ideal"}
        for count, value in zip((first, max(counts)), ideal, strict=True)
    ]
    at = {"x": x, "y": y}
    word = at | {"text": field("word:N")}
    ranged = {"x": x, "y": field("low:Q", scale=up.scale(), axis=side), "y2": {"field": "high"}}
    tips = {"tooltip": [field("ranks:Q"), field("speedup:Q", format=".3g")]}
    aside = {"align": "right", "dx": -8, "dy": -5, "color": look.muted, "fontStyle": "italic"}
    layers = [
        layer("line", ends, at, strokeDash=[1, 3], strokeWidth=1.2, color=look.ideal),
        layer("text", ends[1:], word, **aside),
        layer("rule", points, ranged, color=look.ink),
        layer("line", points, at, strokeWidth=1.8, color=look.ink),
        layer("point", points, at | tips, size=46, filled=True, opacity=1, color=look.ink),
        *haloed([each for each in points if each["ranks"] != first], word, look, dy=9),
    ]
    height = 150 if width < NARROW else 190
    return _panel(layers, "Speed-up over the fewest ranks", plot, height, width)


def _lost(rows: Sequence[ChartRow], order: list[str], look: Theme, width: float) -> Spec:
    bars, ends = _divided(rows, "ranks", order)
    words: list[dict[str, object]] = [
        {"row": text_of(row, "ranks"), "word": f"{number(row, 'value', positive=False):.1f}"}
        for row in rows
        if text_of(row, "part") == "Acts like"
    ]
    room, plot = _shares(order, width)
    span = Span(0.0, max(ends.values()) or 1.0, log=False)
    x = field("start:Q", scale=span.scale(), axis=x_axis("Ranks", None, int(plot / 80)))
    y = _rows_axis(order, room)
    layers = [_bars(bars, x, y, look, width), _words(words, y, look)]
    said = "What they act like (the first part, and the number), and what the others are lost to"
    return _panel(layers, said, plot, _ROW_HEIGHT * len(order), width)


def _steps(rows: Sequence[ChartRow], order: list[str], look: Theme, width: float) -> Spec:
    each: list[dict[str, object]] = [
        {
            "row": text_of(row, "ranks"),
            "name": clean(text_of(row, "name"), _LONGEST),
            "busy": number(row, "busy_ms", positive=False) / number(row, "step_ms"),
            "behind": bool(row.get("behind")),
        }
        for row in rows
    ]
    named: list[dict[str, object]] = []
    marks: list[dict[str, object]] = []
    for name in order:
        mine = [row for row in each if row["row"] == name]
        if not mine:
            continue
        step = fmean(number(row, "step_ms") for row in rows if text_of(row, "ranks") == name)
        marks.append({"row": name, "busy": median(map(_busy, mine)), "word": f"{brief(step)} ms"})
        named += sorted((row for row in mine if row["behind"]), key=_busy)[-_NAMED:]
    room, plot = _shares(order, width, max(text_width(str(mark["word"]), TEXT) for mark in marks))
    span = Span(0.0, max(1.0, *map(_busy, each)), log=False)
    bottom = x_axis("Busy, % of the step", None, int(plot / 80), ".0%")
    x = field("busy:Q", scale=span.scale(), axis=bottom)
    y = _rows_axis(order, room)
    at = {"x": x, "y": y}
    tips = {"tooltip": [field("name:N"), field("busy:Q", format=".1%")]}
    dot = {"filled": True, "size": 34, "opacity": 0.6, "color": look.colour(_COLOURS["Compute"])}
    layers = [
        _upright(marks, at, look, 14),
        layer("point", each, at | tips, **dot),
        *(haloed(named, at | {"text": field("name:N")}, look, "right", dy=-12) if named else ()),
        _words(marks, y, look),
    ]
    said = (
        "What part of the mean step each rank (a dot) computes or waits for data; upright: their median; the "
        "number: all of the step"
    )
    return _panel(layers, said, plot, _ROW_HEIGHT * len(order), width)


def _busy(row: dict[str, object]) -> float:
    return float(str(row["busy"]))


def _panel(layers: list[Spec], title: str, plot: float, height: float, width: float) -> Spec:
    """Put a part of a picture, `width` wide in all, under its own, smaller title."""
    lines = wrap(title, width - 24, TEXT, bold=True)
    words = {"text": lines, "fontSize": TEXT, "anchor": "start", "frame": "bounds", "offset": 10}
    return layered(layers, plot, height) | {"title": words}


def _shares(order: list[str], width: float, figure: float = 24) -> tuple[float, float]:
    """Return the pixels of the labels before bars, and of the bars, which have a figure behind them."""
    room = min(max([LEFT, *(text_width(name, TEXT) + 20 for name in order)]), width * 0.4)
    return room, width - 24 - room - figure - 20


def _rows_axis(order: list[str], room: float) -> Spec:
    axis = {"title": None, "labelLimit": int(room)}
    return field("row:N", sort=None, scale={"domain": order}, axis=axis)


def _divided(
    rows: Sequence[ChartRow], label: str, order: list[str]
) -> tuple[list[dict[str, object]], dict[str, float]]:
    """Return the parts of each bar one behind the other, and where each bar ends."""
    ends = dict.fromkeys(order, 0.0)
    bars: list[dict[str, object]] = []
    for row in rows:
        name, part, value = text_of(row, label), text_of(row, "part"), number(row, "value", positive=False)
        if value > 0:
            end = ends[name] + value
            bars.append({"row": name, "part": part, "start": ends[name], "end": end, "value": value})
            ends[name] = end
    return bars, ends


def _bars(bars: list[dict[str, object]], x: Spec, y: Spec, look: Theme, width: float) -> Spec:
    parts = sorted({str(bar["part"]) for bar in bars}, key=lambda part: [*_COLOURS, part].index(part))
    colours = [look.colour(_COLOURS.get(part, len(look.palette))) for part in parts]
    legend = {"title": None, "orient": "bottom", "columns": 2 if width < NARROW else 4}
    channels = {
        "x": x,
        "x2": {"field": "end"},
        "y": y,
        "color": field("part:N", scale={"domain": parts, "range": colours}, legend=legend),
        "tooltip": [field("row:N"), field("part:N"), field("value:Q", format=".3g")],
    }
    return layer("bar", bars, channels, height=18)


def _upright(marks: list[dict[str, object]], at: Spec, look: Theme, size: float) -> Spec:
    return layer("tick", marks, at, thickness=3, opacity=1, size=size, color=look.ink, orient="vertical")


def _words(words: list[dict[str, object]], y: Spec, look: Theme) -> Spec:
    end = {"x": x_at("width"), "y": y, "text": field("word:N")}
    return layer("text", words, end, align="left", dx=10, fontWeight="bold", color=look.ink)
