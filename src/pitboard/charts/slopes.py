"""Two rounds, side by side: who became faster, and where the comparison is like for like."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import altair as alt

from pitboard.charts.axes import Span, log_span
from pitboard.charts.frame import data, finish, text_width
from pitboard.charts.labels import LINE, spread
from pitboard.charts.rows import ChartRow, brief, number, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, TEXT, Theme, find_theme
from pitboard.errors import PitboardError
from pitboard.text import clean

DX = 20
"""Pixels from a slope's end to its words, for a leader to cross where the words were pushed aside."""


def rounds(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    width: int = 720,
) -> alt.VConcatChart:
    """A slope for each label from one round to the next, minutes on a logarithmic scale.

    A row has `label` (a submitter or an accelerator), `round`, `minutes`, and may have `accelerators` (shown
    beside the minutes) and `like_for_like`: where it is not true of both rows the slope is dashed and grey.
    There must be one row at most for each label and round, and two rounds; a label in one of them is a point.
    Raises `PitboardError` otherwise, or for a number that cannot be drawn.
    """
    look = find_theme(theme)
    names = sorted({text_of(row, "round") for row in some(rows, "result in both rounds")}, key=_order)
    if len(names) != 2:
        raise PitboardError(
            f"A chart of two rounds needs rows of two, not of {len(names)} ({', '.join(names)})."
        )
    lines = _lines(rows)
    span = log_span((number(row, "minutes") for row in rows), 0.03)
    height = max(260.0, LINE * 1.15 * max(sum(name in line for line in lines.values()) for name in names))
    points = _ends(lines, names, span, height, narrow=width < NARROW)
    sides = [
        max((text_width(str(p["word"]), TEXT) for p in points if p["x"] == x), default=0) for x in (0, 1)
    ]
    inner = max(width - 24 - sum(sides) - 2 * DX - 20, width * 0.25)
    layers = _draw(points, names, span, look, inner)
    chart = alt.LayerChart(layer=layers).properties(width=inner, height=height)
    note = (
        "Solid: like for like. Dashed grey: not (another accelerator or count). Logarithmic scale of minutes."
    )
    return finish(chart, title=title, subtitle=f"{subtitle} {note}", caption=caption, theme=look, width=width)


def _order(name: str) -> tuple[list[int], str]:
    return [int(part) for part in name.lstrip("v").split(".") if part.isdigit()], name


def _lines(rows: Sequence[ChartRow]) -> dict[str, dict[str, ChartRow]]:
    """Rows by label, then by round."""
    lines: dict[str, dict[str, ChartRow]] = defaultdict(dict)
    for row in rows:
        label, name = text_of(row, "label"), text_of(row, "round")
        if name in lines[label]:
            raise PitboardError(
                f"A chart of two rounds has '{label}' twice in round {name}: give one row for each."
            )
        lines[label][name] = row
    return lines


def _ends(
    lines: dict[str, dict[str, ChartRow]], names: list[str], span: Span, height: float, *, narrow: bool
) -> list[dict[str, object]]:
    """Both ends of every slope, with their words, and where the words lie when pushed apart."""
    points: list[dict[str, object]] = []
    for x, name in enumerate(names):
        present = [(label, line[name]) for label, line in lines.items() if name in line]
        wanted = [height * (1 - span.share(number(row, "minutes"))) for _, row in present]
        for (label, row), middle in zip(present, spread(wanted, height), strict=True):
            points.append(
                {
                    "label": label,
                    "x": x,
                    "minutes": number(row, "minutes"),
                    "at": span.at(1 - middle / height),
                    "kind": _kind(lines[label], names),
                    "word": _word(label, row, x, _change(lines[label], names), narrow=narrow),
                }
            )
    return points


def _kind(line: dict[str, ChartRow], names: list[str]) -> str:
    if len(line) < 2 or not all(row.get("like_for_like") for row in line.values()):
        return "other"
    before, after = (number(line[name], "minutes") for name in names)
    return "faster" if after <= before else "slower"


def _change(line: dict[str, ChartRow], names: list[str]) -> str:
    if _kind(line, names) == "other":
        return ""
    before, after = (number(line[name], "minutes") for name in names)
    return f" ({after / before - 1:+.0%})".replace("-", "−")


def _word(label: str, row: ChartRow, x: int, change: str, *, narrow: bool) -> str:
    count = f" × {int(number(row, 'accelerators'))}" if row.get("accelerators") else ""
    minutes = brief(number(row, "minutes"))
    if narrow:
        return f"{clean(label, 18)}: {minutes}" if x == 0 else f"{minutes}{change}"
    return f"{label}{count}: {minutes}" if x == 0 else f"{minutes}{change} {label}{count}"


def _draw(
    points: list[dict[str, object]], names: list[str], span: Span, look: Theme, width: float
) -> list[alt.Chart]:
    kinds = ["faster", "slower", "other"]
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[look.palette[0], look.palette[1], look.other]),
        legend=None,
    )
    dash = alt.StrokeDash(
        "kind:N", scale=alt.Scale(domain=kinds, range=[[1, 0], [1, 0], [4, 3]]), legend=None
    )
    shape = alt.Shape(
        "kind:N", scale=alt.Scale(domain=kinds, range=["circle", "square", "diamond"]), legend=None
    )
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=None)
    y = alt.Y("minutes:Q", scale=span.scale(), axis=None)
    base = alt.Chart(data(points))
    layers = [
        base.mark_line(strokeWidth=1.6).encode(x, y, color=colour, strokeDash=dash, detail="label:N"),
        base.mark_point(size=36, filled=True, opacity=1).encode(
            x, y, color=colour, shape=shape, tooltip=["label:N", alt.Tooltip("minutes:Q", format=".4")]
        ),
    ]
    layers.append(_leaders(points, x, span, look, width))
    ends: list[tuple[int, Literal["right", "left"], int]] = [(0, "right", -DX), (1, "left", DX)]
    for side, align, dx in ends:
        at = alt.Y("at:Q", scale=span.scale(), axis=None)
        words = alt.Chart(data([p for p in points if p["x"] == side])).mark_text(align=align, dx=dx)
        head = alt.Chart(data([{"x": side, "word": f"Round {names[side]}"}]))
        over = head.mark_text(align=align, dx=dx, dy=-16, fontWeight="bold").encode(
            x, y=alt.value(0), text="word:N"
        )
        layers += [words.encode(x, at, text="word:N"), over]
    return layers


def _leaders(points: list[dict[str, object]], x: alt.X, span: Span, look: Theme, width: float) -> alt.Chart:
    """Thin lines from the end of each slope to its words."""
    rows: list[dict[str, object]] = []
    for i, point in enumerate(points):
        side = number(point, "x", positive=False)
        for away, key in ((6, "minutes"), (DX - 3, "at")):
            rows.append({"i": i, "x": side + (away if side else -away) / width, "at": point[key]})
    at = alt.Y("at:Q", scale=span.scale(), axis=None)
    lines = alt.Chart(data(rows)).mark_line(strokeWidth=0.7, color=look.other)
    leaders: alt.Chart = lines.encode(x, at, detail="i:N")
    return leaders
