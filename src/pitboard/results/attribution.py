"""A speed-up as a product of parts, each a ratio of figures that the runs' logs hold."""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import msgspec

from pitboard.errors import PitboardError
from pitboard.results.bridges import Step, implausible, path, software
from pitboard.results.find import key_of, reference
from pitboard.results.organisations import one_name
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.stats import SEED, percentile_interval

RESAMPLES = 1_000

RUNS = """select run, minutes, evaluation_minutes, samples_to_target, dropped from runs
where round = $round and submitter = $submitter and system = $system and benchmark = $benchmark and counted
order by run"""

_POOL = """select * exclude (settings, digest) from results
where not own and benchmark = $benchmark and division in ($division_a, $division_b) and minutes is not null
  and accelerators in ($count_a, $count_b) and accelerator in ($accelerator_a, $accelerator_b)
  and samples_to_target between $samples / 20 and $samples * 20"""

NAMES = {"accelerators": "scale efficiency", "accelerator": "hardware", "software": "software"}


class Run(NamedTuple):
    """A run's minutes, those of them in evaluation, and its samples to target; or means over runs."""

    minutes: float
    evaluation: float | None
    samples: float | None


class Runs(NamedTuple):
    """A result's runs that count, and those of them that the olympic mean keeps."""

    counted: list[Run]
    kept: list[Run]


Figures = dict[str, Run]


class Part(msgspec.Struct, frozen=True):
    """A factor of the speed-up, as a function of results' figures by reference; `known` if told apart."""

    name: str
    factor: Callable[[Figures], float]
    known: bool
    how: str


class Case(msgspec.Struct, frozen=True):
    """Two results, the steps between them, and their runs by reference.

    `samples`, `evaluation` and `counts` say whether all have samples to target in one unit, evaluation time
    within every run, and a count of accelerators.
    """

    a: Row
    b: Row
    steps: list[Step]
    runs: dict[str, Runs]
    samples: bool
    evaluation: bool
    counts: bool

    @property
    def figures(self) -> Figures:
        """Each result's means of the runs that its score counts."""
        return {name: mean(runs.kept) for name, runs in self.runs.items()}

    def trained(self, run: Run) -> float:
        """Minutes outside evaluation, or all where evaluation was not logged."""
        return run.minutes - (run.evaluation or 0.0) if self.evaluation else run.minutes

    def throughput(self, row: Row, run: Run) -> float:
        """Samples a minute and accelerator; of a whole system where a count is not stated."""
        samples = run.samples or 1.0 if self.samples else 1.0
        return samples / self.trained(run) / (row["accelerators"] if self.counts else 1)


def case_of(store: Store, a: Row, b: Row) -> Case:
    """Gather what the attribution needs. Raises `PitboardError` for a result without a score."""
    cuda = _stated_cuda(store)
    a, b = (row | {"cuda": cuda.get(reference(row).rpartition("/")[0])} for row in (a, b))
    runs = {reference(row): _runs(store, row) for row in (a, b)}
    samples = _same_unit(runs[reference(a)], runs[reference(b)])
    counts = bool(a["accelerators"] and b["accelerators"])
    steps = [Step(a, b, ())]
    if samples and counts:
        values = {"benchmark": a["benchmark"], "samples": mean(runs[reference(a)].kept).samples}
        for end, row in (("a", a), ("b", b)):
            values |= {f"division_{end}": row["division"], f"count_{end}": row["accelerators"]}
            values |= {f"accelerator_{end}": row["accelerator"]}
        pool = [
            row | {"cuda": cuda.get(reference(row).rpartition("/")[0])} for row in store.rows(_POOL, values)
        ]
        # What cannot be true tells nothing apart.
        steps = path(a, b, [row for row in pool if not implausible(row)])
    runs |= {reference(step.after): _runs(store, step.after) for step in steps[:-1]}
    evaluated = all(
        run.evaluation is not None and 0 <= run.evaluation < run.minutes
        for found in runs.values()
        for run in found.counted
    )
    return Case(a, b, steps, runs, samples, evaluated, counts)


def _stated_cuda(store: Store) -> dict[str, str]:
    """Give the CUDA version that each system's description states, by ROUND/SUBMITTER/SYSTEM."""
    sql = "select round, submitter, system, min(value) as cuda from stack where key = 'CUDA' group by all"
    return {f"{r['round']}/{r['submitter']}/{r['system']}": r["cuda"] for r in store.rows(sql)}


def _runs(store: Store, row: Row) -> Runs:
    found = store.rows(RUNS, key_of(row))
    counted = [
        (Run(run["minutes"], run["evaluation_minutes"], run["samples_to_target"]), run["dropped"])
        for run in found
        if run["minutes"]
    ]
    kept = [run for run, dropped in counted if not dropped]
    if row["minutes"] is None or not kept:
        raise PitboardError(f"{reference(row)} has no score: too few of its runs count.")
    return Runs([run for run, _ in counted], kept)


def _same_unit(a: Runs, b: Runs) -> bool:
    """Say whether both logged samples to target, in one unit: logs of one benchmark may count in epochs."""
    if not all(run.samples for runs in (a, b) for run in runs.counted):
        return False
    ratio = (mean(a.kept).samples or 1) / (mean(b.kept).samples or 1)
    return 1 / 20 < ratio < 20


