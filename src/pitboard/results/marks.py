"""What a reader must know of a published figure, said where the figure stands.

It carries an RCP scaling factor, a log of it is missing from the copy of the round, or its runs were entered
in an earlier round already.
"""

from pitboard.results.answer import Column
from pitboard.results.schema import Row
from pitboard.results.store import Store

OF_CELL = "mark of "
"""Begins the name of the field that holds the mark of a benchmark's figure in a row of the table."""

COLUMN = Column("marks", "To know of the figures marked *", detail=True)

OF_ROW = Column("marks", "To know of the figure", detail=True)

OF_MINUTES = OF_CELL + "minutes"
"""The field of a result's row that holds the mark of its minutes."""

SIGN = "*"

_SCALED = """select round, submitter, system, benchmark, rcp_scale from results
where round in $rounds and rcp_scale <> 1"""
_LACKING = """select round, submitter, system, benchmark, what from incomplete
where round in $rounds and what like '%missing%' and benchmark is not null"""
_AGAIN = """with started as (
  select round, submitter, system, benchmark, list(started order by started) as times
  from runs where counted and started is not null and not own group by all
)
select a.round, a.submitter, a.system, a.benchmark, min(b.round) as first from started a
join started b on a.benchmark = b.benchmark and a.times = b.times
where a.round in $rounds and b.round < a.round group by all"""

Marks = dict[tuple[str, ...], list[str]]


def of_rounds(store: Store, rounds: list[str]) -> Marks:
    """Give what must be known of the results of rounds, by round, submitter, system and benchmark."""
    return store.once(("marks", *rounds), lambda: _of_rounds(store, rounds))


def _of_rounds(store: Store, rounds: list[str]) -> Marks:
    found: Marks = {}
    values = {"rounds": rounds}
    for row in store.rows(_SCALED, values):
        found.setdefault(key(row), []).append(f"RCP scaling factor {row['rcp_scale']:.4f}")
    for row in store.rows(_LACKING, values):
        count = str(row["what"]).partition(" ")[0]
        found.setdefault(key(row), []).append(f"{count} log{'s' * (count != '1')} missing from this copy")
    for row in store.rows(_AGAIN, values):
        found.setdefault(key(row), []).append(f"runs of v{row['first']}, entered again")
    return found


def tell(store: Store, rows: list[Row]) -> list[Row]:
    """Give rows of results with what must be known of their figures as `marks`, `None` for nothing.

    Their minutes are marked where there is something.
    """
    known = of_rounds(store, sorted({row["round"] for row in rows})) if rows else {}
    told = []
    for row in rows:
        words = "; ".join(known.get(key(row), [])) or None
        marked = SIGN if words and row.get("minutes") is not None else ""
        told.append(row | {OF_ROW.name: words, OF_MINUTES: marked})
    return told


def put(store: Store, rows: list[Row], benchmarks: list[str]) -> None:
    """Mark the figures of the table's rows: a sign for each, and in words all of a row in its `marks`."""
    known = of_rounds(store, sorted({row["round"] for row in rows})) if rows else {}
    for row in rows:
        words = []
        for benchmark in benchmarks:
            said = known.get((row["round"], row["submitter"], row["system"], benchmark), [])
            said = said if row[benchmark] is not None else []
            row[OF_CELL + benchmark] = SIGN if said else ""
            words += [f"{benchmark}: {', '.join(said)}"] if said else []
        row[COLUMN.name] = "; ".join(words) or None


def notes(rows: list[Row], column: str = COLUMN.name) -> list[str]:
    """Return the note that explains the sign, where there is one."""
    if not any(row[column] for row in rows):
        return []
    what = "an RCP scaling factor, missing logs, or runs of an earlier round"
    return [f"{SIGN} What must be known of the figure ({what}) stands in the column '{column}'."]


def key(row: Row) -> tuple[str, ...]:
    """Give the key by which `Marks` holds what must be known of a result."""
    return tuple(str(row[name]) for name in ("round", "submitter", "system", "benchmark"))
