"""Strong scaling: one curve for each family of results that differ in scale alone."""

from itertools import groupby
from typing import Any

import msgspec

from pitboard.errors import PitboardError
from pitboard.results import facets, marks, own, references
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, known
from pitboard.results.law import Law, fit
from pitboard.results.prediction import predictions
from pitboard.results.question import (
    ACCELERATOR,
    BENCHMARK,
    DIVISION,
    PRECISION,
    ROUND,
    SOFTWARE,
    SUBMITTER,
    WITH_OWN,
    Chart,
    Option,
    Question,
    Several,
)
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.results.throughput import MEAN_TRAINING, TIMED_RUNS, per_second
from pitboard.results.units import counted_in

DEFINITION = (
    "A family is the results of one submitter, accelerator and framework text in a round. Against the "
    "family's fewest accelerators (the fastest result there): speed-up is minutes ÷ minutes; efficiency is "
    "speed-up ÷ ratio of accelerators, 1 when ideal; 'acts like' is how many accelerators or nodes at "
    "perfect scaling would be as fast. Efficiency = communication ÷ convergence × rest, exactly: convergence "
    "is the ratio of samples to target; communication the ratio of throughput per accelerator, where "
    "throughput is samples to target ÷ training time (minutes without evaluation); rest is the change of "
    "evaluation's share and of the RCP scaling factor. All but minutes are derived by Pitboard and are not "
    "official metrics. Communication is all that lowers throughput per accelerator along the curve: the "
    "network, but also a smaller share of the batch for each accelerator and another split of the model; the "
    "logs do not tell these apart. A prediction holds inside the measured range, within its 95 % interval, "
    "and at most a factor of 2 beyond; systems of a family need not be one machine, and batch size and "
    "hyperparameters change along the curve. A result that converged faster than the reference allows has "
    "its minutes scaled up (rcp_scale): where the fewest accelerators have such a factor, efficiency is "
    "flattered, and rest is above 1. The range of runs is of those that the olympic mean keeps, times the "
    "RCP scaling factor."
)

SQL = f"""select r.submitter, r.accelerator, r.framework, r.system_name, r.availability, r.round, r.system,
  r.benchmark, r.accelerators, r.nodes, r.minutes, r.global_batch_size, r.samples_to_target,
  r.rcp_scale, u.low * r.rcp_scale as minutes_low, u.high * r.rcp_scale as minutes_high,
  {per_second("r.samples_to_target", "u.training")} as throughput
from results r left join (
  select round, submitter, system, benchmark, min(minutes) as low, max(minutes) as high,
    {MEAN_TRAINING}
  from (
    {TIMED_RUNS}
  ) where kept group by all
) u using (round, submitter, system, benchmark)
where r.benchmark = $benchmark and r.minutes > 0 and r.accelerators > 0
  and {own.SHOWN}"""
_FILTERS = ("round", "division", "submitter", "accelerator", "precision", "framework")
_ORDER = """
order by r.round, r.submitter, r.accelerator, r.framework, r.accelerators, r.minutes, r.system"""

_FITS = [
    Column("family", "Family"),
    Column("exponent", "Exponent b (1 is ideal)", "number", "", 3),
    Column("exponent_low", "b, 95 % low", "number", "", 3),
    Column("exponent_high", "b, 95 % high", "number", "", 3),
    Column("points", "Results", "integer"),
    Column("least", "Fewest accelerators", "integer"),
    Column("most", "Most accelerators", "integer"),
    Column("residual", "Standard error of log(minutes)", "number", "", 4),
    Column("intercept", "a", "number", "", 3, detail=True),
    Column("centre", "Mean of log(accelerators)", "number", "", 3, detail=True),
    Column("spread", "Sum of squares of log(accelerators)", "number", "", 3, detail=True),
]
_FITTED = [
    Column("family", "Family"),
    Column("accelerators", "Accelerators", "number", "", 1),
    Column("minutes", "Minutes by the law", "number", "min", 3),
    Column("low", "Prediction, 95 % low", "number", "min", 3),
    Column("high", "Prediction, 95 % high", "number", "min", 3),
]
_STEPS_TITLE = "The step of one's own runs: the median over stretches of training, the mean over ranks"
_PARTS_OF_STEP = [
    Column("compute_seconds", "Compute", "number", "s", 4),
    Column("communication_seconds", "Exposed communication", "number", "s", 4),
    Column("imbalance_seconds", "Load imbalance", "number", "s", 4),
    Column("data_wait_seconds", "Data", "number", "s", 4),
]
_TIMES_OF_STEP = [
    Column("step_seconds", "Step", "number", "s", 4),
    *_PARTS_OF_STEP,
    Column("slowest_rank_seconds", "Compute of the slowest rank", "number", "s", 4),
]
_STEP = [
    Column("reference", "Reference"),
    Column("system", "System", detail=True),
    Column("accelerators", "Accelerators", "integer"),
    *_TIMES_OF_STEP,
]
_OF_STEPS = """select submitter, system, name, median(median) as seconds, median(maximum) as most
from statistics where own and round = $round and benchmark = $benchmark group by all"""
_STEPS = 16
_WIDEST = 5
"""A law whose interval is wider than this factor is not drawn: the points are joined instead."""
# One degree of freedom: an interval of a factor of hundreds, which drawn would hide every other curve.
_FEWEST_DRAWN = 4


