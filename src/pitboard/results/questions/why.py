"""Where a speed-up comes from: convergence, count, scale, hardware, software and evaluation."""

from math import log, prod
from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import references
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.attribution import (
    NAMES,
    RESAMPLES,
    RUNS,
    Case,
    case_of,
    causes_apart,
    intervals,
    parts_of,
)
from pitboard.results.bridges import Step, implausible, software
from pitboard.results.find import default_store, key_of, reference, result
from pitboard.results.likeness import incomparable, unlike
from pitboard.results.question import A, B, Chart, Question
from pitboard.results.questions.compare import speedup_in_words
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.stats import SEED

DEFINITION = (
    "minutes = RCP scaling factor × (samples to target ÷ throughput + evaluation), so the speed-up of B over "
    "A is the product of one factor a part; above 1, the part makes B faster. Figures are means of the runs "
    "that the score counts. Throughput is samples to target ÷ the minutes outside evaluation, so whatever "
    "else takes time in a run (data, checkpoints, waiting) is in it. A part's share is its logarithm ÷ that "
    "of the speed-up. Where a part changes from A to B together with another, a published result between "
    "the two (a bridge) tells them apart. The 95 % intervals are percentile bootstraps over each result's "
    f"runs, scored as olympic means ({RESAMPLES:,} resamples, seed {SEED}); RCP scaling is held fixed."
)

COLUMNS = [
    Column("part", "Part"),
    Column("factor", "Factor", "number", "×", 3),
    Column("low", "Low", "number", "×", 3),
    Column("high", "High", "number", "×", 3),
    Column("share", "Share of the logarithm", "number", "", 2),
    Column("known", "Told apart", "boolean"),
    Column("how", "How"),
]
_USED = [
    Column("role", "Role"),
    Column("run_minutes", "Mean of runs", "number", "min", 3),
    Column("throughput", "Throughput per accelerator", "number", "per min", 3),
    Column("samples_to_target", "Samples to target", "number", "", 2),
    Column("accelerators", "Count", "integer"),
    Column("accelerator", "Accelerator"),
    Column("software", "Software"),
    Column("reference", "Reference"),
    references.SHORT,
    Column("global_batch_size", "Global batch size", "integer", "samples", detail=True),
    Column("rcp_scale", "RCP scaling", "number", "×", 4, detail=True),
    Column("evaluation_minutes", "Evaluation", "number", "min", 3, detail=True),
]


def why(a: str, b: str, *, store: Store | None = None) -> Answer:
    """Attribute the speed-up of result B over result A, given as ROUND/SUBMITTER/SYSTEM/BENCHMARK.

    Rows are parts whose factors multiply to the speed-up; `known` says whether a part is told apart from
    others. `facts` hold `speedup`, `low` and `high`, and `bridges` (references); `more["results"]` the logged
    figures. Raises `PitboardError` for an unknown result, one without a score or runs, and results of
    different benchmarks, targets or presets.
    """
    store = store or default_store()
    first, second = (result(store, text) for text in (a, b))
    if reason := incomparable(first, second):
        raise PitboardError(f"{a} and {b} cannot be compared: {reason}.")
    case = case_of(store, first, second)
    rows, whole = _rows(case)
    speedup = prod(row["factor"] for row in rows)
    return Answer(
        question="why",
        title=_title(rows, speedup),
        definition=DEFINITION,
        sql=RUNS,
        parameters=key_of(first),
        columns=COLUMNS,
        rows=rows,
        warnings=[*unlike(first, second), *_implausible(case)],
        notes=_notes(case, whole is None),
        facts={
            "speedup": speedup,
            "low": whole and whole[0],
            "high": whole and whole[1],
            "bridges": [reference(step.after) for step in case.steps[:-1]],
        },
        more={"results": _used(case)},
    )


def _rows(case: Case) -> tuple[list[Row], tuple[float, float] | None]:
    """Give the parts as rows, and the interval of the whole."""
    parts = parts_of(case)
    factors = [part.factor(case.figures) for part in parts]
    *ranges, whole = intervals(case, parts)
    rows = [
        {
            "part": part.name,
            "factor": factor,
            "low": interval and interval[0],
            "high": interval and interval[1],
            "share": _share(factor, prod(factors)),
            "known": part.known,
            "how": part.how,
        }
        for part, factor, interval in zip(parts, factors, ranges, strict=True)
    ]
    return rows, whole


