"""What a buyer may expect: the time of a benchmark on accelerators that are yet to be bought."""

from math import log2
from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import citing, facets, marks, references
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.expecting import (
    INSIDE,
    SQL,
    Estimate,
    at_count,
    backtest,
    estimate,
    interval,
    published,
)
from pitboard.results.find import default_store, known, latest_round
from pitboard.results.organisations import one_name
from pitboard.results.question import (
    BENCHMARK,
    PRECISION,
    ROUND,
    SOFTWARE,
    Chart,
    Option,
    Question,
    Several,
)
from pitboard.results.questions.sanity import sanity
from pitboard.results.schema import Row
from pitboard.results.store import Store

DEFINITION = (
    "Every result of the benchmark on the accelerator in the round is moved to the count asked for, by the "
    "accelerator's law log(minutes) = a − b · log(accelerators), or where it was published at fewer than "
    "three counts by one b for all accelerators of the benchmark. Expected is their geometric mean, weighted "
    "by nearness in count: 1 ÷ (0.1 + doublings of the count)². The interval is measured: every result of "
    "the round, of any benchmark, is predicted in this way from those of other organisations, and it holds "
    f"{INSIDE:.0%} of the ratios of measured to predicted minutes, of predictions from about as near. With a "
    "proxy, minutes are divided by its throughput ÷ the median published throughput of its benchmark, "
    "accelerator and count. Accelerator-hours are minutes × accelerators ÷ 60; derived, not official. "
    "Published results are of tuned stacks, run by their makers: your own may be slower, which --proxy "
    "measures."
)

COLUMNS = [
    Column("method", "From"),
    Column("minutes", "Expected", "number", "min", 2),
    Column("low", "Low", "number", "min", 2),
    Column("high", "High", "number", "min", 2),
    Column("accelerators", "Accelerators", "integer"),
    Column("accelerator_hours", "Accelerator-hours (derived)", "number", "h", 2),
    Column("accelerator_hours_low", "Low", "number", "h", 2),
    Column("accelerator_hours_high", "High", "number", "h", 2),
    Column("hours", "Expected", "number", "h", 3, detail=True),
]
_NEIGHBOURS = [
    Column("moved", "Moved to the count asked for", "number", "min", 3),
    Column("minutes", "Time-to-train", "number", "min", 3, mark=marks.OF_MINUTES),
    Column("accelerators", "Accelerators", "integer"),
    Column("precision", "Precision"),
    Column("reference", "Published result"),
    Column("availability", "Availability"),
    references.SHORT,
    marks.OF_ROW,
]
_POINTS = [
    Column("family", "Family"),
    Column("accelerator", "Accelerator"),
    Column("accelerators", "Accelerators", "integer"),
    Column("minutes", "Minutes", "number", "min", 3),
    Column("single", "A point by itself", "boolean"),
]
_SHOWN = 6
_FARTHEST = 1.0
"""In doublings of the count: farther from anything published an expectation is a guess."""
_WIDEST = 2.0


