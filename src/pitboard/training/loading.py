"""Which samples a rank computes, and loading them."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pitboard.errors import PitboardError
from pitboard.training.distributed import World
from pitboard.training.protocol import Batch, EvaluationBatches
from pitboard.training.settings import Settings

Collate = Callable[[list[Batch]], Batch]


def micro_batch(settings: Settings, world: World) -> tuple[int, int]:
    """Return the samples a rank computes at once, and how many such micro-batches make its step.

    A pipeline's are single samples unless the settings say otherwise. Raises `PitboardError` when the global
    batch cannot be divided over the ranks and micro-batches, or gives a pipeline fewer than it has stages.
    """
    total = settings.global_batch_size
    if total % world.data_size:
        raise PitboardError(
            f"global_batch_size {total} cannot be divided over {world.data_size} data-parallel ranks:"
            f" choose a multiple of {world.data_size}."
        )
    share = total // world.data_size
    stages = settings.pipeline_parallel
    size = settings.micro_batch_size or (share if stages == 1 else 1)
    if share % size:
        raise PitboardError(
            f"global_batch_size {total} over {world.data_size} ranks is {share} samples a rank, which"
            f" micro_batch_size {size} does not divide: choose a divisor of {share}."
        )
    if share // size < stages:
        raise PitboardError(
            f"pipeline_parallel {stages} needs {stages} micro-batches a step, and global_batch_size {total}"
            f" over {world.data_size} data-parallel ranks gives {share // size} of {size} samples: raise the"
            " batch, lower micro_batch_size, or use fewer stages."
        )
    return size, share // size


class _MicroBatches(Sampler[list[int]]):
    """The sample numbers of this rank's micro-batches, from a sample on.

    Step after step, each micro-batch of all ranks together is a run of consecutive samples, so that the
    samples of a step, and so the loss curve, are the same however many ranks share them.
    """

    def __init__(self, start: int, stop: int, size: int, world: World) -> None:
        self._rounds = range(start, stop, size * world.data_size)
        self._offset = world.data_rank * size
        self._size = size

    def __iter__(self) -> Iterator[list[int]]:
        for first in self._rounds:
            begin = first + self._offset
            yield list(range(begin, begin + self._size))

    def __len__(self) -> int:
        return len(self._rounds)


def training_batches(
    data: Dataset[Batch], settings: Settings, world: World, collate: Collate, start: int, steps: int
) -> Iterator[Batch]:
    """Yield this rank's micro-batches of `steps` steps, on its device, from training sample `start` on."""
    size, _ = micro_batch(settings, world)
    stop = start + steps * settings.global_batch_size
    for batch in _read_ahead(data, settings, world, collate, _MicroBatches(start, stop, size, world)):
        yield to_device(batch, world.device)


def evaluation_batches(
    data: Dataset[Batch], settings: Settings, world: World, collate: Collate, *, keep: bool
) -> EvaluationBatches:
    """Return this rank's share of the evaluation samples: batches, and each sample's weight.

    All ranks get equally many batches, since a sharded model's forward is a collective; samples that fill
    up the last ones weigh 0. With `keep` they are read here and stay in memory, else they are read as they
    are asked for, once. A pipeline takes a micro-batch for each of its stages at once.
    """
    size = micro_batch(settings, world)[0] * settings.pipeline_parallel
    count = settings.evaluation_samples
    numbers = list(_MicroBatches(0, _round_up(count, size * world.data_size), size, world))
    chosen = [[number if number < count else 0 for number in batch] for batch in numbers]
    weights = [torch.tensor([float(number < count) for number in batch]) for batch in numbers]
    if keep:
        return [(collate(_samples(data, batch)), each) for batch, each in zip(chosen, weights, strict=True)]
    return zip(_read_ahead(data, settings, world, collate, chosen), weights, strict=True)


def _samples(data: Dataset[Batch], numbers: list[int]) -> list[Batch]:
    """Return what a `DataLoader` would give `collate` of these samples."""
    fetch: Callable[[list[int]], list[Batch]] | None = getattr(data, "__getitems__", None)
    return fetch(numbers) if fetch else [data[number] for number in numbers]


def _read_ahead(
    data: Dataset[Batch], settings: Settings, world: World, collate: Collate, numbers: Iterable[list[int]]
) -> DataLoader[Batch]:
    """Return the batches of these samples; on a GPU, loader processes read ahead into pinned memory."""
    on_gpu = world.device.type == "cuda"
    return DataLoader(
        data,
        batch_sampler=numbers,
        num_workers=settings.data_workers if settings.data_workers is not None else (2 if on_gpu else 0),
        pin_memory=on_gpu,
        collate_fn=collate,
        persistent_workers=False,
        # The loader draws a seed where it is first asked, which in a resumed run is another step: not from
        # the numbers that steps draw.
        generator=torch.Generator(),
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on the device; the copy to a GPU does not wait."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
