"""A chart to put into another's page: `/embed/QUESTION/CHART?VALUES`, which alone may be framed."""

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import QueryParams

from pitboard.results.schema import Row
from pitboard.web import asking
from pitboard.web.addresses import absolute
from pitboard.web.chart_images import Theme, chart_of, picture, values_of
from pitboard.web.rendering import Page, render
from pitboard.web.routes import store_of
from pitboard.web.static import assets

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/embed/style.css")
def style() -> Response:
    """The style of an embedded chart, which another's page may load as it loads the chart."""
    asset = assets()["embed.css"]
    return Response(asset.body, media_type=asset.media_type)


@router.get("/embed/{question}/{kind}.svg")
def image(request: Request, question: str, kind: str, theme: Theme = "light", width: int = 960) -> Response:
    """The chart as an image that any page may show."""
    return Response(picture(request, question, kind, theme, width), media_type="image/svg+xml")


@router.get("/embed/{question}/{kind}")
def embedded(request: Request, question: str, kind: str) -> HTMLResponse:
    """The chart with its source and a link to the page that has its figures."""
    kind = chart_of(question, kind)
    query = values_of(request.query_params.multi_items())
    answer = asking.ask(store_of(request), question, asking.read(question, QueryParams(query)))
    page = _page(question, answer.parameters, query, live=not request.app.state.frozen)
    values = {
        "answer": answer,
        "query": query,
        "kind": kind,
        "page": absolute(request, page) or page,
    }
    return render(request, Page("embed.html", values))


def _page(question: str, parameters: Row, query: str, *, live: bool) -> str:
    """Return the page that has a chart's figures; of files, the nearest there is."""
    benchmark = parameters.get("benchmark")
    named = isinstance(benchmark, str)
    if named and (not live or query == f"benchmark={quote(str(benchmark), safe='')}"):
        return f"/{'rounds' if question == 'rounds' else 'benchmarks'}/{quote(str(benchmark), safe='')}"
    return f"/questions/{question}?{query}" if live else "/"