def expect(
    benchmark: str,
    accelerator: str,
    count: int,
    round: str | None = None,
    division: str = "closed",
    proxy: str | None = None,
    precision: Several = None,
    software: Several = None,
    *,
    store: Store | None = None,
    untrusted: bool = False,
) -> Answer:
    """Say what time a benchmark may take on a count of accelerators, from what was published.

    Rows are the ways to tell it: the published neighbours, the accelerator's law by itself, and with `proxy`
    (the output folder of one's own run, or a result's reference) the neighbours scaled by how one's own stack
    compares. `precision` and `software` leave only results that state or ran these to be expected from; the
    interval is measured over all. `facts`: `minutes`, `low`, `high`, `hours`, `accelerator_hours` of the best
    of them, `believe`, and `proxy_ratio`; `warnings` say why it should not be believed. `more["neighbours"]`
    holds the published results that weigh most. With `untrusted`, the proxy is never read as a folder. Raises
    `PitboardError` where nothing like it was published, or the proxy cannot be compared.
    """
    if count < 1:
        raise PitboardError(f"There is no system of {count} accelerators: --count takes 1 or more.")
    store = store or default_store()
    name = str(known(store, "benchmark", benchmark))
    part = str(known(store, "accelerator", accelerator))
    version = known(store, "round", round) or latest_round(store)
    kind = str(known(store, "division", division))
    every = published(store, version, kind)
    narrowed = facets.chosen(store, precision=precision, software=software)
    filters = facets.let_through(narrowed, narrowed)
    rows = facets.left(every, filters)
    found = estimate(rows, name, part, count)
    if found is None:
        raise PitboardError(_nothing(rows, name, part, count, version))
    errors = backtest(every)
    ends = interval(found.minutes, found.distance, errors)
    low, high = ends[:2] if ends else (None, None)
    ways = [_way("published results", count, found.minutes, low, high)]
    if found.law:
        ways.append(_way(f"the law of {part} alone, 95 % interval", count, *found.law.at(count)))
    ratio, told = _proxy(store, proxy, version, untrusted) if proxy else (None, [])
    if ratio:
        scaled = (None if value is None else value / ratio for value in (found.minutes, low, high))
        ways.insert(0, _way("published results, scaled by the proxy", count, *scaled))
    warnings = _doubts(found, part, count, ends, ratio)
    best, neighbours = ways[0], _neighbours(store, found, count)
    return Answer(
        question="expect",
        title=_title(name, ", ".join([part, *facets.words(narrowed, software)]), best),
        definition=DEFINITION,
        sql=SQL,
        parameters={"round": version, "division": kind, **narrowed},
        columns=COLUMNS,
        rows=ways,
        warnings=warnings,
        notes=[
            *_notes(found, part, version, ends),
            *told,
            *marks.notes(neighbours.rows, marks.OF_ROW.name),
            citing.DERIVED,
        ],
        facts={key: best[key] for key in ("minutes", "low", "high", "hours", "accelerator_hours")}
        | {"believe": not warnings, "exponent": found.exponent, "proxy_ratio": ratio},
        more={"neighbours": neighbours, "points": _points(found, best, part)},
    )


def _way(method: str, count: int, minutes: float | None, low: float | None, high: float | None) -> Row:
    hours = [None if value is None else value * count / 60 for value in (minutes, low, high)]
    return {
        "method": method,
        "accelerators": count,
        "minutes": minutes,
        "low": low,
        "high": high,
        "hours": None if minutes is None else minutes / 60,
        "accelerator_hours": hours[0],
        "accelerator_hours_low": hours[1],
        "accelerator_hours_high": hours[2],
    }


def _title(benchmark: str, accelerator: str, best: Row) -> str:
    what = f"{benchmark} on {best['accelerators']:,} × {accelerator}: expect {best['minutes']:.2f} min"
    spread = "" if best["low"] is None else f" ({best['low']:.2f} to {best['high']:.2f})"
    return f"{what}{spread}, {best['accelerator_hours']:.1f} accelerator-hours"


def _nothing(rows: list[Row], benchmark: str, accelerator: str, count: int, round: str) -> str:
    measured = sorted({row["accelerator"] for row in rows if row["benchmark"] == benchmark})
    if accelerator in measured:
        counts = sorted({row["accelerators"] for row in rows if row["benchmark"] == benchmark})
        return (
            f"v{round} has {benchmark} on {accelerator} at {', '.join(map(str, counts))} accelerators only: "
            f"nothing tells how it scales to {count}."
        )
    others = ", ".join(measured) or "no accelerator"
    return (
        f"v{round} has no {benchmark} on {accelerator}, so nothing can be expected of it; it was published "
        f"on {others}. Choose one of these, or another --round."
    )


def _doubts(
    found: Estimate,
    accelerator: str,
    count: int,
    ends: tuple[float, float, int] | None,
    ratio: float | None,
) -> list[str]:
    """Say why an expectation should not be believed; nothing where it may be."""
    doubts = []
    counts = sorted({row["accelerators"] for row in found.pool})
    if found.distance > _FARTHEST:
        between = "between" if counts[0] < count < counts[-1] else "beyond"
        doubts.append(
            f"Do not plan with it: {count} is far {between} the counts at which {accelerator} was published "
            f"({', '.join(map(str, counts))})."
        )
    who = {one_name(row["organisation"]) for row in found.pool}
    if len(who) == 1:
        doubts.append(
            f"All of {accelerator}'s results here are of {found.pool[0]['submitter']}: another organisation "
            "may not reach them."
        )
    if ends is None:
        doubts.append("There are too few results to tell how far off such an expectation is.")
    elif ends[1] / ends[0] > _WIDEST:
        doubts.append(
            f"The ends of the interval are a factor of {ends[1] / ends[0]:.1f} apart: a rough estimate, not "
            "a figure to buy by."
        )
    if ratio is not None and not 0.5 <= ratio <= 1.5:
        doubts.append(
            f"The proxy's throughput is {ratio:.2f} × the published median: find out why before you plan "
            "with it."
        )
    return doubts


