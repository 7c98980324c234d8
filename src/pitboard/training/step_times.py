"""Where the time of a run's steps goes, on each rank: computing, waiting for other ranks, waiting for data.

On a CPU a mark is the time. On a GPU it is an event on the stream that computes, read once the GPU has passed
it: nothing in a step waits for a measurement, and what NCCL does beside the computation does not count, only
what the computation waits for.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist

from pitboard.training.distributed import World

Wait = Literal["communication", "data"]

STRAGGLER = 0.1
"""A rank that takes longer than the median of the others by more than this fraction is named."""


@dataclass(frozen=True)
class StepTime:
    """A step on one rank, in seconds: all of it, and what of it was waited in collectives and for data."""

    total: float
    communication: float
    data: float

    @property
    def busy(self) -> float:
        """What the rank took itself, computing and waiting for its data, while others may have waited."""
        return self.total - self.communication


@dataclass(frozen=True)
class Split:
    """The mean step of some steps on all ranks, in seconds; the parts add up to `step`.

    `communication` is exposed: in it even the rank that was busy longest had to wait. `imbalance` is how
    long a rank waits, on average, for the one that was busy longest in the step. By rank, `busy` is how long
    a step kept it busy, `waited` how long it waited in collectives, and `waited_for_data` what of the busy
    time was for its samples.
    """

    steps: int
    step: float
    compute: float
    communication: float
    imbalance: float
    data: float
    busy: tuple[float, ...]
    waited: tuple[float, ...]
    waited_for_data: tuple[float, ...]

    def stats(self) -> dict[str, int | float | list[float]]:
        """Return what the log gets as `tracked_stats`, with the rank that is furthest behind, if one is."""
        computed = [busy - data for busy, data in zip(self.busy, self.waited_for_data, strict=True)]
        named: dict[str, int | float | list[float]] = {
            "steps": self.steps,
            "step_seconds": self.step,
            "compute_seconds": self.compute,
            "communication_seconds": self.communication,
            "imbalance_seconds": self.imbalance,
            "data_wait_seconds": self.data,
            "rank_compute_seconds": _short(computed),
            "rank_wait_seconds": _short(self.waited),
            "rank_data_wait_seconds": _short(self.waited_for_data),
        }
        for rank, excess in stragglers(self.busy)[:1]:
            named |= {"straggler_rank": rank, "straggler_excess": excess}
        return named


@dataclass(frozen=True)
class Straggler:
    """A rank that is busy longer in each step than the others, by `excess` of the median of theirs."""

    rank: int
    host: str
    excess: float


def split(steps: int, ranks: Sequence[tuple[float, float, float]], longest: float) -> Split:
    """Return where the time of some steps went.

    `ranks` gives each rank's sums over the steps: all of them, and what was waited in collectives and for
    data. `longest` is the sum, over the steps, of what the busiest rank of each took.
    """
    total, waited, data = (sum(column) / len(ranks) / steps for column in zip(*ranks, strict=True))
    busy = total - waited
    # By rounding, or by clocks of two devices that differ, the longest may come out beyond its bounds.
    most = min(max(longest / steps, busy), total)
    return Split(
        steps=steps,
        step=total,
        compute=busy - data,
        communication=total - most,
        imbalance=most - busy,
        data=data,
        busy=tuple((whole - wait) / steps for whole, wait, _ in ranks),
        waited=tuple(wait / steps for _, wait, _ in ranks),
        waited_for_data=tuple(data / steps for _, _, data in ranks),
    )


def _short(seconds: Sequence[float]) -> list[float]:
    """Return them in four digits: a line has them of a thousand ranks."""
    return [float(f"{each:.4g}") for each in seconds]


def together(splits: Sequence[Split]) -> Split | None:
    """Return the mean step of several stretches of steps; `None` where there is none."""
    steps = sum(each.steps for each in splits)
    if not steps:
        return None

    def mean(values: Sequence[float]) -> float:
        return sum(each.steps * value for each, value in zip(splits, values, strict=True)) / steps

    def by_rank(values: Sequence[Sequence[float]]) -> tuple[float, ...]:
        return tuple(mean(rank) for rank in zip(*values, strict=True))

    return Split(
        steps,
        mean([each.step for each in splits]),
        mean([each.compute for each in splits]),
        mean([each.communication for each in splits]),
        mean([each.imbalance for each in splits]),
        mean([each.data for each in splits]),
        by_rank([each.busy for each in splits]),
        by_rank([each.waited for each in splits]),
        by_rank([each.waited_for_data for each in splits]),
    )


def stragglers(busy: Sequence[float]) -> list[tuple[int, float]]:
    """Return the ranks that are busy longer than the median of the others, the furthest behind first."""
    if len(busy) < 2:
        return []
    ranks = sorted(range(len(busy)), key=lambda rank: busy[rank])
    left = len(ranks) - 1

    def other(place: int, without: int) -> float:
        return busy[ranks[place + (place >= without)]]

    found = []
    for place, rank in enumerate(ranks):
        usual = (other((left - 1) // 2, place) + other(left // 2, place)) / 2
        if usual > 0 and busy[rank] / usual - 1 > STRAGGLER:
            found.append((rank, busy[rank] / usual - 1))
    return found[::-1]


def gather(times: Sequence[StepTime], world: World) -> Split:
    """Return where the time of these steps went on all ranks, each of which gives its own."""
    sums = [sum(column) for column in zip(*((t.total, t.communication, t.data) for t in times), strict=True)]
    own = torch.tensor(sums, dtype=torch.float64, device=world.device)
    busy = torch.tensor([each.busy for each in times], dtype=torch.float64, device=world.device)
    rows = [own]
    if world.mesh is not None:
        rows = [torch.empty_like(own) for _ in range(world.size)]
        dist.all_gather(rows, own)
        dist.all_reduce(busy, op=dist.ReduceOp.MAX)
    # Read back at once: each reading makes a GPU wait.
    numbers = iter(torch.cat(rows).tolist())
    return split(len(times), list(zip(numbers, numbers, numbers, strict=True)), busy.sum().item())


class _Marks(Protocol):
    def now(self) -> Any: ...
    def passed(self, mark: Any, /) -> bool: ...
    def seconds(self, begin: Any, end: Any) -> float: ...
    def free(self, marks: list[Any], /) -> None: ...


class _HostMarks:
    """Marks of the host's clock."""

    now = staticmethod(time.perf_counter)

    def passed(self, _mark: float) -> bool:
        return True

    def seconds(self, begin: float, end: float) -> float:
        return end - begin

    def free(self, _marks: list[float]) -> None:
        pass


