"""The official table: one line a system, one column a benchmark."""

from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import own
from pitboard.results.answer import Answer, Column
from pitboard.results.find import default_store, known, latest_round
from pitboard.results.question import (
    ACCELERATOR,
    DIVISION,
    ROUND,
    SUBMITTER,
    WITH_OWN,
    Chart,
    Option,
    Question,
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
    Column("division", "Division"),
    Column("availability", "Availability"),
    Column("nodes", "Nodes", "integer"),
    Column("accelerator", "Accelerator"),
    Column("accelerators", "Count", "integer"),
    Column("framework", "Framework"),
]

_WHERE = f"""
where round = $round and {own.SHOWN}
  and ($benchmark is null or benchmark = $benchmark)
  and ($division is null or division = $division)
  and ($accelerator is null or accelerator = $accelerator)
  and ($submitter is null or lower(submitter) = lower($submitter))
  and ($accelerators is null or accelerators = $accelerators)
  and ($availability is null or availability = $availability)"""


def table(
    round: str | None = None,
    benchmark: str | None = None,
    division: str | None = None,
    accelerator: str | None = None,
    submitter: str | None = None,
    accelerators: int | None = None,
    availability: str | None = None,
    energy: bool = False,
    with_own: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Give a round's official table, filtered; by default that of the newest round.

    Rows are systems, ordered by submitter and system; a benchmark's column is in minutes, `None` where it was
    not entered or has no score. `energy` shows the energy to target in megajoules instead, of the systems
    that measured it. `with_own` shows what the user added, too, and so does naming a submitter of
    one's own. Raises `PitboardError` for a value that no result has.
    """
    store = store or default_store()
    values: dict[str, object] = {
        "round": known(store, "round", round) or latest_round(store),
        "benchmark": known(store, "benchmark", benchmark),
        "division": known(store, "division", division),
        "accelerator": known(store, "accelerator", accelerator),
        "submitter": known(store, "submitter", submitter),
        "accelerators": accelerators,
        "availability": known(store, "availability", availability),
        "with_own": with_own,
    }
    values["with_own"] = with_own = own.asked_for(with_own, values["submitter"])
    where = f"{_WHERE}\n  and joules is not null" if energy else _WHERE
    figure, unit = ("joules / 1e6", "MJ") if energy else ("minutes", "min")
    found = store.rows(f"select distinct benchmark from results{where} order by all", values)
    benchmarks = [str(row["benchmark"]) for row in found]
    minutes = "".join(
        f",\n  max({figure}) filter (benchmark = {quoted(name)}) as {_identifier(name)}"
        for name in benchmarks
    )
    names = ", ".join(column.name for column in COLUMNS)
    order = "submitter, system, division"
    sql = f"select {names}{minutes}\nfrom results{where}\ngroup by {names}\norder by {order}"
    rows = store.rows(sql, values)
    what = f"{len(rows)} system{'' if len(rows) == 1 else 's'}"
    chosen = [
        f"{value} accelerators" if name == "accelerators" else str(value)
        for name, value in values.items()
        if value is not None and name not in ("round", "with_own")
    ]
    return Answer(
        question="table",
        title=f"MLPerf Training v{values['round']}: {', '.join([*chosen, what])}"
        + (" that measured energy to target" if energy else ""),
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=[*COLUMNS[:-1], *(Column(name, name, "number", unit) for name in benchmarks), COLUMNS[-1]],
        rows=rows,
        notes=[
            *own.notes(with_own),
            *([] if with_own or rows else _unseen(store, values)),
            *_incomplete(store, str(values["round"]), values["submitter"], values["benchmark"]),
            "Systems of different counts, accelerators or availability are not like for like: "
            "`pitboard results compare` says what may be compared.",
        ],
    )


def _unseen(store: Store, values: dict[str, object]) -> list[str]:
    """Say where to find what the user added, for a table that is empty without it."""
    added = store.rows("select 1 from results where own and round = $1 limit 1", [values["round"]])
    return [f"You added results of v{values['round']}: --with-own shows them."] if added else []


def _incomplete(store: Store, round: str, submitter: object, benchmark: object) -> list[str]:
    rows = store.rows(
        "select submitter, system, benchmark, what from incomplete where round = $round "
        "and ($submitter is null or lower(submitter) = lower($submitter)) "
        "and ($benchmark is null or benchmark is null or benchmark = $benchmark) and what like '%missing%' "
        "and not own order by all",
        {"round": round, "submitter": submitter, "benchmark": benchmark},
    )
    return [f"Incomplete: {r['submitter']}/{r['system']}/{r['benchmark']}: {r['what']}." for r in rows]


def _identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _curves(answer: Answer) -> dict[str, Any]:
    benchmark = answer.parameters.get("benchmark")
    if not benchmark or any(column.unit == "MJ" for column in answer.columns):
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
    options=(
        ROUND,
        Option("benchmark", "Only this benchmark.", column="benchmark"),
        DIVISION,
        ACCELERATOR,
        SUBMITTER,
        Option("accelerators", "Only this many accelerators.", column="accelerators"),
        Option("availability", "Only this category.", column="availability"),
        Option("energy", "Show energy to target (MJ) in place of minutes, of systems that measured it."),
        WITH_OWN,
    ),
    charts=(
        Chart(
            "table", _curves, "Minutes over accelerators, both logarithmic, for one benchmark", form="scale"
        ),
    ),
)
