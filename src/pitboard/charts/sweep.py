"""A precision sweep: what each format's runs needed to the target, over what the reference needs."""

from collections import Counter
from collections.abc import Sequence

from pitboard.charts import families
from pitboard.charts.axes import linear_span, x_at, x_axis
from pitboard.charts.frame import finish, text_width
from pitboard.charts.rows import ChartRow, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered

_ROW_HEIGHT = 34


def precision_sweep(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    reference: Sequence[float] = (),
    width: int = 720,
) -> Spec:
    """A strip for each format, in the order given, with a dot where runs reached the target.

    A row is a run: `precision` (the format's label), `samples` (`None`: it did not reach the target) and may
    have `mean`, the same in all rows of a format, and `word`, the text at the strip's end. `reference` are
    the samples of the reference's runs, drawn as a band with their mean. Raises `PitboardError` where no run
    reached the target, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    order = list(dict.fromkeys(text_of(row, "precision") for row in some(rows, "run")))
    reached = Counter(
        (text_of(row, "precision"), count) for row in rows if (count := optional(row, "samples")) is not None
    )
    marks: list[dict[str, object]] = [
        {"precision": name, "samples": count, "runs": runs} for (name, count), runs in reached.items()
    ]
    some(marks, "run that reached its target")
    ends: list[dict[str, object]] = [
        {"precision": name, "mean": optional(row, "mean"), "word": text_of(row, "word")}
        for name, row in {text_of(row, "precision"): row for row in rows}.items()
    ]
    span = linear_span([*(count for _, count in reached), *reference])
    label = max(text_width(name, TEXT) for name in order) + 20
    end = max(text_width(str(row["word"]), TEXT) for row in ends) + 24
    plot = width - 24 - label - end
    x = field("samples:Q", scale=span.scale(), axis=x_axis("Samples to target", None, int(plot / 80)))
    y = field("precision:N", sort=None, scale={"domain": order}, axis={"title": None, "grid": True})
    layers = [*_band(reference, x, look), *_strips(marks, ends, x, y, look)]
    chart = layered(layers, plot, _ROW_HEIGHT * len(order))
    note = "Dot: a run, larger for several. Upright bar: the format's mean." + (
        " Band and line: the reference's runs, fewest to most, and their mean." if reference else ""
    )
    return finish(
        chart, title=title, subtitle=f"{subtitle} {note}".strip(), caption=caption, theme=look, width=width
    )


def _band(reference: Sequence[float], x: Spec, look: Theme) -> list[Spec]:
    if not reference:
        return []
    row: dict[str, object] = {
        "samples": min(reference),
        "most": max(reference),
        "mean": sum(reference) / len(reference),
    }
    return [
        layer("rect", [row], {"x": x, "x2": {"field": "most"}}, color=look.muted, opacity=0.15),
        layer("rule", [row], {"x": field("mean:Q")}, color=look.muted, strokeWidth=1.5),
    ]


def _strips(
    marks: list[dict[str, object]], ends: list[dict[str, object]], x: Spec, y: Spec, look: Theme
) -> list[Spec]:
    tip = [field("precision:N"), field("samples:Q", format=","), field("runs:Q")]
    names = list(dict.fromkeys(str(row["precision"]) for row in ends))
    colours = [look.palette[families.of_precision(name).colour] for name in names]
    colour = field("precision:N", scale={"domain": names, "range": colours}, legend=None)
    area = field("runs:Q", scale={"domain": [0, 4], "range": [0, 160]}, legend=None)
    means = [row for row in ends if row["mean"] is not None]
    dot = {"x": x, "y": y, "size": area, "color": colour, "tooltip": tip}
    upright = {"thickness": 3, "size": 20, "opacity": 1, "color": look.ink, "orient": "vertical"}
    word = {"x": x_at("width"), "y": y, "text": field("word:N")}
    return [
        layer("point", marks, dot, filled=True, opacity=0.8),
        layer("tick", means, {"x": field("mean:Q"), "y": y}, **upright),
        layer("text", ends, word, align="left", dx=10, color=look.ink),
    ]
