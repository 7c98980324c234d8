"""What a log says of its run, gathered in the one pass over the file."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pitboard.events.event import Event
from pitboard.events.precision import LogText, Precision, precision
from pitboard.events.run import Run

_DISCLOSURES = (
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

    `evaluation_minutes` is the time in pairs of `eval_start` and `eval_stop` between the first `run_start` and
    `run_stop`, `None` where there is no pair. `statistics` are the numbers of `tracked_stats` by name.
    `precision` is the number format of the matrix products, wherever in the log it is stated. `disclosures`
    are what round 6.1 wants disclosed of precision and parallelism, by key, as the log has it.
    """

    run: Run = msgspec.field(default_factory=Run)
    evaluation_minutes: float | None = None
    statistics: list[Statistic] = []
    precision: Precision | None = None
    disclosures: dict[str, Any] = {}


class SummaryBuilder:
    """Gathers a summary while a log is read: events in the order of their lines, and the `text` between them."""

    def __init__(self) -> None:
        self.text = LogText()
        self._run = Run()
        self._evaluating = _Stopwatch()
        self._tracked: dict[str, list[float]] = {}
        self._last: dict[str, Event] = {}
        self._takers: dict[str, Callable[[Event], None]] = {
            **dict.fromkeys(("run_start", "run_stop", "eval_start", "eval_stop"), self._evaluating.take),
            **dict.fromkeys((*_DISCLOSURES, "pitboard_precision"), self._keep),
        }

    def add(self, events: Sequence[Event]) -> None:
        """Take the next events of the log; three of four are `tracked_stats`, so that loop does little."""
        known, taker, run = self._tracked.get, self._takers.get, self._run.add
        for event in events:
            if event.key == "tracked_stats":
                if isinstance(event.value, dict):
                    for name, number in event.value.items():
                        numbers = known(name)
                        if numbers is not None and type(number) is float and -_LARGEST < number < _LARGEST:
                            numbers.append(number)
                        else:
                            self._track(name, number)
                continue
            run(event)
            take = taker(event.key)
            if take is not None:
                take(event)

    def summary(self) -> Summary:
        """Return what the log says, once all its events and its text were given."""
        return Summary(
            run=self._run,
            evaluation_minutes=self._evaluating.minutes,
            statistics=[_statistic(name, found) for name, found in sorted(self._tracked.items())],
            precision=precision(
                self.text,
                own=self._last.get("pitboard_precision"),
                disclosed=self._last.get("lowest_numerical_precision_in_linear"),
            ),
            disclosures={key: self._last[key].value for key in _DISCLOSURES if key in self._last},
        )

    def _track(self, name: str, number: Any) -> None:
        if isinstance(number, int | float) and abs(number) < _LARGEST and name.isidentifier():
            self._tracked.setdefault(name[:_LONGEST_NAME], []).append(float(number))

    def _keep(self, event: Event) -> None:
        self._last[event.key] = event


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
        if self._over:
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


def _statistic(name: str, found: list[float]) -> Statistic:
    found.sort()
    half = len(found) // 2
    median = found[half] if len(found) % 2 else (found[half - 1] + found[half]) / 2
    return Statistic(name, len(found), found[0], median, found[-1])
