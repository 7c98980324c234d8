"""Ranked bars: results from the fastest to the slowest, each with its name and its minutes."""

from collections.abc import Mapping, Sequence

from pitboard.charts import families
from pitboard.charts.axes import Span, x_at, x_axis
from pitboard.charts.frame import finish, text_width
from pitboard.charts.rows import ChartRow, brief, number, optional, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, SMALL, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered
from pitboard.text import clean

MOST = 36
"""So many bars are drawn, shared out among the groups."""


def bars(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    highlight: Sequence[str] = (),
    styles: Mapping[str, families.Style] | None = None,
    most: int = MOST,
    width: int = 720,
) -> Spec:
    """A bar of minutes for each result, from 0, the fastest first, in groups where rows have one.

    A row has `label`, `value` (its minutes), and may have `accelerator` (its colour and shape; by default
    what its label says behind a comma), `note` (a second line under the label), `low` and `high` (the 95 %
    interval of the score), `group` (what may be ranked together: groups keep the order of the rows), `muted`
    (drawn grey: it is context) and `unlike`: why it is not like for like with the others, in a word or two,
    drawn hollow. Of more than `most` bars each group keeps its first. `highlight` leaves colour to the labels
    that have its words; `styles` are those of the letters that labels begin with, in place of the
    accelerators'. Raises `PitboardError` for no rows, for a number that cannot be drawn, or where nothing is
    called what `highlight` says.
    """
    look = find_theme(theme)
    narrow = width < NARROW
    lines = _lines(some(rows, "result with a score"), highlight, most)
    drawn = [line for line in lines if "value" in line]
    noted = any(line["note"] for line in drawn)
    named = [str(line["key"]) for line in drawn if line["key"] != families.OTHERS]
    found = {name: families.of_accelerator(name) for name in named}
    if styles:
        drawn = [line | ({"key": line["label"]} if line["key"] != families.OTHERS else {}) for line in drawn]
        found = families.of_results([str(line["label"]) for line in drawn], styles)
    longest = max(
        max(text_width(str(line["label"]), TEXT), text_width(str(line["note"]), SMALL)) for line in drawn
    )
    names = 0 if narrow else min(longest, width * 0.45) + 8
    muted = any(line["key"] == families.OTHERS for line in drawn)
    key = families.key(found, look, "key", width - 24 - names, title="Accelerator", muted=muted)
    key = key._replace(legend=None) if styles else key
    plot = width - 24 - names - max(text_width(str(line["word"]), TEXT) for line in drawn) - 18
    span = Span(0.0, max(number(line, "end") for line in drawn), log=False)
    axis = x_axis("Time-to-train, minutes", ticks=max(3, int(plot / 80)))
    headings = [line for line in lines if "heading" in line]
    layers = _draw(headings, drawn, (span, axis), key, look, (names, plot))
    tall = 34 if narrow or noted else 21
    chart = layered(layers, plot, tall * len(lines))
    said = " ".join(filter(None, [subtitle, _explained(drawn)]))
    return finish(chart, title=title, subtitle=said, caption=caption, theme=look, width=width)


def _explained(drawn: list[dict[str, object]]) -> str:
    said = []
    if any(line["low"] for line in drawn):
        said.append("Thin line: the 95 % interval of the score.")
    if any(line["hollow"] for line in drawn):
        said.append("Hollow and dashed: not like for like, for the reason beside it.")
    return " ".join(said)


def _lines(rows: Sequence[ChartRow], highlight: Sequence[str], most: int) -> list[dict[str, object]]:
    """The lines of the chart from top to bottom: a heading for each group, and its bars."""
    labels = [(text_of(row, "label"), clean(row.get("accelerator") or "")) for row in rows]
    picked = families.chosen(highlight, labels)
    groups: dict[str, list[ChartRow]] = {}
    for row in rows:
        groups.setdefault(clean(row.get("group") or ""), []).append(row)
    shown = _shares([len(group) for group in groups.values()], most)
    lines: list[dict[str, object]] = []
    for (name, group), count in zip(groups.items(), shown, strict=True):
        if name:
            of = f" (the first {count} of {len(group)})" if count < len(group) else ""
            lines.append({"row": len(lines), "heading": name + of})
        elif count < len(group):
            lines.append({"row": len(lines), "heading": f"The first {count} of {len(group)}"})
        ranked = sorted(group, key=lambda row: number(row, "value"))
        # What is highlighted is shown, however far behind it is.
        for row in [*ranked[:count], *(row for row in ranked[count:] if text_of(row, "label") in picked)]:
            lines.append(_bar(row, len(lines), picked))
    return lines


