"""Asks the results room on behalf of an address: any question that it has, by its own parameters."""

import inspect
from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args
from urllib.parse import urlencode

from pitboard import results
from pitboard.errors import PitboardError, UnknownError, near
from pitboard.results.store import Store

try:  # here, so that no reader waits for this import
    from pitboard.charts.answers import kinds
except ModuleNotFoundError:  # the charts are an extra

    def kinds(answer: "Answer") -> list[str]:
        """Name no charts."""
        return []


if TYPE_CHECKING:
    from pitboard.results.answer import Answer

LOCAL = ("sanity",)
"""Questions that read a path of this machine, which no address may name."""

Values = dict[str, Any]


class Section(NamedTuple):
    """A part of a page: an answer, or the sentence of why there is none; `query` asks for the same again."""

    question: str
    answer: "Answer | None"
    sentence: str
    query: str
    charts: list[str]


def questions() -> list[str]:
    """Name the questions that a page or the API may ask."""
    return [name for name in results.QUESTIONS if name not in LOCAL]


def parameters(question: str) -> list[inspect.Parameter]:
    """Give a question's parameters, without the store."""
    signature = inspect.signature(getattr(results, question))
    return [each for each in signature.parameters.values() if each.name != "store"]


def read(question: str, query: Mapping[str, str]) -> Values:
    """Read a question's values from a query; empty ones, as a form sends them, and foreign ones are left out.

    Raises `UnknownError` for a question that there is not, `PitboardError` for a value of the wrong kind or
    one that is missing.
    """
    if question not in questions():
        raise UnknownError(f"There is no question '{question:.60}'.{near(question, tuple(questions()))}")
    values: Values = {}
    for each in parameters(question):
        text = query.get(each.name, "").strip()
        if text:
            values[each.name] = _value(each, text)
        elif each.default is each.empty:
            raise PitboardError(f"The question '{question}' needs a value for '{each.name}'.")
    return values


def ask(store: Store, question: str, values: Values) -> "Answer":
    """Ask a question. Raises what it raises, `PitboardError` with a sentence."""
    answer: Answer = getattr(results, question)(**values, store=store)
    return answer


def section(store: Store, question: str, **values: object) -> Section | None:
    """Ask a question for a part of a page, which says why where there is no answer.

    Values that are `None`, or that the question does not take, are left out. `None` for a question that the
    results room does not have.
    """
    if question not in questions():
        return None
    names = {each.name for each in parameters(question)}
    given = {name: value for name, value in values.items() if value is not None and name in names}
    try:
        return present(store, question, given)
    except PitboardError as error:
        return Section(question, None, str(error), urlencode(given), [])


def present(store: Store, question: str, values: Values) -> Section:
    """Ask a question for a part of a page. Raises what the question raises."""
    answer = ask(store, question, values)
    return Section(question, answer, "", urlencode(values), kinds(answer) if answer.rows else [])


def _value(parameter: inspect.Parameter, text: str) -> object:
    kinds = {*get_args(parameter.annotation), parameter.annotation} - {NoneType}
    if bool in kinds:
        if text.casefold() not in ("1", "true", "yes", "on", "0", "false", "no"):
            raise PitboardError(f"'{parameter.name}' is true or false, not '{text:.60}'.")
        return text.casefold() in ("1", "true", "yes", "on")
    if int in kinds:
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise PitboardError(f"'{parameter.name}' is a whole number, not '{text:.60}'.")
        return int(text)
    return text
