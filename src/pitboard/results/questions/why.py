"""Where a speed-up comes from: convergence, count, scale, hardware, software and evaluation."""

import random
from collections.abc import Callable
from math import log, prod
from typing import Any, NamedTuple

import msgspec

from pitboard.errors import PitboardError
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.bridges import Step, path, software
from pitboard.results.find import default_store, reference, result
from pitboard.results.intervals import SEED
from pitboard.results.likeness import incomparable, unlike
from pitboard.results.organisations import one_name
from pitboard.results.schema import Row
from pitboard.results.store import Store

_RESAMPLES = 1_000

DEFINITION = (
    "minutes = RCP scaling factor × (samples to target ÷ throughput + evaluation), so the speed-up of B over "
    "A is the product of one factor a part; above 1, the part makes B faster. Figures are means of the runs "
    "that the score counts. Throughput is samples to target ÷ the minutes outside evaluation, so whatever else "
    "takes time in a run (data, checkpoints, waiting) is in it. A part's share is its logarithm ÷ that of the "
    "speed-up. Where a part changes from A to B together with another, a published result between the two "
    "(a bridge) tells them apart. The 95 % intervals are percentile bootstraps over each result's runs, "
    f"scored as olympic means ({_RESAMPLES:,} resamples, seed {SEED}); the RCP scaling factor is held fixed."
)

SQL = """select run, minutes, evaluation_minutes, samples_to_target, dropped from runs
where round = $round and submitter = $submitter and system = $system and benchmark = $benchmark and counted
order by run"""

_POOL = """select * from results
where not own and benchmark = $benchmark and division in ($division_a, $division_b) and minutes is not null
  and accelerators in ($count_a, $count_b) and accelerator in ($accelerator_a, $accelerator_b)
  and samples_to_target between $samples / 20 and $samples * 20"""

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
    Column("reference", "Reference"),
    Column("accelerator", "Accelerator"),
    Column("accelerators", "Count", "integer"),
    Column("software", "Software"),
    Column("global_batch_size", "Global batch size", "integer", "samples"),
    Column("rcp_scale", "RCP scaling", "number", "×", 4),
    Column("run_minutes", "Mean of runs", "number", "min", 3),
    Column("evaluation_minutes", "Evaluation", "number", "min", 3),
    Column("samples_to_target", "Samples to target", "number", "", 2),
    Column("throughput", "Throughput per accelerator", "number", "per min", 3),
]
_NAMES = {"accelerators": "scale efficiency", "accelerator": "hardware", "software": "software"}


class _Run(NamedTuple):
    minutes: float
    evaluation: float | None
    samples: float | None


class _Runs(NamedTuple):
    counted: list[_Run]
    kept: list[_Run]


_Figures = dict[str, _Run]


class _Part(msgspec.Struct, frozen=True):
    name: str
    factor: Callable[[_Figures], float]
    known: bool
    how: str


class _Case(msgspec.Struct, frozen=True):
    """The two results, the steps between them, and what their logs allow to be told apart."""

    a: Row
    b: Row
    steps: list[Step]
    runs: dict[str, _Runs]
    samples: bool
    evaluation: bool
    counts: bool

    def trained(self, run: _Run) -> float:
        """Minutes outside evaluation, or all where evaluation was not logged."""
        return run.minutes - (run.evaluation or 0.0) if self.evaluation else run.minutes

    def throughput(self, row: Row, run: _Run) -> float:
        """Samples a minute and accelerator; of a whole system where a count is not stated."""
        samples = run.samples or 1.0 if self.samples else 1.0
        return samples / self.trained(run) / (row["accelerators"] if self.counts else 1)


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
    case = _case(store, first, second)
    parts = _parts(case)
    point = {name: _mean(runs.kept) for name, runs in case.runs.items()}
    factors = [part.factor(point) for part in parts]
    speedup = prod(factors)
    intervals = _intervals(case, parts)
    rows = [
        {
            "part": part.name,
            "factor": factor,
            "low": interval and interval[0],
            "high": interval and interval[1],
            "share": _share(factor, speedup),
            "known": part.known,
            "how": part.how,
        }
        for part, factor, interval in zip(parts, factors, intervals, strict=False)
    ]
    whole = intervals[-1]
    return Answer(
        question="why",
        title=_title(rows, speedup),
        definition=DEFINITION,
        sql=SQL,
        parameters={name: first[name] for name in ("round", "submitter", "system", "benchmark")},
        columns=COLUMNS,
        rows=rows,
        warnings=unlike(first, second),
        notes=_notes(case, whole is None),
        facts={
            "speedup": speedup,
            "low": whole and whole[0],
            "high": whole and whole[1],
            "bridges": [reference(step.after) for step in case.steps[:-1]],
        },
        more={"results": _used(case, point)},
    )


