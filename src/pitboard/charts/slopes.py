"""Two rounds, a line for each pair of results: who became faster, and what is not like for like."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from pitboard.charts import families
from pitboard.charts.axes import log_span, log_ticks, x_at, x_axis
from pitboard.charts.frame import finish, text_width
from pitboard.charts.rows import ChartRow, brief, number, some, text_of
from pitboard.charts.scaling import ThemeName
from pitboard.charts.theme import NARROW, TEXT, Theme, find_theme
from pitboard.charts.vega import Spec, field, layer, layered
from pitboard.errors import PitboardError
from pitboard.text import clean


class _Pair(NamedTuple):
    """A label's minutes in both rounds, if it is in both, and what is said of the change."""

    label: str
    minutes: tuple[float | None, float | None]
    key: str
    like: bool
    word: str


def rounds(
    rows: Sequence[ChartRow],
    *,
    title: str,
    subtitle: str = "",
    caption: str = "",
    theme: ThemeName = "light",
    highlight: Sequence[str] = (),
    width: int = 720,
) -> Spec:
    """A line for each label from one round to the next, minutes on a logarithmic scale, fastest first.

    A row has `label` (a submitter or an accelerator), `round`, `minutes`, and may have `accelerators` (shown
    behind the label), `accelerator` (its colour and shape), `like_for_like` and `unlike` (in a word, why it
    is not): where it is not true of both rows the line is grey and dashed, and its ends are hollow. There
    must be one row at most for each label and round, and two rounds; a label in one of them is a point.
    `highlight` leaves its colour to the labels that have its words. Raises `PitboardError` otherwise, for a
    number that cannot be drawn, or where nothing is called what `highlight` says.
    """
    look = find_theme(theme)
    names = sorted({text_of(row, "round") for row in some(rows, "result in both rounds")}, key=_order)
    if len(names) != 2:
        raise PitboardError(
            f"A chart of two rounds needs rows of two, not of {len(names)} ({', '.join(names)})."
        )
    pairs = _pairs(rows, names, highlight)
    narrow = width < NARROW
    span = log_span((number(row, "minutes") for row in rows), 0.04)
    longest = max(text_width(pair.label, TEXT) for pair in pairs)
    left = 0 if narrow else min(longest, width * 0.45) + 12
    inner = width - 24 - left - max(text_width(pair.word, TEXT) for pair in pairs) - 14
    axis = x_axis("Time-to-train, minutes (log scale)", log_ticks(span, int(inner / 40)))
    styles = {p.key: families.of_accelerator(p.key) for p in pairs if p.key != families.OTHERS}
    muted = bool(highlight) and any(p.key == families.OTHERS for p in pairs)
    key = families.key(styles, look, "key", width - 24 - left, title="Accelerator", muted=muted)
    key = key if styles else key._replace(legend=None)
    layers = _draw(pairs, field("minutes:Q", scale=span.scale(), axis=axis), key, look, left)
    tall = 36 if narrow else 22
    chart = layered(layers, inner, tall * len(pairs))
    said = " ".join(filter(None, [subtitle, _explained(pairs, names)]))
    return finish(chart, title=title, subtitle=said, caption=caption, theme=look, width=width)


def _explained(pairs: list[_Pair], names: list[str]) -> str:
    said = f"From the upright bar (Round {names[0]}) to the mark (Round {names[1]}); left is faster."
    unlike = any(not pair.like for pair in pairs)
    return said + (" Grey, dashed and hollow: not like for like, or not run anew." if unlike else "")


def _order(name: str) -> tuple[list[int], str]:
    return [int(part) for part in name.lstrip("v").split(".") if part.isdigit()], name


