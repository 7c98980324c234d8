"""Convergence: quality on the way to the target, and the samples it took against the reference."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pitboard.charts import families
from pitboard.charts.axes import NUMBER, Span, binary_ticks, linear_span, log_span, x_axis, y_axis
from pitboard.charts.frame import finish, haloed, text_width
from pitboard.charts.labels import LINE, Box, place, trace
from pitboard.charts.rows import ChartRow, number, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import DASHES, NARROW, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered
from pitboard.text import clean

MOST = 8
NOT_STATED = "not stated"
_MARK = 9.0
"""Pixels of a mark."""
_ASIDE = 5
"""Marks that would hide each other are set aside by so many of them; more of the same lie on each other."""
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
    styles: Mapping[str, families.Style] | None = None,
    width: int = 720,
) -> Spec:
    """Quality against samples, a line for each run, coloured and dashed by result.

    A row is an evaluation: `result` (label), `run` (anything that tells runs apart), `samples` (or epochs:
    say so in `unit`), `quality`. `target` is drawn as a line; `direction` says on which side of it the target
    is met. Results have the `styles` of the letters that their labels begin with, or the palette's in their
    order, as in `runs`; beyond eight they are grey. Raises `PitboardError` for no rows, or for a number that
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
    inner = width - 24 - 52
    across = x_axis(clean(unit).capitalize(), ticks=inner // 90, number_format=_short(x_span))
    x = field("samples:Q", scale=x_span.scale(), axis=across)
    y = field("quality:Q", scale=y_span.scale(), axis=y_axis(clean(quality).capitalize()))
    channels = {
        "x": x,
        "y": y,
        "detail": field("run:N"),
        "tooltip": [field(name) for name in ("result:N", "samples:Q", "quality:Q")],
        **_by_result(results, styles, look, width),
    }
    dot = {"size": 9, "opacity": 0.75}
    lines = layer("line", points, channels, strokeWidth=1.3, opacity=0.75, point=dot)
    layers = [lines] if target is None else [*_target(target, direction, x_span, y_span, look), lines]
    chart = layered(layers, inner, HEIGHT)
    note = "A line for each run, through its evaluations."
    return finish(
        chart, title=title, subtitle=f"{subtitle} {note}".strip(), caption=caption, theme=look, width=width
    )


def _short(span: Span) -> str:
    """The format of numbers of samples: 250,000, but 1.5G where they would not fit."""
    return NUMBER if span.high < 10_000_000 else "~s"


def _by_result(
    labels: list[str], styles: Mapping[str, families.Style] | None, look: Theme, width: float
) -> Spec:
    """Colour and dash for each result, in one key below; the ninth and later share grey."""
    found = list(families.of_results(labels, styles).values())
    widest = max(text_width(name, TEXT) for name in labels) + 50
    key = {
        "title": None,
        "orient": "bottom",
        "columns": max(1, int(width / widest)),
        "symbolType": "stroke",
        "symbolSize": 400,
        "values": labels[:MOST],
    }
    colours = [look.colour(style.colour) for style in found]
    dashes = [DASHES[style.dash] for style in found]
    return {
        "color": field("result:N", scale={"domain": labels, "range": colours}, legend=key),
        "strokeDash": field("result:N", scale={"domain": labels, "range": dashes}, legend=key),
    }


def _target(target: float, direction: str, x: Span, y: Span, look: Theme) -> list[Spec]:
    word = f"target {target:g}, or {direction}"
    rows = [{"quality": target, "samples": x.high, "word": word}]
    level = field("quality:Q", scale=y.scale())
    end = {"x": field("samples:Q"), "y": level, "text": field("word:N")}
    down = 12 if direction == "lower" else -8
    return [
        layer("rule", rows, {"y": level}, color=look.ink, strokeWidth=1, strokeDash=[3, 3]),
        layer("text", rows, end, align="right", dy=down, fontStyle="italic"),
    ]


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
) -> Spec:
    """Samples to target by global batch size, over the reference convergence points.

    A row is a result: `result` (label), `global_batch_size`, `samples_to_target`, and may have `precision`
    (its own shape and colour; "not stated" where absent) and `low` and `high` (its runs). A `reference` row
    has `global_batch_size`, `samples`, and may have `low`: the fewest samples that the RCP test allows.
    Results that have the words of `highlight` are labelled, and the others grey. Raises `PitboardError` for
    no rows, for a number that cannot be drawn, or where nothing is called what `highlight` says.
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
    inner = width - 24 - 60 - (0 if width < NARROW else 90)
    _set_apart(points, (x_span, y_span), (inner, HEIGHT))
    axis = x_axis("Global batch size, samples (log scale)", binary_ticks(x_span, 10 if width > NARROW else 5))
    x = field("x:Q", scale=x_span.scale(), axis=axis)
    y = field(
        "y:Q",
        scale=y_span.scale(),
        axis=y_axis(f"{clean(unit).capitalize()} to target", number_format=_short(y_span)),
    )
    picked = families.chosen(highlight, ((str(p["result"]), "") for p in points))
    precisions = _precisions(points, picked, look, width)
    layers = [*_reference(known, x, y, y_span, look, width), *_results(points, precisions, x, y, y_span)]
    named = list({p["result"]: p for p in points if p["result"] in picked}.values())
    if named:
        layers += _names(named, points, known, (x_span, y_span), (inner, HEIGHT), look)
    chart = layered(layers, inner, HEIGHT)
    said = f"{subtitle} {_explained(points, known, unit)}".strip()
    return finish(chart, title=title, subtitle=said, caption=caption, theme=look, width=width)


def _explained(points: list[dict[str, object]], known: list[dict[str, object]], unit: str) -> str:
    said = [
        (True, "A mark is a result's mean, set aside where several would hide each other."),
        (any(p["low"] != p["high"] for p in points), "Upright: its fewest and most of a run."),
        (bool(known), "Grey line: the reference convergence points."),
        (any(p["low"] for p in known), f"Dashed: the fewest {clean(unit)} that the RCP test allows."),
    ]
    return " ".join(sentence for holds, sentence in said if holds)


def _set_apart(points: list[dict[str, object]], spans: tuple[Span, Span], size: tuple[float, float]) -> None:
    """Move marks that would lie on each other aside, by a mark's width: `x` is then where it is drawn."""
    placed: list[Box] = []
    for point in sorted(points, key=lambda p: (number(p, "x"), number(p, "y"))):
        across = spans[0].share(number(point, "x")) * size[0]
        down = spans[1].share(number(point, "y", positive=False)) * size[1]
        tries = [
            Box(across + sign * step * _MARK, down, _MARK, _MARK)
            for step in range(_ASIDE)
            for sign in (1, -1)
        ]
        box = next((t for t in tries if not any(t.meets(other) for other in placed)), tries[0])
        placed.append(box)
        point["x"] = spans[0].at(box.x / size[0])


