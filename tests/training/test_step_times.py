"""Where a step's time goes: the arithmetic over ranks, and the clock, with marks that are set by hand."""

import threading
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from hypothesis import given
from hypothesis import strategies as st
from torch._C._distributed_c10d import HashStore

from pitboard.training import step_times
from pitboard.training.step_times import StepClock, StepTime, split, stragglers, together

SECONDS = st.floats(0, 100, allow_subnormal=False)
STEP = st.builds(
    lambda compute, communication, data: StepTime(compute + communication + data, communication, data),
    SECONDS,
    SECONDS,
    SECONDS,
)
RANKS = st.integers(1, 4).flatmap(
    lambda steps: st.lists(st.lists(STEP, min_size=steps, max_size=steps), min_size=1, max_size=5)
)


def divided(ranks: list[list[StepTime]]) -> step_times.Split:
    sums = [
        (sum(s.total for s in rank), sum(s.communication for s in rank), sum(s.data for s in rank))
        for rank in ranks
    ]
    longest = sum(max(s.busy for s in steps) for steps in zip(*ranks, strict=True))
    return split(len(ranks[0]), sums, longest)


@given(RANKS)
def test_the_parts_of_a_step_add_up_and_none_is_negative(ranks: list[list[StepTime]]) -> None:
    found = divided(ranks)
    parts = (found.compute, found.communication, found.imbalance, found.data)
    assert sum(parts) == pytest.approx(found.step, abs=1e-9)
    assert min(parts) >= -1e-9
    assert len(found.busy) == len(ranks)
    twice = together([found, found])
    assert twice is not None
    assert twice.steps == 2 * found.steps
    assert twice.step == pytest.approx(found.step)


def test_a_slow_rank_is_imbalance_and_what_all_wait_for_is_communication() -> None:
    """Three ranks compute 1 s and the fourth 2 s, in two steps of 2.5 s."""
    ranks = [[StepTime(2.5, 1.5, 0.0)] * 2] * 3 + [[StepTime(2.5, 0.5, 0.4)] * 2]
    found = divided(ranks)
    assert (found.step, found.communication) == (2.5, 0.5)
    assert found.imbalance == pytest.approx(0.75)
    assert found.data == pytest.approx(0.1)
    assert found.busy == (1.0, 1.0, 1.0, 2.0)
    assert found.stats() == {
        "steps": 2,
        "step_seconds": 2.5,
        "compute_seconds": pytest.approx(1.15),
        "communication_seconds": 0.5,
        "imbalance_seconds": pytest.approx(0.75),
        "data_wait_seconds": pytest.approx(0.1),
        "rank_compute_seconds": [1.0, 1.0, 1.0, 1.6],
        "rank_wait_seconds": [1.5, 1.5, 1.5, 0.5],
        "rank_data_wait_seconds": [0.0, 0.0, 0.0, 0.4],
        "straggler_rank": 3,
        "straggler_excess": 1.0,
    }
    # Slow in turns, no rank is behind, and yet the others wait.
    turns = divided([[StepTime(2, 1, 0), StepTime(2, 0, 0)], [StepTime(2, 0, 0), StepTime(2, 1, 0)]])
    assert (turns.imbalance, turns.communication) == (0.5, 0.0)
    assert stragglers(turns.busy) == []
    assert stragglers((1.0,)) == []
    assert [rank for rank, _ in stragglers((1.0, 1.3, 1.0, 1.6, 1.09))] == [3, 1]
    assert stragglers((4.0, 1.0, 3.0, 1.0, 2.0)) == [(0, 4 / 1.5 - 1), (2, 1.0)]


class _Marks:
    """Marks of a clock that is set by hand, passed when it is said."""

    def __init__(self) -> None:
        self.at = 0.0
        self.passing = False
        self.freed = 0

    def now(self) -> float:
        return self.at

    def passed(self, mark: float) -> bool:
        return self.passing

    def seconds(self, begin: float, end: float) -> float:
        return end - begin

    def free(self, marks: list[float]) -> None:
        self.freed += len(marks)


@pytest.fixture
def timed() -> tuple[StepClock, _Marks]:
    clock, marks = StepClock(torch.device("cpu")), _Marks()
    clock._marks = marks
    return clock, marks


def spend(marks: _Marks, seconds: float) -> None:
    marks.at += seconds


def test_the_clock_reads_what_the_device_has_passed(timed: tuple[StepClock, _Marks]) -> None:
    clock, marks = timed
    with clock.step():
        with clock.waiting("data"):
            spend(marks, 1)
            with clock.waiting("communication"):  # belongs to the wait that it is in
                spend(marks, 2)
        spend(marks, 4)
        with clock.waiting("communication"):
            spend(marks, 8)
        beside = threading.Thread(target=lambda: _wait(clock, marks, 16))
        beside.start()
        beside.join()
    with clock.waiting("communication"):  # of no step
        spend(marks, 32)
    assert marks.freed == 0
    marks.passing = True
    with clock.step():
        spend(marks, 1)
    assert marks.freed == 8
    with pytest.raises(ValueError, match="broken"), clock.step():
        raise ValueError("broken")
    assert clock.take() == [StepTime(31, 8, 3), StepTime(1, 0, 0)]
    assert clock.take() == []


def _wait(clock: StepClock, marks: _Marks, seconds: float) -> None:
    with clock.waiting("communication"):
        spend(marks, seconds)


@pytest.fixture
def process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _world() -> dist.ProcessGroup:
    assert dist.group.WORLD is not None
    return dist.group.WORLD


COLLECTIVES: dict[str, Callable[[torch.Tensor], object]] = {
    "synchronous": dist.all_reduce,
    "asynchronous": lambda tensor: dist.all_reduce(tensor, async_op=True).wait(),
    "functional": lambda tensor: functional.all_reduce(tensor, "sum", _world()) + 1,
}


@pytest.mark.usefixtures("process_group")
def test_every_way_to_wait_for_a_collective_is_counted_while_it_is_watched() -> None:
    clock, wait = StepClock(torch.device("cpu")), dist.Work.wait
    for name, collective in COLLECTIVES.items():
        with clock.watching_collectives(), clock.step():
            collective(torch.ones(4))
        (time,) = clock.take()
        assert 0 < time.communication < time.total, name
        with clock.step():
            collective(torch.ones(4))
        (time,) = clock.take()
        assert time.communication == 0, name
    assert dist.Work.wait is wait
