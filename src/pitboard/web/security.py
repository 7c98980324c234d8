"""Security headers on every response, and the same-origin test for requests that change something."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

EMBEDDED = {
    **{name: value for name, value in HEADERS.items() if name != "x-frame-options"},
    "content-security-policy": _POLICY.replace("frame-ancestors 'none'", "frame-ancestors *"),
    "cross-origin-resource-policy": "cross-origin",
    "access-control-allow-origin": "*",
}
"""What a chart to embed has instead: any page may frame it, and ask for it."""


class SecurityHeaders:
    """ASGI middleware that sets `HEADERS`; the outermost, so that error pages have them too.

    A chart under `/embed/` has `EMBEDDED`; an error in its place has not.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and set the headers as its response starts."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                embedded = scope["path"].startswith("/embed/") and message["status"] in (200, 304)
                MutableHeaders(scope=message).update(EMBEDDED if embedded else HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def is_same_origin(headers: Headers) -> bool:
    """Tell whether a request comes from our own page, or from no page at all (curl, a script).

    Browsers say where a request comes from in Sec-Fetch-Site; those that do not, in Origin (OWASP,
    "Cross-Site Request Forgery Prevention": fetch metadata and origin checks). A page cannot forge either.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")
