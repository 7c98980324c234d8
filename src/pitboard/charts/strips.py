"""The runs of each result: every run a mark, so that a score is seen with what it was made of."""

from collections.abc import Mapping, Sequence

from pitboard.charts import families
from pitboard.charts.axes import Span, linear_span, log_span, log_ticks, x_at, x_axis
from pitboard.charts.frame import finish, text_width
from pitboard.charts.rows import ChartRow, number, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, SHAPES, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered


def runs(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    styles: Mapping[str, families.Style] | None = None,
    width: int = 720,
) -> Spec:
    """A strip of every run's minutes for each result, fastest score first, with its score as an upright bar.

    Results have the `styles` of the letters that their labels begin with, or the palette's in the order of
    the rows, as in `convergence`.

    A row is a run: `result` (its label), `minutes`, and may have `dropped` (the olympic mean leaves it out:
    drawn hollow) and `score` (the result's minutes, the same in all its rows). The axis is logarithmic where
    the slowest run takes over four times as long as the fastest. Raises `PitboardError` for no rows, or for a
    number that cannot be drawn.
    """
    look = find_theme(theme)
    narrow = width < NARROW
    marks: list[dict[str, object]] = [
        {
            "result": text_of(row, "result"),
            "minutes": number(row, "minutes"),
            "dropped": bool(row.get("dropped")),
        }
        for row in some(rows, "run")
    ]
    scores = {text_of(row, "result"): s for row in rows if (s := optional(row, "score"))}
    slow = {str(m["result"]): float(str(m["minutes"])) for m in marks}
    order = sorted(slow, key=lambda name: scores.get(name, slow[name]))
    span = _span([*(number(row, "minutes") for row in rows), *scores.values()])
    names = 0 if narrow else max(text_width(name, TEXT) for name in order) + 20
    plot = (width - 24 - 44 - min(names, width * 0.4), (34 if narrow else 20) * len(order))
    score_rows: list[dict[str, object]] = [
        {"result": name, "minutes": score, "word": f"{score:,.2f}"} for name, score in scores.items()
    ]
    y = field(
        "result:N",
        sort=None,
        scale={"domain": order},
        axis=None
        if narrow
        else {"title": None, "grid": True, "labelLimit": int(width * 0.4), "labelColor": look.ink},
    )
    layers = _layers(
        marks,
        score_rows,
        _x(span, plot[0]),
        y,
        families.of_results(list(slow), styles),
        look,
    )
    if narrow:
        above = {"x": x_at(0), "y": y, "text": field("result:N")}
        layers.append(layer("text", [{"result": name} for name in order], above, align="left", dy=-14))
    chart = layered(layers, *plot)
    note = (
        "Filled: a run that counts. Hollow: a run the olympic mean drops. Upright bar and number: the score."
    )
    return finish(chart, title=title, subtitle=f"{subtitle} {note}", caption=caption, theme=look, width=width)


def _span(values: list[float]) -> Span:
    return log_span(values, 0.03) if max(values) > 4 * min(values) else linear_span(values, 0.03)


def _x(span: Span, width: float) -> Spec:
    words = "Minutes (log scale)" if span.log else "Minutes"
    ticks = log_ticks(span, int(width / 45)) if span.log else None
    axis = x_axis(words, ticks, max(3, int(width / 80)))
    return field("minutes:Q", scale=span.scale(), axis=axis)


def _layers(
    marks: list[dict[str, object]],
    scores: list[dict[str, object]],
    x: Spec,
    y: Spec,
    results: dict[str, families.Style],
    look: Theme,
) -> list[Spec]:
    tip = [field("result:N"), field("minutes:Q", format=",.4")]
    names = list(results)
    colours = {"domain": names, "range": [look.colour(style.colour) for style in results.values()]}
    shapes = {"domain": names, "range": [SHAPES[style.shape] for style in results.values()]}
    at = {"x": x, "y": y, "tooltip": tip}
    run = {
        "fillOpacity": {"condition": {"test": "datum.dropped", "value": 0}, "value": 1},
        "stroke": field("result:N", scale=colours, legend=None),
        "fill": field("result:N", scale=colours, legend=None),
        "shape": field("result:N", scale=shapes, legend=None),
    }
    word = {"x": x_at("width"), "y": y, "text": field("word:N")}
    return [
        layer("point", marks, at | run, size=34, strokeWidth=1.3, opacity=0.8),
        layer("tick", scores, at, thickness=3, opacity=1, size=18, color=look.ink, orient="vertical"),
        layer("text", scores, word, align="right", fontWeight="bold", dx=40),
    ]
