"""Absolute addresses of pages: for previews, feeds, the map of the site, and charts in others' pages."""

from urllib.parse import quote, urlsplit

from fastapi import Request

from pitboard.errors import PitboardError
from pitboard.web.site_files import asked_of_files, file_of


def base_address(text: str | None) -> str:
    """Return the base address of a site with a slash at its end, "" for none.

    Raises `PitboardError` for what is no such address.
    """
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment or parts.username or not text.isascii():
        raise PitboardError(
            f"'{text:.200}' is no base address: expected one such as https://example.org/pitboard/."
        )
    return text.rstrip("/") + "/"


def at_root(text: str | None) -> str:
    """Return the base address of a server, whose pages name each other from the root of their host.

    Raises `PitboardError` for an address below that, or for none.
    """
    base = base_address(text)
    if urlsplit(base).path not in ("", "/"):
        raise PitboardError(
            f"The pages of a server are at the root of their host, not below it, as in {base:.200}: give it a"
            " host name of its own, or build a static site."
        )
    return base


def base_of(request: Request) -> str:
    """Return the base address of the site: the one it was given, or the one that a server is asked by.

    "" for files that were not told where they will be.
    """
    given: str = request.app.state.base_address
    return given or ("" if request.app.state.frozen else str(request.base_url))


def absolute(request: Request, address: str) -> str:
    """Return an address of the site, such as `/rounds`, with its base; "" where that is not known."""
    base = base_of(request)
    if not base:
        return ""
    return base + (in_files(address) if request.app.state.frozen else address.removeprefix("/"))


def in_files(address: str) -> str:
    """Return the address that a server of files gives to what `address` is in the application."""
    path, query = asked_of_files(address)
    name = file_of(path)
    folder, _, last = name.rpartition("/")
    if last == "index.html":
        name = f"{folder}/" if folder else ""
    return quote(name) + query
