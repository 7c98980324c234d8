"""What a run of some settings would take: parameters, memory a rank, steps and evaluations."""

import math

import msgspec
import torch
from torch import nn
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

from pitboard import suite
from pitboard.training.distributed import World, shard_ranks
from pitboard.training.loading import evaluation_batch_size, micro_batch
from pitboard.training.protocol import Staged, TrainableBenchmark, benchmark_class
from pitboard.training.settings import Settings

# As `_parameters` gives them.
_Parameter = tuple[int, int, int, bool, bool]


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
    stages = _stages(benchmark, world)
    everything = [parameter for stage in stages for parameter in stage]
    return Forecast(
        ranks=world.size,
        micro_batch=micro,
        accumulation=accumulation,
        steps=steps,
        samples=steps * settings.global_batch_size,
        evaluation=schedule(settings, settings.rules(suite.benchmark(name, round=round))),
        parameters=sum(whole for whole, *_ in everything),
        trainable_parameters=sum(whole for whole, _, _, trains, _ in everything if trains),
        memory_per_rank=_fullest(benchmark, stages),
        evaluation_data_per_rank=_evaluation_data(benchmark, world),
    )


def _evaluation_data(benchmark: TrainableBenchmark[Settings], world: World) -> int:
    """Return the bytes of the evaluation samples that a rank keeps; synthetic samples are as large."""
    settings = benchmark.settings
    if settings.evaluation_interval is None or not benchmark.keep_evaluation_data:
        return 0
    size = evaluation_batch_size(settings, world)
    batches = -(-settings.evaluation_samples // (size * world.data_size))
    return batches * size * sum(tensor.nbytes for tensor in benchmark.warmup_batch(1).values())


def fullest_memory(benchmark: TrainableBenchmark[Settings], world: World) -> Memory:
    """Return the training state of the rank that holds most of it."""
    return _fullest(benchmark, _stages(benchmark, world))


def _fullest(benchmark: TrainableBenchmark[Settings], stages: list[list[_Parameter]]) -> Memory:
    memories = (_memory(stage, benchmark.optimizer_copies) for stage in stages)
    return max(memories, key=lambda memory: memory.total)


def _stages(benchmark: TrainableBenchmark[Settings], world: World) -> list[list[_Parameter]]:
    return [_parameters(benchmark, world, stage) for stage in range(benchmark.settings.pipeline_parallel)]


def _memory(parameters: list[_Parameter], optimizer_copies: int) -> Memory:
    """Return what the fullest rank holds of these parameters, as `_parameters` gives them."""
    held = sum(count * size for _, count, size, *_ in parameters)
    changed = sum(count * size for _, count, size, trains, _ in parameters if trains)
    gradients = sum(count * size for _, count, size, trains, rows in parameters if trains and not rows)
    return Memory(
        parameters=held,
        gradients=gradients,
        optimizer=optimizer_copies * changed,
        total=held + gradients + optimizer_copies * changed,
    )


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


def _parameters(benchmark: TrainableBenchmark[Settings], world: World, stage: int) -> list[_Parameter]:
    """Return of each parameter its elements, whole and on the fullest rank, their bytes, and if it trains.

    The last says whether it has a gradient of some rows only (`row_gradients`). Only those of a stage of the
    pipeline. FSDP2 splits the first dimension over the ranks of a replica, after tensor parallelism split
    some layers.
    """
    settings = benchmark.settings
    with torch.device("meta"):
        model = benchmark.build()
    if settings.pipeline_parallel > 1:
        assert isinstance(benchmark, Staged)
        benchmark.keep_stage(model, stage, settings.pipeline_parallel)
    split = _split_dimensions(model, benchmark) if settings.tensor_parallel > 1 else {}
    shards = shard_ranks(world.size, settings)
    found = []
    by_rows = {p for name in benchmark.row_gradients for p in model.get_submodule(name).parameters()}
    for parameter in model.parameters():
        shape = list(parameter.shape)
        if parameter in split:
            shape[split[parameter]] //= settings.tensor_parallel
        held = -(-shape[0] // shards) * math.prod(shape[1:])
        kept = parameter.requires_grad, parameter in by_rows
        found.append((parameter.numel(), held, parameter.element_size(), *kept))
    return found


def _split_dimensions(model: nn.Module, benchmark: TrainableBenchmark[Settings]) -> dict[nn.Parameter, int]:
    """Return along which dimension tensor parallelism splits each parameter that it splits."""
    plans = [(block, benchmark.tensor_parallel_plan()) for block in benchmark.blocks(model)]
    plans.append((model, benchmark.outer_tensor_parallel_plan(model)))
    split: dict[nn.Parameter, int] = {}
    for module, plan in plans:
        for name, style in plan.items():
            layer = module.get_submodule(name)
            if isinstance(style, ColwiseParallel | RowwiseParallel):
                # An embedding's rows are its words: split by input, it is split along them.
                columns = isinstance(style, RowwiseParallel) == isinstance(layer, nn.Linear)
                split |= dict.fromkeys(layer.parameters(), int(columns))
    return split
