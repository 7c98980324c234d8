"""Make the pictures of the pages that are not SVG: `favicon.ico` and the card of pages without a chart.

    python tools/web_pictures.py

Both are drawn from `mark.svg`; run it again when that changes.
"""

import struct
from pathlib import Path

import vl_convert

STATIC = Path(__file__).parents[1] / "src" / "pitboard" / "web" / "static"
SIZES = (16, 32, 48)
_OF_MARK = 64

CARD = """<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="630" viewBox="0 0 1200 630">
<rect width="1200" height="630" fill="#0c0e12"/><rect y="618" width="1200" height="12" fill="#ffd21f"/>
<g transform="translate(80 165) scale(4.4)">{mark}</g>
<g font-family="Liberation Sans, Arial, sans-serif" fill="#f4f5f7">
<text x="430" y="300" font-size="110" font-weight="700">Pitboard</text>
<text x="434" y="372" font-size="42" fill="#aeb4bf">MLPerf Training results,</text>
<text x="434" y="426" font-size="42" fill="#aeb4bf">compared like for like</text>
</g></svg>"""


def icon(mark: str) -> bytes:
    """Return an icon file that holds the mark as a PNG of each size."""
    images = [bytes(vl_convert.svg_to_png(_sized(mark, size))) for size in SIZES]
    place = 6 + 16 * len(images)
    head = struct.pack("<HHH", 0, 1, len(images))
    for size, image in zip(SIZES, images, strict=True):
        head += struct.pack("<BBBBHHII", size, size, 0, 0, 1, 32, len(image), place)
        place += len(image)
    return head + b"".join(images)


def card(mark: str) -> bytes:
    """Return the card as PNG."""
    inner = mark[mark.index(">") + 1 : mark.rindex("</svg>")]
    return bytes(vl_convert.svg_to_png(CARD.format(mark=inner)))


def _sized(mark: str, size: int) -> str:
    return mark.replace("<svg ", f'<svg width="{size}" height="{size}" ', 1)


if __name__ == "__main__":
    drawn = (STATIC / "mark.svg").read_text()
    (STATIC / "favicon.ico").write_bytes(icon(drawn))
    (STATIC / "card.png").write_bytes(card(drawn))
