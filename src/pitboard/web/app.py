"""The application: routes and error pages in FastAPI; headers, host check and cache around it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from pitboard import __version__
from pitboard.errors import PitboardError
from pitboard.web import api, chart_images, check_page, embed, errors, feeds, routes, static, static_pages
from pitboard.web.api_document import complete
from pitboard.web.cache import PageCache
from pitboard.web.parameters import refuse_unknown
from pitboard.web.security import SecurityHeaders
from pitboard.web.store_handle import StoreHandle

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class _Application(FastAPI):
    """FastAPI whose last-resort error page gets the headers too, which its own middleware would miss."""

    def __init__(self, hosts: Sequence[str], version: Callable[[], str]) -> None:
        super().__init__(
            title="Pitboard",
            version=__version__,
            description="MLPerf Training results compared like for like, and a check of logs. Every question "
            "has an address; a parameter that it does not take is an error, and an error is a sentence.",
            openapi_url="/api/openapi.json",
            docs_url=None,
            redoc_url=None,
        )
        self._hosts = hosts
        self._version = version

    def openapi(self) -> dict[str, Any]:
        """Describe the API, with the shapes of answers, which FastAPI cannot read from it, and examples."""
        with suppress(PitboardError):  # of a damaged store: then without examples
            return complete(super().openapi(), self.state.store_handle.store())
        return complete(super().openapi(), None)

    def build_middleware_stack(self) -> ASGIApp:
        inner = super().build_middleware_stack()
        cached = PageCache(inner, self._version, packs=not self.state.frozen)
        return SecurityHeaders(TrustedHostMiddleware(cached, self._hosts, www_redirect=False))


def create_app(
    store: Path | None = None,
    hosts: Sequence[str] = (),
    *,
    frozen: bool = False,
    base_address: str = "",
    rounds: Sequence[str] = (),
) -> FastAPI:
    """Make the application over a store of results (`None` for the default one).

    `hosts` are names beside this machine's own (`localhost`, `127.0.0.1`, `[::1]`) that a request's Host
    header may have; any other is refused, so that a foreign page cannot reach the server by rebinding its
    name in the DNS. `frozen` makes the pages of a static site: without forms, which need a server.
    `base_address` is where readers find the site, for what must say it whole; its host is one of `hosts`.
    `rounds` are the only ones shown, if given.
    """
    handle = StoreHandle(store, frozen=frozen, rounds=rounds)
    own = urlsplit(base_address).hostname
    app = _Application([*LOCAL_HOSTS, *hosts, *([own] if own else [])], lambda: handle.version)
    app.state.store_handle = handle
    app.state.frozen = frozen
    app.state.base_address = base_address
    errors.install(app)
    if frozen:  # first: some pages are others where they are files
        app.include_router(static_pages.router, dependencies=[Depends(refuse_unknown)])
    for router in (
        *(routes.router, chart_images.router, api.router, embed.router, feeds.router),
        *(api.questions_router(), check_page.router),
    ):
        app.include_router(router, dependencies=[Depends(refuse_unknown)])
    app.include_router(static.router)
    return app
