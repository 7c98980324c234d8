"""The software notes: what a system ran, and for two, where they differ."""

import re

from pitboard.errors import UnknownError
from pitboard.results.answer import Answer, Column
from pitboard.results.find import default_store, nearest
from pitboard.results.question import Option, Question
from pitboard.results.schema import OWN, Row
from pitboard.results.store import Store

DEFINITION = (
    "Versions as the submitter's system description gives them (systems/<system>.json: framework, other "
    "software, driver and network fields), split into key and value; `source` is the field. Nothing is "
    "guessed: a library that the description does not name has no row."
)

SQL = """select key, value, source from stack
where round = $round and submitter = $submitter and system = $system order by all"""

_KEY = ("round", "submitter", "system")


def stack(a: str, b: str | None = None, *, store: Store | None = None) -> Answer:
    """Give the software of a system, or of two side by side with what differs marked.

    A system is ROUND/SUBMITTER/SYSTEM; a result's reference will do. Raises `PitboardError` for a system that
    the store does not have.
    """
    store = store or default_store()
    first = _system(store, a)
    software = store.rows(SQL, {name: first[name] for name in _KEY})
    if b is None:
        return _answer(first, f"Software of {_name(first)}", _ONE, software, _links(first))
    second = _system(store, b)
    rows = _difference(software, store.rows(SQL, {name: second[name] for name in _KEY}))
    different = sum(row["difference"] == "differs" for row in rows)
    title = f"{different} of {len(rows)} software entries differ: {_name(first)} and {_name(second)}"
    return _answer(first, title, _TWO, rows, [*_links(first), *_links(second)])


_ONE = [Column("key", "Software"), Column("value", "Version"), Column("source", "Field")]
_TWO = [
    Column("key", "Software"),
    Column("a", "A"),
    Column("b", "B"),
    Column("difference", "Difference"),
]


def _answer(system: Row, title: str, columns: list[Column], rows: list[Row], notes: list[str]) -> Answer:
    return Answer(
        question="stack",
        title=title,
        definition=DEFINITION,
        sql=SQL,
        parameters={name: system[name] for name in _KEY},
        columns=columns,
        rows=rows,
        notes=notes,
    )


def _system(store: Store, text: str) -> Row:
    parts = text.strip().strip("/").split("/")[:3]
    if len(parts) < 3:
        raise UnknownError(f"'{text:.200}' names no system: expected ROUND/SUBMITTER/SYSTEM.")
    parts[0] = parts[0].removeprefix("v")
    sql = (
        "select * from systems where round = $1 and (submitter ilike $2 or submitter ilike $4)"
        " and system = $3 order by own"
    )
    found = store.rows(sql, [*parts, parts[1] + OWN])
    if found:
        return found[0]
    wrong = "/".join(parts)
    raise UnknownError(f"The store has no system '{wrong:.200}'.{nearest(store, wrong, 'systems')}")


def _name(row: Row) -> str:
    return "/".join(str(row[name]) for name in _KEY)


def _difference(a: list[Row], b: list[Row]) -> list[Row]:
    sides = [_joined(rows) for rows in (a, b)]
    keys = sorted(sides[0].keys() | sides[1].keys(), key=str.casefold)
    pairs = [(key, sides[0].get(key), sides[1].get(key)) for key in keys]
    return [{"key": key, "a": a, "b": b, "difference": _word(a, b)} for key, a, b in pairs]


def _word(a: str | None, b: str | None) -> str:
    if a is None or b is None:
        return "only B states it" if a is None else "only A states it"
    if a == b:
        return "same"
    return "the same, as far as stated" if _one_version(a, b) else "differs"


def _one_version(a: str, b: str) -> bool:
    """Tell whether two version numbers differ in precision only, as 580.82 and 580.82.07 do."""
    if not all(re.fullmatch(r"\d+(\.\d+)+", text) for text in (a, b)):
        return False
    first, second = a.split("."), b.split(".")
    return all(x == y for x, y in zip(first, second, strict=False))


def _joined(rows: list[Row]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for row in rows:
        values.setdefault(row["key"], []).append(row["value"])
    return {key: "; ".join(found) for key, found in values.items()}


def _links(row: Row) -> list[str]:
    return [
        f"{what} of {_name(row)}: {row[name]}"
        for what, name in (("Code", "code_url"), ("System description", "system_url"))
        if row[name]
    ]


QUESTION = Question(
    ask=stack,
    order=7,
    summary="Show what software a system ran, or where two systems differ",
    about=(
        "Which software did a system run, or where does that of two systems differ? A row is one "
        "statement of the system's description or its logs, such as a framework's version."
    ),
    example={"a": "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b"},
    options=(
        Option("a", "A system, ROUND/SUBMITTER/SYSTEM, or a result.", argument=True),
        Option("b", "Another, to see the difference.", argument=True),
    ),
)