def _case(store: Store, a: Row, b: Row) -> _Case:
    runs = {reference(row): _runs(store, row) for row in (a, b)}
    samples = _same_unit(*runs.values())
    counts = bool(a["accelerators"] and b["accelerators"])
    steps = [Step(a, b, ())]
    if samples and counts:
        values = {"benchmark": a["benchmark"], "samples": _mean(runs[reference(a)].kept).samples}
        for end, row in (("a", a), ("b", b)):
            values |= {f"division_{end}": row["division"], f"count_{end}": row["accelerators"]}
            values |= {f"accelerator_{end}": row["accelerator"]}
        steps = path(a, b, store.rows(_POOL, values))
    runs |= {reference(step.after): _runs(store, step.after) for step in steps[:-1]}
    evaluated = all(
        run.evaluation is not None and 0 <= run.evaluation < run.minutes
        for found in runs.values()
        for run in found.counted
    )
    return _Case(a, b, steps, runs, samples, evaluated, counts)


def _runs(store: Store, row: Row) -> _Runs:
    found = store.rows(SQL, {name: row[name] for name in ("round", "submitter", "system", "benchmark")})
    counted = [
        (_Run(run["minutes"], run["evaluation_minutes"], run["samples_to_target"]), run["dropped"])
        for run in found
        if run["minutes"]
    ]
    kept = [run for run, dropped in counted if not dropped]
    if row["minutes"] is None or not kept:
        raise PitboardError(f"{reference(row)} has no score: too few of its runs count.")
    return _Runs([run for run, _ in counted], kept)


def _same_unit(a: _Runs, b: _Runs) -> bool:
    """Say whether both logged samples to target, in one unit: logs of one benchmark may count in epochs."""
    if not all(run.samples for runs in (a, b) for run in runs.counted):
        return False
    ratio = (_mean(a.kept).samples or 1) / (_mean(b.kept).samples or 1)
    return 1 / 20 < ratio < 20


def _parts(case: _Case) -> list[_Part]:
    a, b = (reference(row) for row in (case.a, case.b))
    scales = [row["rcp_scale"] or 1.0 for row in (case.a, case.b)]
    parts = [
        _Part(
            "RCP scaling",
            lambda _: scales[0] / scales[1],
            True,
            f"The scores' RCP scaling factors, A's {scales[0]:.4f} ÷ B's {scales[1]:.4f}: a score is the mean "
            "of its runs times this where they converged faster than the reference.",
        )
    ]
    if case.samples:
        parts.insert(0, _convergence(case, a, b))
    if case.counts:
        counts = [case.a["accelerators"], case.b["accelerators"]]
        parts.append(
            _Part(
                "accelerator count",
                lambda _: counts[1] / counts[0],
                True,
                f"B's {counts[1]} ÷ A's {counts[0]} accelerators: what throughput in proportion would give.",
            )
        )
    parts += [_step(case, step) for step in case.steps]
    if case.evaluation:
        parts.append(_evaluation(case, a, b))
    return parts


