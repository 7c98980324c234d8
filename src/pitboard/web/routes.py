"""The pages' addresses: each handler calls one function of `pages` and renders what it returned."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pitboard.web import pages
from pitboard.web.rendering import render

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
def front(request: Request) -> HTMLResponse:
    """What the round shows."""
    return render(request, pages.front())


@router.get("/results")
def results(request: Request) -> HTMLResponse:
    """The table of results."""
    return render(request, pages.results())


@router.get("/compare")
def compare(request: Request) -> HTMLResponse:
    """Two results side by side."""
    return render(request, pages.compare())


@router.get("/rounds")
def rounds(request: Request) -> HTMLResponse:
    """The change from round to round."""
    return render(request, pages.rounds())


@router.get("/benchmarks")
def benchmarks(request: Request) -> HTMLResponse:
    """List the benchmarks."""
    return render(request, pages.benchmarks())


@router.get("/benchmarks/{name}")
def benchmark(request: Request, name: str) -> HTMLResponse:
    """One benchmark."""
    return render(request, pages.benchmark(name))


@router.get("/rules")
def rules(request: Request) -> HTMLResponse:
    """What each rule of a finding means."""
    return render(request, pages.rules())
