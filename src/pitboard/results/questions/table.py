"""The official table: one line a system, one column a benchmark."""

from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import facets, marks, own
from pitboard.results.answer import Answer, Column
from pitboard.results.find import default_store, latest_round
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
from pitboard.results.store import Store, quoted

DEFINITION = (
    "A benchmark's figure is its time-to-train in minutes: the olympic mean of the runs (the fastest and the "
    "slowest left out), times the RCP scaling factor where convergence was too fast. It is what the official "
    "summarizer prints (mlperf_logging.result_summarizer; training rules, section 'Results'). Energy is the "
    "mean power of a run × its time-to-train, over the same runs and with the same factor, for entries with "
    "power files; whether it was measured before or after the power supplies stands in the description."
)

COLUMNS = [
    Column("submitter", "Submitter"),
    Column("system", "System"),
    Column("system_name", "System's name"),
    Column("division", "Division"),
    Column("availability", "Availability"),
    Column("nodes", "Nodes", "integer"),
    Column("accelerator", "Accelerator"),
    Column("accelerators", "Count", "integer"),
    Column("framework", "Framework"),
]

_ROUND = Column("round", "Round")
_KEYED = (_ROUND, *COLUMNS)

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

    Rows are systems, ordered by round, submitter and system; a benchmark's column is in minutes, `None` where
    it was not entered or has no score. A filter of several values takes what any of them names. `marks` says
    of which figures something must be known: an RCP scaling factor, logs that are missing, runs of an earlier
    round. `energy` shows the energy to target in megajoules instead, of the systems that measured it.
    `with_own` shows what the user added, too, and so does naming a submitter of one's own. Raises
    `PitboardError` for a value that no result has.
    """
    store = store or default_store()
    values = facets.chosen(
        store,
        round=round or latest_round(store),
        benchmark=benchmark,
        division=division,
        accelerator=accelerator,
        submitter=submitter,
        accelerators=accelerators,
        availability=availability,
        precision=precision,
        software=software,
    )
    values["with_own"] = with_own = own.asked_for(with_own, values["submitter"])
    conditions = _WHERE + facets.where(values, _FILTERS) + ("\n  and joules is not null" if energy else "")
    figure, unit = ("joules / 1e6", "MJ") if energy else ("minutes", "min")
    found = store.rows(f"select distinct benchmark from results{conditions} order by all", values)
    benchmarks = [str(row["benchmark"]) for row in found]
    minutes = "".join(
        f",\n  max({figure}) filter (benchmark = {quoted(name)}) as {_identifier(name)}"
        for name in benchmarks
    )
    names = ", ".join(column.name for column in _KEYED)
    order = "round, submitter, system, division"
    sql = f"select {names}{minutes}\nfrom results{conditions}\ngroup by {names}\norder by {order}"
    rows = store.rows(sql, values)
    marks.put(store, rows, benchmarks)
    several = isinstance(values["round"], list)
    what = f"{len(rows)} system{'' if len(rows) == 1 else 's'}"
    said = values | {"framework": None, "software": software}
    chosen = [
        f"{facets.told(value)} accelerators" if name == "accelerators" else facets.told(value)
        for name, value in said.items()
        if value is not None and name not in ("round", "with_own")
    ]
    return Answer(
        question="table",
        title=f"MLPerf Training v{facets.told(values['round'], ' and v')}: {', '.join([*chosen, what])}"
        + (" that measured energy to target" if energy else ""),
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=[
            *([_ROUND] if several else []),
            *COLUMNS[:-1],
            *(Column(name, name, "number", unit, mark=marks.OF_CELL + name) for name in benchmarks),
            marks.COLUMN,
            COLUMNS[-1],
        ],
        rows=rows,
        notes=[
            *own.notes(with_own),
            *([] if with_own or rows else _unseen(store, values)),
            *_incomplete(store, values),
            *marks.notes(rows),
            "Systems of different counts, accelerators or availability are not like for like: "
            "`pitboard results compare` says what may be compared.",
        ],
    )


def _unseen(store: Store, values: dict[str, object]) -> list[str]:
    """Say where to find what the user added, for a table that is empty without it."""
    of_round = facets.where(values, ["round"])
    added = store.rows(f"select 1 from results where own{of_round} limit 1", values)
    rounds = facets.told(values["round"], " and v")
    return [f"You added results of v{rounds}: --with-own shows them."] if added else []


def _incomplete(store: Store, values: dict[str, object]) -> list[str]:
    rows = store.rows(
        "select submitter, system, benchmark, what from incomplete where what like '%missing%' and not own"
        f"{facets.where(values, ['round', 'submitter'])} order by all",
        values,
    )
    wanted = as_list(values["benchmark"])
    rows = [row for row in rows if wanted is None or row["benchmark"] in (None, *wanted)]
    return [f"Incomplete: {r['submitter']}/{r['system']}/{r['benchmark']}: {r['what']}." for r in rows]


def _identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _curves(answer: Answer) -> dict[str, Any]:
    benchmark = answer.parameters.get("benchmark")
    if not isinstance(benchmark, str) or any(column.unit == "MJ" for column in answer.columns):
        raise PitboardError(
            "A chart of the table is of the minutes of one benchmark: choose it with --benchmark."
        )
    rows = [
        {
            "family": f"{row['submitter']}, {row['accelerator']}",
            "accelerators": row["accelerators"],
            "minutes": row[benchmark],
            "single": True,
        }
        for row in answer.rows
        if row[benchmark] and row["accelerators"]
    ]
    return {"rows": rows}


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
        Chart(
            "table", _curves, "Minutes over accelerators, both logarithmic, for one benchmark", form="scale"
        ),
    ),
)
