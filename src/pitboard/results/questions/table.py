"""The official table: one line a system, one column a benchmark."""

from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import entered, facets, marks, own, references
from pitboard.results.answer import Answer, Column
from pitboard.results.find import default_store
from pitboard.results.question import (
    ACCELERATOR,
    ACCELERATORS,
    AVAILABILITY,
    DIVISION,
    ONLY_BENCHMARK,
    PRECISION,
    ROUND,
    SOFTWARE,
    SUBMITTER,
    WITH_OWN,
    Chart,
    Option,
    Question,
    Several,
    SeveralNumbers,
    as_list,
)
from pitboard.results.questions.roster import lines_and_systems
from pitboard.results.ranking import ranked
from pitboard.results.schema import Row
from pitboard.results.store import Store, quoted

DEFINITION = (
    "A benchmark's figure is its time-to-train in minutes: the olympic mean of the runs (the fastest and the "
    "slowest left out), times the RCP scaling factor where convergence was too fast. It is what the official "
    "summarizer prints (mlperf_logging.result_summarizer; training rules, section 'Results'). Energy is the "
    "mean power of a run × its time-to-train, over the same runs and with the same factor, for entries with "
    "power files; whether it was measured before or after the power supplies stands in the description. "
    "Systems of different counts, accelerators or availability are not like for like: `pitboard results "
    "compare` says what may be compared."
)

_ROUND = Column("round", "Round")
_SYSTEM = [
    Column("system", "System"),
    Column("accelerators", "Count", "integer"),
    Column("accelerator", "Accelerator"),
    Column("submitter", "Submitter"),
]
_DETAIL = [
    Column("system_name", "System's name", detail=True),
    Column("division", "Division", detail=True),
    Column("availability", "Availability", detail=True),
    Column("nodes", "Nodes", "integer", detail=True),
    Column("framework", "Framework", detail=True),
]
_KEYS = tuple(column.name for column in (_ROUND, *_SYSTEM, *_DETAIL))
_ORDER = ("round", "submitter", "system", "division")

_WHERE = f"""
where {own.SHOWN}"""
_FILTERS = (
    *("round", "benchmark", "division", "accelerator", "submitter", "accelerators", "availability"),
    *("precision", "framework"),
)


