"""One function per page: it asks one question of another room and gives the template with the answer."""

from fastapi import HTTPException

from pitboard import suite
from pitboard.compliance.rules import RULES
from pitboard.errors import PitboardError
from pitboard.results.store import Store
from pitboard.suite.model import Benchmark
from pitboard.web import asking
from pitboard.web.rendering import Page

_ROUND = suite.NEWEST_RACED


def benchmarks(store: Store) -> Page:
    """The benchmarks of the newest round, and those that only earlier ones had."""
    return Page("benchmarks.html", {"round": _ROUND, "retired": _retired(store)})


def benchmark(store: Store, name: str, highlight: str = "") -> Page:
    """One benchmark; one that neither the suite nor the store has is not found.

    `highlight` is what keeps its colour in the charts, which all have theirs without it.
    """
    known = _known(name)
    retired = _retired(store)
    if known is None and name not in retired:
        try:
            _ROUND.benchmark(name)
        except PitboardError as error:
            raise HTTPException(404, str(error)) from error
    round = retired.get(name)
    table = asking.section(store, "table", benchmark=name, round=round)
    scale = asking.section(store, "scale", benchmark=name, round=round)
    if table and scale and scale.charts:  # the curves of the table would be the same picture
        table = table._replace(charts=tuple(chart for chart in table.charts if chart.form != "scale"))
    converge = asking.section(store, "converge", benchmark=name, round=round)
    (scale, converge, table), highlights = asking.highlighted((scale, converge, table), highlight)
    return Page(
        "benchmark.html",
        {
            "highlights": highlights,
            "name": name,
            "round": round or _ROUND.version,
            "benchmark": known,
            "scale": scale,
            "converge": converge,
            "table": table,
        },
    )


def rules() -> Page:
    """Every rule that a finding can carry."""
    return Page("rules.html", {"rules": list(RULES.values())})


def _known(name: str) -> Benchmark | None:
    return next((each for each in _ROUND.benchmarks if each.id == name), None)


def _retired(store: Store) -> dict[str, str]:
    """Give the benchmarks that the newest round does not have, with the newest round that had them."""
    rows = store.rows("select distinct benchmark, round from results where not own order by round")
    last = {str(row["benchmark"]): str(row["round"]) for row in rows}
    return {name: round for name, round in last.items() if _known(name) is None}
