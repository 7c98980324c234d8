"""A run: one training of one benchmark, from `run_start` to `run_stop`, as its events tell it."""

from collections.abc import Callable, Iterable
from math import isnan
from typing import Any

import msgspec

from pitboard.events.event import Event
from pitboard.text import encodable


class Evaluation(msgspec.Struct, frozen=True):
    """One evaluation: the quality reached after `samples` training samples, logged at `time_ms`.

    A log counts in samples, in epochs or in steps, or in several of them; `metric` names the quality where
    there are several.
    """

    samples: int | float | None
    quality: float
    time_ms: int | float | None
    epoch: int | float | None = None
    metric: str | None = None
    step: int | float | None = None


class Seed(msgspec.Struct, frozen=True):
    """A seed as logged at `line`, and the line of the source file that logged it."""

    value: Any
    file: Any
    lineno: Any
    line: int


class Run(msgspec.Struct, kw_only=True):
    """What one log says of its run. Times are milliseconds since the Unix epoch; `None` is 'not logged'.

    `settings` holds what must be the same in all runs of a result; `evaluated` is how many evaluations there
    were at the last `run_stop`. Pitboard's own marks: `emulated` is a run whose time says nothing, because
    its precision was emulated; `preset` is what it trained, and `changed` names the settings in which it
    differs from that preset in what is learned; `precision` is the format that it trained in.
    """

    benchmark: str | None = None
    division: str | None = None
    init_start_ms: int | float | None = None
    init_stop_ms: int | float | None = None
    run_start_ms: int | float | None = None
    run_stop_ms: int | float | None = None
    status: str | None = None
    seed: Any = None
    seeds: list[Seed] = []
    global_batch_size: int | float | None = None
    target: float | None = None
    settings: dict[str, Any] = {}
    evaluations: list[Evaluation] = []
    evaluated: int = 0
    emulated: bool = False
    preset: str | None = None
    precision: str | None = None
    changed: list[str] = []

    @property
    def minutes(self) -> float | None:
        """Time-to-train in minutes: `run_stop` - `run_start`.

        `None` where one is missing, and where the clock was set back between them: nobody knows by how much.
        """
        if self.run_start_ms is None or self.run_stop_ms is None:
            return None
        minutes = (float(self.run_stop_ms) - float(self.run_start_ms)) / 60 / 1000
        return minutes if minutes >= 0 else None

    @property
    def samples_to_target(self) -> int | float | None:
        """Samples (or epochs) consumed at the last evaluation of a successful run, else `None`."""
        if self.status != "success" or not self.evaluated:
            return None
        last = self.evaluations[self.evaluated - 1]
        return last.epoch if last.samples is None else last.samples

    @classmethod
    def from_events(cls, events: Iterable[Event]) -> "Run":
        """Collect a run from the events of one log.

        The first `init_start` and the first complete pair of `run_start` and `run_stop` count, the last of
        the rest, as in the official `result_summarizer` and `rcp_checker`.
        """
        run = cls()
        for event in events:
            run.add(event)
        return run

    def add(self, event: Event) -> None:
        """Take one more event of the log, in the order of its lines."""
        collect = _COLLECTORS.get(event.key)
        if collect is not None:
            collect(self, event)
        elif event.key.startswith(_SETTING_PREFIXES):
            self.settings[event.key] = event.value


_SETTING_PREFIXES = ("opt_", "lora_", "submission_")


def _number(value: Any) -> int | float | None:
    """Give a number that a float can hold, or `None`: a log may have anything in its place."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
        return None
    return float(value) if abs(value) > 2**53 else value


def _text(value: Any) -> str | None:
    return encodable(value) if isinstance(value, str) else None


def _time(event: Event) -> int | float | None:
    """Give an event's time, `None` where its line does not say it."""
    return None if isnan(event.time_ms) else event.time_ms


def _setting(run: Run, event: Event) -> None:
    run.settings[event.key] = event.value


def _benchmark(run: Run, event: Event) -> None:
    run.settings[event.key] = event.value
    run.benchmark = _text(event.value)


def _division(run: Run, event: Event) -> None:
    run.settings[event.key] = event.value
    run.division = _text(event.value)


def _batch_size(run: Run, event: Event) -> None:
    run.settings[event.key] = event.value
    run.global_batch_size = _number(event.value)


def _target(run: Run, event: Event) -> None:
    run.target = _number(event.value)


def _emulated(run: Run, event: Event) -> None:
    run.emulated = event.value is True


def _preset(run: Run, event: Event) -> None:
    run.preset = _text(event.value)


def _precision(run: Run, event: Event) -> None:
    run.precision = _text(event.value)


def _changed(run: Run, event: Event) -> None:
    run.settings[event.key] = event.value
    names = event.value if isinstance(event.value, list) else []
    run.changed = [name for value in names if (name := _text(value)) is not None]


def _init_start(run: Run, event: Event) -> None:
    if run.init_start_ms is None:
        run.init_start_ms = _time(event)


def _init_stop(run: Run, event: Event) -> None:
    run.init_stop_ms = _time(event)


def _run_start(run: Run, event: Event) -> None:
    if run.run_start_ms is None or run.run_stop_ms is None:
        run.run_start_ms = _time(event)


def _run_stop(run: Run, event: Event) -> None:
    if run.run_start_ms is None or run.run_stop_ms is None:
        run.run_stop_ms = _time(event)
    run.status = _text(event.metadata.get("status"))
    run.evaluated = len(run.evaluations)


def _seed(run: Run, event: Event) -> None:
    run.seed = event.value
    metadata = event.metadata
    run.seeds.append(Seed(event.value, metadata.get("file"), metadata.get("lineno"), event.line))


def _evaluation(run: Run, event: Event) -> None:
    metadata = event.metadata
    samples, epoch, step = (
        _number(metadata.get(name)) for name in ("samples_count", "epoch_num", "step_num")
    )
    # A quality of several parts (boxes and masks) is one evaluation for each of them.
    parts = event.value if isinstance(event.value, dict) else {metadata.get("metric"): event.value}
    for metric, value in parts.items():
        quality = _number(value)
        if quality is not None:
            run.evaluations.append(
                Evaluation(samples, float(quality), _time(event), epoch, _text(metric), step)
            )


_COLLECTORS: dict[str, Callable[[Run, Event], None]] = {
    "submission_benchmark": _benchmark,
    "submission_division": _division,
    "global_batch_size": _batch_size,
    "gradient_accumulation_steps": _setting,
    "max_sequence_length": _setting,
    "max_steps": _setting,
    "target_accuracy": _target,
    "pitboard_emulated": _emulated,
    "pitboard_preset": _preset,
    "pitboard_precision": _precision,
    "pitboard_changed": _changed,
    "init_start": _init_start,
    "init_stop": _init_stop,
    "run_start": _run_start,
    "run_stop": _run_stop,
    "seed": _seed,
    "eval_accuracy": _evaluation,
    "eval_error": _evaluation,
}
