"""The results as they were entered: one line a result, so that the columns are the same whatever is asked."""

from typing import Any

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
)
from pitboard.results.questions.table import DEFINITION
from pitboard.results.ranking import ranked
from pitboard.results.store import Store

_COLUMNS = [
    Column("minutes", "Time-to-train", "number", "min", mark=marks.OF_MINUTES),
    Column("benchmark", "Benchmark"),
    Column("system", "System"),
    Column("submitter", "Submitter"),
    Column("accelerators", "Count", "integer"),
    Column("accelerator", "Accelerator"),
    Column("precision", "Precision"),
    references.FULL,
    references.SHORT,
    Column("round", "Round", detail=True),
    Column("nodes", "Nodes", "integer", detail=True),
    Column("division", "Division", detail=True),
    Column("availability", "Availability", detail=True),
    Column("framework", "Framework", detail=True),
    Column("system_name", "System's name", detail=True),
    Column("samples", "To target", "number", "samples or epochs", 0, detail=True),
    Column("runs", "Runs", "integer", detail=True),
    Column("rcp_factor", "RCP factor", "number", digits=4, detail=True),
    Column("energy_mj", "Energy", "number", "MJ", detail=True),
    Column("to_know", "To know of the figure", detail=True),
]

FILTERS = (
    *("round", "benchmark", "division", "availability", "submitter", "accelerator", "accelerators"),
    *("precision", "framework"),
)


def entries(
    round: Several = None,
    benchmark: Several = None,
    division: Several = None,
    availability: Several = None,
    submitter: Several = None,
    accelerator: Several = None,
    accelerators: SeveralNumbers = None,
    precision: Several = None,
    software: Several = None,
    search: str | None = None,
    with_own: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Give the results of a round, by default of the newest, ordered by benchmark and minutes.

    A filter of several values takes what any of them names; `search` takes the results of which every one of
    its words, or parts of words, stands somewhere in the line. A result without a score has no minutes and
    comes last of its benchmark. `to_know` says what must be known of a figure: an RCP scaling factor, logs
    that are missing, runs of an earlier round. `with_own` shows what the user added, too, and so does naming
    a submitter of one's own. Raises `PitboardError` for a value that no result has.
    """
    store = store or default_store()
    values = narrowed(
        store,
        search,
        round,
        with_own,
        benchmark=benchmark,
        division=division,
        availability=availability,
        submitter=submitter,
        accelerator=accelerator,
        accelerators=accelerators,
        precision=precision,
        software=software,
    )
    sql = f"""select {entered.COLUMNS}
from results
where {own.SHOWN}{facets.where(values, FILTERS)}{entered.SEARCH if values["search"] else ""}
{entered.ORDER}"""
    if entered.can_find(store, values):
        rows = [dict(row) for row in entered.found(store, values, FILTERS)]
    else:
        rows = entered.told(store, store.rows(sql, values))
    return Answer(
        question="entries",
        title=_title(values, software, len(rows)),
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=list(_COLUMNS),
        rows=rows,
        notes=[*own.notes(values["with_own"]), *marks.notes(rows, "to_know")],
    )


def narrowed(
    store: Store, search: str | None, round: object, with_own: bool, **wanted: object
) -> facets.Values:
    """Give the values of the filters as `facets.of_rounds` does, with the words of the search, if any."""
    values = facets.of_rounds(store, round, with_own, **wanted)
    return values | {"search": " ".join((search or "").split()) or None}


def _title(values: dict[str, Any], software: Several, count: int) -> str:
    found = [f'with "{values["search"]:.60}"'] if values["search"] else []
    parts = [*facets.words(values, software), *found, f"{count} result{'' if count == 1 else 's'}"]
    return f"MLPerf Training v{facets.told(values['round'], ' and v')}: {', '.join(parts)}"


def _bars(answer: Answer) -> dict[str, Any]:
    return ranked(answer.rows, told="to_know")


QUESTION = Question(
    ask=entries,
    order=1,
    summary="List the results of a round, one a line, the fastest of each benchmark first",
    about=(
        "Which results were entered, and how fast was each? A row is one result, with its minutes, "
        "system, accelerators and stated precision; the fastest of each benchmark comes first."
    ),
    example={"benchmark": "llama31_8b", "accelerators": 8},
    options=(
        ROUND,
        ONLY_BENCHMARK,
        DIVISION,
        AVAILABILITY,
        SUBMITTER,
        ACCELERATOR,
        ACCELERATORS,
        PRECISION,
        SOFTWARE,
        Option("search", "Only what has all these words, or parts of words, somewhere in its line."),
        WITH_OWN,
    ),
    charts=(
        Chart("ranked", _bars, "Minutes of one benchmark, ranked among as many accelerators", form="bars"),
    ),
)
