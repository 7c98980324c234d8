"""The JSON API: what the pages show, as data and as pictures; and a plain page that lists it."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from pitboard.results import questions
from pitboard.results.answer import as_csv, document
from pitboard.results.question import Option, Question, as_list, is_several, kind_of
from pitboard.web import asking
from pitboard.web.api_document import content, errors
from pitboard.web.chart_images import WIDTHS, Theme, image, pixels, specification
from pitboard.web.rendering import Page, render
from pitboard.web.routes import store_of

router = APIRouter()

Format = Literal["json", "csv"]
Form = Literal["svg", "png", "json"]

_MOST = 999_999_999
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "array": "several of them may be given",
}
_FORMAT = inspect.Parameter(
    "format",
    inspect.Parameter.KEYWORD_ONLY,
    default="json",
    annotation=Annotated[Format, Query(description="The whole answer as JSON, or its rows as CSV.")],
)


@router.get("/api", include_in_schema=False)
def documentation(request: Request) -> HTMLResponse:
    """List the endpoints of the OpenAPI document."""
    described = request.app.openapi()
    endpoints = [
        _described(method, path, operation)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    return render(request, Page("api.html", {"endpoints": endpoints}))


def _described(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Give what the page says of an operation; that of a question has an example, and a page with a form."""
    name = path.removeprefix("/api/")
    asked = questions.question(name) if name in questions.names() else None
    parameters = operation.get("parameters", [])
    if "/chart." in name:  # it says that it takes those of its question
        own = questions.question(name.partition("/")[0]).parameters
        parameters = [each for each in parameters if each["name"] not in own]
    answer = operation["responses"]["200"]["content"].get("application/json", {}).get("example")
    example = path + ("?" + urlencode(asked.example, doseq=True) if asked and asked.example else "")
    return {
        "method": method.upper(),
        "path": path,
        "id": name.replace("/", "-").replace("{form}", "form"),
        "page": f"/questions/{name}" if asked else None,
        "summary": operation["summary"],
        "description": operation["description"],
        "parameters": [_row(each) for each in parameters],
        "example": example if answer else None,
        "answer": msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() if answer else None,
    }


def _row(parameter: dict[str, Any]) -> dict[str, str]:
    schema = parameter["schema"]
    kind = _TYPES[schema.get("items", schema)["type"]]
    choices = [str(value) for value in schema.get("enum", [])]
    facts = [
        " or ".join(choices) or kind,
        *(["may be repeated"] if schema["type"] == "array" else []),
        *(["needed"] if parameter.get("required") else []),
        *([f"by default {schema['default']}"] if choices and schema.get("default") else []),
    ]
    return {
        "name": parameter["name"],
        "kind": "; ".join(facts),
        "meaning": parameter.get("description", ""),
    }


@router.get(
    "/api/rules",
    summary="The rules that a finding can carry",
    description="Each rule that the check holds logs and submissions against: its code, which never changes, "
    "what it means, why it is there and where it is written.",
    response_class=Response,
    responses={
        200: {
            "description": "The rules.",
            "content": {
                "application/json": {
                    "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Rule"}}
                }
            },
        },
        **errors(400, 503),
    },
)
def rules() -> Response:
    """Give each rule with all its fields."""
    from pitboard.compliance.rules import RULES

    return Response(msgspec.json.encode(list(RULES.values())), media_type="application/json")


def questions_router() -> APIRouter:
    """Make an address for each question and for its charts, with the options that it declares."""
    made = APIRouter()
    for question in questions.declared():
        answers = content("application/json", "Answer") | {"text/csv": {"schema": {"type": "string"}}}
        made.add_api_route(
            f"/api/{question.name}",
            _handler(question),
            name=question.name,
            summary=question.summary,
            description=question.about or f"{question.summary}.",
            response_class=Response,
            responses={
                200: {"description": "The answer.", "content": answers},
                **errors(400, 404, 422, 503),
            },
        )
        if question.charts:
            made.add_api_route(
                f"/api/{question.name}/chart.{{form}}",
                _chart_handler(question),
                name=f"{question.name}_chart",
                summary=f"The same as a chart: {question.name}",
                description=_about_charts(question),
                response_class=Response,
                responses={
                    200: {"description": "The chart.", "content": _PICTURES},
                    **errors(400, 404, 422, 503),
                },
            )
    return made


