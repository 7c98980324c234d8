"""Which samples a rank computes, loading them, and copying them to its device."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import torch
from torch import Tensor
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
    numbers = _MicroBatches(start, stop, size, world)
    yield from on_device(_read_ahead(data, settings, world, collate, numbers), world.device)


def evaluation_batch_size(settings: Settings, world: World) -> int:
    """Return the samples that a rank evaluates at once: in a pipeline, a micro-batch for each stage.

    Raises as `micro_batch` does.
    """
    return micro_batch(settings, world)[0] * settings.pipeline_parallel


def evaluation_batches(
    data: Dataset[Batch], settings: Settings, world: World, collate: Collate, *, keep: bool
) -> "KeptBatches | EvaluationBatches":
    """Return this rank's share of the evaluation samples: batches, and each sample's weight.

    All ranks get equally many batches, since a sharded model's forward is a collective; samples that fill
    up the last ones weigh 0. They are read as they are asked for; with `keep` they then stay in memory, else
    they can be asked for once.
    """
    size = evaluation_batch_size(settings, world)
    count = settings.evaluation_samples
    chosen = _Filled(count, size, world)
    weights = (torch.tensor([float(number < count) for number in batch]) for batch in chosen.numbers)
    loader = _read_ahead(data, settings, world, collate, chosen)
    return KeptBatches(loader, list(weights)) if keep else zip(loader, weights, strict=True)


class _Filled(Sampler[list[int]]):
    """The numbers of this rank's evaluation samples; 0 fills up the last micro-batches.

    None of them is held: a benchmark may evaluate on 89 million.
    """

    def __init__(self, count: int, size: int, world: World) -> None:
        self._count = count
        self.numbers = _MicroBatches(0, _round_up(count, size * world.data_size), size, world)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.numbers:
            yield [number if number < self._count else 0 for number in batch]

    def __len__(self) -> int:
        return len(self.numbers)


class KeptBatches:
    """A rank's evaluation batches with their weights, read once; those that were read stay in memory.

    Where there are loader processes (on a GPU), `read_ahead` lets them read while training goes on, into
    pinned memory, and the first evaluation waits only for what is not there yet; it is called after
    `run_start`, before which the rules let nothing touch the dataset. Else each batch is read when it is
    first asked for.
    """

    def __init__(self, loader: DataLoader[Batch], weights: list[Tensor]) -> None:
        self._loader = loader
        self._weights = weights
        self._batches: list[Batch] = []
        self._reading: Iterator[Batch] | None = None
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._arrived = threading.Condition()

    def read_ahead(self) -> None:
        """Begin to read, unless it has begun or no other process would do it. Call it on the main thread."""
        if self._reading is None and self._loader.num_workers:
            # Made here: the loader's signal handler can be set on the main thread only.
            self._reading = iter(self._loader)
            self._thread = threading.Thread(target=self._read, args=(self._reading,), daemon=True)
            self._thread.start()

    def __iter__(self) -> Iterator[tuple[Batch, Tensor]]:
        for number, weights in enumerate(self._weights):
            yield self._batch(number), weights

    def _batch(self, number: int) -> Batch:
        if self._thread is not None:
            with self._arrived:
                self._arrived.wait_for(lambda: self._failure or len(self._batches) > number)
        elif number == len(self._batches):
            self._reading = self._reading or iter(self._loader)
            self._batches.append(next(self._reading))
        if number == len(self._batches) and self._failure is not None:
            raise self._failure
        return self._batches[number]

    def _read(self, reading: Iterator[Batch]) -> None:
        try:
            for batch in reading:
                with self._arrived:
                    self._batches.append(batch)
                    self._arrived.notify_all()
        except BaseException as error:  # raised where the batch is asked for
            with self._arrived:
                self._failure = error
                self._arrived.notify_all()


def _read_ahead(
    data: Dataset[Batch], settings: Settings, world: World, collate: Collate, numbers: Iterable[list[int]]
) -> DataLoader[Batch]:
    """Return the batches of these samples; on a GPU, loader processes read ahead into pinned memory."""
    on_gpu = world.device.type == "cuda"
    return _Loader(
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


class _Loader(DataLoader[Batch]):
    """A loader whose `PitboardError` is the sentence that it was in a loader process."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        return _as_told(super().__iter__())


def _as_told(reading: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the batches; PyTorch puts the traceback of a loader process into an error's text."""
    try:
        yield from reading
    except PitboardError as error:
        raise PitboardError(str(error).rpartition(f"{PitboardError.__name__}: ")[2].strip()) from error


class _Copies:
    """Copies batches to a device: to a GPU on a stream of its own, beside what it computes.

    `ahead` is how many batches are copied while an earlier one is computed with; on the CPU none, where
    nothing is copied.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.ahead = 0 if self._stream is None else 1

    def begin(self, batch: Batch) -> tuple[Batch, torch.cuda.Event | None]:
        """Start to copy a batch; return it with what tells that it has arrived."""
        if self._stream is None:
            return to_device(batch, self._device), None
        with torch.cuda.stream(self._stream):
            return to_device(batch, self._device), self._stream.record_event()

    def finish(self, batch: Batch, arrived: torch.cuda.Event | None) -> Batch:
        """Return a batch that what is computed from now on may use; only the GPU waits for the copy."""
        if arrived is not None:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(arrived)
            for tensor in batch.values():
                # Its memory must not be given to a later copy before what computes with it is through.
                tensor.record_stream(computing)
        return batch


# One stream a device: memory that was allocated on a stream is reused on that stream.
_copies_to = cache(_Copies)


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on the device; on a GPU the next one is copied while one is computed with."""
    copies = _copies_to(device)
    under_way: deque[tuple[Batch, torch.cuda.Event | None]] = deque()
    for batch in batches:
        under_way.append(copies.begin(batch))
        if len(under_way) > copies.ahead:
            yield copies.finish(*under_way.popleft())
    while under_way:
        yield copies.finish(*under_way.popleft())


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on the device; the copy to a GPU does not wait."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