def _notes(found: Estimate, accelerator: str, round: str, ends: tuple[float, float, int] | None) -> list[str]:
    notes = []
    if found.exponent is not None:
        whose = "of the benchmark on all accelerators" if found.borrowed else f"of {accelerator}"
        notes.append(
            f"Results of other counts are moved by the law {whose}: twice the accelerators take "
            f"{2**-found.exponent:.2f} × the minutes (exponent {found.exponent:.2f}, 1 is ideal)."
        )
    if ends:
        notes.append(
            f"The interval is that of {ends[2]} published results of v{round}, each predicted from those of "
            "other organisations."
        )
    preview = sum("available" not in str(row["availability"]).casefold() for row in found.pool)
    if preview:
        notes.append(f"{preview} of {len(found.pool)} results are of systems that were not yet available.")
    return notes


def _proxy(store: Store, proxy: str, round: str, untrusted: bool) -> tuple[float, list[str]]:
    """Give the proxy's throughput over the published median of its kind, and the note that says so."""
    answer = sanity(proxy, round, store=store, untrusted=untrusted)
    speed, median = answer.facts["throughput"], answer.facts["published_median"]
    if median is None:
        raise PitboardError(
            f"{proxy} cannot serve as a proxy: {answer.title[0].lower()}{answer.title[1:]}. Run it on an "
            "accelerator and a count that were published, or leave --proxy out."
        )
    what = answer.parameters
    return speed / median, [
        f"Proxy: {proxy} reached {speed / median:.2f} × the median published throughput of "
        f"{what['benchmark']} on {what['accelerators']} × {what['accelerator']} ({len(answer.rows)} results)."
        " It is taken for the stack's: another benchmark, count or network may treat it otherwise.",
        *answer.notes[:1],
    ]


def _neighbours(store: Store, found: Estimate, count: int) -> Table:
    rows = [
        row
        | {
            **references.names(row),
            "moved": None if found.exponent is None else at_count(row, count, found.exponent),
        }
        for row in marks.tell(store, found.pool)
    ]
    rows.sort(key=lambda row: (abs(log2(row["accelerators"] / count)), row["minutes"]))
    return Table(title="The nearest published results", columns=_NEIGHBOURS, rows=rows[:_SHOWN])


def _points(found: Estimate, best: Row, accelerator: str) -> Table:
    """Give the published points and the expected one, to draw."""
    points = [(row["submitter"], row["accelerators"], row["minutes"]) for row in found.pool]
    points.append(("expected", best["accelerators"], best["minutes"]))
    rows: list[Row] = [
        {
            "family": family,
            "accelerator": "expected" if family == "expected" else accelerator,
            "accelerators": count,
            "minutes": minutes,
            "single": True,
        }
        for family, count, minutes in points
    ]
    return Table(title="Published results and the expected one", columns=_POINTS, rows=rows, detail=True)


def _drawn(answer: Answer) -> dict[str, Any]:
    return {"rows": answer.more["points"].rows}


QUESTION = Question(
    ask=expect,
    order=10,
    summary="Say what time and accelerator-hours a benchmark may take on accelerators that you consider",
    about=(
        "What time would a benchmark take on accelerators that you consider? A row is a way to tell "
        "it, with a measured interval, in minutes, hours and accelerator-hours. Facts hold the best "
        "of them, and whether to believe it."
    ),
    example={"benchmark": "llama31_8b", "accelerator": "B200", "count": 16},
    options=(
        BENCHMARK,
        Option("accelerator", "The accelerator, such as B200.", column="accelerator"),
        Option("count", "How many of them."),
        ROUND,
        Option("division", "The division: closed or open.", choices=("closed", "open")),
        Option(
            "proxy",
            "Scale it by a run of your own: its output folder (in a terminal), or a result's reference.",
        ),
        PRECISION,
        SOFTWARE,
    ),
    charts=(
        Chart("expect", _drawn, "Published results and the expected one over accelerators", form="scale"),
    ),
)