class _DeviceMarks:
    """Events on the stream that computes; those that were read are used again."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.current_stream(device)
        self._free: list[torch.cuda.Event] = []

    def now(self) -> torch.cuda.Event:
        event = self._free.pop() if self._free else torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(self.stream)
        return event

    def passed(self, mark: torch.cuda.Event) -> bool:
        return bool(mark.query())  # type: ignore[no-untyped-call]

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return float(begin.elapsed_time(end)) / 1e3

    def free(self, marks: list[torch.cuda.Event]) -> None:
        self._free += marks


@dataclass
class _Step:
    begin: Any
    end: Any = None
    waits: list[tuple[Wait, Any, Any]] = field(default_factory=list)


class StepClock:
    """Measures the steps of one rank; each is entered as `step()`, and in it what waits as `waiting()`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: _Marks = _DeviceMarks(device) if device.type == "cuda" else _HostMarks()
        self._thread = threading.get_ident()
        self._step: _Step | None = None
        self._waiting = False
        self._unread: deque[_Step] = deque()
        self._times: list[StepTime] = []

    @contextmanager
    def step(self) -> Iterator[None]:
        """Measure a step; one that raises counts for nothing."""
        self._step = _Step(self._marks.now())
        try:
            yield
            self._step.end = self._marks.now()
            self._unread.append(self._step)
        finally:
            self._step = None
        while self._unread and self._marks.passed(self._unread[0].end):
            self._read(self._unread.popleft())

    @contextmanager
    def waiting(self, wait: Wait) -> Iterator[None]:
        """Count what is done in here, within a step, as waiting; of waits in a wait the outer counts."""
        step = self._step
        if step is None or self._waiting or not self._computes_here():
            yield
            return
        self._waiting = True
        begin = self._marks.now()
        try:
            yield
        finally:
            step.waits.append((wait, begin, self._marks.now()))
            self._waiting = False

    def take(self) -> list[StepTime]:
        """Return the steps since the last call, once the device has done all that was asked of it."""
        while self._unread:
            self._read(self._unread.popleft())
        times, self._times = self._times, []
        return times

    def _read(self, step: _Step) -> None:
        waited = {"communication": 0.0, "data": 0.0}
        marks = [step.begin, step.end]
        for wait, begin, end in step.waits:
            waited[wait] += self._marks.seconds(begin, end)
            marks += (begin, end)
        self._times.append(StepTime(self._marks.seconds(step.begin, step.end), **waited))
        self._marks.free(marks)

    def _computes_here(self) -> bool:
        """Whether the training runs on this thread and stream, not what goes on beside it."""
        # On a GPU the backward pass has a thread of its own; those that write checkpoints have no graph.
        in_training = threading.get_ident() == self._thread or torch._C._current_graph_task_id() != -1
        if isinstance(self._marks, _DeviceMarks):
            return in_training and torch.cuda.current_stream(self._device) == self._marks.stream
        return in_training

    @contextmanager
    def watching_collectives(self) -> Iterator[None]:
        """Count as waiting wherever PyTorch waits for a collective, for as long as this is entered.

        The works of collectives are waited for by FSDP, pipelines and this package, functional collectives
        by DTensor and compiled code; on a GPU FSDP lets a stream wait for another's event.
        """
        with ExitStack() as watched:
            for owner, name in self._waits():
                wait = getattr(owner, name)
                watched.callback(setattr, owner, name, wait)
                setattr(owner, name, self._watched(wait))
            library = torch.library.Library("_c10d_functional", "IMPL")  # type: ignore[no-untyped-call]
            watched.callback(library._destroy)
            composite = torch._C.DispatchKey.CompositeExplicitAutograd
            operation = torch.ops._c10d_functional.wait_tensor.default

            def wait_tensor(tensor: torch.Tensor) -> Any:
                with self.waiting("communication"):
                    return operation._op_dk(composite, tensor)

            library.impl(  # type: ignore[no-untyped-call]
                "wait_tensor", wait_tensor, self._device.type.upper()
            )
            yield

    def _waits(self) -> list[tuple[Any, str]]:
        on_host: list[tuple[Any, str]] = [(dist.Work, "wait")]
        return on_host if self._device.type == "cpu" else [*on_host, (torch.cuda.Stream, "wait_event")]

    def _watched(self, wait: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.waiting("communication"):
                return wait(*arguments, **named)

        return watched
