"""Which file of a static site an address of the application becomes."""

import hashlib
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pitboard.errors import PitboardError

_FILES = (".svg", ".png", ".css", ".js", ".json", ".txt", ".ico", ".xml", ".atom", ".html")

# Pages whose script reads the query.
_ASKED_IN_BROWSER = ("/results", "/compare")
_INSTEAD_OF_API = "/data"


def file_of(address: str) -> str:
    """Name the file of an address: a page is `index.html` in a folder, so that its own links stay short.

    Raises `PitboardError` for an address that would lead out of the site.
    """
    parts = urlsplit(address)
    # Part by part: a quoted slash in a name must not become a folder.
    names = [unquote(part).replace("/", "_") for part in parts.path.split("/") if part]
    if any(name in (".", "..") or "\0" in name for name in names):
        raise PitboardError(f"The site was not written: the address {address} cannot be a file.")
    mark, kind = _query(parts.query)
    if names and names[0] == "api" and len(names) > 1:  # the rows of an answer, as a file to take away
        names[-1] += f"{'-' if mark else ''}{mark}.{kind or 'json'}"
        return "/".join(names)
    if names and PurePosixPath(names[-1]).suffix in _FILES:
        stem, dot, suffix = names[-1].rpartition(".")
        names[-1] = f"{stem}{'-' if mark else ''}{mark}{dot}{suffix}"
        return "/".join(names)
    return "/".join([*names, *([mark] if mark else []), "index.html"])


def _query(query: str) -> tuple[str, str]:
    """Return a mark that stands for a query, and the form that it asks for: `format=csv`."""
    pairs = parse_qsl(query, keep_blank_values=True)
    form = dict(pairs).get("format", "")
    kept = urlencode([(name, value) for name, value in pairs if name != "format"])
    return (hashlib.sha256(kept.encode()).hexdigest()[:12] if kept else ""), form


def asked_of_files(link: str) -> tuple[str, str]:
    """Return the address that a link leads to where a query asks nothing of a server, and what stays of it.

    The table of a round, or of a benchmark of one, has a file of its own; what only a server answers is told
    on the page of the data.
    """
    path, mark, query = link.partition("?")
    if path == "/api" or path.startswith("/api/"):
        return _INSTEAD_OF_API, ""
    if path not in _ASKED_IN_BROWSER:
        return path, ""
    pairs = parse_qsl(query)
    if path == "/results" and [name for name, _ in pairs] in (["round"], ["round", "benchmark"]):
        return "/".join([path, *(quote(value, safe="") for _, value in pairs)]), ""
    return path, mark + query