def table(
    round: Several = None,
    benchmark: Several = None,
    division: Several = None,
    accelerator: Several = None,
    submitter: Several = None,
    accelerators: SeveralNumbers = None,
    availability: Several = None,
    precision: Several = None,
    software: Several = None,
    energy: bool = False,
    with_own: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Give a round's official table, filtered; by default that of the newest round.

    Rows are systems, ordered by round, submitter and system, those of one benchmark fastest first; a
    benchmark's column is in minutes, `None` where it was not entered or has no score. A filter of several
    values takes what any of them names. `marks` says of which figures something must be known: an RCP scaling
    factor, logs that are missing, runs of an earlier round. `energy` shows the energy to target in megajoules
    instead, of the systems that measured it. `with_own` shows what the user added, too, and so does naming a
    submitter of one's own. Raises `PitboardError` for a value that no result has.
    """
    store = store or default_store()
    values = facets.of_rounds(
        store,
        round,
        with_own,
        benchmark=benchmark,
        division=division,
        accelerator=accelerator,
        submitter=submitter,
        accelerators=accelerators,
        availability=availability,
        precision=precision,
        software=software,
    )
    with_own = values["with_own"]
    conditions = _WHERE + facets.where(values, _FILTERS) + ("\n  and joules is not null" if energy else "")
    figure, unit = ("joules / 1e6", "MJ") if energy else ("minutes", "min")
    at_hand = _at_hand(store, values, energy) if entered.can_find(store, values) else None
    if at_hand is None:
        sql = f"select distinct benchmark from results{conditions} order by all"
        benchmarks = [str(row["benchmark"]) for row in store.rows(sql, values)]
    else:
        benchmarks = sorted({row["benchmark"] for row in at_hand})
    minutes = "".join(
        f",\n  max({figure}) filter (benchmark = {quoted(name)}) as {_identifier(name)}"
        for name in benchmarks
    )
    names = ", ".join(_KEYS)
    order = ", ".join(_ORDER)
    figures = f"min(organisation) as organisation{minutes}"
    sql = f"select {names}, {figures}\nfrom results{conditions}\ngroup by {names}\norder by {order}"
    if at_hand is None:
        rows = store.rows(sql, values)
    else:
        rows = _grouped(at_hand, benchmarks, "energy_mj" if energy else "minutes")
    marks.put(store, rows, benchmarks)
    single = values["benchmark"] if isinstance(values["benchmark"], str) and benchmarks else None
    if single:
        rows.sort(key=lambda row: (row[single] is None, row[single] or 0.0))
        rows = [row | references.names(row | {"benchmark": single}) for row in rows]
    several = isinstance(values["round"], list)
    what = f"{len(rows)} system{'' if len(rows) == 1 else 's'}"
    return Answer(
        question="table",
        title=f"MLPerf Training v{facets.told(values['round'], ' and v')}: "
        + ", ".join([*facets.words(values, software), what])
        + (" that measured energy to target" if energy else ""),
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=_columns(
            [Column(name, name, "number", unit, mark=marks.OF_CELL + name) for name in benchmarks],
            [_ROUND] if several else [],
            single,
        ),
        rows=rows,
        notes=[
            *own.notes(with_own),
            *([] if with_own or rows else _unseen(store, values)),
            *_incomplete(store, values),
            *marks.notes(rows),
            *([] if several else lines_and_systems(rows)),
        ],
    )


def _at_hand(store: Store, values: facets.Values, energy: bool) -> list[Row]:
    """Give the results that the SQL's conditions leave, of a store that has them at hand."""
    rows = entered.found(store, values, _FILTERS)
    return [row for row in rows if row["energy_mj"] is not None] if energy else rows


def _grouped(rows: list[Row], benchmarks: list[str], figure: str) -> list[Row]:
    """Group results to systems as the SQL does."""
    systems: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        systems.setdefault(tuple(row[name] for name in _KEYS), []).append(row)
    made = []
    for key, entries in systems.items():
        named = [row["organisation"] for row in entries if row["organisation"] is not None]
        system: Row = {**dict(zip(_KEYS, key, strict=True)), "organisation": min(named, default=None)}
        system |= dict.fromkeys(benchmarks)
        for row in entries:
            known, value = system[row["benchmark"]], row[figure]
            if value is not None and (known is None or value > known):
                system[row["benchmark"]] = value
        made.append(system)
    # What has no value comes last, as in DuckDB.
    return sorted(made, key=lambda row: [(row[name] is None, row[name] or "") for name in _ORDER])


def _columns(figures: list[Column], of_round: list[Column], single: str | None) -> list[Column]:
    """Order the columns: the answer first where that is of one benchmark, which then has its reference."""
    if single:
        return [*figures, *of_round, *_SYSTEM, references.FULL, references.SHORT, *_DETAIL, marks.COLUMN]
    return [*of_round, *_SYSTEM, *figures, *_DETAIL, marks.COLUMN]


def _unseen(store: Store, values: dict[str, object]) -> list[str]:
    """Say where to find what the user added, for a table that is empty without it."""
    of_round = facets.where(values, ["round"])
    added = store.rows(f"select 1 from results where own{of_round} limit 1", values)
    rounds = facets.told(values["round"], " and v")
    return [f"You added results of v{rounds}: --with-own shows them."] if added else []


def _incomplete(store: Store, values: dict[str, object]) -> list[str]:
    every = store.rows(
        "select submitter, system, benchmark, what, round from incomplete"
        " where what like '%missing%' and not own order by all"
    )
    wanted = {name: as_list(values[name]) for name in ("round", "submitter", "benchmark")}
    rows = [
        row
        for row in every
        if all(
            of is None or row[name] in of or (name == "benchmark" and row[name] is None)
            for name, of in wanted.items()
        )
    ]
    return [f"Incomplete: {r['submitter']}/{r['system']}/{r['benchmark']}: {r['what']}." for r in rows]


def _identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _one_benchmark(answer: Answer) -> str:
    """Return the benchmark that a chart of the table is of. Raises `PitboardError` where it is not one."""
    benchmark = answer.parameters.get("benchmark")
    if not isinstance(benchmark, str) or any(column.unit == "MJ" for column in answer.columns):
        raise PitboardError(
            "A chart of the table is of the minutes of one benchmark: choose it with --benchmark."
        )
    return benchmark


def _bars(answer: Answer) -> dict[str, Any]:
    return ranked(answer.rows, _one_benchmark(answer))


def _curves(answer: Answer) -> dict[str, Any]:
    benchmark = _one_benchmark(answer)
    rows = [
        {
            "family": f"{row['submitter']}, {row['accelerator']}",
            "name": row["submitter"],
            "accelerator": row["accelerator"],
            "accelerators": row["accelerators"],
            "minutes": row[benchmark],
        }
        for row in answer.rows
        if row[benchmark] and row["accelerators"]
    ]
    counts = {
        row["family"]: {r["accelerators"] for r in rows if r["family"] == row["family"]} for row in rows
    }
    return {"rows": [row | {"single": len(counts[row["family"]]) == 1} for row in rows]}


QUESTION = Question(
    ask=table,
    order=1,
    summary="Show the official table of a round: minutes by system and benchmark",
    about=(
        "What does the official table of a round say? A row is a system, and each benchmark is a "
        "column in minutes, null where the system did not enter it or has no score. The column marks "
        "says what must be known of a figure: an RCP scaling factor, missing logs, runs of an earlier "
        "round."
    ),
    example={"benchmark": "llama31_8b", "accelerators": 8},
    options=(
        ROUND,
        ONLY_BENCHMARK,
        DIVISION,
        ACCELERATOR,
        SUBMITTER,
        ACCELERATORS,
        AVAILABILITY,
        PRECISION,
        SOFTWARE,
        Option("energy", "Show energy to target (MJ) in place of minutes, of systems that measured it."),
        WITH_OWN,
    ),
    charts=(
        Chart("ranked", _bars, "Minutes of one benchmark, ranked among as many accelerators", form="bars"),
        Chart(
            "table", _curves, "Minutes over accelerators, both logarithmic, for one benchmark", form="scale"
        ),
    ),
)
