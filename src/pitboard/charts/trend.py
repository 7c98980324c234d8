"""Speed-up over the years: a line for each benchmark, against one that doubles every two."""

from collections.abc import Sequence

from pitboard.charts import families
from pitboard.charts.axes import Span, linear_span, log_span, log_ticks, x_axis, y_axis
from pitboard.charts.frame import finish, haloed, text_width
from pitboard.charts.labels import LINE, Box, place, trace
from pitboard.charts.rows import ChartRow, number, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import DASHES, NARROW, SHAPES, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered

_HEIGHT = 360
_YEARS_TO_DOUBLE = 2.0


def trend(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    highlight: Sequence[str] = (),
    width: int = 720,
) -> Spec:
    """Speed-up since each series' first round on a logarithmic scale, over the years since then.

    A row has `series` (label), `years` (0 at its first round) and `speedup` (1 there). Moore's law is the
    broad grey line. Each series is named at its end, and a benchmark has one colour, shape and dash on every
    such chart; `highlight` leaves them to the series that have its words. Raises `PitboardError` for no rows,
    for a number that cannot be drawn, or where nothing is called what `highlight` says.
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
    series = list(dict.fromkeys(str(point["series"]) for point in points))
    named = families.chosen(highlight, ((name, "") for name in series)) or series
    last = max(number(point, "years", positive=False) for point in points)
    law: list[dict[str, object]] = [
        {"years": years, "speedup": 2 ** (years / _YEARS_TO_DOUBLE), "word": "Moore's law"}
        for years in (0.0, last)
    ]
    narrow = width < NARROW
    ends = [point for name in named for point in [p for p in points if p["series"] == name][-1:]]
    names = [str(end["series"]).partition(" (")[0] if narrow else str(end["series"]) for end in ends]
    spans = (
        linear_span([0.0, last], 0.03),
        log_span(number(point, "speedup") for point in [*points, *law]),
    )
    room = inner = width - 24 - 44.0
    for end, name in zip(ends, names, strict=True):
        share = spans[0].share(number(end, "years", positive=False))
        room = min(room, (inner - 14 - text_width(name, TEXT)) / max(0.2, share))
    size = (max(room, inner * 0.5), _HEIGHT)
    x = field("years:Q", scale=spans[0].scale(), axis=x_axis("Years since its first round", ticks=8))
    y = field(
        "speedup:Q", scale=spans[1].scale(), axis=y_axis("Speed-up, × (log scale)", log_ticks(spans[1], 8))
    )
    at = {"x": x, "y": y}
    moore = {"strokeWidth": 5, "opacity": 0.35, "color": look.other, "strokeCap": "round"}
    word = {"align": "right", "dx": -4, "dy": 26, "fontStyle": "italic", "color": look.muted}
    layers = [
        layer("line", law, at, **moore),
        *_lines([p for p in points if p["series"] not in named], at, series, look, grey=True),
        *_lines([p for p in points if p["series"] in named], at, series, look),
        layer("text", law[-1:], at | {"text": field("word:N")}, **word),
        *_names(ends, names, [p for p in points if p["series"] in named], spans, size, at, look),
    ]
    chart = layered(layers, *size)
    note = (
        "Lines join the best results of a benchmark's rounds, which are of other systems: not like for like. "
        "Broad grey line: Moore's law, a doubling every two years."
    )
    return finish(
        chart, title=title, subtitle=f"{subtitle} {note}".strip(), caption=caption, theme=look, width=width
    )


def _lines(
    points: list[dict[str, object]], at: Spec, series: list[str], look: Theme, *, grey: bool = False
) -> list[Spec]:
    if not points:
        return []
    styles = [families.of_benchmark(name) for name in series]
    colours = [look.palette[style.colour] for style in styles]
    colour = field("series:N", scale={"domain": series, "range": colours}, legend=None)
    dash = {"domain": series, "range": [DASHES[style.dash] for style in styles]}
    shape = {"domain": series, "range": [SHAPES[style.shape] for style in styles]}
    tip = [
        field("series:N"),
        field("years:Q", format=".2f"),
        field("speedup:Q", format=".3"),
    ]
    drawn = at | {"color": {"value": look.other} if grey else colour}
    dashed = {"detail": field("series:N"), "strokeDash": field("series:N", scale=dash, legend=None)}
    shaped = {"shape": field("series:N", scale=shape, legend=None), "tooltip": tip}
    return [
        layer("line", points, drawn | dashed, strokeWidth=1 if grey else 1.8),
        layer("point", points, drawn | shaped, size=16 if grey else 34, filled=True, opacity=1),
    ]


def _names(
    ends: list[dict[str, object]],
    names: list[str],
    points: list[dict[str, object]],
    spans: tuple[Span, Span],
    size: tuple[float, float],
    at: Spec,
    look: Theme,
) -> list[Spec]:
    """Each series' name at the end of its line, moved up or down until it lies on nothing."""

    def pixel(point: ChartRow) -> tuple[float, float]:
        x = spans[0].share(number(point, "years", positive=False))
        return x * size[0], (1 - spans[1].share(number(point, "speedup"))) * size[1]

    marks = [Box(*pixel(point), 8, 8) for point in points]
    by_series = [[pixel(p) for p in points if p["series"] == end["series"]] for end in ends]
    lines = [box for corners in by_series for box in trace(corners)]
    wanted = []
    for end, name in zip(ends, names, strict=True):
        (across, down), room = pixel(end), text_width(name, TEXT)
        wanted.append(Box(across + 9 + room / 2, down, room, LINE))
    placed = place(wanted, marks, lines, size[1])
    rows: list[dict[str, object]] = [
        {"years": end["years"], "speedup": spans[1].at(1 - middle / size[1]), "name": name}
        for end, name, middle in zip(ends, names, placed, strict=True)
    ]
    return haloed(rows, at | {"text": field("name:N")}, look)
