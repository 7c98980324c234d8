"""What a log says of its run before the clock starts: who, what, and every hyperparameter."""

import os

from mlperf_logging.mllog import constants

from pitboard import __version__, suite
from pitboard.training import ALLOCATOR_SETTINGS
from pitboard.training.distributed import World
from pitboard.training.loading import micro_batch
from pitboard.training.output import Plan
from pitboard.training.precision import emulated
from pitboard.training.protocol import TrainableBenchmark
from pitboard.training.settings import Settings


def log_header(
    benchmark: TrainableBenchmark[Settings], plan: Plan, seed: int, world: World, why_precision: str
) -> dict[str, object]:
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
        **_allocator(world),
        # As round 6.1 wants them disclosed.
        "tensor_parallelism": settings.tensor_parallel,
        "pipeline_parallelism": settings.pipeline_parallel,
        "context_parallelism": settings.context_parallel,
        constants.SEED: seed,
        constants.GLOBAL_BATCH_SIZE: settings.global_batch_size,
        constants.GRADIENT_ACCUMULATION_STEPS: accumulation,
        constants.EVAL_SAMPLES: settings.evaluation_samples,
        "target_accuracy": settings.target,
        constants.OPT_NAME: raced.optimizer,
        **benchmark.hyperparameters(),
    }


def _allocator(world: World) -> dict[str, object]:
    """Return how the allocator of GPU memory was set, on a GPU."""
    settings = [os.environ[name] for name in ALLOCATOR_SETTINGS if name in os.environ]
    return {"pitboard_gpu_allocator": settings[0]} if settings and world.device.type == "cuda" else {}
