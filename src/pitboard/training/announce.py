"""What a log says of its run before the clock starts: who, what, and every hyperparameter."""

from typing import Any

from mlperf_logging.mllog import constants

from pitboard import __version__, suite
from pitboard.training.distributed import World
from pitboard.training.loading import micro_batch
from pitboard.training.output import Plan
from pitboard.training.precision import emulated
from pitboard.training.protocol import Benchmark
from pitboard.training.settings import Settings


def announcement(
    benchmark: Benchmark, plan: Plan, seed: int, world: World, why_precision: str
) -> dict[str, Any]:
    """Return the MLLOG keys and values of a run's settings, in the order they are logged.

    The keys are those that the official rulesets demand of the benchmark; Pitboard's own, which the rulesets
    pass over, start with `pitboard_` and name the preset, so that a scaled-down run cannot be mistaken, and
    the settings that were changed of it.
    """
    settings = benchmark.settings
    _, accumulation = micro_batch(settings, world)
    raced = suite.benchmark(plan.benchmark, round=plan.round)
    return {
        constants.SUBMISSION_BENCHMARK: plan.benchmark,
        constants.SUBMISSION_ORG: plan.submitter,
        constants.SUBMISSION_DIVISION: settings.division,
        constants.SUBMISSION_STATUS: constants.RESEARCH,
        constants.SUBMISSION_PLATFORM: plan.system,
        "pitboard_version": __version__,
        "pitboard_round": plan.round,
        "pitboard_preset": settings.preset,
        "pitboard_changed": settings.changed_from(raced.preset(settings.preset).values),
        "pitboard_precision": settings.precision,
        "pitboard_precision_reason": why_precision,
        "pitboard_emulated": emulated(settings.precision, world.device),
        "pitboard_ranks": world.size,
        constants.SEED: seed,
        constants.GLOBAL_BATCH_SIZE: settings.global_batch_size,
        constants.GRADIENT_ACCUMULATION_STEPS: accumulation,
        constants.EVAL_SAMPLES: settings.evaluation_samples,
        "target_accuracy": settings.target,
        constants.OPT_NAME: raced.optimizer,
        constants.OPT_BASE_LR: settings.learning_rate,
        constants.OPT_END_LR: settings.end_learning_rate,
        constants.OPT_LR_WARMUP_STEPS: settings.warmup_steps,
        **_decay(settings),
        constants.OPT_ADAMW_BETA_1: settings.beta1,
        constants.OPT_ADAMW_BETA_2: settings.beta2,
        constants.OPT_ADAMW_EPSILON: settings.epsilon,
        constants.OPT_ADAMW_WEIGHT_DECAY: settings.weight_decay,
        constants.OPT_GRADIENT_CLIP_NORM: settings.gradient_clip_norm,
        "max_steps": settings.max_steps,
        **benchmark.hyperparameters(),
    }


def _decay(settings: Settings) -> dict[str, Any]:
    if settings.end_learning_rate == settings.learning_rate:
        return {constants.OPT_LR_DECAY_SCHEDULE: "constant with linear warmup"}
    return {
        constants.OPT_LR_DECAY_STEPS: settings.max_steps - settings.warmup_steps,
        constants.OPT_LR_DECAY_SCHEDULE: "cosine with linear warmup",
    }
