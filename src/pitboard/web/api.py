"""The JSON API: what the pages show, as data; and a plain page that lists it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pitboard.web.rendering import Page, render

router = APIRouter()


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
    import msgspec

    from pitboard.compliance.rules import RULES

    return [msgspec.to_builtins(rule) for rule in RULES.values()]
