"""Presets: each names what it changes of the benchmark as the closed division demands it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from pitboard.suite.model import Benchmark, Preset, ReferenceConvergencePoint, Scalar
from pitboard.suite.official import decode_points

# The setting that a hyperparameter's name in a log means, where the two differ.
_SETTINGS = {
    "max_sequence_length": "sequence_length",
    "opt_adamw_beta_1": "beta1",
    "opt_adamw_beta_2": "beta2",
    "opt_adagrad_epsilon": "epsilon",
    "opt_adamw_epsilon": "epsilon",
    "opt_adamw_weight_decay": "weight_decay",
    "opt_gradient_clip_norm": "gradient_clip_norm",
    "opt_end_learning_rate": "end_learning_rate",
}


def with_presets(
    benchmark: Benchmark,
    *presets: Preset,
    end_learning_rate: Fraction | None = None,
    settings: Collection[str] = (),
) -> Benchmark:
    """Return the benchmark with its presets, each of whose `values` states only what it changes.

    One is `full`, the closed division. Target, evaluations and the hyperparameters that the closed division
    fixes follow from the benchmark, those of AdamW and those whose name is in `settings`; all of `full` holds
    for the others too. The schedule, if it decays, ends at the fraction `end_learning_rate` of a preset's
    learning rate.
    """
    (full,) = [preset for preset in presets if preset.name == "full"]
    named = _SETTINGS | {name: name for name in settings}
    closed = {"division": "closed", **full.values, **_demanded(benchmark, named)}

    def resolved(preset: Preset) -> Preset:
        changes = {} if preset is full else {"division": "open", **preset.values}
        values = closed | changes
        if end_learning_rate is not None:
            values["end_learning_rate"] = float(values["learning_rate"] or 0) * float(end_learning_rate)
        return replace(preset, values=MappingProxyType(values))

    return replace(benchmark, presets=tuple(map(resolved, presets)))


def logged_constants(preset: Preset) -> dict[str, Scalar]:
    """Return, by their keys in a log, a preset's values of what the closed division may fix."""
    settings = _SETTINGS | {"eval_samples": "evaluation_samples"}
    return {key: preset.values[name] for key, name in settings.items() if name in preset.values}


def _demanded(benchmark: Benchmark, named: Mapping[str, str]) -> dict[str, Scalar]:
    """Return the settings of a closed run that follow from the benchmark's facts."""
    schedule = benchmark.evaluation
    demanded: dict[str, Scalar] = {
        named[fact.name]: fact.value
        for fact in benchmark.hyperparameters
        if fact.kind == "fixed" and fact.name in named
    }
    if schedule.skipped:
        demanded["evaluations_skipped"] = schedule.skipped
        demanded["evaluations_skipped_per_batch_sample"] = float(schedule.skipped_per_batch_sample)
    return demanded | {
        "target": benchmark.target,
        "evaluation_samples": benchmark.evaluation_samples,
        "evaluation_interval": schedule.samples,
    }


def measured(name: str) -> tuple[ReferenceConvergencePoint, ...]:
    """Return the points of `suite/reference/<name>.json`, which has the official files' format.

    `benchmarks/reference_convergence.py` measures them.
    """
    return decode_points((files("pitboard.suite") / "reference" / f"{name}.json").read_bytes())


# The setting that a name in a reference convergence point means, where a benchmark has that setting. Points
# say some things by names that no log has.
_POINT_SETTINGS = {
    **_SETTINGS,
    "opt_base_learning_rate": "learning_rate",
    "opt_learning_rate_warmup_steps": "warmup_steps",
    "opt_max_grad_norm": "gradient_clip_norm",
    "lora_r": "lora_rank",
    "lora_alpha": "lora_alpha",
    "max_steps": "max_steps",
}
# How the reference's machine shared a batch out, which is free.
_SHARED_OUT = frozenset({"gradient_accumulation_steps"})


def settings_of_point(
    point: ReferenceConvergencePoint, known: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that a reference convergence point states, and the names that are none of `known`.

    A warm-up that a point gives in samples is rounded down to whole steps, as the launch scripts of the
    Llama 3.1 8B reference do; an empty list, or a warm-up of no epochs, states that there is none.
    """
    settings: dict[str, Any] = {"global_batch_size": point.global_batch_size}
    unknown = []
    for name, value in point.hyperparameters.items():
        if name in _SHARED_OUT or value == []:
            continue
        setting = _POINT_SETTINGS.get(name, "")
        if name == "opt_learning_rate_warmup_samples":
            setting, value = "warmup_steps", value // point.global_batch_size  # noqa: PLW2901
        elif name == "opt_learning_rate_warmup_epochs" and not value:
            setting = "warmup_steps"
        if setting in known:
            settings[setting] = value
        else:
            unknown.append(name)
    return settings, unknown