def _convergence(case: _Case, a: str, b: str) -> _Part:
    samples = [_mean(case.runs[name].kept).samples or 0.0 for name in (a, b)]
    return _Part(
        "numerics and convergence",
        lambda figures: (figures[a].samples or 1) / (figures[b].samples or 1),
        True,
        f"Samples to target, A's {samples[0]:,.6g} ÷ B's {samples[1]:,.6g}. {_cause(case.a, case.b)}",
    )


def _cause(a: Row, b: Row) -> str:
    """Say whether a difference in convergence may be put down to the batch size or to the precision."""
    batches = [row["global_batch_size"] for row in (a, b)]
    same_batch = batches[0] is not None and batches[0] == batches[1]
    precisions = [row["precision"] for row in (a, b)]
    if None in precisions:
        numerics = "precision is not stated by both"
    elif precisions[0] == precisions[1]:
        numerics = f"both state {precisions[0]}"
    else:
        numerics = f"the precisions are {precisions[0]} and {precisions[1]}"
    if same_batch:
        return (
            f"The global batch size is the same ({batches[0]}), so it is not its effect; {numerics}. "
            "Precision, hyperparameters and chance remain."
        )
    apart = (
        "so precision as stated is not the cause" if len(set(precisions)) == 1 and all(precisions) else None
    )
    return f"The global batch sizes differ ({batches[0]} and {batches[1]}) and {numerics}" + (
        f", {apart}." if apart else ": the two effects cannot be separated."
    )


def _step(case: _Case, step: Step) -> _Part:
    before, after = reference(step.before), reference(step.after)

    def factor(figures: _Figures) -> float:
        ends = ((step.after, figures[after]), (step.before, figures[before]))
        new, old = (case.throughput(row, run) for row, run in ends)
        return new / old

    family = one_name(step.before["organisation"]) == one_name(step.after["organisation"])
    known = case.samples and case.counts and len(step.changes) < 2
    if step.changes == ("accelerators",):
        known = known and family
    return _Part(_name(case, step), factor, known, _how(case, step, family))


def _name(case: _Case, step: Step) -> str:
    if not case.samples:
        return "convergence and throughput, not separated"
    if not case.counts:
        return "throughput of the whole system"
    if not step.changes:
        return "system and settings"
    names = [_NAMES[change] for change in step.changes]
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}, not separated"


def _how(case: _Case, step: Step, family: bool) -> str:
    ends = []
    for row in (step.after, step.before):
        figure = case.throughput(row, _mean(case.runs[reference(row)].kept))
        ends.append(f"{figure:.4g} of {reference(row)}")
    what = {
        "accelerators": (step.before["accelerators"], step.after["accelerators"]),
        "accelerator": (step.before["accelerator"], step.after["accelerator"]),
        "software": (software(step.before), software(step.after)),
    }
    changes = "; ".join(f"{name} {what[name][0]} → {what[name][1]}" for name in step.changes)
    unit = "samples" if case.samples else "times to target"
    unit += " a minute and accelerator" if case.counts else " a minute"
    sentences = [f"Throughput ({unit}), {ends[0]} ÷ {ends[1]}."]
    if case.samples and case.counts:
        sentences.append(f"Between them: {changes or 'neither accelerator, count nor software'}.")
    if not family:
        sentences.append("The submitters differ, so host, network, code and settings are in it.")
    if step.before["global_batch_size"] != step.after["global_batch_size"]:
        sentences.append("The batch size differs too, and changes throughput.")
    return " ".join(sentences)


def _evaluation(case: _Case, a: str, b: str) -> _Part:
    shares = []
    for name in (a, b):
        run = _mean(case.runs[name].kept)
        shares.append(1 - case.trained(run) / run.minutes)
    return _Part(
        "evaluation",
        lambda figures: (
            figures[a].minutes / case.trained(figures[a]) * case.trained(figures[b]) / figures[b].minutes
        ),
        True,
        f"Share of a run's time in evaluation, {shares[0]:.1%} in A and {shares[1]:.1%} in B, "
        "from eval_start to eval_stop in the logs.",
    )


