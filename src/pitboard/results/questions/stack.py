"""The software notes: what a system ran, and for two to six, where they differ."""

import re
from itertools import combinations

from pitboard.errors import UnknownError
from pitboard.results import references
from pitboard.results.answer import Answer, Column
from pitboard.results.find import default_store, nearest
from pitboard.results.likeness import listed
from pitboard.results.question import LETTERS, Option, Question
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


def stack(
    a: str,
    b: str | None = None,
    c: str | None = None,
    d: str | None = None,
    e: str | None = None,
    f: str | None = None,
    different: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Give the software of a system, or of two to six side by side with what differs marked.

    A system is ROUND/SUBMITTER/SYSTEM, or a part of that which names it alone; a result's reference, in full
    or short, will do. `different` leaves out what is the same. Raises `PitboardError` for a system that the
    store does not have, and for a part that may mean several.
    """
    store = store or default_store()
    systems = [_system(store, text) for text in (a, b, c, d, e, f) if text]
    found = [
        store.having("key, value, source", "stack", {name: each[name] for name in _KEY}, "order by all")
        for each in systems
    ]
    if len(systems) == 1:
        return _answer(systems[0], f"Software of {_name(systems[0])}", _ONE, found[0], _links(systems))
    rows = _difference(found)
    count = sum(row["difference"].startswith("differs") for row in rows)
    names = " and ".join(map(_name, systems)) if len(systems) == 2 else f"{len(systems)} systems"
    shown = [row for row in rows if row["difference"] not in (_SAME, _ALIKE)] if different else rows
    title = f"{count} of {len(rows)} software entries differ: {names}"
    return _answer(systems[0], title, _columns(len(systems)), shown, _links(systems))


_ONE = [Column("key", "Software"), Column("value", "Version"), Column("source", "Field", detail=True)]
_SAME, _ALIKE = "same", "the same, as far as stated"


def _columns(count: int) -> list[Column]:
    letters = [Column(letter.lower(), letter) for letter in LETTERS[:count]]
    return [Column("key", "Software"), *letters, Column("difference", "Difference")]


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
    found = _found(store, parts) if len(parts) == len(_KEY) else []
    if found:
        return found[0]
    # Three parts are a system in full, which may be mistyped.
    keys = references.called(store, text, "systems") or references.called(
        store, text, pieces=len(parts) < len(_KEY)
    )
    called = list({_name(row): row for row in keys}.values())
    references.refuse_several(text, called, _KEY)
    if called:
        return _found(store, [called[0][name] for name in _KEY])[0]
    if len(parts) < len(_KEY):
        raise UnknownError(
            f"'{text:.200}' names no system: expected ROUND/SUBMITTER/SYSTEM, a part of it that no other has,"
            " or a result's short reference."
        )
    wrong = "/".join([parts[0].removeprefix("v"), *parts[1:]])
    raise UnknownError(f"The store has no system '{wrong:.200}'.{nearest(store, wrong, 'systems')}")


def _found(store: Store, parts: list[str]) -> list[Row]:
    rows = store.having(
        "round, submitter, system, code_url, system_url",
        "systems",
        {"round": parts[0].removeprefix("v"), "system": parts[2]},
        "order by own",
    )
    names = {parts[1].casefold(), f"{parts[1]}{OWN}".casefold()}
    return [row for row in rows if row["submitter"].casefold() in names]


def _name(row: Row) -> str:
    return "/".join(str(row[name]) for name in _KEY)


def _difference(systems: list[list[Row]]) -> list[Row]:
    sides = [_joined(rows) for rows in systems]
    keys = sorted({key for side in sides for key in side}, key=str.casefold)
    rows = []
    for key in keys:
        values = dict(zip(LETTERS, (side.get(key) for side in sides), strict=False))
        cells = {letter.lower(): value for letter, value in values.items()}
        rows.append({"key": key, **cells, "difference": _word(values)})
    return rows


def _word(values: dict[str, str | None]) -> str:
    """Say how what several systems state of one software, by letter, differs."""
    stated = {letter: value for letter, value in values.items() if value is not None}
    missing = len(stated) < len(values)
    by = listed(list(stated))
    only = f"only {by} state{'s' if len(stated) == 1 else ''} it"
    pairs = list(combinations(stated.values(), 2))
    if all(a == b for a, b in pairs):
        return only if missing else _SAME
    if all(a == b or _one_version(a, b) for a, b in pairs):
        return only if missing else _ALIKE
    return f"differs; {only}" if missing else "differs"


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


def _links(systems: list[Row]) -> list[str]:
    return [
        f"{what} of {_name(row)}: {row[name]}"
        for row in systems
        for what, name in (("Code", "code_url"), ("System description", "system_url"))
        if row[name]
    ]


QUESTION = Question(
    ask=stack,
    order=7,
    summary="Show what software a system ran, or where two to six systems differ",
    about=(
        "Which software did a system run, or where does that of up to six systems differ? A row is one "
        "statement of the system's description or its logs, such as a framework's version."
    ),
    example={"a": "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b"},
    options=(
        Option("a", "A system, ROUND/SUBMITTER/SYSTEM, or a result.", argument=True, names="results"),
        Option("b", "Another, to see the difference.", argument=True, names="results"),
        *(
            Option(each.lower(), "One more, up to six.", argument=True, names="results")
            for each in LETTERS[2:]
        ),
        Option("different", "Leave out what is the same."),
    ),
)
