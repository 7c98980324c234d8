"""How a question to the results is declared: once, in its own module, for everything that asks it.

The Python API, the JSON API, the command, the page with its form and the table in docs/results.md are made
from the declaration. An option's type and default are those of the function's own parameter.
"""

import inspect
from collections.abc import Callable
from functools import cache, partial
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import msgspec

from pitboard.results.answer import Answer

Data = Callable[[Answer], dict[str, Any]]
Kind = Literal["text", "integer", "number", "boolean"]

Several = str | list[str] | None
"""The type of an option that may be given several times, and then takes what any of its values names."""

SeveralNumbers = int | list[int] | None
"""The same of whole numbers."""

_KINDS: dict[type, Kind] = {bool: "boolean", int: "integer", float: "number", str: "text"}


class Option(msgspec.Struct, frozen=True):
    """What a question can be told. `help` is one sentence; `argument` makes it positional in the command.

    `otherwise` says what holds where it is not given. A form offers `choices`, or the values that `column` of
    the store's results has; without either it takes any text, of several `lines` where that is its nature.
    The command knows it by the name `also`, too. `names` says what of the store a text names, "results".
    """

    name: str
    help: str
    otherwise: str = ""
    argument: bool = False
    choices: tuple[str, ...] = ()
    column: str = ""
    lines: int = 1
    also: str = ""
    names: Literal["", "results"] = ""

    @property
    def label(self) -> str:
        """The name as a form shows it."""
        return self.name.capitalize()


class Chart(msgspec.Struct, frozen=True):
    """A picture of an answer. `data` gives a function of `pitboard.charts` what to draw: rows and words.

    That function is `form`, by default the one of the chart's own `name`. The title is the answer's, unless
    `data` gives another. `shows` tells what is to be seen to those who cannot see it.
    """

    name: str
    data: Data
    shows: str
    form: str = ""


class Exit(msgspec.Struct, frozen=True):
    """An exit code of the command beside 0 (fine) and 2 (could not run).

    `when` goes on the sentence "exit 1", as in "where they are not like for like".
    """

    code: int
    when: str
    holds: Callable[[Answer], bool]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question: the function that answers it, and what all who ask it need to know.

    `ask` takes the options and, by keyword, `store`. A function that reads files of this machine or runs what
    it is given takes `untrusted` besides, which is true where the question comes from an address: then it
    reads no file, and runs within limits. `summary` is
    what it does, in the imperative and without a full stop; `about` tells users of the JSON API what it
    answers and what its rows are, and `example` holds values to ask it with. Questions are listed by
    `order`. Raises `TypeError` where the options are not the function's own parameters.
    """

    ask: Callable[..., Answer]
    summary: str
    order: int
    about: str = ""
    example: dict[str, Any] = {}
    options: tuple[Option, ...] = ()
    charts: tuple[Chart, ...] = ()
    exits: tuple[Exit, ...] = ()

    def __post_init__(self) -> None:
        taken = list(self.parameters)
        declared = [option.name for option in self.options]
        if taken != declared:
            raise TypeError(f"{self.name} takes {taken}, but its options are {declared}")

    @property
    def remote(self) -> Callable[..., Answer]:
        """The function as it answers where the question comes from an address."""
        return partial(self.ask, untrusted=True) if _is_guarded(self.ask) else self.ask

    @property
    def name(self) -> str:
        """The question's name: that of its function."""
        return self.ask.__name__

    @property
    def help(self) -> str:
        """The summary with the exit codes, as one sentence."""
        return "; ".join([self.summary, *(f"exit {exit.code} {exit.when}" for exit in self.exits)]) + "."

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The function's parameters by name that are options: without the store and who asks."""
        return dict(_parameters(self.ask))

    @property
    def required(self) -> list[str]:
        """The names of the options without which it cannot be asked."""
        return [name for name, each in self.parameters.items() if each.default is inspect.Parameter.empty]

    def exit_code(self, answer: Answer) -> int:
        """Return the exit code of a command that got this answer."""
        return next((exit.code for exit in self.exits if exit.holds(answer)), 0)


@cache
def _is_guarded(ask: Callable[..., Answer]) -> bool:
    """Tell whether a function must know that its question comes from an address."""
    return "untrusted" in inspect.signature(ask).parameters


@cache
def _parameters(ask: Callable[..., Answer]) -> dict[str, inspect.Parameter]:
    """Read the parameters of a function that are options; a page asks for them many times."""
    signature = inspect.signature(ask)
    return {name: each for name, each in signature.parameters.items() if name not in ("store", "untrusted")}


def kind_of(parameter: inspect.Parameter) -> Kind:
    """Return what kind of value a parameter of a question takes, beside `None`."""
    types = {*get_args(parameter.annotation), parameter.annotation} - {NoneType}
    return next(kind for type_, kind in _KINDS.items() if type_ in types)


def is_several(parameter: inspect.Parameter) -> bool:
    """Tell whether a parameter of a question takes several values."""
    return any(get_origin(type_) is list for type_ in get_args(parameter.annotation))


def as_list(value: object) -> list[Any] | None:
    """Return the values of an option that may have several; `None` where it was not given."""
    if value is None or value == []:
        return None
    return list(value) if isinstance(value, list | tuple) else [value]


ROUND = Option("round", "The round, such as 5.1.", otherwise="the newest", column="round")
BENCHMARK = Option("benchmark", "The benchmark, such as llama31_8b.", column="benchmark")
ONLY_BENCHMARK = Option("benchmark", "Only this benchmark.", column="benchmark")
SUBMITTER = Option("submitter", "Only this submitter.", column="submitter")
ACCELERATOR = Option("accelerator", "Only this accelerator, such as B200.", column="accelerator")
ACCELERATORS = Option("accelerators", "Only this many accelerators.", column="accelerators")
AVAILABILITY = Option("availability", "Only this category.", column="availability")
DIVISION = Option("division", "Only this division: closed or open.", choices=("closed", "open"))
PRECISION = Option("precision", "Only what states this precision, such as FP8.", column="precision")
SOFTWARE = Option(
    "software", "Only what ran this software: words of its framework, such as 'NeMo' or '25.09'."
)
WITH_OWN = Option("with_own", "Show what you added, too: it is not verified, and marked so.")
A = Option(
    "a",
    "A result, ROUND/SUBMITTER/SYSTEM/BENCHMARK, or the short reference of one.",
    argument=True,
    names="results",
)
B = Option("b", "The other result, written the same way.", argument=True, names="results")
LETTERS = "ABCDEF"
"""What an answer calls the results or systems that it was given, in their order."""

FURTHER = tuple(
    Option(letter.lower(), "One more, up to six.", argument=True, names="results") for letter in LETTERS[2:]
)
