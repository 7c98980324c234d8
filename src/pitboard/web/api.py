"""The JSON API: what the pages show, as data; and a plain page that lists it."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from pitboard import results
from pitboard.results.answer import Answer, document
from pitboard.web import asking
from pitboard.web.rendering import Page, render
from pitboard.web.routes import store_of

router = APIRouter()

_REFERENCE = "#/components/schemas/{name}"
_RESULT = "A result: ROUND/SUBMITTER/SYSTEM/BENCHMARK"
_MEANINGS = {
    "round": "A round, such as 5.1; the newest unless given",
    "benchmark": "A benchmark, such as llama31_8b",
    "division": "closed or open",
    "accelerator": "An accelerator, such as B200",
    "submitter": "A submitter",
    "accelerators": "The count of accelerators in all nodes",
    "availability": "An availability category, such as Available cloud",
    "a": _RESULT,
    "b": _RESULT,
    "normalise": "Whether to add accelerator-hours, which are not an official metric",
}


@router.get("/api", include_in_schema=False)
def documentation(request: Request) -> HTMLResponse:
    """List the endpoints of the OpenAPI document."""
    document = request.app.openapi()
    endpoints = [
        {"method": method.upper(), "path": path, **_described(operation)}
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


def _question(name: str) -> Callable[..., Response]:
    """Make the handler of a question: its parameters are those of the question itself."""

    def handler(request: Request, **values: Any) -> Response:
        answer = asking.ask(store_of(request), name, values)
        return Response(msgspec.json.encode(document(answer)), media_type="application/json")

    own = [
        each.replace(
            annotation=Annotated[each.annotation, Query(description=_MEANINGS.get(each.name, ""))],
            kind=inspect.Parameter.KEYWORD_ONLY,
        )
        for each in asking.parameters(name)
    ]
    request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    handler.__signature__ = inspect.Signature([request, *own])  # type: ignore[attr-defined]
    return handler


def _add_question(name: str) -> None:
    summary, _, rest = (inspect.getdoc(getattr(results, name)) or name).partition("\n\n")
    schema = {"$ref": _REFERENCE.format(name="Answer")}
    router.add_api_route(
        f"/api/{name}",
        _question(name),
        name=name,
        summary=summary.rstrip("."),
        description=rest,
        response_class=Response,
        responses={200: {"content": {"application/json": {"schema": schema}}}},
    )


for _name in asking.questions():
    _add_question(_name)