def _pairs(rows: Sequence[ChartRow], names: list[str], highlight: Sequence[str]) -> list[_Pair]:
    """The pairs, the fastest first."""
    lines: dict[str, dict[str, ChartRow]] = defaultdict(dict)
    for row in rows:
        label, name = text_of(row, "label"), text_of(row, "round")
        if name in lines[label]:
            raise PitboardError(
                f"A chart of two rounds has '{label}' twice in round {name}: give one row for each."
            )
        lines[label][name] = row
    accelerators = ((text_of(row, "label"), clean(row.get("accelerator") or "")) for row in rows)
    picked = families.chosen(highlight, accelerators)
    pairs = [_pair(label, line, names, picked) for label, line in lines.items()]
    return sorted(pairs, key=lambda pair: (pair.minutes[1] or pair.minutes[0] or 0.0, pair.label))


def _pair(label: str, line: dict[str, ChartRow], names: list[str], picked: list[str]) -> _Pair:
    last = line.get(names[1]) or line[names[0]]
    before, after = (number(line[name], "minutes") if name in line else None for name in names)
    like = len(line) == 2 and all(row.get("like_for_like") for row in line.values())
    unlike = next((word for row in line.values() if (word := clean(row.get("unlike") or ""))), "")
    word = brief(after or before or 0.0)
    if before and after:
        why = f" ({_change(after / before - 1)})" if like else f", {unlike or 'not like for like'}"
        word = f"{brief(before)} → {brief(after)}{why}"
    else:
        word += f", Round {names[0] if after is None else names[1]} only"
    count = f" × {int(number(last, 'accelerators')):,}" if last.get("accelerators") else ""
    grey = not like or (bool(picked) and label not in picked)
    key = families.OTHERS if grey else families.accelerator(last, label)
    return _Pair(label + count, (before, after), key, like, word)


def _change(share: float) -> str:
    """A change in percent, with a decimal where it is less than one."""
    return f"{share:+.0%}".replace("-", "−") if abs(share) >= 0.0095 else f"{share:+.1%}".replace("-", "−")


def _draw(pairs: list[_Pair], x: Spec, key: families.Key, look: Theme, left: float) -> list[Spec]:
    """Lines with their ends, the labels left of them (or above), and what is said of each at the right."""
    rows: list[dict[str, object]] = [
        {
            "row": place,
            "label": pair.label,
            "minutes": minutes,
            "end": end,
            "key": pair.key,
            "like": pair.like,
            "word": pair.word,
        }
        for place, pair in enumerate(pairs)
        for end, minutes in enumerate(pair.minutes)
        if minutes is not None
    ]
    y = field("row:O", scale={"domain": list(range(len(pairs)))}, axis=None)
    down = 0 if left else 8
    tip = [field("label:N"), field("minutes:Q", format=",.4"), field("word:N")]
    line = {"x": x, "y": y, "color": key.colour, "detail": field("row:N")}
    mark = {"x": x, "y": y, "color": key.colour, "tooltip": tip}
    like, unlike = ([row for row in rows if row["like"] is same] for same in (True, False))
    firsts = [row for row in rows if row["end"] == 0]
    upright = {"orient": "vertical", "thickness": 2, "size": 11, "opacity": 1}
    hollow = {"size": 50, "strokeWidth": 1.5, "fill": look.background, "opacity": 1}
    lines = list({row["row"]: row for row in rows}.values())
    name = {"x": x_at(-8 if left else 0), "y": y, "text": field("label:N")}
    word = {"x": x_at("width"), "y": y, "text": field("word:N")}
    beside = {"align": "right", "limit": left - 8, "dy": 0} if left else {"align": "left", "dy": -8}
    return [
        layer("line", like, line, strokeWidth=2, yOffset=down),
        layer("line", unlike, line, strokeWidth=1.4, strokeDash=[4, 3], yOffset=down),
        layer("tick", firsts, mark, **upright, yOffset=down),
        layer(
            "point",
            [row for row in like if row["end"] == 1],
            mark | {"shape": key.shape},
            size=60,
            filled=True,
            opacity=1,
            yOffset=down,
        ),
        layer("point", [row for row in unlike if row["end"] == 1], mark, **hollow, yOffset=down),
        layer("text", lines, name, **beside),
        layer("text", lines, word, align="left", dx=10, dy=down),
    ]
