"""Errors as pages that say what to do, and as JSON under `/api`."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pitboard.errors import BusyError, PitboardError
from pitboard.web.rendering import Page, render

_SENTENCES = {
    404: "There is no such page. The address may be mistyped, or from another version of Pitboard.",
    405: "This page cannot be asked in that way.",
    500: "Something went wrong in Pitboard itself; the terminal that runs the server shows more.",
}


def install(app: FastAPI) -> None:
    """Add the handlers to the application."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(PitboardError, _pitboard)
    app.add_exception_handler(Exception, _unexpected)


def respond(request: Request, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """Say an error as a page, as the fragment that htmx swaps in, or as `{"error": ...}` under `/api`.

    Where on this machine the store lies is not said.
    """
    response: Response
    sentence = request.app.state.store_handle.without_paths(sentence)
    if request.url.path.startswith("/api/"):
        response = JSONResponse({"error": sentence}, status)
    else:
        values = {"status": status, "phrase": HTTPStatus(status).phrase, "sentence": sentence}
        response = render(request, Page("error.html", values, "_error.html"), status)
    response.headers.update({"cache-control": "no-store", **(headers or {})})
    return response


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    own = error.detail != HTTPStatus(error.status_code).phrase
    sentence = error.detail if own else _SENTENCES.get(error.status_code, error.detail)
    return respond(request, error.status_code, sentence, dict(error.headers or {}))


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors()]
    return respond(request, 422, "The address asks for what cannot be: " + "; ".join(said) + ".")


async def _pitboard(request: Request, error: Exception) -> Response:
    assert isinstance(error, PitboardError)
    headers = {"retry-after": "10"} if isinstance(error, BusyError) else None
    return respond(request, error.status, str(error), headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    logging.getLogger("pitboard.web").error("%s %s", request.method, request.url.path, exc_info=error)
    return respond(request, 500, _SENTENCES[500])