_PICTURES: dict[str, Any] = {
    "image/svg+xml": {"schema": {"type": "string"}},
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": {"type": "object"}},
}


def _about_charts(question: Question) -> str:
    kinds = "; ".join(f"{chart.name}, {_small(chart.shows)}" for chart in question.charts)
    return (
        f"The answer of /api/{question.name}, to the same parameters beside these, drawn as an SVG or PNG "
        f"image, or as a Vega-Lite specification with its data (json). Charts: {kinds}."
    )


def _small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _handler(question: Question) -> Callable[..., Response]:
    def handler(request: Request, format: Format = "json", **_: Any) -> Response:
        answer = asking.ask(
            store_of(request), question.name, asking.read(question.name, request.query_params)
        )
        if format == "csv":
            return Response(as_csv(answer), media_type="text/csv")
        return Response(msgspec.json.encode(document(answer)), media_type="application/json")

    handler.__signature__ = _signature(question, _FORMAT)  # type: ignore[attr-defined]
    return handler


def _chart_handler(question: Question) -> Callable[..., Response]:
    def handler(
        request: Request,
        form: Form,
        chart: str,
        theme: Theme = "light",
        width: int = 960,
        highlight: list[str] | None = None,
        **_: Any,
    ) -> Response:
        asked = (request, question.name, chart, theme, width, highlight)
        if form == "json":
            return Response(specification(*asked), media_type="application/json")
        drawn = image(*asked)
        if form == "svg":
            return Response(drawn, media_type="image/svg+xml")
        return Response(pixels(drawn), media_type="image/png")

    names = tuple(chart.name for chart in question.charts)
    of_chart = {
        "chart": (Literal[names], names[0], Query(description="Which chart.")),
        "theme": (Theme, "light", Query(description="For a light or for a dark page.")),
        "width": (
            int,
            WIDTHS[-1],
            Query(description="Its width in pixels.", json_schema_extra={"enum": list(WIDTHS)}),
        ),
        "highlight": (list[str] | None, None, Query(description="Leave colour to what has these words.")),
    }
    further = [
        inspect.Parameter(
            "form",
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[Form, Path(description="An image, or the Vega-Lite specification.")],
        ),
        *(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, described]
            )
            for name, (kind, default, described) in of_chart.items()
        ),
    ]
    handler.__signature__ = _signature(question, *further)  # type: ignore[attr-defined]
    return handler


def _signature(question: Question, *further: inspect.Parameter) -> inspect.Signature:
    """Give what FastAPI is to read from the address: the question's options, and what else there is."""
    request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    own = [_parameter(option, question.parameters[option.name]) for option in question.options]
    return inspect.Signature([request, *own, *further])


def _parameter(option: Option, own: inspect.Parameter) -> inspect.Parameter:
    """Give an option as FastAPI describes and checks it; one of several values may be repeated."""
    kind = own.annotation
    number = kind_of(own) == "integer"
    if is_several(own):
        kind = list[Annotated[int, _COUNT]] | None if number else list[str] | None
        own = own.replace(default=as_list(own.default))
    elif number:
        kind = Annotated[kind, _COUNT]
    return own.replace(
        annotation=Annotated[kind, _described_option(option)], kind=inspect.Parameter.KEYWORD_ONLY
    )


_COUNT = Query(ge=0, le=_MOST)


def _described_option(option: Option) -> Any:
    default = f" By default {option.otherwise}." if option.otherwise else ""
    return Query(description=option.help + default)
