"""The same pages as files: asked of the application in this process, with links made relative."""

import asyncio
import html
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urlsplit

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Message

from pitboard.errors import PitboardError
from pitboard.files import scratch
from pitboard.web.feeds import map_of
from pitboard.web.site_files import asked_of_files, file_of

MARK = ".pitboard-site"
"""A file that says that a folder was written by `build`, and may be replaced by it."""

# Our own templates write every attribute in double quotes, and everything else is escaped.
_LINK = re.compile(r'(<[a-z][^<>]*?\s(?:href|src|srcset)=")(/[^"]*)("[^<>]*>)')
_FOLLOWED = "data-static"
# What no page links to, but others ask for.
_UNASKED = ("/404.html", "/robots.txt", "/favicon.ico", "/rounds.atom")
_MISSING = "/404.html"
_NO_JEKYLL = ".nojekyll"  # GitHub Pages would leave out what begins with an underscore


def build(app: FastAPI, folder: Path) -> int:
    """Write every page that the front page leads to into `folder`; give the number of files.

    `app` is made with `frozen=True`. A link with a query is followed where it says `data-static`, or is an
    image; one to the table or the comparison keeps its query, which their script reads, and any other leads
    to the page without the query. The site works from any address and from a disk, but for `404.html`, which
    is shown at any address and so needs to know where the site is. The map of the site is made where `app`
    has the base address. The site is built beside `folder` and then put in its place. Raises `PitboardError`
    for a folder that holds anything else, and for a page that cannot be had.
    """
    folder = folder.absolute()
    _refuse_foreign(folder)
    files = asyncio.run(_crawl(app))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch(folder.parent, f".{folder.name}-") as fresh:
            _write(files, fresh)
            _swap(fresh, folder)
    except OSError as error:
        raise PitboardError(f"Cannot write the site to {folder}: {error.strerror or error}.") from error
    return len(files)


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    empty = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    if not empty and not (folder / MARK).is_file():
        raise PitboardError(
            f"{folder} exists and was not written by `pitboard site build`. Name another, or remove it."
        )


async def _crawl(app: FastAPI) -> dict[str, bytes]:
    base = urlsplit(app.state.base_address).path or "/"
    waiting = [*_UNASKED, "/"]
    seen = set(waiting)
    files = {_NO_JEKYLL: b""}
    pages = []
    while waiting:
        address = waiting.pop()
        kind, body = await _get(app, address)
        if kind.startswith("text/html"):
            text, links = _relative(body.decode(), address, base)
            fresh = set(links) - seen
            waiting += sorted(fresh)
            seen |= fresh
            body = text.encode()
            if not address.startswith(("/embed/", _MISSING)):
                pages.append(address)
        files[file_of(address)] = body
    if app.state.base_address:
        files["sitemap.xml"] = map_of(Request(_scope("/") | {"app": app}), sorted(pages))
    return files


async def _get(app: FastAPI, address: str) -> tuple[str, bytes]:
    """Ask the application for an address, as a server would; give the media type and the body."""
    start: Message = {}
    body: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.append(message.get("body", b""))

    await app(_scope(address), receive, send)
    if start["status"] != 200:
        raise PitboardError(f"The site was not written: its page {address} ended with {start['status']}.")
    return dict(start["headers"]).get(b"content-type", b"").decode(), b"".join(body)


def _scope(address: str) -> dict[str, Any]:
    parts = urlsplit(address)
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": None,
    }


def _relative(text: str, address: str, base: str) -> tuple[str, list[str]]:
    """Make a page's links relative to its own file; give them too, as addresses to ask for.

    Those of the page that stands for a missing one begin with `base`, since it is shown anywhere.
    """
    here = PurePosixPath(file_of(address)).parent
    known: dict[tuple[str, bool], tuple[str, str]] = {}
    links = []

    def rewrite(match: re.Match[str]) -> str:
        before, escaped, after = match.groups()
        link, fragment = urldefrag(html.unescape(escaped))
        kept = before.startswith(("<img", "<source")) or _FOLLOWED in before + after
        if (link, kept) not in known:
            asked, query = (link, "") if kept else asked_of_files(link)
            links.append(asked)
            file = file_of(asked)
            path = quote(base + file if address == _MISSING else os.path.relpath(file, here))
            known[link, kept] = path, html.escape(query)
        path, query = known[link, kept]
        return before + path + query + (f"#{html.escape(fragment)}" if fragment else "") + after

    return _LINK.sub(rewrite, text), links


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (folder / MARK).write_text("Written by `pitboard site build`, which replaces this whole folder.\n")
    folder.chmod(0o755)


def _swap(fresh: Path, folder: Path) -> None:
    """Put the new folder in place of the old one; the old one is back where that fails."""
    if not folder.exists():
        fresh.rename(folder)
        return
    old = fresh.with_name(f"{fresh.name}-old")
    folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
