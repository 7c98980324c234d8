"""Static files, read once and served under their content's hash, so that browsers may keep them for good."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Response

router = APIRouter(include_in_schema=False)

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "ico": "image/x-icon",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


class Asset(NamedTuple):
    """A static file: its bytes, its media type, and the address that changes with its content."""

    body: bytes
    media_type: str
    url: str


@cache
def assets() -> dict[str, Asset]:
    """Read the static files by name."""
    found = {}
    for file in files("pitboard.web").joinpath("static").iterdir():
        kind = file.name.rpartition(".")[2]
        if kind in _TYPES:
            body = file.read_bytes()
            mark = hashlib.sha256(body).hexdigest()[:12]
            found[file.name] = Asset(body, _TYPES[kind], f"/static/{mark}/{file.name}")
    return found


def static_url(name: str) -> str:
    """Give the address of a static file; an unknown name is a `KeyError`, a mistake in a template."""
    return assets()[name].url


@router.get("/favicon.ico")
def icon() -> Response:
    """Serve the mark where browsers and others look for it unasked."""
    asset = assets()["favicon.ico"]
    return Response(
        asset.body, media_type=asset.media_type, headers={"cache-control": "public, max-age=86400"}
    )


@router.get("/static/{mark}/{name}")
def static_file(mark: str, name: str) -> Response:
    """Serve a static file under the hash of what it holds now."""
    asset = assets().get(name)
    if asset is None or asset.url != f"/static/{mark}/{name}":
        raise HTTPException(404)
    forever = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(asset.body, media_type=asset.media_type, headers=forever)
