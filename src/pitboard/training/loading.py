"""Which samples a rank computes, and loading them."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pitboard.errors import PitboardError
from pitboard.training.distributed import World
from pitboard.training.protocol import Batch
from pitboard.training.settings import Settings


def micro_batch(settings: Settings, world: World) -> tuple[int, int]:
    """Return the samples a rank computes at once, and how many such micro-batches make its step.

    Raises `PitboardError` when the global batch cannot be divided over the ranks and micro-batches.
    """
    total = settings.global_batch_size
    if total % world.data_size:
        raise PitboardError(
            f"global_batch_size {total} cannot be divided over {world.data_size} data-parallel ranks:"
            f" choose a multiple of {world.data_size}."
        )
    share = total // world.data_size
    size = settings.micro_batch_size or share
    if share % size:
        raise PitboardError(
            f"global_batch_size {total} over {world.data_size} ranks is {share} samples a rank, which"
            f" micro_batch_size {size} does not divide: choose a divisor of {share}."
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
    data: Dataset[Batch], settings: Settings, world: World, start: int, steps: int
) -> Iterator[Batch]:
    """Yield this rank's micro-batches of `steps` steps, on its device, beginning at training sample `start`.

    On a GPU, loader processes read ahead into pinned memory and the copy overlaps with the computation.
    """
    size, _ = micro_batch(settings, world)
    on_gpu = world.device.type == "cuda"
    workers = settings.data_workers if settings.data_workers is not None else (2 if on_gpu else 0)
    stop = start + steps * settings.global_batch_size
    loader: DataLoader[Batch] = DataLoader(
        data,
        batch_sampler=_MicroBatches(start, stop, size, world),
        num_workers=workers,
        pin_memory=on_gpu,
        collate_fn=_stack,
        persistent_workers=False,
        # The loader draws a seed where it is first asked, which in a resumed run is another step: not from
        # the numbers that steps draw.
        generator=torch.Generator(),
    )
    for batch in loader:
        yield to_device(batch, world.device)


def evaluation_batches(data: Dataset[Any], settings: Settings, world: World) -> list[tuple[Batch, Tensor]]:
    """Return this rank's share of the evaluation samples, in memory: batches, and each sample's weight.

    All ranks get equally many batches, since a sharded model's forward is a collective; samples that fill
    up the last ones weigh 0.
    """
    size, _ = micro_batch(settings, world)
    count = settings.evaluation_samples
    batches = []
    for first in range(
        world.data_rank * size, _round_up(count, size * world.data_size), size * world.data_size
    ):
        numbers = range(first, first + size)
        samples = [data[number if number < count else 0] for number in numbers]
        weights = torch.tensor([float(number < count) for number in numbers])
        batches.append((_stack(samples), weights))
    return batches


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on the device; the copy to a GPU does not wait."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _stack(samples: list[Batch]) -> Batch:
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
