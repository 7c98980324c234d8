"""The parameters that an address takes: any other is refused before anything is asked of the store."""

from fastapi import Request

from pitboard.errors import PitboardError, near
from pitboard.results import questions
from pitboard.web.table_page import PARAMETERS

_CHART = ("theme", "kind", "width", "highlight")
_PAGES = {"/compare": ("r", "benchmark", "normalise", "a", "b")}


def refuse_unknown(request: Request) -> None:
    """Raise `PitboardError` where a request names a parameter that its address does not take.

    One that is made up makes an address that no cache has met: each would be drawn anew.
    """
    known = _known(request.url.path)
    if known is None:
        return
    for name in request.query_params:
        if name not in known:
            hint = near(name, known) if known else " It takes none."
            raise PitboardError(f"This address takes no parameter '{name:.60}'.{hint}")


def _known(path: str) -> list[str] | None:
    """Return what an address takes, by its name; `None` for a question that there is not."""
    if path == "/results":
        return [
            *{**questions.question("entries").parameters, **questions.question("table").parameters},
            *PARAMETERS,
        ]
    for place, more in (("/questions/", ()), ("/charts/", _CHART), ("/embed/", ("theme", "width"))):
        if path.startswith(place):
            path = path.rpartition("/")[0] if place == "/embed/" else path
            name = path.removeprefix(place).removesuffix(".svg").removesuffix(".png")
            return [*questions.question(name).parameters, *more] if name in questions.names() else None
    return ["since"] if path.startswith("/rounds/") else list(_PAGES.get(path, ()))
