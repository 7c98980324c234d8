"""Power of a result's runs: what its meters read, whether they read often enough, and the mean power.

A run's energy is its mean power times its time-to-train (training policies, "Power measurement"): a node's
from its readings, a switch's as it is estimated. The sums are those of `result_summarizer`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pitboard.compliance.inventory import Entry, Inventory, ResultFolder, shown
from pitboard.compliance.rule import UNCHECKED_OR_FATAL, Finding, Rule
from pitboard.files import NO_JSON, read_plain

_POLICY = "MLCommons training policies, power measurement rules; the official checker does not look at it"
_MARK = b":::MLLOG "
_MAX_BYTES = 64 << 20
# Meters report whole seconds, a little late: what takes 5 % longer than a second is still one a second.
_LONGEST_INTERVAL_MS = 1050

UNREADABLE = Rule(
    code="power-unreadable",
    title="A run's energy cannot be told",
    severity="warning",
    meaning=(
        "A node's power file has no power_measurement_start, no reading after it, or no time between its "
        "start and its stop; or a reading is no number."
    ),
    why="`result_summarizer` ends in a traceback there, and the result has no energy.",
    where=UNCHECKED_OR_FATAL,
)
RATE = Rule(
    code="power-rate",
    title="Power was read less than once a second",
    severity="warning",
    meaning="A node's readings are, on average, more than a second apart (more than 1.05 s, to be exact).",
    why="Power must be measured at least once every second, evenly over the timed part of a run.",
    where=_POLICY,
)


class _Reading(msgspec.Struct):
    key: str
    time_ms: int | float
    value: Any = None


class _Meter(msgspec.Struct, frozen=True):
    """A meter's mean power over its window, and the mean time between its readings (0 of an estimate)."""

    watts: float
    interval_ms: float = 0.0


_decode = msgspec.json.Decoder(_Reading).decode


def read_power(result: ResultFolder, inventory: Inventory) -> tuple[list[float | None], list[Finding]]:
    """Return the mean power of each run in watts, in the order of the logs, and what is wrong with readings.

    `None` for a run whose power cannot be told; the list is empty where the result has no folder `power`.
    """
    power = result.path / "power"
    if power not in inventory.folders(result.path):
        return [], []
    watts: list[float | None] = []
    unread: list[str] = []
    slow: list[tuple[float, str]] = []
    for log in result.logs:
        meters: list[_Meter | None] = []
        # Named as the summarizer does: up to the first dot.
        for file in _files(inventory.entries(power / log.name.partition(".")[0])):
            meter = (_node if file.name.startswith("node_") else _switch)(_readings(file.path))
            meters.append(meter)
            if meter is None:
                unread.append(shown(file.path, inventory.root))
            elif meter.interval_ms > _LONGEST_INTERVAL_MS:
                slow.append((meter.interval_ms, shown(file.path, inventory.root)))
        known = [meter.watts for meter in meters if meter is not None]
        watts.append(sum(known) if known and len(known) == len(meters) else None)
    return watts, [*_unreadable(unread), *_seldom(slow)]


def _files(entries: Sequence[Entry]) -> list[Entry]:
    """Return a run's power files, of nodes first; without a node's there is nothing to add up."""
    files = [entry for entry in entries if entry.kind == "file" and entry.name.endswith(".txt")]
    nodes, switches = ([file for file in files if file.name.startswith(kind)] for kind in ("node_", "sw_"))
    return [*nodes, *switches] if nodes else []


def _readings(path: Path) -> Iterator[_Reading]:
    try:
        data = read_plain(path, _MAX_BYTES)
    except OSError:
        return
    for line in data.split(b"\n"):
        at = line.rfind(_MARK)
        if at < 0:
            continue
        try:
            yield _decode(line[at + len(_MARK) :])
        except NO_JSON:
            continue  # the official parser leaves it out, too


def _node(readings: Iterator[_Reading]) -> _Meter | None:
    """Add up reading × time since the reading before, over the window from start to stop."""
    start: float | None = None
    stop: float | None = None
    before = last = total = 0.0
    efficiency, count = 1.0, 0
    try:
        for reading in sorted(readings, key=lambda reading: reading.time_ms):
            time = float(reading.time_ms)
            if reading.key == "power_measurement_start":
                start = before = time
            elif reading.key == "power_reading" and start is not None and stop is None:
                total += reading.value * (time - before)
                before, last, count = time, max(last, time), count + 1
            elif reading.key == "power_measurement_stop":
                stop = time
            elif reading.key == "conversion_eff":
                efficiency = float(reading.value)
        window = (last if stop is None else stop) - (start or 0.0)
        if start is None or not count or window <= 0:
            return None
        return _Meter(efficiency * total / window, window / count)
    except (TypeError, ValueError, OverflowError):
        return None


def _switch(readings: Iterator[_Reading]) -> _Meter | None:
    """Take the first estimate, and the efficiency that stands before it."""
    efficiency = 1.0
    try:
        for reading in readings:
            if reading.key == "conversion_eff":
                efficiency = float(reading.value)
            elif reading.key == "interconnect_power_est":
                return _Meter(efficiency * float(reading.value))
    except (TypeError, ValueError, OverflowError):
        return None
    return _Meter(0.0)


def _unreadable(files: list[str]) -> list[Finding]:
    if not files:
        return []
    return [
        UNREADABLE.finding(
            f"The energy of this result cannot be told: {len(files)} of its power files cannot be added up",
            file=files[0],
            expected="power_measurement_start, power_reading once a second, power_measurement_stop",
            found=files[:5],
            fix="Write the file again from the meter's readings, or leave out 'power' for the whole result.",
        )
    ]


def _seldom(slow: list[tuple[float, str]]) -> list[Finding]:
    if not slow:
        return []
    longest, file = max(slow)
    return [
        RATE.finding(
            f"{len(slow)} power files of this result have fewer readings than one a second",
            file=file,
            expected="a reading every second",
            found=f"one every {longest / 1000:.2f} s on average in the slowest",
            fix="Let the meter report at least once a second.",
        )
    ]
