"""Charts of answers as SVG images: `/charts/<question>.svg?<its values>&kind=…&theme=dark&width=960`.

`highlight=NVIDIA GB300`, once or more often, leaves colour to what has these words.
"""

from typing import Annotated, Literal
from xml.sax.saxutils import escape

from fastapi import APIRouter, Query, Request, Response

from pitboard.errors import PitboardError, UnknownError
from pitboard.results import questions
from pitboard.web import asking
from pitboard.web.routes import store_of

router = APIRouter(include_in_schema=False)

_WIDTHS = (400, 960)
_EMPTY = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="60" viewBox="0 0 {width} 60">'
    '<text x="0" y="35" fill="#808080" font-family="sans-serif" font-size="14">{sentence}</text></svg>'
)


@router.get("/charts/{question}.svg")
def chart(
    request: Request,
    question: str,
    theme: Literal["light", "dark"] = "light",
    kind: str = "",
    width: int = 960,
    highlight: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Draw the answer to a question; what cannot be drawn is said in the image, since a page holds it."""
    try:
        from pitboard.charts import svg
        from pitboard.charts.answers import draw
        from pitboard.charts.theme import in_light
    except ModuleNotFoundError as error:
        raise UnknownError("Charts need Altair: pip install 'pitboard[charts]'.") from error
    if width not in _WIDTHS:
        raise PitboardError(f"A chart's width is one of {_WIDTHS}, not {width}.")
    known = [chart.name for chart in questions.question(question).charts]
    if not known or (kind and kind not in known):
        raise UnknownError(
            f"There is no chart '{kind:.60}' of '{question}'. It has: {', '.join(known) or 'none'}."
        )
    answer = asking.ask(store_of(request), question, asking.read(question, request.query_params))
    try:
        image = svg(draw(answer, kind or None, "dark", width, highlight or ()))
        image = in_light(image) if theme == "light" else image
    except PitboardError as error:
        image = _EMPTY.format(width=width, sentence=escape(str(error)))
    return Response(image, media_type="image/svg+xml")
