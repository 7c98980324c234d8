"""The shapes of what is raced: `Round`, `Benchmark`, `Preset` and their parts, as frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

from pitboard.errors import PitboardError, near

Scalar = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSchedule:
    """When a run must be evaluated, in training samples (training rules, 'Quality measure').

    `samples` is the interval that the rules name; it becomes a whole number of steps, rounded `up` or `down`
    as the rules say. The first `floor(skipped_per_batch_sample * global batch size + skipped)` evaluations
    are left out.
    """

    rule: str
    samples: int
    rounded: Literal["up", "down"] = "up"
    skipped: int = 0
    skipped_per_batch_sample: Fraction = Fraction(0)

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
    source: Literal["ruleset", "rules"] = "ruleset"

    @property
    def constraint(self) -> str:
        """The constraint in words."""
        if self.kind == "fixed":
            return str(self.value)
        return self.formula or "unconstrained"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceConvergencePoint:
    """Training samples to the target, measured at one batch size (training rules, 'RCPs').

    `precision` is the format in which the reference runs trained ("bf16", "fp32").
    """

    global_batch_size: int
    precision: str
    hyperparameters: Mapping[str, Scalar]
    samples_to_target: tuple[int, ...]


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
    metadata that says when it was made. `split` says what is trained on and what is held out. `runs` count
    for one result, of which `runs_dropped_each_end` are left out at either end of the olympic mean.
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
    progress_key: Literal["samples_count", "epoch_num"] = "samples_count"
    runs_dropped_each_end: int = 1
    replaces: str | None = None
    presets: tuple[Preset, ...] = ()

    def reached(self, quality: float) -> bool:
        """Say whether an evaluation meets the quality target."""
        return quality <= self.target if self.lower_is_better else quality >= self.target

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
class Round:
    """One round of MLPerf Training: its ruleset, when its results were published, and what was raced."""

    version: str
    ruleset: str
    published: date
    benchmarks: tuple[Benchmark, ...]
    retired: tuple[Retired, ...]

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
        known = tuple(benchmark.id for benchmark in self.benchmarks)
        raise PitboardError(f"Round {self.version} has no benchmark '{name}'.{near(name, known)}")
