"""The JSON API: what the pages show, as data; and a plain page that lists it."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from pitboard.results import questions
from pitboard.results.answer import Answer, as_csv, document
from pitboard.results.question import Option, Question, as_list, is_several, kind_of
from pitboard.web import asking
from pitboard.web.rendering import Page, render
from pitboard.web.routes import store_of

router = APIRouter()

Format = Literal["json", "csv"]

_FORMAT = inspect.Parameter(
    "format",
    inspect.Parameter.KEYWORD_ONLY,
    default="json",
    annotation=Annotated[Format, Query(description="The whole answer as JSON, or its rows as CSV.")],
)
_REFERENCE = "#/components/schemas/{name}"


@router.get("/api", include_in_schema=False)
def documentation(request: Request) -> HTMLResponse:
    """List the endpoints of the OpenAPI document."""
    document = request.app.openapi()
    pages = {f"/api/{name}": f"/questions/{name}" for name in questions.names()}
    endpoints = [
        {"method": method.upper(), "path": path, "page": pages.get(path), **_described(operation)}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return render(request, Page("api.html", {"endpoints": endpoints}))


def _described(operation: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "parameters": operation.get("parameters", []),
    }


@router.get("/api/rules", summary="The rules that a finding can carry")
def rules() -> list[dict[str, str]]:
    """Each rule: its code, title, meaning, reason, and where it is written."""
    from pitboard.compliance.rules import RULES

    return [msgspec.to_builtins(rule) for rule in RULES.values()]


def answer_schemas() -> dict[str, Any]:
    """Give the JSON schemas of an answer and of its parts."""
    return msgspec.json.schema_components([Answer], ref_template=_REFERENCE)[1]


def questions_router() -> APIRouter:
    """Make an address for each question, with the options that it declares."""
    made = APIRouter()
    schema = {"$ref": _REFERENCE.format(name="Answer")}
    for question in questions.declared():
        made.add_api_route(
            f"/api/{question.name}",
            _handler(question),
            name=question.name,
            summary=question.summary,
            description=_about(question),
            response_class=Response,
            responses={200: {"content": {"application/json": {"schema": schema}}}},
        )
    return made


def _about(question: Question) -> str:
    """Say what the answer holds, as one paragraph; what a function raises is a status here."""
    return " ".join((question.ask.__doc__ or "").partition(" Raises `")[0].split())


def _handler(question: Question) -> Callable[..., Response]:
    def handler(request: Request, format: Format = "json", **_: Any) -> Response:
        asking.refuse_foreign(question.name, request.query_params, "format")
        answer = asking.ask(
            store_of(request), question.name, asking.read(question.name, request.query_params)
        )
        if format == "csv":
            return Response(as_csv(answer), media_type="text/csv")
        return Response(msgspec.json.encode(document(answer)), media_type="application/json")

    own = [_parameter(option, question.parameters[option.name]) for option in question.options]
    request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    handler.__signature__ = inspect.Signature([request, *own, _FORMAT])  # type: ignore[attr-defined]
    return handler


def _parameter(option: Option, own: inspect.Parameter) -> inspect.Parameter:
    """Give an option as FastAPI describes and checks it; one of several values may be repeated."""
    kind = own.annotation
    if is_several(own):
        kind = list[int] | None if kind_of(own) == "integer" else list[str] | None
        default = as_list(own.default)
        own = own.replace(default=default)
    return own.replace(
        annotation=Annotated[kind, _described_option(option)], kind=inspect.Parameter.KEYWORD_ONLY
    )


def _described_option(option: Option) -> Any:
    default = f" By default {option.otherwise}." if option.otherwise else ""
    return Query(description=option.help + default)