def parts_of(case: Case) -> list[Part]:
    """Give the parts: their factors multiply to A's minutes ÷ B's."""
    a, b = (reference(row) for row in (case.a, case.b))
    scales = [row["rcp_scale"] or 1.0 for row in (case.a, case.b)]
    parts = [
        Part(
            "RCP scaling",
            lambda _: scales[0] / scales[1],
            True,
            f"The scores' RCP scaling factors, A's {scales[0]:.4f} ÷ B's {scales[1]:.4f}: a score is its "
            "runs' mean times this, above 1 where they converged faster than the reference.",
        )
    ]
    if case.samples:
        parts.insert(0, _convergence(case, a, b))
    if case.counts:
        counts = [case.a["accelerators"], case.b["accelerators"]]
        parts.append(
            Part(
                "accelerator count",
                lambda _: counts[1] / counts[0],
                True,
                f"B's {counts[1]} ÷ A's {counts[0]} accelerators: as if throughput grew with the count.",
            )
        )
    parts += [_step(case, step) for step in case.steps]
    if case.evaluation:
        parts.append(_evaluation(case, a, b))
    return parts


def _convergence(case: Case, a: str, b: str) -> Part:
    samples = [mean(case.runs[name].kept).samples or 0.0 for name in (a, b)]
    return Part(
        "numerics and convergence",
        lambda figures: (figures[a].samples or 1) / (figures[b].samples or 1),
        True,
        f"Samples to target, A's {samples[0]:,.6g} ÷ B's {samples[1]:,.6g}. {_cause(case.a, case.b)}",
    )


def causes_apart(a: Row, b: Row) -> bool:
    """Say whether a difference in samples to target cannot be both the batch size's and the precision's."""
    names = ("global_batch_size", "precision")
    return any(a[name] is not None and a[name] == b[name] for name in names)


def _cause(a: Row, b: Row) -> str:
    """Say what a difference in convergence may be put down to."""
    batches = [row["global_batch_size"] or "not stated" for row in (a, b)]
    precisions = [row["precision"] or "not stated" for row in (a, b)]
    settings = (
        f"Global batch sizes: {batches[0]} and {batches[1]}; precisions: {precisions[0]} and {precisions[1]}."
    )
    if not causes_apart(a, b):
        return f"{settings} The two effects cannot be separated."
    same = [
        name
        for name, pair in (("batch size", batches), ("precision", precisions))
        if pair[0] == pair[1] != "not stated"
    ]
    return f"{settings} The {' and the '.join(same)} cannot be the cause; other settings and chance may be."


def _step(case: Case, step: Step) -> Part:
    before, after = reference(step.before), reference(step.after)

    def factor(figures: Figures) -> float:
        ends = ((step.after, figures[after]), (step.before, figures[before]))
        new, old = (case.throughput(row, run) for row, run in ends)
        return new / old

    family = one_name(step.before["organisation"]) == one_name(step.after["organisation"])
    name = _name(case, step, family)
    return Part(name, factor, "not separated" not in name, _how(case, step, family))


def _name(case: Case, step: Step, family: bool) -> str:
    if not case.samples:
        return "convergence and throughput, not separated"
    if not case.counts:
        return "count and throughput, not separated"
    if not step.changes:
        return "system and settings"
    names = [NAMES[change] for change in step.changes]
    if step.changes == ("accelerators",) and not family:
        names.append("submitter")
    doubtful = "software" in step.changes and any(map(implausible, (step.before, step.after)))
    if len(names) == 1:
        return f"{names[0]} of implausible versions, not separated" if doubtful else names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}, not separated"


def _how(case: Case, step: Step, family: bool) -> str:
    ends = []
    for row in (step.after, step.before):
        figure = case.throughput(row, mean(case.runs[reference(row)].kept))
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


def _evaluation(case: Case, a: str, b: str) -> Part:
    shares = []
    for name in (a, b):
        run = mean(case.runs[name].kept)
        shares.append(1 - case.trained(run) / run.minutes)
    return Part(
        "evaluation",
        lambda figures: (
            figures[a].minutes / case.trained(figures[a]) * case.trained(figures[b]) / figures[b].minutes
        ),
        True,
        f"Share of a run's time in evaluation, {shares[0]:.1%} in A and {shares[1]:.1%} in B, "
        "from eval_start to eval_stop in the logs.",
    )


def mean(runs: Sequence[Run]) -> Run:
    """Give the mean of each figure; what a run did not log counts as 0, which `Case` says not to use."""
    minutes, evaluation, samples = zip(*runs, strict=True)
    return Run(
        sum(minutes) / len(runs),
        sum(value or 0.0 for value in evaluation) / len(runs),
        sum(value or 0.0 for value in samples) / len(runs),
    )


def intervals(case: Case, parts: list[Part]) -> list[tuple[float, float] | None]:
    """Give each part's 95 % interval and last the whole's; `None` where a result has too few runs for one.

    Percentile bootstrap over the runs of each result (Efron 1979), scored as olympic means.
    """
    drops = {name: (len(runs.counted) - len(runs.kept)) // 2 for name, runs in case.runs.items()}
    if any(len(runs.counted) < 2 * drops[name] + 2 for name, runs in case.runs.items()):
        return [None] * (len(parts) + 1)
    names = list(case.runs)
    drawn: list[list[float]] = []
    for means in zip(*(_resampled(n, tuple(case.runs[n].counted), drops[n]) for n in names), strict=True):
        figures = dict(zip(names, means, strict=True))
        factors = [part.factor(figures) for part in parts]
        drawn.append([*factors, prod(factors)])
    return [percentile_interval(values) for values in zip(*drawn, strict=True)]


@lru_cache(maxsize=64)
def _resampled(name: str, runs: tuple[Run, ...], drops: int) -> list[Run]:
    """Draw a result's runs with replacement, many times; seeded by name, so that results are independent."""
    draw = random.Random(f"{SEED} {name}")
    return [
        mean(sorted(draw.choices(runs, k=len(runs)), key=_minutes)[drops : len(runs) - drops])
        for _ in range(RESAMPLES)
    ]


def _minutes(run: Run) -> float:
    return run.minutes
