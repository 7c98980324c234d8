"""The questions, one module each, which defines the function and declares it as `QUESTION`."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from pitboard.errors import UnknownError, near

if TYPE_CHECKING:
    from pitboard.results.question import Question


def names() -> list[str]:
    """Return the questions' names in alphabetical order; imports none of them."""
    return list(_names(tuple(__path__)))


@cache  # a page asks several times, and each would read the folder
def _names(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in iter_modules(path)))


def question(name: str) -> "Question":
    """Import a question. Raises `UnknownError` for a name that no question has, with the nearest."""
    if name not in names():
        raise UnknownError(f"There is no question '{name:.60}'.{near(name, names())}")
    declared: Question = import_module(f"{__name__}.{name}").QUESTION
    return declared


def declared() -> "list[Question]":
    """Import all questions; return them in the order in which they are listed."""
    return sorted(map(question, names()), key=lambda each: (each.order, each.name))
