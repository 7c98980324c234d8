"""All results as a server's store holds them, of which pages ask for some: found here without DuckDB's help.

What is found is what the same filters find as SQL (`facets.where`, `own.SHOWN`, `SEARCH`), which any other
store is asked; the tests hold both to the same rows.
"""

from collections.abc import Iterable

from pitboard.results import facets, marks, references
from pitboard.results.schema import Row
from pitboard.results.store import Store

_SAID = """lower(concat_ws(' ', round, benchmark, system, system_name, submitter,
      organisation, accelerator, precision, framework, division, availability))"""
SEARCH = f"""
  and (select bool_and(contains({_SAID}, word))
    from unnest(string_split(lower($search), ' ')) words(word))"""
"""SQL over `results`, to follow a first condition: what has all words of `$search` somewhere in its line."""

COLUMNS = """round, submitter, system, benchmark, minutes, accelerators, accelerator, precision,
  nodes, division, availability, framework, system_name, samples_to_target as samples, runs,
  rcp_scale as rcp_factor, joules / 1e6 as energy_mj"""
ORDER = "order by benchmark, minutes nulls last, round, submitter, system"

_EVERY = f"select {COLUMNS}, organisation, own, preset, {_SAID} as said from results {ORDER}"


def can_find(store: Store, values: facets.Values) -> bool:
    """Tell whether `found` may be asked: of a server's store, unless a search is not plain ASCII.

    Other letters DuckDB may turn into small ones in a way of its own.
    """
    search: str = values.get("search") or ""
    return store.held and search.isascii() and search.isprintable()


def found(store: Store, values: facets.Values, names: Iterable[str]) -> list[Row]:
    """Give the results that the filters `names` leave, in the order of `ORDER`; nobody may change them.

    They are as `told` makes them.
    """
    filters = facets.let_through(values, names)
    return facets.left(shown(store, values, filters.get("round")), filters)


def shown(store: Store, values: facets.Values, rounds: set[object] | None = None) -> list[Row]:
    """Give the results that `own.SHOWN` and a search leave, as `found` does: before any filter.

    With `rounds` it may leave out those of other rounds.
    """
    rows = store.once("entered", lambda: told(store, store.rows(_EVERY)))
    if rounds and len(rounds) == 1:  # as most pages ask
        rows = store.once("entered by round", lambda: _by_round(rows)).get(next(iter(rounds)), [])
    with_own = values["with_own"]
    rows = [row for row in rows if not row["own"] or (with_own and row["preset"] in (None, "full"))]
    for word in (values.get("search") or "").lower().split():
        rows = [row for row in rows if word in row["said"]]
    return rows


def told(store: Store, rows: list[Row]) -> list[Row]:
    """Give results with their references, and with what must be known of their figures."""
    return [
        row | references.names(row) | {"to_know": row[marks.OF_ROW.name]} for row in marks.tell(store, rows)
    ]


def _by_round(rows: list[Row]) -> dict[object, list[Row]]:
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["round"], []).append(row)
    return groups
