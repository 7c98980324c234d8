"""What a log says of its run, gathered in the one pass over the file."""

from collections import defaultdict
from collections.abc import Sequence
from math import isnan
from statistics import fmean
from typing import Any

import msgspec

from pitboard.events.event import Event
from pitboard.events.precision import LogText, StatedPrecision, precision
from pitboard.events.run import Run

DISCLOSURES = (
    "lowest_numerical_precision_in_linear",
    "lowest_numerical_precision_in_attn",
    "lowest_numerical_precision_in_comm",
    "tensor_parallelism",
    "pipeline_parallelism",
    "context_parallelism",
    "expert_parallelism",
    "micro_batch_size",
    "config_filename",
)
_TIMED = frozenset({"run_start", "run_stop", "eval_start", "eval_stop"})
_KEPT = frozenset({*DISCLOSURES, "pitboard_precision"})
_LONGEST_NAME = 60
_LARGEST = 1e30


class Statistic(msgspec.Struct, frozen=True):
    """A number that a run tracked (throughput, step time), summarised, in the log's own unit."""

    name: str
    count: int
    minimum: float
    median: float
    maximum: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What one log says: its run, and what is told of it besides.

    `evaluation_minutes` is the time in pairs of `eval_start` and `eval_stop` from `run_start` to the first
    `run_stop`, `None` where there is no pair. `statistics` are the numbers of `tracked_stats` by name; of a
    list that has a number a rank (`rank_…`) they are those of the ranks' means.
    `precision` is the number format of the matrix products, wherever in the log it is stated. `disclosures`
    are what round 6.1 wants disclosed of precision and parallelism, by key, as the log has it.
    """

    run: Run = msgspec.field(default_factory=Run)
    evaluation_minutes: float | None = None
    statistics: list[Statistic] = []
    precision: StatedPrecision | None = None
    disclosures: dict[str, Any] = {}


class SummaryBuilder:
    """Gathers a summary while a log is read: its events in their order, and the `text` between them."""

    def __init__(self) -> None:
        self.text = LogText()
        self._run = Run()
        self._evaluating = _Stopwatch()
        self._tracked: dict[str, list[Any]] = defaultdict(list)
        self._last: dict[str, Event] = {}

    def add(self, events: Sequence[Event]) -> None:
        """Take the next events of the log; three of four are `tracked_stats`, so their loop does little."""
        tracked, run, last = self._tracked, self._run.add, self._last
        for event in events:
            if event.key == "tracked_stats":
                if isinstance(event.value, dict):
                    for name, value in event.value.items():
                        tracked[name].append(value)
                continue
            run(event)
            if event.key in _TIMED:
                self._evaluating.take(event)
            elif event.key in _KEPT:
                last[event.key] = event

    def summary(self) -> Summary:
        """Return what the log says, once all its events and its text were given."""
        return Summary(
            run=self._run,
            evaluation_minutes=self._evaluating.minutes,
            statistics=_statistics(self._tracked),
            precision=precision(
                self.text,
                own=self._last.get("pitboard_precision"),
                disclosed=self._last.get("lowest_numerical_precision_in_linear"),
            ),
            disclosures={key: self._last[key].value for key in DISCLOSURES if key in self._last},
        )


class _Stopwatch:
    """Adds up the time of a run's evaluations."""

    def __init__(self) -> None:
        self._total = 0.0
        self._pairs = 0
        self._running = self._over = False
        self._started: float | None = None

    @property
    def minutes(self) -> float | None:
        return self._total / 60_000 if self._pairs else None

    def take(self, event: Event) -> None:
        if self._over or isnan(event.time_ms):  # a line that does not say its time
            return
        if event.key == "run_start":
            self._running = True
        elif event.key == "run_stop":
            self._over = True
        elif event.key == "eval_start":
            self._started = event.time_ms
        elif self._started is not None:
            if self._running:
                self._total += float(event.time_ms) - float(self._started)
                self._pairs += 1
            self._started = None


def _statistics(tracked: dict[str, list[Any]]) -> list[Statistic]:
    numbers: dict[str, list[float]] = defaultdict(list)
    for name, values in tracked.items():
        if name.isidentifier():
            found = _by_rank(values) if name.startswith("rank_") else _numbers(values)
            numbers[name[:_LONGEST_NAME]] += found
    return [_statistic(name, sorted(found)) for name, found in sorted(numbers.items()) if found]


def _numbers(values: list[Any]) -> list[float]:
    try:
        return [number for number in values if -_LARGEST < number < _LARGEST]
    except TypeError:  # some of them are no numbers
        return [n for n in values if isinstance(n, int | float) and -_LARGEST < n < _LARGEST]


def _by_rank(values: list[Any]) -> list[float]:
    """Return the mean of each rank, of lists that have a number a rank, as `pitboard run` logs them."""
    lists = [value for value in values if isinstance(value, list) and _numbers(value) == value]
    if len({*map(len, lists)}) != 1:
        return []
    return [fmean(rank) for rank in zip(*lists, strict=True)]


def _statistic(name: str, found: list[float]) -> Statistic:
    middle = (float(found[(len(found) - 1) // 2]) + float(found[len(found) // 2])) / 2
    return Statistic(name, len(found), float(found[0]), middle, float(found[-1]))
