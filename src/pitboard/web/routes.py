"""The pages' addresses: each handler calls one function that makes a page, and renders it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from pitboard.results.store import Store
from pitboard.web import front_page, pages, result_pages
from pitboard.web.rendering import render

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def store_of(request: Request) -> Store:
    """Give the store as it is now."""
    store: Store = request.app.state.store_handle.store()
    return store


@router.get("/")
def front(request: Request) -> HTMLResponse:
    """What the newest round shows."""
    return render(request, front_page.front(store_of(request)))


@router.get("/round/{round}")
def round_front(request: Request, round: str) -> HTMLResponse:
    """What one round shows."""
    return render(request, front_page.front(store_of(request), round))


@router.get("/precision")
def precision(request: Request) -> HTMLResponse:
    """Who states which number format in the newest round, and what it cost."""
    return render(request, front_page.precision(store_of(request)))


@router.get("/precision/{round}")
def precision_of_round(request: Request, round: str) -> HTMLResponse:
    """The same of one round."""
    return render(request, front_page.precision(store_of(request), round))


@router.get("/claims")
def claims(request: Request) -> HTMLResponse:
    """What was said in public about the rounds, and what their data say."""
    return render(request, front_page.claims(store_of(request)))


@router.get("/results")
def results(request: Request) -> Response:
    """The table of results."""
    tidy = result_pages.tidy(request.query_params)
    if tidy is not None:
        return RedirectResponse(f"/results?{tidy}" if tidy else "/results", 303)
    return render(request, result_pages.results(store_of(request), request.query_params))


@router.get("/systems/{round}/{submitter}/{system}")
def system(request: Request, round: str, submitter: str, system: str) -> HTMLResponse:
    """One system of one round."""
    return render(request, result_pages.system(store_of(request), round, submitter, system))


@router.get("/compare")
def compare(request: Request) -> HTMLResponse:
    """Two results side by side."""
    return render(request, *result_pages.compare(store_of(request), request.query_params))


@router.get("/rounds")
def rounds(request: Request) -> HTMLResponse:
    """The rounds of every benchmark."""
    return render(request, result_pages.rounds(store_of(request)))


@router.get("/rounds/{benchmark}")
def rounds_of_benchmark(request: Request, benchmark: str) -> HTMLResponse:
    """The change of one benchmark from round to round."""
    since = request.query_params.get("since")
    return render(request, result_pages.rounds_of_benchmark(store_of(request), benchmark, since))


@router.get("/questions/{name}")
def question(request: Request, name: str) -> HTMLResponse:
    """Any question, with the form that it declares."""
    return render(request, *result_pages.any_question(store_of(request), name, request.query_params))


@router.get("/benchmarks")
def benchmarks(request: Request) -> HTMLResponse:
    """List the benchmarks."""
    return render(request, pages.benchmarks(store_of(request)))


@router.get("/benchmarks/{name}")
def benchmark(request: Request, name: str) -> HTMLResponse:
    """One benchmark."""
    return render(request, pages.benchmark(store_of(request), name))


@router.get("/rules")
def rules(request: Request) -> HTMLResponse:
    """What each rule of a finding means."""
    return render(request, pages.rules())
