"""The page to drop a log or an archive on, and the same as JSON."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any, BinaryIO

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from pitboard.errors import BusyError, PitboardError
from pitboard.web.api_document import content, errors
from pitboard.web.checking import AT_ONCE, Places, judge_upload
from pitboard.web.errors import respond
from pitboard.web.rendering import Page, render
from pitboard.web.security import is_same_origin

MAX_UPLOAD_BYTES = 64 << 20
_FORM_BYTES = 64 << 10  # what a multipart form adds around its file
_UPLOAD_SECONDS = 120
_PIECE_SECONDS = 10
_LEAST_BYTES_A_SECOND = 16 << 10
_RECEIVED_AT_ONCE = 16
_DRAIN_SECONDS = 20

router = APIRouter()
# Whoever sends slowly holds none of the places where uploads are checked.
_receiving = Places(_RECEIVED_AT_ONCE)
_places = Places(AT_ONCE)


class _TooLargeError(Exception):
    """The body holds more than an upload may."""


class _Body:
    """The body of a request, counted as it is read: a Content-Length is only good for refusing earlier.

    One that comes slower than any connection needs to be is given up with `TimeoutError`: nobody within the
    first ten seconds, then who has sent less than 16 KiB a second, and whoever sends nothing for ten.
    """

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._declared = request.headers.get("content-length", "")
        self._ended = False
        self._begun = time.monotonic()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the body; raises `_TooLargeError` as soon as it is too large."""
        allowed = MAX_UPLOAD_BYTES + _FORM_BYTES
        if self._declared.isdecimal() and int(self._declared) > allowed:
            raise _TooLargeError
        count = 0
        while not self._ended:
            async with asyncio.timeout(_PIECE_SECONDS):
                piece = await self._next()
            count += len(piece)
            if time.monotonic() - self._begun > _PIECE_SECONDS + count / _LEAST_BYTES_A_SECOND:
                raise TimeoutError
            if count > allowed:
                raise _TooLargeError
            yield piece

    async def drain(self) -> None:
        """Read on for a while: a browser shows an answer only once it could send most of its body."""
        count = 0
        with contextlib.suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._ended and count < 4 * MAX_UPLOAD_BYTES:
                    count += len(await self._next())

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body


@router.get("/check", include_in_schema=False)
def check_form(request: Request) -> HTMLResponse:
    """Show the form."""
    return render(request, Page("check.html", {"verdict": None, "max_mib": MAX_UPLOAD_BYTES >> 20}))


@router.post("/check", include_in_schema=False)
async def check_upload(request: Request) -> Response:
    """Check the upload and show the verdict; htmx gets the verdict alone."""
    verdict = await _verdict(request)
    if isinstance(verdict, Response):
        return verdict
    values = {"verdict": verdict, "max_mib": MAX_UPLOAD_BYTES >> 20}
    return _unkept(render(request, Page("check.html", values, "_verdict.html")))


@router.post(
    "/api/check",
    summary="Check and score a log or an archive",
    description="Was the race fair, and what is its score? Send one log, or a result, a submission or a "
    "round as an archive, in the field file of a multipart form. The verdict is that of `pitboard check "
    "--format json`, with the name of the file and the scores of `pitboard score --format json` beside it. "
    "At most 64 MiB, 1 GiB unpacked, 20,000 files, 30 seconds; nothing is kept.",
    responses={
        200: {"description": "The verdict.", "content": content("application/json", "Report")},
        **errors(400, 403, 408, 413, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {"file": {"type": "string", "format": "binary"}},
                    }
                }
            },
        },
    },
)
async def check_as_json(request: Request) -> Response:
    """Check the upload and give the verdict as the command does, with its name and scores."""
    verdict = await _verdict(request)
    if isinstance(verdict, Response):
        return verdict
    return _unkept(JSONResponse(document(verdict)))


def document(verdict: dict[str, Any]) -> dict[str, Any]:
    """Return a verdict as `pitboard check --format json` has it, with the file's name and the scores."""
    return {"name": verdict["name"], **verdict["report"], "scores": verdict["scores"]}


async def _verdict(request: Request) -> dict[str, Any] | Response:
    """Receive and judge an upload, or give the response that refuses it."""
    if not is_same_origin(request.headers):
        return respond(request, 403, "This upload came from a page of another site, and was not read.")
    body = _Body(request)
    try:
        async with _receiving.take():
            return await _receive_and_judge(request, body)
    except BusyError as error:
        await body.drain()
        return respond(request, error.status, str(error), {"retry-after": "10"})
    except _TooLargeError:
        await body.drain()
        sentence = f"An upload may hold {MAX_UPLOAD_BYTES >> 20} MiB at most. Use `pitboard check` for more."
        return respond(request, 413, sentence, {"connection": "close"})
    except (TimeoutError, ClientDisconnect):
        return respond(request, 408, "The upload took too long.", {"connection": "close"})
    except (MultiPartException, PitboardError) as error:
        return respond(request, 422, getattr(error, "message", None) or str(error))


async def _receive_and_judge(request: Request, body: _Body) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().casefold() != "multipart/form-data":
        raise PitboardError("Expected a multipart form with one file in its field 'file'.")
    form = MultiPartParser(request.headers, body.pieces(), max_files=1, max_fields=1)
    # The file is spooled without a name: the system removes it even when this process is killed.
    form.spool_max_size = 1
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            fields = await form.parse()
    except (LookupError, ValueError) as error:
        raise PitboardError("The form's character set cannot be read: leave out charset.") from error
    try:
        upload = fields.get("file")
        if not isinstance(upload, UploadFile) or not upload.filename or not upload.size:
            raise PitboardError("No file came with the form, or an empty one. Choose a log or an archive.")
        async with _places.take():
            return await judge_upload(_rolled(upload), upload.filename.replace("\0", ""))
    finally:
        await fields.close()


def _rolled(upload: UploadFile) -> BinaryIO:
    """Give the file itself, on disk, for another process to read from its start."""
    upload.file.rollover()  # type: ignore[attr-defined]
    upload.file.seek(0)
    return upload.file


def _unkept(response: Response) -> Response:
    response.headers["cache-control"] = "no-store"
    return response
