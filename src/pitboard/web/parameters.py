"""The parameters that an address takes: any other is refused before anything is asked of the store."""

from fastapi import Request

from pitboard.errors import PitboardError, near
from pitboard.results import questions
from pitboard.web.chart_images import OWN as CHART
from pitboard.web.table_page import PARAMETERS

_API_CHART = ("chart", "theme", "width", "highlight")
_PAGES = {"/compare": ("r", "benchmark", "normalise", "a", "b")}


async def refuse_unknown(request: Request) -> None:
    """Raise `PitboardError` where a request names a parameter that its address does not take.

    One that is made up makes an address that no cache has met: each would be drawn anew. This waits for
    nothing, and so needs no thread.
    """
    known = _known(request.url.path)
    if known is None:
        return
    for name in request.query_params:
        if name not in known:
            hint = near(name[:60], known).partition(" Known")[0]
            takes = f": {', '.join(known)}" if known else " none"
            raise PitboardError(f"This address takes no parameter '{name:.60}'.{hint} It takes{takes}.")


def _known(path: str) -> list[str] | None:
    """Return what an address takes, by its name; `None` where it is of a question that there is not."""
    if path == "/results":
        return [
            *{**questions.question("entries").parameters, **questions.question("table").parameters},
            *PARAMETERS,
        ]
    for place, more in (
        ("/questions/", ("highlight",)),
        ("/charts/", CHART),
        ("/embed/", ("theme", "width")),
        ("/api/", ("format",)),
    ):
        if path.startswith(place):
            path = path.rpartition("/")[0] if place == "/embed/" else path
            name, drawn, _ = path.removeprefix(place).partition("/chart.")
            name = name if drawn else name.removesuffix(".svg").removesuffix(".png")
            if name not in questions.names():
                return [] if place == "/api/" else None
            return [*questions.question(name).parameters, *(_API_CHART if drawn else more)]
    for place, name in (("/rounds/", "since"), ("/benchmarks/", "highlight")):
        if path.startswith(place):
            return [name]
    return list(_PAGES.get(path, ()))
