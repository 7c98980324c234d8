"""The results room: published rounds and one's own runs in one store, and the questions it answers.

import pitboard
pitboard.results.table(round="5.1", benchmark="flux1").pl()
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from pitboard.results.questions import names as _names

if TYPE_CHECKING:
    from pitboard.results.answer import Answer as Answer
    from pitboard.results.questions.claims import claims as claims
    from pitboard.results.questions.compare import compare as compare
    from pitboard.results.questions.converge import converge as converge
    from pitboard.results.questions.entries import entries as entries
    from pitboard.results.questions.entry import entry as entry
    from pitboard.results.questions.expect import expect as expect
    from pitboard.results.questions.filters import filters as filters
    from pitboard.results.questions.findings import findings as findings
    from pitboard.results.questions.formats import formats as formats
    from pitboard.results.questions.roster import roster as roster
    from pitboard.results.questions.rounds import rounds as rounds
    from pitboard.results.questions.sanity import sanity as sanity
    from pitboard.results.questions.scale import scale as scale
    from pitboard.results.questions.sql import sql as sql
    from pitboard.results.questions.stack import stack as stack
    from pitboard.results.questions.table import table as table
    from pitboard.results.questions.trend import trend as trend
    from pitboard.results.questions.why import why as why
    from pitboard.results.store import Store as Store

_CLASSES = {"Answer": "answer", "Store": "store"}

# The imports above only tell editors and mypy all parameters; a question that they leave out works as well.
__all__ = [*_CLASSES, *_names()]  # noqa: PLE0604


def __getattr__(name: str) -> "Callable[..., Answer]":
    """Import a question when it is asked for: DuckDB costs more to import than most commands take."""
    if name in _CLASSES:
        home = _CLASSES[name]
    elif name in _names():
        home = f"questions.{name}"
    else:
        raise AttributeError(f"pitboard.results has no {name!r}")
    found: Callable[..., Answer] = getattr(import_module(f"pitboard.results.{home}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_CLASSES, *_names()]
