"""What the store keeps of a log beyond its `Run`: evaluation time, tracked statistics, the precision."""

from collections import defaultdict
from statistics import median

import msgspec

from pitboard.events import Event, LogFile
from pitboard.results.precision import Precision, precision

_MOST_TEXT = 64 << 20


class Statistic(msgspec.Struct, frozen=True):
    """A number that a run tracked (throughput, step time), summarised, in the log's own unit."""

    name: str
    count: int
    minimum: float
    median: float
    maximum: float


class Gathered(msgspec.Struct, frozen=True):
    """`evaluation_minutes` is the time in `eval_start`/`eval_stop` pairs of the run, or `None`."""

    evaluation_minutes: float | None
    statistics: list[Statistic]
    precision: Precision | None


def gather(log: LogFile) -> Gathered:
    """Gather from one log; called where the log is read, so that its events need not be kept."""
    return Gathered(
        evaluation_minutes=_evaluation_minutes(log.events),
        statistics=_statistics(log.events),
        precision=_precision(log),
    )


def _evaluation_minutes(events: list[Event]) -> float | None:
    total, started, running, pairs = 0.0, None, False, 0
    for event in events:
        if event.key == "run_start":
            running = True
        elif event.key == "run_stop":
            break
        elif event.key == "eval_start":
            started = event.time_ms
        elif event.key == "eval_stop" and started is not None:
            if running:
                total += float(event.time_ms) - float(started)
                pairs += 1
            started = None
    return total / 60_000 if pairs else None


def _statistics(events: list[Event]) -> list[Statistic]:
    values: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.key == "tracked_stats" and isinstance(event.value, dict):
            for name, value in event.value.items():
                if isinstance(value, int | float) and abs(value) < 1e30 and name.isidentifier():
                    values[name[:60]].append(float(value))
    return [
        Statistic(name, len(found), min(found), median(found), max(found))
        for name, found in sorted(values.items())
    ]


def _precision(log: LogFile) -> Precision | None:
    try:
        if log.path.stat().st_size > _MOST_TEXT:
            return None
        return precision(log.path.read_bytes())
    except OSError:
        return None