def _bar(row: ChartRow, place: int, picked: list[str]) -> dict[str, object]:
    label, value = text_of(row, "label"), number(row, "value")
    unlike = clean(row.get("unlike") or "")
    known = bool(row.get("accelerator")) or ", " in label
    grey = bool(row.get("muted")) or (bool(picked) and label not in picked)
    return {
        "row": place,
        "label": label,
        "note": clean(row.get("note") or ""),
        "value": value,
        "low": optional(row, "low"),
        "high": optional(row, "high"),
        "end": max(value, optional(row, "high") or 0),
        "key": families.OTHERS if grey else families.accelerator(row, label) if known else "not stated",
        "hollow": bool(unlike),
        "word": f"{brief(value)}, {unlike}" if unlike else brief(value),
    }


def _shares(sizes: list[int], most: int) -> list[int]:
    """How many each group shows: one at least, then one more in turn until there are `most`, or all."""
    shown = [1] * len(sizes)
    while sum(shown) < min(most, sum(sizes)):
        for place, size in enumerate(sizes):
            if shown[place] < size and sum(shown) < most:
                shown[place] += 1
    return shown


def _draw(
    headings: list[dict[str, object]],
    drawn: list[dict[str, object]],
    along: tuple[Span, Spec],
    key: families.Key,
    look: Theme,
    size: tuple[float, float],
) -> list[Spec]:
    """Bars and their ends; names stand left of them, or above them where they have no room of their own."""
    span, axis = along
    names = size[0]
    x = field("value:Q", scale=span.scale(), axis=axis)
    y = field("row:O", scale={"domain": list(range(len(headings) + len(drawn)))}, axis=None)
    down = 0 if names else 8
    tip = [
        field("label:N"),
        *(field(f"{name}:Q", format=",.4") for name in ("value", "low", "high")),
    ]
    like = [line for line in drawn if not line["hollow"]]
    unlike = [line for line in drawn if line["hollow"]]
    ranged = [line for line in drawn if line["low"] and line["high"]]
    bar = {"x": x, "y": y, "color": key.colour, "tooltip": tip}
    mark = {"x": x, "y": y, "color": key.colour, "shape": key.shape}
    ends = {"x": field("low:Q", scale=span.scale()), "x2": {"field": "high"}, "y": y}
    word = {"x": field("end:Q", scale=span.scale()), "y": y, "text": field("word:N")}
    heading = {"x": x_at(-names), "y": y, "text": field("heading:N")}
    return [
        layer("bar", like, bar, size=12, opacity=0.85, yOffset=down),
        layer("bar", unlike, bar, size=12, filled=False, strokeWidth=1.2, strokeDash=[3, 2], yOffset=down),
        layer("point", drawn, mark, size=60, filled=True, opacity=1, yOffset=down),
        layer("rule", ranged, ends, color=look.background, strokeWidth=4, yOffset=down),
        layer("rule", ranged, ends, color=look.ink, strokeWidth=1.5, yOffset=down),
        layer("text", drawn, word, align="left", dx=9, dy=down),
        layer("text", headings, heading, align="left", fontWeight="bold", dy=down // 2 or 3),
        *_names(drawn, y, look, size),
    ]


def _names(drawn: list[dict[str, object]], y: Spec, look: Theme, size: tuple[float, float]) -> list[Spec]:
    names, plot = size
    if not names:  # above the bar, on one line
        both = [
            line | {"name": " · ".join(filter(None, [str(line["label"]), str(line["note"])]))}
            for line in drawn
        ]
        above = {"x": x_at(0), "y": y, "text": field("name:N")}
        return [layer("text", both, above, align="left", dy=-8, limit=plot + 40)]
    noted = [line for line in drawn if line["note"]]
    # Nothing to see: it keeps the room that the names have with a wider font than the one measured here.
    layers = [layer("point", drawn[:1], {"x": x_at(-names), "y": y}, opacity=0)]
    for chosen, said, dy, size_of_text, colour in (
        ([line for line in drawn if not line["note"]], "label", 0, TEXT, look.ink),
        (noted, "label", -7, TEXT, look.ink),
        (noted, "note", 7, SMALL, look.muted),
    ):
        left = {"x": x_at(-8), "y": y, "text": field(f"{said}:N")}
        font = {"fontSize": size_of_text, "color": colour}
        layers.append(layer("text", chosen, left, align="right", limit=names - 8, dy=dy, **font))
    return layers