def _mean(runs: list[_Run]) -> _Run:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return _Run(
        mean([run.minutes for run in runs]),
        mean([run.evaluation or 0.0 for run in runs]),
        mean([run.samples or 0.0 for run in runs]),
    )


def _intervals(case: _Case, parts: list[_Part]) -> list[tuple[float, float] | None]:
    """Give each part's interval and last the whole's; `None` where a result has too few runs for one."""
    drops = {name: (len(runs.counted) - len(runs.kept)) // 2 for name, runs in case.runs.items()}
    if any(len(runs.counted) < 2 * drops[name] + 2 for name, runs in case.runs.items()):
        return [None] * (len(parts) + 1)
    draw = random.Random(SEED)
    drawn: list[list[float]] = [[] for _ in range(len(parts) + 1)]
    for _ in range(_RESAMPLES):
        figures = {
            name: _olympic(draw.choices(runs.counted, k=len(runs.counted)), drops[name])
            for name, runs in case.runs.items()
        }
        factors = [part.factor(figures) for part in parts]
        for values, value in zip(drawn, [*factors, prod(factors)], strict=True):
            values.append(value)
    tail = round(0.025 * _RESAMPLES)
    ordered = [sorted(values) for values in drawn]
    return [(values[tail], values[-1 - tail]) for values in ordered]


def _olympic(runs: list[_Run], drops: int) -> _Run:
    kept = sorted(runs, key=lambda run: run.minutes)[drops : len(runs) - drops]
    return _mean(kept)


def _share(factor: float, speedup: float) -> float | None:
    """Give the part's share of the whole; none where there is next to no speed-up to share."""
    return log(factor) / log(speedup) if abs(log(speedup)) > 0.005 else None


def _title(rows: list[Row], speedup: float) -> str:
    faster = f"B is {speedup:.2f} × as fast as A"
    shared = [row for row in rows if row["share"] is not None]
    if not shared:
        return f"{faster}: there is next to no speed-up to attribute"
    most = max(shared, key=lambda row: row["share"])
    return f"{faster}; most of it is {most['part']} ({most['factor']:.2f} ×)"


def _notes(case: _Case, few: bool) -> list[str]:
    notes = [_bridged(step) for step in case.steps[:-1]]
    notes += [
        f"Cannot be separated: {', '.join(_NAMES[name] for name in step.changes)}. The store has no result "
        "between the two that changes them one at a time."
        for step in case.steps
        if len(step.changes) > 1
    ]
    if case.steps[0].changes or len(case.steps) > 1:
        notes.append(
            "Software is NVIDIA's monthly release or the framework as described; the benchmark's code, host and "
            "network may differ with it, and so may the precision, which acts on throughput too. Another "
            "bridge would split somewhat differently."
        )
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


def _bridged(step: Step) -> str:
    row = step.after
    return f"Bridge: {reference(row)} ({row['accelerators']} × {row['accelerator']}, {software(row)})."


def _used(case: _Case, point: _Figures) -> Table:
    bridges = [("bridge", step.after) for step in case.steps[:-1]]
    rows = [_figures(case, role, row, point) for role, row in [("A", case.a), *bridges, ("B", case.b)]]
    return Table(
        title="The logged figures, means of the runs that the score counts", columns=_USED, rows=rows
    )


def _figures(case: _Case, role: str, row: Row, point: _Figures) -> dict[str, Any]:
    run = point[reference(row)]
    return {
        "role": role,
        "reference": reference(row),
        "software": software(row),
        "rcp_scale": row["rcp_scale"] or 1.0,
        "run_minutes": run.minutes,
        "evaluation_minutes": run.evaluation if case.evaluation else None,
        "samples_to_target": run.samples if case.samples else None,
        "throughput": case.throughput(row, run),
    } | {name: row[name] for name in ("accelerator", "accelerators", "global_batch_size")}
