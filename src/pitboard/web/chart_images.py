"""Charts of answers as images: `/charts/QUESTION.svg?VALUES&kind=…&theme=dark&width=960`, and `.png`.

`highlight=NVIDIA GB300`, once or more often, leaves colour to what has these words.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import QueryParams

from pitboard.errors import PitboardError, UnknownError
from pitboard.results import questions
from pitboard.results.store import Store
from pitboard.web import asking
from pitboard.web.routes import store_of

if TYPE_CHECKING:
    from pitboard.charts.vega import Spec

router = APIRouter(include_in_schema=False)

Theme = Literal["light", "dark"]

WIDTHS = (400, 960)
_PIXELS = 2  # a point of a PNG
OWN = ("theme", "kind", "width", "highlight")
"""What the address of a chart takes beside its question's options; in the API the kind is called `chart`."""


class NotDrawnError(PitboardError):
    """Why there is an answer and yet nothing to draw of it."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


_EMPTY = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="60" viewBox="0 0 {width} 60">'
    '<text x="0" y="35" fill="#808080" font-family="sans-serif" font-size="14">{sentence}</text></svg>'
)


@router.get("/charts/{question}.svg")
def chart(
    request: Request,
    question: str,
    theme: Theme = "light",
    kind: str = "",
    width: int = 960,
    highlight: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Draw the answer to a question as SVG."""
    image = picture(request, question, kind, theme, width, highlight)
    return Response(image, media_type="image/svg+xml")


@router.get("/charts/{question}.png")
def chart_of_pixels(
    request: Request,
    question: str,
    theme: Theme = "light",
    kind: str = "",
    width: int = 960,
    highlight: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Draw the answer to a question as PNG, for where an SVG cannot be shown."""
    image = picture(request, question, kind, theme, width, highlight)
    return Response(pixels(image), media_type="image/png")


def picture(
    request: Request,
    question: str,
    kind: str,
    theme: Theme,
    width: int = 960,
    highlight: list[str] | None = None,
) -> str:
    """Return the SVG of a chart; what cannot be drawn is said in the image, since a page holds it.

    The request's query has the question's values. Raises `PitboardError` as `image` does of anything else.
    """
    try:
        return image(request, question, kind, theme, width, highlight)
    except NotDrawnError as error:
        return _EMPTY.format(width=width, sentence=escape(str(error)))


def image(
    request: Request, question: str, kind: str, theme: Theme, width: int, highlight: list[str] | None
) -> str:
    """Return the SVG of a chart.

    The request's query has the question's values. Raises `UnknownError` for a chart that there is not,
    `PitboardError` for a width of no chart, `NotDrawnError`, and what the question raises.
    """
    _refuse(width)
    kind = chart_of(question, kind)
    query = values_of(request.query_params.multi_items())
    drawn = _drawn(store_of(request), question, query, kind, width, tuple(highlight or ()))
    if isinstance(drawn, NotDrawnError):
        raise drawn.with_traceback(None)

    from pitboard.charts.theme import in_light

    return in_light(drawn) if theme == "light" else drawn


def specification(
    request: Request, question: str, kind: str, theme: Theme, width: int, highlight: list[str] | None
) -> str:
    """Return the Vega-Lite JSON of a chart; raises as `image` does."""
    _refuse(width)
    query = values_of(request.query_params.multi_items())
    kind = chart_of(question, kind)
    drawn = _composed(store_of(request), question, query, kind, theme, width, highlight or ())

    from pitboard.charts import as_json

    return as_json(drawn)


def _refuse(width: int) -> None:
    if find_spec("vl_convert") is None:
        raise UnknownError("Charts need vl-convert: pip install 'pitboard[charts]'.")
    if width not in WIDTHS:
        raise PitboardError(f"A chart's width is one of {WIDTHS}, not {width}.")


def chart_of(question: str, kind: str) -> str:
    """Return the name of a question's chart, the first where none is named; raises `UnknownError`."""
    known = [chart.name for chart in questions.question(question).charts]
    if not known or (kind and kind not in known):
        raise UnknownError(
            f"There is no chart '{kind:.60}' of '{question}'. It has: {', '.join(known) or 'none'}."
        )
    return kind or known[0]


def pixels(image: str) -> bytes:
    """Return an SVG of ours as PNG."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(image, scale=_PIXELS))


def values_of(query: "list[tuple[str, str]]") -> str:
    """Return a query without what only a chart takes: what its question is asked."""
    return urlencode([(name, value) for name, value in query if name not in (*OWN, "chart")])


# A page asks for it in light and in dark, which differ in colours alone, as SVG and PNG, and to embed it.
@lru_cache(maxsize=32)
def _drawn(
    store: Store, question: str, query: str, kind: str, width: int, highlight: tuple[str, ...]
) -> "str | NotDrawnError":
    """Draw a chart in dark, or say why not; a store that something was added to is another one."""
    from pitboard.charts import svg

    try:
        return svg(_composed(store, question, query, kind, "dark", width, highlight), width)
    except NotDrawnError as error:
        return error


def _composed(
    store: Store, question: str, query: str, kind: str, theme: Theme, width: int, highlight: Sequence[str]
) -> "Spec":
    from pitboard.charts.answers import draw

    answer = asking.ask(store, question, asking.read(question, QueryParams(query)))
    try:
        return draw(answer, kind, theme, width, highlight)
    except PitboardError as error:
        raise NotDrawnError(str(error), error.status) from None
