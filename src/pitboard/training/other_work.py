"""What other programs take of the processors that a run computes on: why its time may not be believed.

Threads of one computation wait for each other many times in a step. Where another program takes a core, the
others wait for the thread that cannot run: two threads beside two busy programs on two cores were measured
at a tenth of the speed of one thread.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

# The shares of a processor's time that somebody waits for; `steal` is what a hypervisor gave to others.
_BUSY = ("user", "system", "irq", "softirq", "steal")
# A program that keeps a processor busy as good as always; less than this, and threads wait rarely.
_WHOLE = 0.75


@dataclass(frozen=True)
class WorkReading:
    """Seconds since some start: `at` on the clock, `busy` of the processors in `cpus`, `own` of this rank."""

    at: float
    busy: float
    own: float
    cpus: frozenset[int]


@dataclass(frozen=True)
class OtherWork:
    """Of how many processors, and how many other programs kept busy on average."""

    cpus: int
    busy: float

    @property
    def threads(self) -> int:
        """How many threads can compute without one of them waiting for its turn, at least one."""
        return max(1, self.cpus - int(self.busy + 1 - _WHOLE))

    @property
    def share(self) -> float:
        """The part of the processors that other programs took."""
        return self.busy / self.cpus


def read_work(*, with_children: bool = False) -> WorkReading:
    """Return what the processors that this process may use have done so far, and what it has done itself.

    With those of its children that live where it has any; it takes a tenth of a millisecond, with them some.
    """
    cpus = _own_cpus()
    # What gives way to everybody is nobody's obstacle, but for one that gives way itself.
    counted = (*_BUSY, "nice") if os.nice(0) > 0 else _BUSY
    of_each = psutil.cpu_times(percpu=True)
    known = [of_each[cpu] for cpu in cpus if cpu < len(of_each)]
    busy = sum(getattr(times, kind, 0.0) for times in known for kind in counted)
    ended = os.times()
    own = ended.user + ended.system + ended.children_user + ended.children_system
    if with_children:
        own += sum(map(_seconds, psutil.Process().children(recursive=True)))
    return WorkReading(time.monotonic(), busy, own, cpus)


def other_work(readings: Iterable[tuple[WorkReading, WorkReading]]) -> OtherWork:
    """Return what other programs did between two readings, which each rank of one machine gives."""
    pairs = list(readings)
    cpus = frozenset[int]().union(*(after.cpus for _, after in pairs))
    # Ranks bound to processors of their own see only those; where they share them each sees them all.
    by_cpus = {after.cpus: after.busy - before.busy for before, after in pairs}
    own = sum(after.own - before.own for before, after in pairs)
    seconds = max(after.at - before.at for before, after in pairs)
    return OtherWork(len(cpus), min(max(0.0, sum(by_cpus.values()) - own) / seconds, float(len(cpus))))


def _own_cpus() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended since, and counts as an ended child
        return 0.0
    return float(times.user + times.system)