def _share(factor: float, speedup: float) -> float | None:
    """Give the part's share of the whole; none where there is next to no speed-up to share."""
    return log(factor) / log(speedup) if abs(log(speedup)) > 0.005 else None


def _title(rows: list[Row], speedup: float) -> str:
    faster = speedup_in_words(speedup)
    shared = [row for row in rows if row["share"] is not None]
    if not shared:
        return f"{faster}: there is next to no speed-up to attribute"
    most = max(shared, key=lambda row: row["share"])
    factor = most["factor"] if speedup >= 1 else 1 / most["factor"]
    return f"{faster}; most of it is {most['part']} ({factor:.2f} ×)"


def _notes(case: Case, few: bool) -> list[str]:
    notes = [_bridged(step) for step in case.steps[:-1]]
    notes += [
        f"Cannot be separated: {', '.join(NAMES[name] for name in step.changes)}. The store has no result "
        "between the two that changes them one at a time."
        for step in case.steps
        if len(step.changes) > 1
    ]
    if case.steps[0].changes or len(case.steps) > 1:
        notes.append(
            "Software is NVIDIA's monthly release or the framework as described; the benchmark's code, host "
            "and network may differ with it, and so may the precision, which acts on throughput too. Another "
            "bridge would split somewhat differently."
        )
    if case.samples and not causes_apart(case.a, case.b):
        notes.append("Cannot be separated: the effects of batch size and of precision on samples to target.")
    if not case.samples:
        notes.append(
            "Samples to target are not logged in one unit by both: convergence is in the throughput."
        )
    if not case.evaluation:
        notes.append("Evaluation time is not logged within every run: it is in the throughput.")
    if not case.counts:
        notes.append("A count of accelerators is not stated: throughput is that of the whole system.")
    if few:
        notes.append("A result has too few runs for an interval.")
    return notes


def _implausible(case: Case) -> list[str]:
    return [
        f"The software of {name} cannot be told: its description states {said}. Neither is used."
        for name, row in (("A", case.a), ("B", case.b))
        if (said := implausible(row))
    ]


def _bridged(step: Step) -> str:
    row = step.after
    return f"Bridge: {reference(row)} ({row['accelerators']} × {row['accelerator']}, {software(row)})."


def _used(case: Case) -> Table:
    bridges = [("bridge", step.after) for step in case.steps[:-1]]
    rows = [_row(case, role, row) for role, row in [("A", case.a), *bridges, ("B", case.b)]]
    return Table(
        title="The logged figures, means of the runs that the score counts", columns=_USED, rows=rows
    )


def _row(case: Case, role: str, row: Row) -> dict[str, Any]:
    run = case.figures[reference(row)]
    return {
        "role": role,
        **references.names(row),
        "software": software(row),
        "rcp_scale": row["rcp_scale"] or 1.0,
        "run_minutes": run.minutes,
        "evaluation_minutes": run.evaluation if case.evaluation else None,
        "samples_to_target": run.samples if case.samples else None,
        "throughput": case.throughput(row, run),
    } | {name: row[name] for name in ("accelerator", "accelerators", "global_batch_size")}


QUESTION = Question(
    ask=why,
    order=6,
    summary=("Split a speed-up into convergence, accelerators, throughput and the rest, as far as logs tell"),
    about=(
        "Where does the speed-up of result B over result A come from? A row is a factor (convergence, "
        "accelerators, throughput and the rest) and all factors multiply to the speed-up. known says "
        "whether the logs tell a factor apart from the others."
    ),
    example={
        "a": "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b",
        "b": "5.1/Nebius/nebius_b200_n1/llama31_8b",
    },
    options=(A, B),
    charts=(
        Chart(
            "attribution",
            lambda answer: {"rows": answer.rows},
            "What the speed-up comes from, factor by factor",
        ),
    ),
)
