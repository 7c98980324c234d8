"""What the Tab key offers: names that the store has, and a question's columns. It never fails aloud."""

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pitboard.results.question import Option, Question
    from pitboard.results.store import Store

Complete = Callable[..., list[str]]


# Typer knows what a function that completes wants by these parameters' names.


def for_option(option: "Option") -> Complete | None:
    """Return what completes an option of a question, `None` where nothing is known of its values."""
    if option.names == "results":
        return lambda ctx, incomplete: _offered(lambda: _references(_store(ctx), incomplete))
    if option.column:
        return lambda ctx: _offered(lambda: _values(_store(ctx), option.column))
    if option.choices:
        return lambda: _offered(lambda: option.choices)
    return None


def for_columns(question: "Question", given: Callable[..., dict[str, object]]) -> Complete:
    """Return what completes `--columns`, a list of names, and `--sort`, a name by itself or after "-"."""

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        before = re.match(r"(.*,)?-?", incomplete)
        kept = before[0] if before else ""
        return [kept + name for name in _offered(lambda: columns(ctx))]

    def columns(ctx: typer.Context) -> list[str]:
        typed = {name: ctx.params.get(name) for name in question.parameters}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in typed.items()}
        answer = question.ask(**given(question, values), store=_store(ctx))
        return [column.name for column in answer.columns]

    return offer


def _offered(find: Callable[[], Iterable[object]]) -> list[str]:
    """Return what was found, as it must be typed; nothing where it cannot be found."""
    with suppress(Exception):  # a half-written command has no error to show
        return [_typed(str(each)) for each in find()]
    return []


def _typed(word: str) -> str:
    """Write a word as it must be typed; Bash takes what is offered as it is, other shells quote it."""
    in_bash = os.environ.get("_PITBOARD_COMPLETE", "").endswith("_bash")
    return re.sub(r"([^\w@%+=:,./*×-])", r"\\\1", word) if in_bash else word


def _store(context: typer.Context) -> "Store":
    from pitboard.results.store import Store

    return Store(context.params.get("store"))


def _values(store: "Store", column: str) -> list[Any]:
    """Return a column's values, those of the published rounds; accelerators without their vendor, too."""
    rows = store.rows(f"select distinct {column} as value from results where {column} is not null")
    values = sorted((row["value"] for row in rows), reverse=column == "round")
    if column == "accelerator":
        values = [*(value.partition(" ")[2] for value in values if " " in value), *values]
    return values


def _references(store: "Store", begun: str) -> list[str]:
    """Return the references of results, those of the newest round where nothing was typed, and short ones."""
    from pitboard.results.find import latest_round
    from pitboard.results.references import key, short

    only = "" if begun else f" where round = '{latest_round(store)}'"
    rows = store.rows(f"select round, submitter, system, benchmark from results{only} order by all")
    full = [key(row) for row in rows]
    return full + ([short(name) for name in full] if begun and "/" not in begun else [])
