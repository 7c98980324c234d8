"""Writes charts: PNG, SVG, or one HTML file that needs no network."""

import re
from base64 import b64encode
from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from string import Template

import msgspec

from pitboard.charts.vega import Spec
from pitboard.errors import PitboardError
from pitboard.files import write_atomically

PIXELS = 2
# The beginning of an SVG: its size, its view box, and its background.
_SIZE = re.compile(r'<svg [^>]*? width="(?P<wide>[\d.]+)"[^>]*><rect width="(?P=wide)"')
_SCRIPT = """
vegaEmbed("#chart", JSON.parse(document.getElementById("specification").textContent), {
  renderer: "svg", actions: {export: true, source: false, compiled: false, editor: false}
});
"""
# Vega compiles its expressions, hence 'unsafe-eval'; its embedding writes a style element.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'sha256-$digest' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:">
<title>Chart</title>
</head>
<body>
<div id="chart"></div>
<script type="application/json" id="specification">$specification</script>
<script type="module">$script</script>
</body>
</html>
""")


def as_json(chart: Spec) -> str:
    """The chart as Vega-Lite's JSON."""
    return msgspec.json.encode(chart).decode()


def svg(chart: Spec, width: int = 0) -> str:
    """The chart as SVG text, with every word of the data escaped and no reference to another file.

    It is at least `width` pixels wide: a reader's font may be wider than the one that it was laid out with,
    and what it says at its right edge would be cut off.
    """
    drawn = _drawn(as_json(chart))
    size = _SIZE.match(drawn)
    if not size or float(size["wide"]) >= width:
        return drawn
    return (
        size[0].replace(f'"{size["wide"]}', f'"{width}').replace(f'"0 0 {size["wide"]} ', f'"0 0 {width} ')
        + drawn[size.end() :]
    )


# A page asks for each chart in light and in dark, which are one drawing: see `theme.in_light`.
@lru_cache(maxsize=16)
def _drawn(specification: str) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))


def save(chart: Spec, path: Path, draw: Callable[[str], bytes | None] | None = None) -> None:
    """Write a chart by its suffix: `.png` (two pixels a point), `.svg` or `.html`; whole or not at all.

    `draw` makes the file's bytes of the Vega-Lite JSON elsewhere; where it gives `None`, they are made here.
    Raises `PitboardError` for another suffix, or where the file cannot be written.
    """
    makers = {".png": _png, ".svg": lambda c: svg(c).encode(), ".html": _html}
    maker = makers.get(path.suffix.lower())
    if maker is None:
        raise PitboardError(f"Cannot write a chart to {path}: its name must end in .png, .svg or .html.")
    write_atomically(path, (draw and draw(as_json(chart))) or maker(chart))


def _png(chart: Spec) -> bytes:
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(as_json(chart), scale=PIXELS, allowed_base_urls=[]))


def _html(chart: Spec) -> bytes:
    """One file with the chart's libraries within it.

    The specification stands in an element that no browser runs, with every `<` escaped so that no label ends
    it. The policy lets only our own script run, and no request go out.
    """
    script = _script()
    digest = b64encode(sha256(script.encode()).digest()).decode()
    specification = as_json(chart).replace("<", "\\u003c")
    return _PAGE.substitute(digest=digest, specification=specification, script=script).encode()


@cache
def _script() -> str:
    """Vega, Vega-Lite and the call that draws, in one script; making it takes about a second."""
    import vl_convert

    return str(vl_convert.javascript_bundle(_SCRIPT))
