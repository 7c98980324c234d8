"""Small charts beside a sentence, which is their title there: a few bars, or dots against a line."""

from collections.abc import Sequence

from pitboard.charts import families
from pitboard.charts.axes import Span, linear_span, x_at, x_axis
from pitboard.charts.frame import finish, haloed, text_width
from pitboard.charts.rows import ChartRow, brief, number, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, TEXT, Theme, config, find_theme
from pitboard.charts.vega import SCHEMA, Spec, field, layer, layered
from pitboard.text import clean

MOST = 24
_ROW = 19


def few_bars(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    line: float | None = None,
    width: int = 720,
) -> Spec:
    """A bar for each row from zero, in their order, with its name before it and its figure behind it.

    A row has `label` and `value`, and may have `word` (written in place of the figure), `accelerator` (its
    colour) and `muted`: grey, as what the others are set against. `line` is where a dashed upright line
    stands. Beyond `MOST` rows the rest is left out. A narrow chart has neither title nor caption. Raises
    `PitboardError` for no rows, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    drawn: list[dict[str, object]] = [
        {
            "row": place,
            "label": text_of(row, "label"),
            "value": (value := number(row, "value", positive=False)),
            "word": clean(row.get("word") or "") or brief(value),
            "colour": _colour(row, look),
        }
        for place, row in enumerate(some(rows, "finding")[:MOST])
    ]
    names = min(max(_room(each["label"]) for each in drawn), width * 0.62)
    ends = max(_room(each["word"]) for each in drawn)
    high = max([number(each, "value", positive=False) for each in drawn] + [line or 0, 1e-9])
    span = Span(0.0, high, log=False)
    x = field("value:Q", scale=span.scale(), axis=None)
    y = field("row:O", scale={"domain": list(range(len(drawn)))}, axis=None)
    at = {"x": x, "y": y}
    bar = {"color": field("colour:N", scale=None), "tooltip": [field("label:N"), field("word:N")]}
    label = {"x": x_at(-8), "y": y, "text": field("label:N")}
    layers = [
        layer("bar", drawn, at | bar, size=11),
        *_line(line, span, look, None),
        *haloed(drawn, at | {"text": field("word:N")}, look, dx=5),
        layer("text", drawn, label, align="right", limit=names - 10),
        # Nothing to see: it keeps the room that the names have with a wider font than the one measured here.
        layer("point", drawn, {"x": x_at(-names), "y": y}, opacity=0),
    ]
    plot = max(40.0, width - 24 - names - ends)
    chart = layered(layers, plot, _ROW * len(drawn))
    return _finish(chart, look, width, title=title, subtitle=subtitle, caption=caption)


def dots(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    quantity: str = "",
    line: float | None = None,
    width: int = 720,
) -> Spec:
    """A dot for each row on the line of its label, in the colour and shape of its accelerator.

    A row has `label`, `value` and `accelerator`; labels stand in the order in which they come, each with how
    many dots it has. `quantity` names the axis; `line` is where a dashed upright line stands. A narrow chart
    has neither title nor caption. Raises `PitboardError` for no rows, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    drawn: list[dict[str, object]] = [
        {
            "label": text_of(row, "label"),
            "value": number(row, "value"),
            "accelerator": text_of(row, "accelerator"),
        }
        for row in some(rows, "result that can be held against a reference")
    ]
    labels = list(dict.fromkeys(str(each["label"]) for each in drawn))
    counts = [sum(each["label"] == label for each in drawn) for label in labels]
    named: list[dict[str, object]] = [
        {"label": label, "word": f"{label} (n = {count})"}
        for label, count in zip(labels, counts, strict=True)
    ]
    names = max(_room(each["word"]) for each in named)
    span = linear_span([number(each, "value") for each in drawn] + ([line] if line else []), 0.05)
    plot = max(80.0, width - 24 - names)
    axis = x_axis(quantity, ticks=int(plot / 60), number_format=".2~f")
    axis["titleAnchor"] = "end"  # under a narrow plot it is wider than that
    x = field("value:Q", scale=span.scale(), axis=axis)
    y = field("label:N", sort=None, scale={"domain": labels}, axis=None)
    kinds = {str(each["accelerator"]) for each in drawn}
    styles = {name: families.of_accelerator(name) for name in kinds}
    height = (_ROW + 3) * len(labels)
    key = families.key(styles, look, "accelerator", width)
    key = key._replace(legend=_below(key.legend, names, height))
    tip = [field(name) for name in ("label:N", "accelerator:N", "value:Q")]
    dot = {"x": x, "y": y, "color": key.colour, "shape": key.shape, "tooltip": tip}
    layers = [
        *_line(line, span, look, axis),
        layer("point", drawn, dot, size=46, filled=True, opacity=0.75),
        layer("text", named, {"x": x_at(-8), "y": y, "text": field("word:N")}, align="right"),
    ]
    chart = layered(layers, plot, height)
    return _finish(chart, look, width, title=title, subtitle=subtitle, caption=caption)


def _room(text: object) -> float:
    """The pixels for a name and a gap."""
    return text_width(str(text), TEXT) + 10


def _below(legend: Spec | None, names: float, height: float) -> Spec | None:
    """Put a legend under the whole chart, from its left edge: under the dots alone it is too wide."""
    return legend and legend | {"orient": "none", "legendX": -names, "legendY": height + 48}


def _colour(row: ChartRow, look: Theme) -> str:
    name = clean(row.get("accelerator") or "")
    if row.get("muted"):
        return look.other
    return look.palette[families.of_accelerator(name).colour] if name else look.palette[0]


def _line(at: float | None, span: Span, look: Theme, axis: Spec | None) -> list[Spec]:
    if at is None:
        return []
    x = field("at:Q", scale=span.scale(), axis=axis)
    return [layer("rule", [{"at": at}], {"x": x}, strokeDash=[3, 3], color=look.ink, opacity=0.7)]


def _finish(chart: Spec, look: Theme, width: float, **words: str) -> Spec:
    if width < NARROW:
        return {"$schema": SCHEMA, "config": config(look) | {"padding": 8}, **chart}
    return finish(chart, **words, theme=look, width=width)
