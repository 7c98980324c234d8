"""The pages' addresses: each handler calls one function that makes a page, and renders it."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from pitboard.results.store import Store
from pitboard.web import compare_page, front_page, pages, result_pages, system_page, table_page
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
    """The table of results; an address that a form made is answered with the one to share."""
    query, swapped = request.query_params, "hx-request" in request.headers
    if compared := table_page.comparison(query):
        if swapped:
            return Response(headers={"hx-redirect": compared, "cache-control": "no-store"})
        return RedirectResponse(compared, 303)
    tidy = table_page.tidy(query)
    address = f"/results?{tidy}" if tidy else "/results"
    if not swapped and urlencode(query.multi_items(), safe="/,") != tidy:
        return RedirectResponse(address, 303)
    response = render(request, *table_page.results(store_of(request), query))
    if swapped:
        response.headers["hx-push-url"] = address
    return response


@router.get("/results/{round}/{submitter}/{system}/{benchmark}")
def result(request: Request, round: str, submitter: str, system: str, benchmark: str) -> HTMLResponse:
    """One result, at its permanent address."""
    page = system_page.result(store_of(request), round, submitter, system, benchmark)
    return render(request, page)


@router.get("/systems/{round}/{submitter}/{system}")
def system(request: Request, round: str, submitter: str, system: str) -> HTMLResponse:
    """One system of one round."""
    return render(request, system_page.system(store_of(request), round, submitter, system))


@router.get("/compare")
def compare(request: Request) -> Response:
    """Up to six results side by side."""
    address = compare_page.tidy(request.query_params)
    if address is not None:
        return RedirectResponse(address, 303)
    return render(request, *compare_page.compare(store_of(request), request.query_params))


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
    highlight = request.query_params.get("highlight", "")
    return render(request, pages.benchmark(store_of(request), name, highlight))


@router.get("/rules")
def rules(request: Request) -> HTMLResponse:
    """What each rule of a finding means."""
    return render(request, pages.rules())
