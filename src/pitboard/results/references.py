"""What a result is called: in full ROUND/SUBMITTER/SYSTEM/BENCHMARK, by a part of it, or by five letters."""

import hashlib
import re
from itertools import combinations
from typing import Literal

from pitboard.errors import PitboardError
from pitboard.results.answer import Column
from pitboard.results.organisations import one_name
from pitboard.results.schema import KEY, Row
from pitboard.results.store import Store

FULL = Column("reference", "Reference", detail=True)
SHORT = Column("ref", "Ref", detail=True)
"""A short reference, to copy: a terminal shows it though it is detail."""

# No vowels, so that it spells no word and no number with an exponent; nor what looks like another letter.
_LETTERS = "23456789bcdfghjkmnpqrstvwxyz"
_LENGTH = 5
_SHORT = re.compile(f"[{_LETTERS}]{{{_LENGTH}}}")
_LISTED = 4


def short(reference: str) -> str:
    """Return the short reference of a result: five letters and digits that its full one alone determines."""
    number = int.from_bytes(hashlib.sha256(reference.encode("utf-8", "backslashreplace")).digest()[:8], "big")
    letters = ""
    for _ in range(_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters += _LETTERS[place]
    return letters


def key(row: Row, fields: tuple[str, ...] = tuple(KEY)) -> str:
    """Return the full reference of a result's row; of a system's with its fields."""
    return "/".join(str(row[name]) for name in fields)


def names(row: Row) -> Row:
    """Return a result's full and its short reference, as the fields of a row under `FULL` and `SHORT`."""
    full = key(row)
    return {FULL.name: full, SHORT.name: short(full)}


def called(
    store: Store, text: str, table: Literal["results", "systems"] = "results", *, pieces: bool = True
) -> list[Row]:
    """Return the keys of what a short reference or a part of a full one may mean, best matches only.

    A part is some of round, submitter, system and benchmark, in that order: each as it is or, where there are
    two or more and `pieces` will do, a piece of it.
    """
    fields = tuple(KEY) if table == "results" else tuple(KEY)[:3]
    rows = store.rows(f"select distinct {', '.join(fields)} from {table} order by all")
    wanted = text.strip().strip("/").casefold()
    if table == "results" and _SHORT.fullmatch(wanted):
        found = [row for row in rows if short(key(row)) == wanted]
        if found:
            return found
    parts = [part for part in wanted.split("/") if part]
    if not 1 <= len(parts) < len(fields):
        return []
    if len(parts) == 1:
        return [row for row in rows if row["system"].casefold() == parts[0]]
    found = [row for row in rows if _fits(row, fields, parts, whole=True)]
    if found or not pieces or min(map(len, parts)) < 2:
        return found
    return [row for row in rows if _fits(row, fields, parts, whole=False)]


def _fits(row: Row, fields: tuple[str, ...], parts: list[str], whole: bool) -> bool:
    """Tell whether the parts are some of a row's fields, in their order."""
    return any(
        all(
            _same(name, str(row[name]).casefold(), part, whole)
            for name, part in zip(some, parts, strict=True)
        )
        for some in combinations(fields, len(parts))
    )


def _same(name: str, value: str, part: str, whole: bool) -> bool:
    if name == "round":
        return value == part.removeprefix("v")
    if name == "submitter" and one_name(value) == one_name(part):
        return True
    return value == part if whole else part in value


def refuse_several(text: str, found: list[Row], fields: tuple[str, ...] = tuple(KEY)) -> None:
    """Raise `PitboardError` with the candidates where a reference means more than one."""
    if len(found) < 2:
        return
    # The newest first, which is most often meant.
    names = sorted((key(row, fields) for row in found), reverse=True)
    listed = [f"{name} ({short(name)})" if len(fields) == len(KEY) else name for name in names[:_LISTED]]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    raise PitboardError(f"'{text:.200}' may mean {len(names)} of them: {', '.join(listed)}{more}.")
