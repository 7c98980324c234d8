"""Convergence: quality on the way to the target, and the samples it took against the reference."""

from collections.abc import Sequence
from typing import Literal

import altair as alt

from pitboard.charts.axes import Span, binary_ticks, linear_span, log_span, x_axis, y_axis
from pitboard.charts.frame import data, finish, haloed, text_width
from pitboard.charts.labels import LINE, Box, place, trace
from pitboard.charts.rows import ChartRow, number, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import DASHES, NARROW, SHAPES, TEXT, Theme, find_theme
from pitboard.text import clean

MOST = 8
HEIGHT = 340


def convergence(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    target: float | None = None,
    direction: Literal["lower", "higher"] = "lower",
    quality: str = "quality",
    unit: str = "samples",
    width: int = 720,
) -> alt.VConcatChart:
    """Quality against samples, a line for each run, coloured and dashed by result.

    A row is an evaluation: `result` (label), `run` (anything that tells runs apart), `samples` (or epochs:
    say so in `unit`), `quality`. `target` is drawn as a line; `direction` says on which side of it the target
    is met. Beyond eight results the others are grey. Raises `PitboardError` for no rows, or for a number that
    cannot be drawn.
    """
    look = find_theme(theme)
    results = list(dict.fromkeys(text_of(row, "result") for row in some(rows, "evaluation")))
    points: list[dict[str, object]] = [
        {
            "result": text_of(row, "result"),
            "run": f"{clean(row['result'])} {clean(row.get('run', ''))}",
            "samples": number(row, "samples", positive=False),
            "quality": number(row, "quality", positive=False),
        }
        for row in rows
    ]
    aim = [] if target is None else [target]
    x_span = linear_span([number(p, "samples", positive=False) for p in points], 0.03)
    y_span = linear_span([*(number(p, "quality", positive=False) for p in points), *aim])
    inner = width - 24 - 44
    x = alt.X("samples:Q", scale=x_span.scale(), axis=x_axis(clean(unit).capitalize(), ticks=inner // 90))
    y = alt.Y("quality:Q", scale=y_span.scale(), axis=y_axis(clean(quality).capitalize()))
    lines = (
        alt.Chart(data(points))
        .mark_line(strokeWidth=1.3, opacity=0.75, point=alt.OverlayMarkDef(size=9, opacity=0.75))
        .encode(
            x,
            y,
            detail="run:N",
            tooltip=["result:N", "samples:Q", "quality:Q"],
            **by_label("result", results, look, width),
        )
    )
    layers = [lines] if target is None else [*_target(target, direction, x_span, y_span, look), lines]
    chart = alt.LayerChart(layer=layers).properties(width=inner, height=HEIGHT)
    return finish(chart, title=title, subtitle=subtitle, caption=caption, theme=look, width=width)


def by_label(field: str, labels: list[str], look: Theme, width: float) -> dict[str, object]:
    """Colour and dash for each label of a field, in one key below; the ninth and later share grey."""
    colours = [*look.palette, *[look.other] * len(labels)][: len(labels)]
    dashes = [*DASHES, *[DASHES[0]] * len(labels)][: len(labels)]
    widest = max(text_width(name, TEXT) for name in labels) + 50
    key = alt.Legend(
        title=None,
        orient="bottom",
        columns=max(1, int(width / widest)),
        symbolType="stroke",
        symbolSize=400,
        values=labels[:MOST],
    )
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=labels, range=colours), legend=key),
        "strokeDash": alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=labels, range=dashes), legend=key),
    }


def _target(target: float, direction: str, x: Span, y: Span, look: Theme) -> list[alt.Chart]:
    word = f"target {target:g}, or {direction}"
    base = alt.Chart(data([{"quality": target, "samples": x.high, "word": word}]))
    level = alt.Y("quality:Q", scale=y.scale())
    rule = base.mark_rule(color=look.ink, strokeWidth=1, strokeDash=[3, 3]).encode(level)
    text = base.mark_text(align="right", dy=12 if direction == "lower" else -8, fontStyle="italic")
    return [rule, text.encode(alt.X("samples:Q"), level, text="word:N")]


def samples_to_target(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    reference: Sequence[ChartRow] = (),
    unit: str = "samples",
    highlight: Sequence[str] = (),
    width: int = 720,
) -> alt.VConcatChart:
    """Samples to target by global batch size, over the reference convergence points.

    A row is a result: `result` (label), `global_batch_size`, `samples_to_target`, and may have `precision`
    (its own shape and colour; "not stated" where absent) and `low` and `high` (its runs). A `reference` row
    has `global_batch_size`, `samples`, and may have `low`: the fewest samples that the RCP test allows.
    `highlight` names results to label. Raises `PitboardError` for no rows, or for a number that cannot be
    drawn.
    """
    look = find_theme(theme)
    points = [_convergence_point(row) for row in some(rows, "result that reached its target")]
    known: list[dict[str, object]] = [
        {"x": number(r, "global_batch_size"), "y": number(r, "samples"), "low": optional(r, "low")}
        for r in sorted(reference, key=lambda r: number(r, "global_batch_size"))
    ]
    x_span = log_span(number(p, "x") for p in (*points, *known))
    levels = [
        v for p in (*points, *known) for key in ("y", "low", "high") if (v := optional(p, key)) is not None
    ]
    y_span = linear_span(levels)
    inner = width - 24 - 48 - (0 if width < NARROW else 90)
    axis = x_axis("Global batch size (log scale)", binary_ticks(x_span, 12 if width > NARROW else 6))
    x = alt.X("x:Q", scale=x_span.scale(), axis=axis)
    y = alt.Y(
        "y:Q",
        scale=y_span.scale(),
        axis=y_axis(f"{clean(unit).capitalize()} to target", number_format="~s"),
    )
    layers = [*_reference(known, x, y, y_span, look, width), *_results(points, x, y, y_span, look)]
    named = [p for p in points if p["result"] in {clean(name) for name in highlight}]
    if named:
        layers += _names(named, points, known, (x_span, y_span), (inner, HEIGHT), look)
    chart = alt.LayerChart(layer=layers).properties(width=inner, height=HEIGHT)
    return finish(chart, title=title, subtitle=subtitle, caption=caption, theme=look, width=width)


