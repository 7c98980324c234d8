"""What surrounds every chart: a title that says what to see, how it was measured, and where it comes from."""

import textwrap
from typing import Literal

import altair as alt
import msgspec

from pitboard.charts.theme import SMALL, TEXT, TITLE, Theme, config
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
    chart: alt.LayerChart | alt.Chart | alt.VConcatChart,
    *,
    title: str,
    subtitle: str,
    caption: str,
    theme: Theme,
    width: float,
) -> alt.VConcatChart:
    """Put a chart, which is changed, under its title and above its caption, in the theme's colours."""
    # Set, and below made in one go: each step of composing a chart would copy all of it.
    chart.title = alt.TitleParams(
        wrap(title, width - 24, TITLE, bold=True),
        subtitle=wrap(subtitle, width - 24, TEXT) if subtitle else [],
        fontSize=TITLE,
        subtitleFontSize=TEXT,
        subtitlePadding=5,
        anchor="start",
        frame="bounds",
        offset=16,
    )
    source = alt.TitleParams(
        wrap(caption, width - 24, SMALL),
        orient="bottom",
        anchor="start",
        frame="bounds",
        fontSize=SMALL,
        fontWeight="normal",
        color=theme.muted,
        offset=10,
    )
    return alt.VConcatChart(vconcat=[chart], title=source, autosize="pad", config=alt.Config(**config(theme)))


def haloed(
    rows: list[dict[str, object]], theme: Theme, align: Literal["left", "right"] = "left", dy: float = 0
) -> tuple[alt.Chart, alt.Chart]:
    """Two layers of text beside a mark: its halo in the background's colour, then the text itself."""
    base = alt.Chart(data(rows))
    dx = 9 if align == "left" else -9
    halo = base.mark_text(
        align=align, dx=dx, dy=dy, stroke=theme.background, strokeWidth=4, strokeJoin="round"
    )
    return halo, base.mark_text(align=align, dx=dx, dy=dy)


def data(rows: list[dict[str, object]]) -> alt.InlineData:
    """Rows as inline data: no data frame, no network.

    As one text, which Vega reads as JSON: Altair copies rows at each step of composing a chart.
    """
    text = msgspec.json.encode(rows).decode()
    return alt.InlineData(values=text, format=alt.JsonDataFormat(type="json"))
