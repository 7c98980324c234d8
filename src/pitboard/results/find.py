"""Find what a user names: a round, a benchmark, a submitter, an accelerator, one result."""

import warnings
from functools import cache
from typing import Any, Literal

from pitboard.errors import PitboardError, UnknownError, near
from pitboard.results import references
from pitboard.results.organisations import one_name
from pitboard.results.question import Several, SeveralNumbers, as_list
from pitboard.results.schema import KEY, OWN, Row
from pitboard.results.store import Store
from pitboard.suite import ROUNDS


@cache
def default_store() -> Store:
    """Open the user's store with the rounds that come with the package, once a process."""
    store = Store()
    if store.damage:
        warnings.warn(store.damage, stacklevel=2)
    return store


def latest_round(store: Store) -> str:
    """Give the newest published round in the store. Raises `PitboardError` for an empty store."""
    rounds = rounds_of(store)
    if not rounds:
        raise PitboardError("The store has no round: add one with `pitboard results add PATH`.")
    return rounds[-1]


def rounds_of(store: Store) -> list[str]:
    """Give the published rounds in the store, oldest first."""
    found = store.rows("select distinct round from results where not own")
    return sorted((str(row["round"]) for row in found), key=_version)


def benchmarks_of(store: Store) -> list[str]:
    """Give the benchmarks that have a published result in the store, by name."""
    found = store.rows("select distinct benchmark from results where not own order by all")
    return [str(row["benchmark"]) for row in found]


def missing_rounds(store: Store, before: str | None = None) -> list[str]:
    """Give the published rounds that the store does not have: of those between, and before one if given."""
    have = rounds_of(store)
    return [
        each.version
        for each in ROUNDS
        if each.published is not None
        and each.version not in have
        and (_version(each.version) < _version(before or have[-1]) if have else False)
    ]


def known(store: Store, column: str, wanted: str | None) -> str | None:
    """Give the spelling that the store has for a value of a `results` column; case does not matter.

    An accelerator may be given by its model ("B200"), and a submitter of one's own without the mark.
    Raises `PitboardError` with the near misses for a value that no result has.
    """
    if wanted is None:
        return None
    wanted = wanted.removeprefix("v") if column == "round" else wanted
    values = [
        str(row["value"])
        for row in store.rows(f"select distinct {column} as value from results where {column} is not null")
    ]
    if wanted in values:
        return wanted
    spellings = [wanted, wanted + OWN] if column == "submitter" else [wanted]
    for spelling in spellings:
        for value in values:
            if spelling.casefold() == value.casefold():
                return value
    if column == "accelerator":
        models = {value.partition(" ")[2].casefold(): value for value in values}
        if wanted.casefold() in models:
            return models[wanted.casefold()]
    raise UnknownError(f"No result has the {column} '{wanted:.60}'.{near(wanted, tuple(sorted(values)))}")


def known_all(store: Store, column: str, wanted: Several | SeveralNumbers) -> list[Any] | None:
    """Give the spellings that the store has for any of several values of a `results` column.

    One value may mean several: a submitter stands for all its folders in the store, whatever it was called
    at the time, and a format for those whose names end in it where none has the name itself, as NVFP4 ends in
    FP4. Numbers stay as they are. Raises `PitboardError` as `known` does.
    """
    values = as_list(wanted)
    if values is None:
        return None
    if column == "submitter":
        found: list[Any] = [name for value in values for name in _submitters(store, str(value))]
    elif column == "precision":
        found = [name for value in values for name in _formats(store, str(value))]
    else:
        found = [known(store, column, v) if isinstance(v, str) else v for v in values]
    return list(dict.fromkeys(found))


def _formats(store: Store, wanted: str) -> list[str]:
    """Give the stated formats that a name means: itself, or those whose names end in it ("FP4", "NVFP4")."""
    sql = "select distinct precision from results where precision is not null order by 1"
    names = [str(row["precision"]) for row in store.rows(sql)]
    exact = [name for name in names if name.casefold() == wanted.casefold()]
    family = [name for name in names if wanted and name.casefold().endswith(wanted.casefold())]
    return exact or family or [str(known(store, "precision", wanted))]


def _submitters(store: Store, wanted: str) -> list[str]:
    """Give the folders of a submitter under all its names: those of the time, and those that people know."""
    names = [str(row["submitter"]) for row in store.rows("select distinct submitter from results order by 1")]
    folded = wanted.removesuffix(OWN).casefold()
    if wanted.endswith(OWN):
        exact = [name for name in names if name.casefold() == f"{folded}{OWN}".casefold()]
    else:
        published = [name for name in names if not name.endswith(OWN)]
        exact = [name for name in published if one_name(name) == one_name(wanted)]
        exact = exact or [name for name in names if name.casefold() == f"{folded}{OWN}".casefold()]
    return exact or [str(known(store, "submitter", wanted))]


def result(store: Store, reference: str) -> Row:
    """Give one result's row by its reference, "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b".

    Its short reference, or a part of the full one that names it alone, will do. One's own is found without
    the mark of its submitter too, unless a published one is called the same.

    Raises `PitboardError` for one that the store does not have, with the nearest, and for one that may be
    several, with those.
    """
    parts = reference.strip().strip("/").split("/")
    if len(parts) != 4:
        called = references.called(store, reference)
        references.refuse_several(reference, called)
        if not called:
            example = _example(store)
            raise UnknownError(
                f"'{reference:.200}' names no result: expected ROUND/SUBMITTER/SYSTEM/BENCHMARK, such as "
                f"{example}, a part of it that no other has, or a short reference, such as "
                f"{references.short(example)}."
            )
        parts = [str(called[0][name]) for name in KEY]
    parts[0] = parts[0].removeprefix("v")
    alike = store.having(
        "*",
        "results",
        {"round": parts[0], "system": parts[2], "benchmark": parts[3]},
        "order by own, submitter",
    )
    names = {parts[1].casefold(), f"{parts[1]}{OWN}".casefold()}
    found = [row for row in alike if row["submitter"].casefold() in names]
    found = found or [
        row for row in alike if not row["own"] and one_name(row["submitter"]) == one_name(parts[1])
    ]
    if found:
        return found[0]
    wrong = "/".join(parts)
    hint = nearest(store, wrong, "results")
    raise UnknownError(f"The store has no result '{reference:.200}'.{hint}")


def nearest(store: Store, wrong: str, table: Literal["results", "systems"]) -> str:
    """Say which reference of a table is nearest to a mistyped one, as DuckDB finds it."""
    names = "concat_ws('/', round, submitter, system" + (", benchmark)" if table == "results" else ")")
    likeness = f"jaro_winkler_similarity({names}, $1)"
    sql = f"select {names} as name from {table} order by {likeness} desc, name limit 5"
    found = store.rows(sql, [wrong])
    return near(wrong, [str(row["name"]) for row in found])


def reference(row: Row) -> str:
    """Give the text by which a result's row is found again."""
    return references.key(row)


def key_of(row: Row) -> Row:
    """Give the columns that tell a result from every other, as a query's parameters."""
    return {name: row[name] for name in KEY}


def _example(store: Store) -> str:
    found = store.rows("select round, submitter, system, benchmark from results order by all desc limit 1")
    return reference(found[0]) if found else "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b"


def _version(round: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in round.split("."))
