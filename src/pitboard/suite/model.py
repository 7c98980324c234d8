"""The shapes of what is raced: `Round`, `Benchmark`, `Preset` and their parts, as frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Literal

from pitboard.errors import PitboardError, near

Scalar = bool | int | float | str | None
Source = Literal["ruleset", "rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSchedule:
    """When a run must be evaluated, in training samples (training rules, 'Quality measure').

    `samples` is the interval that the rules name; it becomes a whole number of steps, rounded `up` or `down`
    as the rules say. The first `floor(skipped_per_batch_sample * global batch size + skipped)` evaluations
    are left out. `words` is the rules' wording of the interval, with `{samples:,}` in place of the number.
    """

    words: str
    samples: int
    rounded: Literal["up", "down"] = "up"
    skipped: int = 0
    skipped_per_batch_sample: Fraction = Fraction(0)

    @property
    def rule(self) -> str:
        """The schedule in words."""
        words = f"{self.words.format(samples=self.samples)}, rounded {self.rounded} to whole steps"
        left_out = f"{float(self.skipped_per_batch_sample):g} * global batch size + {self.skipped}"
        return (
            f"{words}; the first floor({left_out}) are skipped"
            if self.skipped or self.skipped_per_batch_sample
            else words
        )

    def interval(self, global_batch_size: int) -> int:
        """Return the training samples between two evaluations: a multiple of the global batch size."""
        steps = self.samples // global_batch_size
        if self.rounded == "up" and self.samples % global_batch_size:
            steps += 1
        return max(steps, 1) * global_batch_size

    def first(self, global_batch_size: int) -> int:
        """Return the training samples after which the first evaluation is due."""
        left_out = self.skipped + int(self.skipped_per_batch_sample * global_batch_size)
        return (left_out + 1) * self.interval(global_batch_size)

    def due(self, samples: int, global_batch_size: int) -> bool:
        """Say whether an evaluation is due after so many training samples, which are whole steps."""
        on_grid = samples % self.interval(global_batch_size) == 0
        return on_grid and samples >= self.first(global_batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameter:
    """One hyperparameter of the closed division, under the name that a log gives it.

    A `fixed` one has a `value`; a `computed` one a `formula` over other hyperparameters, written as a Python
    expression; a `free` one neither. `source` tells who demands it: the `ruleset` (the official checker reads
    it from the log) or only the text of the training `rules`, which the ruleset overrides where they differ.
    """

    name: str
    kind: Literal["fixed", "computed", "free"]
    value: Scalar = None
    formula: str = ""
    source: Source = "ruleset"

    @property
    def constraint(self) -> str:
        """The constraint in words."""
        if self.kind == "fixed":
            return str(self.value)
        return self.formula or "unconstrained"


def free(*names: str, source: Source = "ruleset") -> tuple[Hyperparameter, ...]:
    """Return hyperparameters that must be logged and may have any value."""
    return tuple(Hyperparameter(name=name, kind="free", source=source) for name in names)


def fixed(source: Source = "ruleset", **values: Scalar) -> tuple[Hyperparameter, ...]:
    """Return hyperparameters that must have exactly these values."""
    return tuple(
        Hyperparameter(name=name, kind="fixed", value=value, source=source) for name, value in values.items()
    )


def computed(source: Source = "ruleset", **formulas: str) -> tuple[Hyperparameter, ...]:
    """Return hyperparameters that follow from others: a Python expression over their names and `ceil`."""
    return tuple(
        Hyperparameter(name=name, kind="computed", formula=formula, source=source)
        for name, formula in formulas.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceConvergencePoint:
    """Training samples to the target, measured at one batch size (training rules, 'RCPs').

    They are epochs where the official points of the benchmark count those (`progress_key`).
    `precision` is the format in which the reference runs trained ("bf16", "fp32").
    """

    global_batch_size: int
    precision: str
    hyperparameters: Mapping[str, Any]
    samples_to_target: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named set of settings for one benchmark; the training room validates `values`."""

    name: str
    summary: str
    values: Mapping[str, Scalar]
    reference_convergence: tuple[ReferenceConvergencePoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark of a round: what is trained, on what, to which quality, how often and how it is measured.

    `id` is `submission_benchmark` in a log; `metric_key` the log key of an evaluation and `progress_key` the
    metadata that says when it was made; `open_metric_key` is what the open division's ruleset wants it logged
    as too, where that differs. `split` says what is trained on and what is held out. `runs` count for one
    result, of which `runs_dropped_each_end` are left out at either end of the olympic mean.
    """

    id: str
    name: str
    area: str
    problem: str
    dataset: str
    split: str
    model: str
    model_details: str
    reference: str
    metric: str
    target: float
    lower_is_better: bool
    evaluation: EvaluationSchedule
    evaluation_samples: int
    runs: int
    optimizer: str
    hyperparameters: tuple[Hyperparameter, ...]
    metric_key: str = "eval_accuracy"
    open_metric_key: str | None = None
    progress_key: Literal["samples_count", "epoch_num"] = "samples_count"
    runs_dropped_each_end: int = 1
    replaces: str | None = None
    presets: tuple[Preset, ...] = ()

    def reached(self, quality: float) -> bool:
        """Say whether an evaluation meets the quality target."""
        return quality <= self.target if self.lower_is_better else quality >= self.target

    def metric_keys(self, division: str) -> tuple[str, ...]:
        """Return the keys under which a run of a division logs an evaluation's quality."""
        more = self.open_metric_key if division == "open" else None
        return (self.metric_key, more) if more else (self.metric_key,)

    def preset(self, name: str) -> Preset:
        """Return a preset by name; an unknown one is a `PitboardError` that suggests the nearest."""
        for preset in self.presets:
            if preset.name == name:
                return preset
        if not self.presets:
            raise PitboardError(f"Benchmark '{self.id}' has no presets: Pitboard does not train it yet.")
        known = tuple(preset.name for preset in self.presets)
        raise PitboardError(f"Benchmark '{self.id}' has no preset '{name}'.{near(name, known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A benchmark that was raced for the last time in `last_round`, and the id of what replaced it."""

    id: str
    name: str
    area: str
    dataset: str
    target: str
    last_round: str
    replaced_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One bound that an evaluation must meet, as the official ruleset has it.

    `part` names the part of the quality that is meant where it has several ("BBOX"), else it is empty.
    """

    comparison: Literal["<=", "<", ">=", ">"]
    value: float
    part: str = ""

    def __str__(self) -> str:
        sign = {"<=": "≤", ">=": "≥"}.get(self.comparison, self.comparison)
        return f"{self.part} {sign} {self.value:g}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialBenchmark:
    """What the installed `mlperf-logging` says of one benchmark of a round.

    `targets` must all be met by one evaluation; `runs` count for one result.
    """

    id: str
    targets: tuple[Target, ...]
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of MLPerf Training.

    `published` is when MLCommons published the results, in ISO 8601: to the day ("2025-11-12"), or to the
    month ("2021-06") where no source tells the day; `None` where none tells of results. `source` is the
    repository of the results, and `archive` the SHA-256 of the archive of them from which the package's
    figures were derived, where it ships any. `benchmarks` are those that Pitboard describes in full, and
    `retired` what the round before raced and this one does not; both are empty for a round of which only the
    official rules are known (`official_benchmarks`).
    """

    version: str
    ruleset: str
    published: str | None
    source: str | None
    archive: str | None = None
    benchmarks: tuple[Benchmark, ...] = ()
    retired: tuple[Retired, ...] = ()

    @property
    def published_by(self) -> date | None:
        """The day on which the results were published at the latest."""
        if self.published is None:
            return None
        if len(self.published) == len("2025-11-12"):
            return date.fromisoformat(self.published)
        next_month = date.fromisoformat(f"{self.published}-01") + timedelta(days=31)
        return next_month.replace(day=1) - timedelta(days=1)

    @property
    def raceable(self) -> bool:
        """Whether Pitboard trains any benchmark of the round as its rules demand."""
        return any(benchmark.presets for benchmark in self.benchmarks)

    def benchmark(self, name: str) -> Benchmark:
        """Return a benchmark by its id; an unknown or retired one is a `PitboardError`."""
        for benchmark in self.benchmarks:
            if benchmark.id == name:
                return benchmark
        for retired in self.retired:
            if retired.id == name:
                raise PitboardError(
                    f"Benchmark '{name}' was retired after round {retired.last_round}; "
                    f"round {self.version} races '{retired.replaced_by}' instead."
                )
        if not self.benchmarks:
            raise PitboardError(
                f"Pitboard does not describe the benchmarks of round {self.version} one by one:"
                f" `pitboard suite --round {self.version}` lists them with their targets."
            )
        known = tuple(benchmark.id for benchmark in self.benchmarks)
        raise PitboardError(f"Round {self.version} has no benchmark '{name}'.{near(name, known)}")
