"""Addresses of pages that are about a row of results, and which foreign links a page may have."""

import re
from urllib.parse import quote

from markupsafe import Markup, escape

from pitboard.compliance.layout import printable
from pitboard.results.answer import Column
from pitboard.results.schema import Row

_PUBLIC = re.compile(r"https://github\.com/mlcommons/[\w./%+~-]*[\w/%+~-]")
_KEY = ("round", "submitter", "system")


def system_address(round: object, submitter: object, system: object) -> str:
    """Give the address of a system's page."""
    return "/systems/" + "/".join(quote(str(part), safe="") for part in (round, submitter, system))


def place(column: Column, row: Row, parameters: Row) -> str | None:
    """Give the address that a cell leads to: of the result or system that it names, or `None`."""
    value = row[column.name]
    if value is None:
        return None
    if column.name == "reference" and str(value).count("/") == 3:
        *key, benchmark = str(value).split("/")
        return f"{system_address(*key)}#{quote(benchmark, safe='')}"
    if column.name == "benchmark":
        return f"/benchmarks/{quote(str(value), safe='')}"
    key = [row.get(name) or parameters.get(name) for name in _KEY]
    if not all(key) or not (column.name == "system" or column.unit == "min"):
        return None
    return system_address(*key) + (f"#{quote(column.name, safe='')}" if column.unit == "min" else "")


def linked(text: object) -> Markup:
    """Escape a text, and make what it names of MLCommons' public repositories links; no other address is."""
    text = printable(str(text))
    parts: list[Markup] = []
    end = 0
    for found in _PUBLIC.finditer(text):
        address = escape(found[0])
        parts += [
            escape(text[end : found.start()]),
            Markup('<a href="{0}" rel="noopener">{0}</a>').format(address),
        ]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
