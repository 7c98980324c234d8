"""Writes charts: PNG, SVG, or one HTML file that needs no network."""

from pathlib import Path

import altair as alt

from pitboard.errors import PitboardError
from pitboard.files import write_atomically

PIXELS = 2
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline' "
    "'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:\">"
)


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as SVG text, with every word of the data escaped and no reference to another file."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_json(), allowed_base_urls=[]))


def save(chart: alt.TopLevelMixin, path: Path) -> None:
    """Write a chart by its suffix: `.png` (two pixels a point), `.svg` or `.html`; whole or not at all.

    Raises `PitboardError` for another suffix, or where the file cannot be written.
    """
    makers = {".png": _png, ".svg": lambda c: svg(c).encode(), ".html": _html}
    maker = makers.get(path.suffix.lower())
    if maker is None:
        raise PitboardError(f"Cannot write a chart to {path}: its name must end in .png, .svg or .html.")
    write_atomically(path, maker(chart))


def _png(chart: alt.TopLevelMixin) -> bytes:
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.to_json(), scale=PIXELS, allowed_base_urls=[]))


def _html(chart: alt.TopLevelMixin) -> bytes:
    """One file with the chart's libraries within it.

    `<` is written `\\u003c` in the specification, so that no label can end the script element around it; the
    policy in the head keeps a browser from asking any other machine for anything.
    """
    import vl_convert

    specification = chart.to_json().replace("<", "\\u003c")
    page = str(vl_convert.vegalite_to_html(specification, bundle=True, renderer="svg"))
    return page.replace("<head>", "<head>" + _POLICY, 1).encode()
