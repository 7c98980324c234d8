"""What a run of some settings would take: parameters, memory a rank, steps and evaluations."""

import math

import msgspec
import torch

from pitboard import suite
from pitboard.training.distributed import World
from pitboard.training.loading import micro_batch
from pitboard.training.protocol import TrainableBenchmark, benchmark_class
from pitboard.training.settings import Settings


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a run is evaluated, in training samples; `most` is how often, if it never meets its target."""

    first: int
    interval: int
    most: int


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the rank that holds most of the training state, activations and buffers left out."""

    parameters: int
    gradients: int
    optimizer: int
    total: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a run takes at most; `evaluation` is `None` where the settings ask for none.

    `evaluation_data_per_rank` is how many bytes of its host's memory a rank keeps evaluation samples in.
    """

    ranks: int
    micro_batch: int
    accumulation: int
    steps: int
    samples: int
    evaluation: Schedule | None
    parameters: int
    trainable_parameters: int
    memory_per_rank: Memory
    evaluation_data_per_rank: int


def forecast(
    name: str, settings: Settings, world: World, round: str = suite.NEWEST_RACED.version
) -> Forecast:
    """Return what the benchmark's run takes on the ranks of a world that need not have been joined.

    Raises `PitboardError` when the global batch cannot be divided over the ranks and micro-batches.
    """
    micro, accumulation = micro_batch(settings, world)
    benchmark = benchmark_class(name)(settings.model_copy(update={"compile": False}))
    steps = _steps(settings)
    everything = _parameters(benchmark, world)
    trained = [(whole, held, size) for whole, held, size, trains, _ in everything if trains]
    parameters = sum(held * size for _, held, size, *_ in everything)
    changed = sum(held * size for _, held, size in trained)
    gradients = sum(held * size for _, held, size, trains, rows in everything if trains and not rows)
    return Forecast(
        ranks=world.size,
        micro_batch=micro,
        accumulation=accumulation,
        steps=steps,
        samples=steps * settings.global_batch_size,
        evaluation=schedule(settings, settings.rules(suite.benchmark(name, round=round))),
        parameters=sum(whole for whole, *_ in everything),
        trainable_parameters=sum(whole for whole, *_ in trained),
        memory_per_rank=Memory(
            parameters=parameters,
            gradients=gradients,
            optimizer=benchmark.optimizer_copies * changed,
            total=parameters + gradients + benchmark.optimizer_copies * changed,
        ),
        evaluation_data_per_rank=_evaluation_data(benchmark, world),
    )


def _evaluation_data(benchmark: TrainableBenchmark[Settings], world: World) -> int:
    """Return the bytes of the evaluation samples that a rank keeps; synthetic samples are as large."""
    settings = benchmark.settings
    if settings.evaluation_interval is None or not benchmark.keep_evaluation_data:
        return 0
    micro, _ = micro_batch(settings, world)
    batches = -(-settings.evaluation_samples // (micro * world.data_size))
    return batches * micro * sum(tensor.nbytes for tensor in benchmark.warmup_batch(1).values())


def schedule(settings: Settings, rules: suite.Benchmark) -> Schedule | None:
    """Return when the loop evaluates a run of these settings by its rules, or `None` where it does not."""
    if settings.evaluation_interval is None:
        return None
    batch, total = settings.global_batch_size, _steps(settings) * settings.global_batch_size
    interval, first = rules.evaluation.interval(batch), rules.evaluation.first(batch)
    regular = max(0, (total - first) // interval + 1)
    # A run that gets to its sample limit is evaluated there, whatever the interval.
    at_limit = not rules.evaluation.due(total, batch)
    return Schedule(first=min(first, total), interval=interval, most=regular + at_limit)


def _steps(settings: Settings) -> int:
    return -(-settings.sample_limit // settings.global_batch_size)


def _parameters(
    benchmark: TrainableBenchmark[Settings], world: World
) -> list[tuple[int, int, int, bool, bool]]:
    """Return of each parameter its elements, whole and on the fullest rank, their bytes, and if it trains.

    The last says whether it has a gradient of some rows only (`row_gradients`).
    FSDP2 splits the first dimension over the ranks of a replica, after tensor parallelism split some layers.
    """
    settings = benchmark.settings
    with torch.device("meta"):
        model = benchmark.build()
    split = set()
    if settings.tensor_parallel > 1:
        for block in benchmark.blocks(model):
            for layer in benchmark.tensor_parallel_plan():
                split |= set(block.get_submodule(layer).parameters())
    shards = world.size // (settings.tensor_parallel * settings.replicas)
    found = []
    by_rows = {p for name in benchmark.row_gradients for p in model.get_submodule(name).parameters()}
    for parameter in model.parameters():
        rows, *rest = parameter.shape
        held = -(-rows // shards) * math.prod(rest)
        if parameter in split:
            held //= settings.tensor_parallel
        kept = parameter.requires_grad, parameter in by_rows
        found.append((parameter.numel(), held, parameter.element_size(), *kept))
    return found