def scale(
    benchmark: str,
    round: Several = None,
    submitter: Several = None,
    accelerator: Several = None,
    division: Several = "closed",
    precision: Several = None,
    software: Several = None,
    at: int | None = None,
    with_own: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Give a benchmark's scale curves in a round (by default the newest), with a law fitted to each.

    Rows are results, ordered by family and accelerators; `more` holds `fits` (a law for each family of two
    counts or more) and `fitted` (points of it to draw, inside the measured range; no interval for fewer
    than four results). With `at`, `more["predictions"]` holds the minutes that the laws predict at that
    count of accelerators; notes say for which there is no prediction, and why. `with_own` takes what the user
    added, too, and so does naming a submitter of one's own; `more["steps"]` then says where the time of the
    steps of one's own went. Raises `PitboardError` for a
    value that no result has, or where no result matches.
    """
    store = store or default_store()
    if at is not None and at < 1:
        raise PitboardError(f"There is no system of {at} accelerators: --at takes 1 or more.")
    values = facets.of_rounds(
        store,
        round,
        with_own,
        division=division,
        submitter=submitter,
        accelerator=accelerator,
        precision=precision,
        software=software,
    )
    values["benchmark"] = known(store, "benchmark", benchmark)
    with_own = values["with_own"]
    sql = SQL + facets.where(values, _FILTERS, "r") + _ORDER
    found = store.rows(sql, values)
    if not found:
        raise PitboardError(_nothing(store, values))
    families = _families(marks.tell(store, found))
    rows = [row for family in families for row in family]
    laws = {family[0]["family"]: law for family in families if (law := _law(family))}
    answer = Answer(
        question="scale",
        title=f"v{facets.told(values['round'], ' and v')} {values['benchmark']}: {_headline(families)}",
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=_columns(counted_in(rows)),
        rows=rows,
        warnings=_warnings(families),
        notes=[*own.notes(with_own), *_notes(families, laws), *marks.notes(rows)],
        facts=_facts(families, laws),
        more={"fits": _fits(laws), "fitted": _fitted(laws)},
    )
    if with_own and (steps := _steps(store, values, rows)):
        answer.more["steps"] = Table(title=_STEPS_TITLE, columns=_STEP, rows=steps)
    if at is not None:
        answer.more["predictions"], refused = predictions(answer, at)
        answer.notes += refused
    return answer


def _nothing(store: Store, values: dict[str, object]) -> str:
    found = store.rows(
        "select distinct round from results where benchmark = $1 and not own order by all",
        [values["benchmark"]],
    )
    rounds = ", ".join(f"v{row['round']}" for row in found) or "no round"
    chosen = [facets.told(values[name]) for name in _FILTERS[1:] if values[name]]
    return (
        f"No result of {values['benchmark']} in v{facets.told(values['round'], ' or v')} matches "
        f"({', '.join(chosen) or 'no filter'}); it was entered in {rounds}. "
        "Choose another round or fewer filters."
    )


def _columns(unit: str) -> list[Column]:
    digits, target = 1 if unit == "samples" else 5, f"{unit.capitalize()} to target"
    return [
        Column("family", "Family"),
        Column("accelerators", "Accelerators", "integer"),
        Column("minutes", "Time-to-train", "number", "min", 3, mark=marks.OF_MINUTES),
        Column("speedup", "Speed-up", "number", "×"),
        Column("efficiency", "Efficiency", "number", "", 3),
        Column("acts_like_nodes", "Acts like", "number", "nodes", 1),
        Column("convergence", "Convergence cost", "number", "×", 3),
        Column("communication", "Throughput per accelerator kept", "number", "", 3),
        references.FULL,
        references.SHORT,
        Column("submitter", "Submitter", detail=True),
        Column("system", "System", detail=True),
        Column("accelerator", "Accelerator", detail=True),
        Column("framework", "Framework", detail=True),
        Column("nodes", "Nodes", "integer", detail=True),
        Column("minutes_low", "Fastest counted run", "number", "min", 3, detail=True),
        Column("minutes_high", "Slowest counted run", "number", "min", 3, detail=True),
        Column("acts_like", "Acts like", "number", "accelerators", 1, detail=True),
        Column("global_batch_size", "Global batch size", "integer", "samples", detail=True),
        Column("samples_to_target", target, "number", "", 0 if digits == 1 else 3, detail=True),
        Column("rcp_scale", "RCP scaling factor", "number", "×", 3, detail=True),
        Column("throughput", "Throughput", "number", f"{unit}/s", digits, detail=True),
        Column("rest", "Rest (evaluation, RCP scaling)", "number", "", 3, detail=True),
        marks.OF_ROW,
        Column("single", "One scale only", "boolean", detail=True),
    ]


def _families(rows: list[Row]) -> list[list[Row]]:
    """Group results, sorted as the SQL does, and measure each against the first of its family."""
    groups = [
        list(group)
        for _, group in groupby(
            rows, key=lambda r: (r["round"], r["submitter"], r["accelerator"], r["framework"])
        )
    ]
    several = len({row["round"] for row in rows}) > 1
    short = [(f"v{group[0]['round']} " if several else "") + _label(group[0]) for group in groups]
    families = []
    for group, name in zip(groups, short, strict=True):
        label = name if short.count(name) == 1 else f"{name}, {group[0]['framework'] or 'no framework named'}"
        single = len(_counts(group)) == 1
        families.append([_measure(row, group[0]) | {"family": label, "single": single} for row in group])
    return families


def _label(row: Row) -> str:
    return f"{row['submitter']}, {row['accelerator'] or 'unknown accelerator'}"


def _measure(row: Row, first: Row) -> Row:
    ratio = row["accelerators"] / first["accelerators"]
    speedup = first["minutes"] / row["minutes"]
    convergence = _quotient(row["samples_to_target"], first["samples_to_target"])
    faster = _quotient(row["throughput"], first["throughput"])
    communication = None if faster is None else faster / ratio
    efficiency = speedup / ratio
    known = convergence is not None and communication
    return row | {
        **references.names(row),
        "speedup": speedup,
        "efficiency": efficiency,
        "acts_like": speedup * first["accelerators"],
        "acts_like_nodes": speedup * first["nodes"] if first["nodes"] else None,
        "convergence": convergence,
        "communication": communication,
        "rest": efficiency * convergence / communication if known else None,
    }


def _quotient(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _counts(family: list[Row]) -> list[int]:
    return sorted({row["accelerators"] for row in family})


def _law(family: list[Row]) -> Law | None:
    return fit((row["accelerators"], row["minutes"]) for row in family)


def _fits(laws: dict[str, Law]) -> Table:
    rows = [{"family": family, **msgspec.structs.asdict(law)} for family, law in laws.items()]
    return Table(title="Laws: log(minutes) = a − b · log(accelerators)", columns=_FITS, rows=rows)


def _fitted(laws: dict[str, Law]) -> Table:
    rows: list[Row] = []
    for family, law in laws.items():
        for step in range(_STEPS + 1):
            count = law.least * (law.most / law.least) ** (step / _STEPS)
            minutes, low, high = law.at(count)
            if law.points < _FEWEST_DRAWN:
                low = high = None
            rows.append(
                {"family": family, "accelerators": count, "minutes": minutes, "low": low, "high": high}
            )
    return Table(title="The laws over their measured range", columns=_FITTED, rows=rows, detail=True)


def _facts(families: list[list[Row]], laws: dict[str, Law]) -> dict[str, Any]:
    return {
        "families": len(families),
        "curves": len(laws),
        "laws_with_interval": sum(law.residual is not None for law in laws.values()),
    }


def _headline(families: list[list[Row]]) -> str:
    best = max(families, key=lambda family: (len(_counts(family)), family[-1]["accelerators"]))
    first, last = best[0], best[-1]
    if last["single"]:
        return "no family has results at two scales, only points"
    ratio = last["accelerators"] / first["accelerators"]
    return (
        f"{last['family']} is {last['speedup']:.1f} × as fast on {ratio:.3g} × the accelerators "
        f"({last['efficiency']:.0%} of ideal)"
    )


def _warnings(families: list[list[Row]]) -> list[str]:
    return [
        f"{family[0]['family']}: its results differ in availability ({', '.join(kinds)})."
        for family in families
        if len(kinds := sorted({str(row["availability"]) for row in family})) > 1
    ]


def _notes(families: list[list[Row]], laws: dict[str, Law]) -> list[str]:
    notes = []
    batches = [family[0]["family"] for family in families if _differ(family, "global_batch_size")]
    twice = [family[0]["family"] for family in families if len(_counts(family)) < len(family)]
    blind = [row["reference"] for family in families for row in family if row["throughput"] is None]
    lines = [family for family, law in laws.items() if law.residual is None]
    few = [family for family, law in laws.items() if law.residual is not None and law.points == 3]
    for names, what in (
        (batches, "The global batch size changes along the curve of"),
        (twice, "More than one result at one count, all kept, of"),
        (lines, "Two counts only, so a line through them and no interval, for"),
        (few, "Three results leave one degree of freedom, so an interval too wide to draw, for"),
        (blind, "Evaluation time is not logged, so no throughput, for"),
    ):
        if names:
            notes.append(f"{what}: {'; '.join(names)}.")
    return notes


def _steps(store: Store, values: dict[str, object], rows: list[Row]) -> list[Row]:
    """Return where a step's time went in those results of one's own whose logs say it."""
    asked = {name: values[name] for name in ("round", "benchmark")}
    found: dict[tuple[str, str], Row] = {}
    for each in store.rows(_OF_STEPS, asked):
        of = found.setdefault((each["submitter"], each["system"]), {})
        of[each["name"]] = each["seconds"]
        if each["name"] == "rank_compute_seconds":
            of["slowest_rank_seconds"] = each["most"]
    return [
        {name: row[name] for name in ("reference", "system", "accelerators")}
        | {each.name: found[row["submitter"], row["system"]].get(each.name) for each in _TIMES_OF_STEP}
        for row in rows
        if "step_seconds" in found.get((row["submitter"], row["system"]), {})
    ]


def _differ(family: list[Row], column: str) -> bool:
    return len({row[column] for row in family}) > 1


def _curves(answer: Answer) -> dict[str, Any]:
    laws: dict[str, list[Row]] = {}
    for row in answer.more["fitted"].rows:
        laws.setdefault(row["family"], []).append(row)
    return {
        "rows": _named(answer),
        "fitted": [row for rows in laws.values() if _narrow(rows) for row in rows],
    }


def _named(answer: Answer) -> list[Row]:
    """Return the rows with the short name of each family, which need not repeat the accelerator."""
    return [
        row | {"name": row["family"].replace(f", {row['accelerator']}", "", 1) or row["family"]}
        for row in answer.rows
    ]


def _narrow(law: list[Row]) -> bool:
    """Say whether a law's interval says anything: one of three results spans orders of magnitude."""
    return all(row["low"] and row["high"] / row["low"] < _WIDEST for row in law)


def _step_parts(answer: Answer) -> dict[str, Any]:
    """Give the parts of the steps of one's own, in ms; raises `PitboardError` where there are none."""
    steps = answer.more["steps"].rows if "steps" in answer.more else []
    if not steps:
        raise PitboardError("No result of your own is shown whose logs say where the time of a step went.")
    of = f"v{facets.told(answer.parameters['round'], ' and v')} {answer.parameters['benchmark']}"
    return {
        "rows": [
            {
                "result": f"{row['system']}, {row['accelerators']:,} accelerators",
                "part": column.title,
                "value": 1e3 * row[column.name],
                "slowest": row["slowest_rank_seconds"] and 1e3 * row["slowest_rank_seconds"],
            }
            for row in steps
            for column in _PARTS_OF_STEP
            if row[column.name] is not None
        ],
        "title": f"{of}: where the time of a step goes, in your own runs",
    }


def _efficiency(answer: Answer) -> dict[str, Any]:
    of = f"v{facets.told(answer.parameters['round'], ' and v')} {answer.parameters['benchmark']}"
    return {"rows": _named(answer), "title": f"{of}: how much of each added accelerator is used"}


QUESTION = Question(
    ask=scale,
    order=3,
    summary=(
        "Show scale curves by family, what scale costs in convergence and communication, and a fitted law"
    ),
    about=(
        "How does the time of a benchmark fall as accelerators are added? A row is a result of a "
        "family (one submitter, accelerator and stack) with its speed-up over the family's smallest "
        "and its efficiency. The table fits has a law for each family; predictions, with the "
        "parameter at, the minutes that the laws give for that count."
    ),
    example={"benchmark": "llama31_8b", "submitter": "NVIDIA"},
    options=(
        BENCHMARK,
        ROUND,
        SUBMITTER,
        ACCELERATOR,
        DIVISION,
        PRECISION,
        SOFTWARE,
        Option("at", "Predict the minutes at this many accelerators, family by family."),
        WITH_OWN,
    ),
    charts=(
        Chart(
            "scale",
            _curves,
            "Minutes over accelerators, both logarithmic: a line for each submitter and accelerator, and the "
            "ideal one",
        ),
        Chart("efficiency", _efficiency, "Scaling efficiency, in percent of ideal, over accelerators"),
        Chart(
            "steps",
            _step_parts,
            "The mean step of your own results, divided into computing, exposed communication, load "
            "imbalance and waiting for data",
            form="step_parts",
        ),
    ),
)
