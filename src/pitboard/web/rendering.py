"""Templates to responses. A page is a template, its values and, for htmx, the part of it that changes."""

from functools import cache
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pitboard import __version__
from pitboard.results.find import reference
from pitboard.text import printable
from pitboard.web.addresses import absolute
from pitboard.web.links import (
    breakable,
    compare_address,
    linked,
    of_chart,
    place,
    result_address,
    system_address,
)
from pitboard.web.static import static_url
from pitboard.web.tables import MAX_ROWS, laid

NAVIGATION = (
    ("/", "Round"),
    ("/results", "Results"),
    ("/compare", "Compare"),
    ("/precision", "Precision"),
    ("/claims", "Claims"),
    ("/rounds", "Rounds"),
    ("/benchmarks", "Benchmarks"),
    ("/check", "Check a log"),
    ("/api", "API"),
)

# What needs a server stands on the page of the data instead.
IN_FILES = (*(each for each in NAVIGATION if each[0] not in ("/check", "/api")), ("/data", "Data"))


class Page(NamedTuple):
    """What a function of `pages` returns; `fragment` is the template that htmx swaps in, if any."""

    template: str
    values: dict[str, Any]
    fragment: str | None = None


class _Environment(Environment):
    """Jinja's, but quicker at a row's fields: it would look first for an attribute of that name."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Give what `obj.attribute` means in a template, as Jinja does."""
        if type(obj) is dict and attribute in obj and attribute not in _OF_DICTS:
            return obj[attribute]
        return super().getattr(obj, attribute)


_OF_DICTS = frozenset(dir(dict))


@cache
def environment() -> Environment:
    """Make the templates' environment: everything is escaped, and an unknown name is an error."""
    made = _Environment(
        loader=PackageLoader("pitboard.web"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {
        "static": static_url,
        "navigation": NAVIGATION,
        "version": __version__,
    }
    made.globals |= {
        "in_files": IN_FILES,
        "of_chart": of_chart,
        "place": place,
        "system_address": system_address,
        "result_address": result_address,
        "compare_address": compare_address,
        "reference": reference,
        "laid": laid,
        "most": MAX_ROWS,
    }
    made.filters |= {"printable": lambda value: printable(str(value)), "linked": linked}
    made.filters["number"] = _number
    made.filters["breakable"] = lambda value: breakable(printable(str(value)))
    return made


def compile_templates() -> None:
    """Compile every template now, for a server: else its first readers wait for it."""
    for name in environment().list_templates():
        environment().get_template(name)


def render(request: Request, page: Page, status: int = 200) -> HTMLResponse:
    """Render a page; its fragment alone where htmx asked for it."""
    template = page.template
    if page.fragment and "hx-request" in request.headers:
        template = page.fragment
    query = request.url.query
    text = (
        environment()
        .get_template(template)
        .render(
            path=request.url.path,
            address=f"{request.scope['raw_path'].decode('ascii')}{'?' if query else ''}{query}",
            absolute=lambda address: absolute(request, address),
            previews=[],
            live=not request.app.state.frozen,
            damage=request.app.state.store_handle.damage,
            **page.values,
        )
    )
    return HTMLResponse(text, status)


def _number(value: float | None, decimals: int = 0) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"
