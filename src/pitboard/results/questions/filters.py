"""What each filter of the results could still be set to, and how many results that would leave."""

from collections import Counter

from pitboard.results import entered, facets, own
from pitboard.results.answer import Answer, Column
from pitboard.results.find import default_store
from pitboard.results.question import Question, Several, SeveralNumbers
from pitboard.results.questions.entries import FILTERS, narrowed
from pitboard.results.questions.entries import QUESTION as ENTRIES
from pitboard.results.schema import Row
from pitboard.results.store import Store

OFFERED = tuple(name for name in FILTERS if name != "framework")
"""The filters whose values are counted; a framework is found by words of its text, which are no values."""

DEFINITION = (
    "Each filter's values are counted over the results that all the other filters leave, so that a count is "
    "what is shown where that value is chosen alone. No value stands for results that do not state one."
)
_COLUMNS = [
    Column("filter", "Filter"),
    Column("value", "Value"),
    Column("results", "Results", "integer"),
]


def filters(
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
    """Give the values of each filter of `entries`, with the results that each leaves beside the others.

    Rows are ordered by filter, the most results first. Raises `PitboardError` for a value that no result has.
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
    found = entered.SEARCH if values["search"] else ""
    # Filters that nothing is chosen of leave the same results: these are read once for all of them.
    given = [[name] for name in OFFERED if values.get(name) is not None]
    counted = [
        f"""select {_placed(names)} from results
where {own.SHOWN}{facets.where(values, [each for each in FILTERS if each not in names])}{found}"""
        for names in [*given, [name for name in OFFERED if [name] not in given]]
        if names
    ]
    sql = f"""select place, filter, value, count(*) as results from (
{f"{chr(10)}union all{chr(10)}".join(counted)}
) group by all order by place, results desc, value"""
    return Answer(
        question="filters",
        title=f"MLPerf Training v{facets.told(values['round'], ' and v')}: what results can be narrowed to",
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=_COLUMNS,
        rows=_counted(store, values) if entered.can_find(store, values) else store.rows(sql, values),
        notes=own.notes(values["with_own"]),
    )


def _counted(store: Store, values: facets.Values) -> list[Row]:
    """Count as the SQL does: each filter's values over the results that all the others leave."""
    filters = facets.let_through(values, FILTERS)
    rounds = filters.pop("round")
    of_rounds = facets.left(entered.shown(store, values, rounds), {"round": rounds})
    left = facets.left(of_rounds, filters)
    rows: list[Row] = []
    for place, name in enumerate(OFFERED):
        others = {each: wanted for each, wanted in filters.items() if each != name}
        if name == "round":
            beside = facets.left(entered.shown(store, values), filters)
        else:
            beside = left if len(others) == len(filters) else facets.left(of_rounds, others)
        rows += [
            {"place": place, "filter": name, "value": _text(value), "results": results}
            for value, results in Counter([row[name] for row in beside]).items()
        ]
    return sorted(
        rows, key=lambda row: (row["place"], -row["results"], row["value"] is None, row["value"] or "")
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _placed(names: list[str]) -> str:
    """Write the values of filters, a row each, as SQL."""
    rows = ", ".join(
        f"{{'place': {OFFERED.index(name)}, 'filter': '{name}', 'value': {name}::varchar}}" for name in names
    )
    return f"unnest([{rows}], recursive := true)"


QUESTION = Question(
    ask=filters,
    order=2,
    summary="Count the results behind each value of each filter, beside the other filters",
    about=(
        "Which values does each filter of /api/entries have, and how many results does each leave "
        "beside the other filters that are given? A row is a value of a filter."
    ),
    example={"benchmark": "llama31_8b"},
    options=ENTRIES.options,
)
