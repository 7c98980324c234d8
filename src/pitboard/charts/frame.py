"""What surrounds every chart: a title that says what to see, how it was measured, and where it comes from."""

import textwrap
from typing import Literal

from pitboard.charts.theme import SMALL, TEXT, TITLE, Theme, config
from pitboard.charts.vega import SCHEMA, Spec, layer
from pitboard.text import clean

WORDS = 600


# The widest of the sans serif letters that a page may be drawn with (DejaVu's), in parts of their size.
_NARROW, _WIDE, _TALL, _OTHER, _BOLD = 0.36, 0.92, 0.68, 0.6, 1.13


def text_width(text: str, size: float) -> float:
    """About how wide a text is drawn at most, in pixels."""
    return size * sum(
        _NARROW
        if letter in " .,:;'|!()[]ijltf/"
        else _WIDE
        if letter in "mwMW%@×—…"
        else _TALL
        if letter.isupper() or letter.isdigit()
        else _OTHER
        for letter in text
    )


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """A text in lines that fit `width` pixels; at least one line, which may be empty."""
    text = clean(text, WORDS)
    a_letter = text_width(text, size) * (_BOLD if bold else 1) / max(1, len(text))
    # A line may have more wide letters than the whole text.
    return textwrap.wrap(text, max(12, int(0.95 * width / a_letter))) if text else [""]


def finish(
    chart: Spec,
    *,
    title: str,
    subtitle: str,
    caption: str,
    theme: Theme,
    width: float,
) -> Spec:
    """Put a chart under its title and above its caption, in the theme's colours."""
    over = {
        "text": wrap(title, width - 24, TITLE, bold=True),
        "subtitle": wrap(subtitle, width - 24, TEXT) if subtitle else [],
        "fontSize": TITLE,
        "subtitleFontSize": TEXT,
        "subtitlePadding": 5,
        "anchor": "start",
        "frame": "bounds",
        "offset": 16,
    }
    source = {
        "text": wrap(caption, width - 24, SMALL),
        "orient": "bottom",
        "anchor": "start",
        "frame": "bounds",
        "fontSize": SMALL,
        "fontWeight": "normal",
        "color": theme.muted,
        "offset": 10,
    }
    return {
        "$schema": SCHEMA,
        "config": config(theme),
        "autosize": "pad",
        "title": source,
        "vconcat": [chart | {"title": over}],
    }


def haloed(
    rows: list[dict[str, object]],
    channels: Spec,
    theme: Theme,
    align: Literal["left", "right"] = "left",
    dx: float = 9,
    dy: float = 0,
) -> list[Spec]:
    """Two layers of text beside a mark: its halo in the background's colour, then the text itself."""
    beside = {"align": align, "dx": dx if align == "left" else -dx, "dy": dy}
    halo = {"stroke": theme.background, "strokeWidth": 4, "strokeJoin": "round"}
    return [layer("text", rows, channels, **beside, **halo), layer("text", rows, channels, **beside)]
