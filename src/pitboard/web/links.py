"""Addresses of pages that are about a row of results, and which foreign links a page may have."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, urlencode

from markupsafe import Markup, escape

from pitboard.results.answer import Column
from pitboard.results.schema import Row
from pitboard.text import printable

_MARKED = re.compile(r"https://github\.com/mlcommons/[\w./%+~-]*[\w/%+~-]|`(?P<code>[^`]+)`")
_LINK = Markup('<a href="{0}" rel="noopener">{0}</a>')
_CODE = Markup("<code>{0}</code>")
_REFERENCE = re.compile(r"\d[\d.]*(/[^/]+){3}")
_KEY = ("round", "submitter", "system")


def system_address(round: object, submitter: object, system: object) -> str:
    """Give the address of a system's page."""
    return "/systems/" + "/".join(quote(str(part), safe="") for part in (round, submitter, system))


def result_address(reference: str) -> str:
    """Give the permanent address of a result's page, by its reference."""
    return "/results/" + "/".join(quote(part, safe="") for part in reference.split("/"))


def compare_address(references: Iterable[str], **besides: str) -> str:
    """Give the address that sets results side by side."""
    query = urlencode([*(("r", each) for each in references), *besides.items()], safe="/")
    return f"/compare?{query}" if query else "/compare"


def place(column: Column, row: Row, parameters: Row) -> str | None:
    """Give the address that a cell leads to: of the result, system or benchmark that it names, or `None`.

    `parameters` are the answer's own, for what its rows leave out.
    """
    value = row[column.name]
    if value is None:
        return None
    if column.name == "benchmark":
        return f"/benchmarks/{quote(str(value), safe='')}"
    if _REFERENCE.fullmatch(str(value)):
        return result_address(str(value))
    if column.name == "speedup" and row.get("before") and row.get("after"):
        return compare_address([row["before"], row["after"]])
    names = [row.get(name) or parameters.get(name) for name in _KEY]
    # Where a row names its result or benchmark, that name is the link, and the minutes are not.
    minutes = column.unit == "min" and "reference" not in row and "benchmark" not in row
    if not all(names) or not (column.name == "system" or minutes):
        return None
    return result_address("/".join(map(str, [*names, column.name]))) if minutes else system_address(*names)


def of_chart(question: str, query: str) -> dict[str, str]:
    """Return what a chart leads to, by the query of its image: its figures as files, images, and `embed`."""
    asked = parse_qsl(query)
    kind = dict(asked).get("kind", "")
    values = urlencode([(name, value) for name, value in asked if name not in ("kind", "highlight")])
    begun = f"{values}&" if values else ""
    return {
        "csv": f"/api/{question}?{begun}format=csv",
        "json": f"/api/{question}?{begun}format=json",
        "png": f"/charts/{question}.png?{query}",
        "svg": f"/charts/{question}.svg?{query}&theme=light",
        "embed": f"/embed/{question}/{kind}" + (f"?{values}" if values else ""),
    }


def linked(text: object, *, breaks: bool = False) -> Markup:
    """Escape a text; what it names of MLCommons' public repositories becomes links, `commands` become code.

    No other address becomes a link: a text may be of anybody's making. With `breaks` a line of a heading may
    end within a long name, where its parts do.
    """
    text = printable(str(text))
    plain = _in_long_names if breaks else escape
    parts: list[Markup] = []
    end = 0
    for found in _MARKED.finditer(text):
        shape = _CODE if found["code"] else _LINK
        parts += [plain(text[end : found.start()]), shape.format(found["code"] or found[0])]
        end = found.end()
    return Markup("").join([*parts, plain(text[end:])])


def breakable(text: str) -> Markup:
    """Escape a text, and let a line end after each `_` and `/`."""
    return Markup(str(escape(text)).replace("_", "_<wbr>").replace("/", "/<wbr>"))


def _in_long_names(text: str) -> Markup:
    """Escape a text, and let a line end within names that are longer than a phone is wide."""
    words = re.split(r"(\S{24,})", text)
    return Markup("").join(breakable(each) if at % 2 else escape(each) for at, each in enumerate(words))
