"""The results room: published rounds and one's own runs in one store, and the questions it answers.

import pitboard
pitboard.results.table(round="5.1", benchmark="flux1").pl()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pitboard.results.answer import Answer as Answer
    from pitboard.results.questions.compare import compare as compare
    from pitboard.results.questions.converge import converge as converge
    from pitboard.results.questions.roster import roster as roster
    from pitboard.results.questions.rounds import rounds as rounds
    from pitboard.results.questions.sanity import sanity as sanity
    from pitboard.results.questions.scale import scale as scale
    from pitboard.results.questions.sql import sql as sql
    from pitboard.results.questions.stack import stack as stack
    from pitboard.results.questions.table import table as table
    from pitboard.results.questions.why import why as why
    from pitboard.results.store import Store as Store

QUESTIONS = ("table", "compare", "scale", "converge", "rounds", "why", "stack", "roster", "sanity")
_HOME = {"Answer": "answer", "Store": "store"} | {name: f"questions.{name}" for name in (*QUESTIONS, "sql")}

__all__ = [
    "QUESTIONS",
    "Answer",
    "Store",
    "compare",
    "converge",
    "roster",
    "rounds",
    "sanity",
    "scale",
    "sql",
    "stack",
    "table",
    "why",
]


def __getattr__(name: str) -> Any:
    """Import a question when it is asked for: DuckDB costs more to import than most commands take."""
    if name not in _HOME:
        raise AttributeError(f"pitboard.results has no {name!r}")
    return getattr(import_module(f"pitboard.results.{_HOME[name]}"), name)