def _names(
    named: list[dict[str, object]],
    points: list[dict[str, object]],
    known: list[dict[str, object]],
    spans: tuple[Span, Span],
    size: tuple[float, float],
    look: Theme,
) -> list[Spec]:
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
    name = {
        "x": field("x:Q", scale=spans[0].scale()),
        "y": field("y:Q", scale=spans[1].scale()),
        "text": field("result:N"),
    }
    return [
        *haloed([row for row, turned in zip(rows, left, strict=True) if not turned], name, look),
        *haloed([row for row, turned in zip(rows, left, strict=True) if turned], name, look, "right"),
    ]


def _convergence_point(row: ChartRow) -> dict[str, object]:
    samples = number(row, "samples_to_target")
    return {
        "result": text_of(row, "result"),
        "precision": clean(row.get("precision") or NOT_STATED),
        "x": number(row, "global_batch_size"),
        "batch": number(row, "global_batch_size"),
        "y": samples,
        "low": optional(row, "low") or samples,
        "high": optional(row, "high") or samples,
    }


def _reference(
    known: list[dict[str, object]], x: Spec, y: Spec, span: Span, look: Theme, width: float
) -> list[Spec]:
    """The reference's line, and below it the fewest samples allowed, each named at an end."""
    if not known:
        return []
    limits = [p for p in known if p["low"] is not None]
    low = {"x": x, "y": field("low:Q", scale=span.scale())}
    dot = {"shape": "square", "size": 30, "color": look.other}
    layers = [
        layer("line", known, {"x": x, "y": y}, color=look.other, strokeWidth=2, point=dot),
        layer("line", limits, low, color=look.other, strokeWidth=1.2, strokeDash=[4, 3]),
    ]
    names: list[Spec] = []  # on a narrow chart the words below its title say it
    if width >= NARROW:
        last = known[-1]
        gap = (span.share(number(last, "y")) - span.share(optional(last, "low") or span.low)) * HEIGHT
        apart = max(0, LINE - gap) / 2
        ends = [(last, "y", "reference", -apart), *((p, "low", "fewest allowed", apart) for p in limits[-1:])]
        names = [
            layer(
                "text",
                [{"x": point["x"], "y": point[key], "word": word}],
                {"x": x, "y": y, "text": field("word:N")},
                color=look.muted,
                fontStyle="italic",
                align="left",
                dx=8,
                dy=down,
            )
            for point, key, word, down in ends
        ]
    return [*layers, *names]


def _precisions(
    points: list[dict[str, object]], picked: list[str], look: Theme, width: float
) -> families.Key:
    """The key of precisions; what is not stated is grey, or where some are highlighted, what is not."""
    for point in points:
        stated = str(point["precision"])
        grey = point["result"] not in picked if picked else stated == NOT_STATED
        point["key"] = families.OTHERS if grey else stated
    names = {str(p["key"]) for p in points} - {families.OTHERS}
    muted = any(p["key"] == families.OTHERS for p in points)
    styles = {name: families.of_precision(name) for name in names}
    others = families.OTHERS if picked else NOT_STATED
    return families.key(styles, look, "key", width - 84, title="Precision", muted=muted, others=others)


def _results(
    points: list[dict[str, object]], precisions: families.Key, x: Spec, y: Spec, span: Span
) -> list[Spec]:
    rows = [p | {"key": precisions.others if p["key"] == families.OTHERS else p["key"]} for p in points]
    rows.sort(key=lambda p: p["key"] != precisions.others)
    tip = [
        field("result:N"),
        field("precision:N"),
        field("batch:Q", title="global batch size", format=","),
        field("y:Q", title="to target", format=",.6"),
    ]
    low = field("low:Q", scale=span.scale())
    ranged = {"x": x, "y": low, "y2": {"field": "high"}, "color": precisions.colour}
    mark = {"x": x, "y": y, "color": precisions.colour, "shape": precisions.shape, "tooltip": tip}
    return [
        layer("rule", rows, ranged, strokeWidth=1, opacity=0.4),
        layer("point", rows, mark, size=44, strokeWidth=1.5, opacity=0.9),
    ]
