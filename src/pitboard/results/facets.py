"""Filters that narrow the results which a question is about, each of one value or of several."""

from collections.abc import Iterable
from typing import Any

from pitboard.errors import UnknownError
from pitboard.results import own
from pitboard.results.find import known_all, latest_round
from pitboard.results.question import as_list
from pitboard.results.schema import Row
from pitboard.results.store import Store

Values = dict[str, Any]


def chosen(store: Store, **wanted: object) -> Values:
    """Give the values of filters by column of `results`, as the store spells them, `None` for what is open.

    Several values are a list, one is itself. A filter named `software` becomes the `framework` texts that
    hold one of its words. Raises `PitboardError` for a value that no result has.
    """
    values: Values = {}
    for name, value in wanted.items():
        if name == "software":
            values["framework"] = _plain(_frameworks(store, as_list(value)))
        else:
            values[name] = _plain(known_all(store, name, value))  # type: ignore[arg-type]
    return values


def of_rounds(store: Store, round: object, with_own: bool, **wanted: object) -> Values:
    """Give the values of filters as `chosen` does, with the rounds and whether the user's own are shown.

    The round is by default the newest; naming a submitter of one's own asks for one's own, too.
    """
    values = chosen(store, round=round or latest_round(store), **wanted)
    values["with_own"] = own.asked_for(with_own, values["submitter"])
    return values


def _plain(values: list[Any] | None) -> Any:
    return values[0] if values is not None and len(values) == 1 else values


def _frameworks(store: Store, words: list[Any] | None) -> list[str] | None:
    if words is None:
        return None
    rows = store.rows("select distinct framework from results where framework is not null order by 1")
    folded = [str(word).casefold() for word in words]
    found = [row["framework"] for row in rows if any(word in row["framework"].casefold() for word in folded)]
    if not found:
        raise UnknownError(
            f"No result's framework has '{', '.join(map(str, words)):.80}' in it: `pitboard results sql "
            '"select distinct framework from results"` lists them.'
        )
    return found


def where(values: Values, names: Iterable[str], table: str = "") -> str:
    """Write the conditions of the filters that were given, as SQL to follow a first condition."""
    prefix = f"{table}." if table else ""
    given = {name: values[name] for name in names if values.get(name) is not None}
    same = {name: "in" if isinstance(value, list) else "=" for name, value in given.items()}
    return "".join(f"\n  and {prefix}{name} {same[name]} ${name}" for name in given)


def let_through(values: Values, names: Iterable[str]) -> dict[str, set[object]]:
    """Give what each filter that was given lets through: `where`, for rows that are read already."""
    lists = {name: as_list(values.get(name)) for name in names}
    return {name: set(wanted) for name, wanted in lists.items() if wanted is not None}


def left(rows: Iterable[Row], filters: dict[str, set[object]]) -> list[Row]:
    """Give the rows that filters, as `let_through` gives them, leave."""
    for name, wanted in filters.items():  # not a row at a time: a page sifts some thousand
        rows = [row for row in rows if row[name] in wanted]
    return list(rows)


def words(values: Values, software: object = None) -> list[str]:
    """Say for a title which filters were given, beside the rounds: "NVIDIA B200 or NVIDIA B300"."""
    silent = ("round", "with_own", "search", "framework")
    given = {name: value for name, value in values.items() if name not in silent} | {"software": software}
    return [
        f"{told(value)} accelerators" if name == "accelerators" else told(value)
        for name, value in given.items()
        if value is not None and value != []
    ]


def told(value: object, between: str = " or ") -> str:
    """Write a filter's values for a title: "B200 or B300"."""
    return between.join(map(str, as_list(value) or []))
