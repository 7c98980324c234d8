"""Pages kept in memory, ready to send: rendering is slow and the store seldom changes."""

import asyncio
import gzip
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pitboard.errors import BusyError
from pitboard.web.turns import Turns

MAX_BYTES = 64 << 20
_MAX_QUERY_BYTES = 4096
_MOST_WAITING = 64
_QUESTIONS_OF_STRANGERS = 2  # wait for processes of their own, so many at once
_MIN_GZIP_BYTES = 512
_GZIP_LEVEL = 6
_NOT_MODIFIED = ("cache-control", "content-location", "date", "etag", "expires", "vary", "set-cookie")

Key = tuple[object, ...]


class Page(NamedTuple):
    """A response to keep; `packed` is the body compressed, `None` where that saves nothing."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    packed: bytes | None

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.body) + len(self.packed or b"") + sum(len(n) + len(v) for n, v in self.headers) + 500


class PageCache:
    """ASGI middleware that keeps successful GET responses, the least recently used given up first.

    A page's key is its host, path, query (sorted by name; the order of one name's values stays) and whether
    htmx asked, together with the store's version; so no other request can be answered with it. Adds ETag,
    gzip (unless `packs` is false, where nobody asks for it), 304 and `Server-Timing`. A response that says
    `no-store` or sets a cookie is passed through.
    """

    def __init__(
        self, app: ASGIApp, version: Callable[[], str], max_bytes: int = MAX_BYTES, *, packs: bool = True
    ) -> None:
        self._app = app
        self._version = version
        self._max_bytes = max_bytes
        self._packs = packs
        self._pages: OrderedDict[Key, Page] = OrderedDict()
        self._bytes = 0
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        cores = os.cpu_count() or 1
        # Drawing takes seconds of a processor: charts leave one to pages.
        self._charts = Turns(max(1, cores // 2), _MOST_WAITING)
        self._others = Turns(cores + _QUESTIONS_OF_STRANGERS, _MOST_WAITING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or ask the application and keep what it says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        except BusyError as error:
            headers = {"retry-after": "10", "cache-control": "no-store"}
            await PlainTextResponse(str(error), error.status, headers)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        key = self._key(scope)
        page = None if key is None else self._get(key)
        outcome = "miss" if page is None else "hit"
        if key is not None and page is None:
            # Readers who ask at once for a page that is not there yet wait for the first one's.
            lock = self._locks.setdefault(key, asyncio.Lock())
            async with lock:
                page = self._get(key)
                if page is None:
                    async with self._turns(scope).take():
                        page = await self._render(scope, receive, timed(send, begun, "pass"))
                    if page is None:
                        return
                    self._put(key, page)
        if page is None:
            if scope["method"] not in ("GET", "HEAD"):  # an upload has bounds of its own
                await self._app(scope, receive, timed(send, begun, "pass"))
                return
            async with self._turns(scope).take():
                await self._app(scope, receive, timed(send, begun, "pass"))
            return
        await _respond(page, scope, timed(send, begun, outcome))

    def _turns(self, scope: Scope) -> Turns:
        drawn = scope["path"].startswith(("/charts/", "/embed/")) or "/chart." in scope["path"]
        return self._charts if drawn else self._others

    def _key(self, scope: Scope) -> Key | None:
        if scope["method"] not in ("GET", "HEAD") or len(scope["query_string"]) > _MAX_QUERY_BYTES:
            return None
        # surrogateescape: two queries that differ in bytes must not become the same text.
        text = scope["query_string"].decode("latin-1")
        query = parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
        headers = Headers(scope=scope)
        return (
            self._version(),
            headers.get("host", "").lower(),
            scope["path"],
            tuple(sorted(query, key=lambda pair: pair[0])),
            "hx-request" in headers,
        )

    def _get(self, key: Key) -> Page | None:
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def _put(self, key: Key, page: Page) -> None:
        if page.size > self._max_bytes // 8:
            return
        self._pages[key] = page
        self._bytes += page.size
        while self._bytes > self._max_bytes:
            self._bytes -= self._pages.popitem(last=False)[1].size

    async def _render(self, scope: Scope, receive: Receive, send: Send) -> Page | None:
        """Ask the application; give a page to keep, or `None` where the response is already passed on."""
        start: Message = {}
        body: list[bytes] = []
        keep = True

        async def collect(message: Message) -> None:
            nonlocal start, keep
            if message["type"] == "http.response.start":
                keep = message["status"] == 200 and _may_keep(Headers(raw=message["headers"]))
                start = message
            if not keep:
                await send(message)
            elif message["type"] == "http.response.body":
                body.append(message.get("body", b""))

        # A HEAD is answered from the page that a GET would get.
        await self._app({**scope, "method": "GET"}, receive, collect)
        if not start or not keep:
            return None
        return await asyncio.to_thread(_page, start["headers"], b"".join(body), packs=self._packs)


def _may_keep(headers: Headers) -> bool:
    return "set-cookie" not in headers and "no-store" not in headers.get("cache-control", "")


def _page(raw: list[tuple[bytes, bytes]], body: bytes, *, packs: bool) -> Page:
    headers = MutableHeaders(raw=list(raw))
    del headers["content-length"]
    headers.setdefault("cache-control", "no-cache")
    headers["vary"] = "Accept-Encoding, HX-Request"
    # Weak: it names the content, packed or not.
    headers["etag"] = f'W/"{hashlib.sha256(body).hexdigest()[:24]}"'
    long = packs and len(body) >= _MIN_GZIP_BYTES
    packed = gzip.compress(body, _GZIP_LEVEL, mtime=0) if long else body
    return Page(headers.raw, body, packed if len(packed) < len(body) else None)


async def _respond(page: Page, scope: Scope, send: Send) -> None:
    asked = Headers(scope=scope)
    headers = MutableHeaders(raw=list(page.headers))
    tags = [tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")]
    if headers["etag"].removeprefix("W/") in tags or "*" in tags:
        for name in set(headers) - set(_NOT_MODIFIED):
            del headers[name]
        await send({"type": "http.response.start", "status": 304, "headers": headers.raw})
        await send({"type": "http.response.body", "body": b""})
        return
    body = page.body
    if page.packed is not None and _accepts_gzip(asked.get("accept-encoding", "")):
        body = page.packed
        headers["content-encoding"] = "gzip"
    headers["content-length"] = str(len(body))
    await send({"type": "http.response.start", "status": 200, "headers": headers.raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, quality = part.replace(" ", "").partition(";q=")
        if coding in ("gzip", "*"):
            return quality.strip("0.") != "" or quality == ""
    return False


def timed(send: Send, begun: float, outcome: str) -> Send:
    """Add `Server-Timing`: milliseconds from `begun` to the response's start, and the cache's part."""

    async def send_timed(message: Message) -> None:
        if message["type"] == "http.response.start":
            spent = (time.perf_counter() - begun) * 1000
            value = f'total;dur={spent:.3f}, cache;desc="{outcome}"'
            MutableHeaders(scope=message)["server-timing"] = value
        await send(message)

    return send_timed
