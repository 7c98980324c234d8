"""A run: one training of one benchmark, from `run_start` to `run_stop`, as its events tell it."""

from collections.abc import Iterable
from typing import Any

import msgspec

from pitboard.events.event import Event


class Evaluation(msgspec.Struct, frozen=True):
    """One evaluation: the quality reached after `samples` training samples, logged at `time_ms`."""

    samples: int | float | None
    quality: float
    time_ms: int | float


class Run(msgspec.Struct, kw_only=True):
    """What one log says of its run. Times are milliseconds since the Unix epoch; `None` is 'not logged'."""

    benchmark: str | None = None
    division: str | None = None
    init_start_ms: int | float | None = None
    init_stop_ms: int | float | None = None
    run_start_ms: int | float | None = None
    run_stop_ms: int | float | None = None
    status: str | None = None
    seed: Any = None
    global_batch_size: int | None = None
    target: float | None = None
    evaluations: list[Evaluation] = []

    @property
    def minutes(self) -> float | None:
        """Time-to-train in minutes: `run_stop` - `run_start`, or `None` where one is missing."""
        if self.run_start_ms is None or self.run_stop_ms is None:
            return None
        return (self.run_stop_ms - self.run_start_ms) / 60_000

    @property
    def samples_to_target(self) -> int | float | None:
        """Training samples consumed at the last evaluation of a successful run, else `None`."""
        if self.status != "success" or not self.evaluations:
            return None
        return self.evaluations[-1].samples

    @classmethod
    def from_events(cls, events: Iterable[Event]) -> "Run":
        """Collect a run from the events of one log; the first `init_start` and the last of the rest count."""
        run = cls(evaluations=[])
        for event in events:
            _collect(run, event)
        return run


_PLAIN_KEYS = {
    "submission_benchmark": "benchmark",
    "submission_division": "division",
    "seed": "seed",
    "global_batch_size": "global_batch_size",
    "target_accuracy": "target",
}
_TIME_KEYS = {"init_stop": "init_stop_ms", "run_start": "run_start_ms", "run_stop": "run_stop_ms"}


def _collect(run: Run, event: Event) -> None:
    if event.key in _PLAIN_KEYS:
        setattr(run, _PLAIN_KEYS[event.key], event.value)
    elif event.key in _TIME_KEYS:
        setattr(run, _TIME_KEYS[event.key], event.time_ms)
        if event.key == "run_stop":
            run.status = event.metadata.get("status")
    elif event.key == "init_start" and run.init_start_ms is None:
        run.init_start_ms = event.time_ms
    elif event.key == "eval_accuracy" and isinstance(event.value, int | float):
        samples = event.metadata.get("samples_count", event.metadata.get("epoch_num"))
        run.evaluations.append(Evaluation(samples, float(event.value), event.time_ms))
