"""Asks the results room on behalf of an address: any question that it has, by the options it declares."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import Parameter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict

from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.question import Option, Question, is_several, kind_of
from pitboard.results.store import Store

try:  # here, so that no reader waits for this import
    from pitboard.charts import answers as charts
except ModuleNotFoundError:  # they are an extra
    charts = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from pitboard.results.answer import Answer
    from pitboard.results.question import Chart

Values = dict[str, Any]


class Section(NamedTuple):
    """A part of a page: an answer, or the sentence of why there is none; `query` asks for the same again.

    `highlighted` has what a chart's address says beside that, by the chart's name.
    """

    question: str
    answer: "Answer | None"
    sentence: str
    query: str
    charts: "tuple[Chart, ...]"
    highlighted: Mapping[str, str] = MappingProxyType({})


class Field(NamedTuple):
    """An option in a form: `kind` is that of its value, `choices` the values to choose from, if any.

    `blank` is what choosing none of them is called, "" where that cannot be said.
    """

    option: Option
    kind: str
    required: bool
    value: object
    choices: list[Any]
    blank: str


def fields(store: Store, question: Question, values: Mapping[str, object]) -> list[Field]:
    """Give the form of a question, filled with values."""
    found = []
    for option in question.options:
        own = question.parameters[option.name]
        choices: list[Any] = list(option.choices)
        if option.column:
            sql = f"select distinct {option.column} as value from results where not own and value is not null"
            choices = [row["value"] for row in store.rows(f"{sql} order by value")]
        required = option.name in question.required
        default = None if required else own.default
        blank = "Choose…" if required else option.otherwise or "any" if default is None else ""
        value = values.get(option.name, default)
        found.append(Field(option, kind_of(own), required, value, choices, blank))
    return found


def read(question: str, query: Mapping[str, str]) -> Values:
    """Read a question's values from a query; empty ones, as a form sends them, and foreign ones are left out.

    Raises `UnknownError` for a question that there is not, `PitboardError` for a value of the wrong kind, one
    that is missing, or several where one is taken.
    """
    values: Values = {}
    asked = questions.question(question)
    for each in asked.parameters.values():
        texts = every(query, each.name)
        if texts:
            found = [_value(each, text) for text in texts]
            values[each.name] = found if len(found) > 1 else found[0]
        elif each.name in asked.required:
            raise PitboardError(f"The question '{question}' needs a value for '{each.name}'.")
        if len(texts) > 1 and not is_several(each):
            raise PitboardError(f"'{each.name}' takes one value, and was given {len(texts)}.")
    return values


def every(query: Mapping[str, str], name: str) -> list[str]:
    """Give the texts that a query has under a name, without empty ones, each once."""
    given = query.getlist(name) if isinstance(query, ImmutableMultiDict) else [query.get(name, "")]
    return list(dict.fromkeys(text.strip() for text in given if text.strip()))


def ask(store: Store, question: str, values: Values) -> "Answer":
    """Ask a question. Raises what it raises, `PitboardError` with a sentence."""
    asked = questions.question(question)
    return asked.remote(**values, store=store)


def section(store: Store, question: str, **values: object) -> Section | None:
    """Ask a question for a part of a page, which says why where there is no answer.

    Values that are `None`, or that the question does not take, are left out. `None` for a question that the
    results room does not have.
    """
    if question not in questions.names():
        return None
    names = questions.question(question).parameters
    given = {name: value for name, value in values.items() if value is not None and name in names}
    try:
        return present(store, question, given)
    except PitboardError as error:
        return Section(question, None, str(error), urlencode(given, doseq=True), ())


def present(store: Store, question: str, values: Values) -> Section:
    """Ask a question for a part of a page. Raises what the question raises."""
    answer = ask(store, question, values)
    return Section(question, answer, "", urlencode(values, doseq=True), _drawable(answer))


class Highlight(NamedTuple):
    """What the charts of a page can be asked to highlight: its name, whether it is chosen, and its query."""

    name: str
    chosen: bool
    query: str


def highlighted(
    sections: Sequence[Section | None], chosen: str
) -> tuple[list[Section | None], list[Highlight]]:
    """Return parts of a page with what their charts highlight, and the accelerators or benchmarks to choose.

    A chart that does not have the chosen one stays as it is.
    """
    names: set[str] = set()
    found: list[Section | None] = []
    query = "&" + urlencode({"highlight": chosen})
    for section in sections:
        if not (charts and section and section.answer):
            found.append(section)
            continue
        offered = {chart.name: charts.to_highlight(section.answer, chart) for chart in section.charts}
        names.update(*offered.values())
        lit = {chart: query for chart, each in offered.items() if chosen in each}
        found.append(section._replace(highlighted=lit))
    return found, [Highlight(name, name == chosen, urlencode({"highlight": name})) for name in sorted(names)]


def _drawable(answer: "Answer") -> "tuple[Chart, ...]":
    """Return the charts that the answer has something for."""
    if not charts or not answer.rows:
        return ()
    drawable = []
    for chart in charts.charts_of(answer):
        with suppress(PitboardError):
            chart.data(answer)
            drawable.append(chart)
    return tuple(drawable)


def _value(parameter: Parameter, text: str) -> object:
    kind = kind_of(parameter)
    if kind == "boolean":
        if text.casefold() not in ("1", "true", "yes", "on", "0", "false", "no"):
            raise PitboardError(f"'{parameter.name}' is true or false, not '{text:.60}'.")
        return text.casefold() in ("1", "true", "yes", "on")
    if kind == "integer":
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise PitboardError(f"'{parameter.name}' is a whole number, not '{text:.60}'.")
        return int(text)
    return text