def _names(
    named: list[dict[str, object]],
    points: list[dict[str, object]],
    known: list[dict[str, object]],
    spans: tuple[Span, Span],
    size: tuple[float, float],
    look: Theme,
) -> list[alt.Chart]:
    """Names right of their marks (or left, for want of room), moved up or down until they lie on nothing."""

    def pixel(point: ChartRow, key: str = "y") -> tuple[float, float]:
        x, y = spans[0].share(number(point, "x")), spans[1].share(number(point, key))
        return x * size[0], (1 - y) * size[1]

    marks = [Box(*pixel(p), 8, 8) for p in points]
    lines = [
        *trace([pixel(p) for p in known]),
        *trace([pixel(p, "low") for p in known if p["low"] is not None]),
    ]
    wanted, left = [], []
    for point in named:
        (across, down), room = pixel(point), text_width(str(point["result"]), TEXT)
        left.append(across + 9 + room > size[0])
        wanted.append(Box(across + (9 + room / 2) * (-1 if left[-1] else 1), down, room, LINE))
    rows = [
        p | {"y": spans[1].at(1 - middle / size[1])}
        for p, middle in zip(named, place(wanted, marks, lines, size[1]), strict=True)
    ]
    x, y = alt.X("x:Q", scale=spans[0].scale()), alt.Y("y:Q", scale=spans[1].scale())
    layers = [
        *haloed([row for row, turned in zip(rows, left, strict=True) if not turned], look),
        *haloed([row for row, turned in zip(rows, left, strict=True) if turned], look, "right"),
    ]
    return [layer.encode(x, y, text="result:N") for layer in layers]


def _convergence_point(row: ChartRow) -> dict[str, object]:
    samples = number(row, "samples_to_target")
    return {
        "result": text_of(row, "result"),
        "precision": clean(row.get("precision") or "not stated"),
        "x": number(row, "global_batch_size"),
        "y": samples,
        "low": optional(row, "low") or samples,
        "high": optional(row, "high") or samples,
    }


def _reference(
    known: list[dict[str, object]], x: alt.X, y: alt.Y, span: Span, look: Theme, width: float
) -> list[alt.Chart]:
    """The reference's line, and below it the fewest samples allowed, each named at an end."""
    if not known:
        return []
    limits = [p for p in known if p["low"] is not None]
    base = alt.Chart(data(known))
    low = alt.Y("low:Q", scale=span.scale())
    layers = [
        base.mark_line(
            color=look.other,
            strokeWidth=2,
            point=alt.OverlayMarkDef(shape="square", size=30, color=look.other),
        ).encode(x, y),
        alt.Chart(data(limits))
        .mark_line(color=look.other, strokeWidth=1.2, strokeDash=[4, 3])
        .encode(x, low),
    ]
    if width < NARROW:
        names = [_aside(known[-1], "y", "reference", look, "right", (0, -9))]
        names += [_aside(p, "low", "fewest allowed", look, "left", (0, 13)) for p in limits[:1]]
    else:
        names = [_aside(known[-1], "y", "reference", look, "left", (8, 0))]
        names += [_aside(p, "low", "fewest allowed", look, "left", (8, 0)) for p in limits[-1:]]
    return [*layers, *(name.encode(x, y, text="word:N") for name in names)]


def _aside(
    point: ChartRow, key: str, word: str, look: Theme, align: Literal["left", "right"], shift: tuple[int, int]
) -> alt.Chart:
    base = alt.Chart(data([{"x": point["x"], "y": point[key], "word": word}]))
    text: alt.Chart = base.mark_text(
        color=look.muted, fontStyle="italic", align=align, dx=shift[0], dy=shift[1]
    )
    return text


def _results(points: list[dict[str, object]], x: alt.X, y: alt.Y, span: Span, look: Theme) -> list[alt.Chart]:
    precisions = sorted({str(p["precision"]) for p in points})
    several = len(precisions) > 1
    key = alt.Legend(title="Precision", orient="bottom", columns=4) if several else None
    colours = [*look.palette, *[look.other] * len(precisions)][: len(precisions)]
    shapes = [*SHAPES, *["circle"] * len(precisions)][: len(precisions)]
    colour = alt.Color("precision:N", scale=alt.Scale(domain=precisions, range=colours), legend=key)
    shape = alt.Shape("precision:N", scale=alt.Scale(domain=precisions, range=shapes), legend=key)
    base = alt.Chart(data(points))
    tip = [
        "result:N",
        "precision:N",
        alt.Tooltip("x:Q", title="global batch size"),
        alt.Tooltip("y:Q", title="samples"),
    ]
    low = alt.Y("low:Q", scale=span.scale())
    return [
        base.mark_rule(strokeWidth=1, opacity=0.5).encode(x, low, alt.Y2("high:Q"), color=colour),
        base.mark_point(size=44, strokeWidth=1.5, opacity=0.9).encode(
            x, y, color=colour, shape=shape, tooltip=tip
        ),
    ]
