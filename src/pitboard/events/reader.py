"""Read the events of a log: which lines count, and what is wrong with the others.

A line is an event by the rules of the official parser (`mlperf_logging.compliance_checker.mlp_parser`, the
same for rulesets 4.0.0 to 6.1.0): a line ends at LF, CR or CRLF; whatever stands before the last `:::MLLOG
` is the launcher's; what follows is one JSON object as Python's `json` accepts it. Line numbers count LF,
as `grep -n` does.
"""

import json
import math
import reprlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, repeat
from pathlib import Path
from typing import Any, Literal

import msgspec

from pitboard.errors import PitboardError
from pitboard.events.event import Event
from pitboard.events.precision import LogText
from pitboard.events.source import DamagedSourceError, read_pieces
from pitboard.events.summary import Summary, SummaryBuilder

ProblemKind = Literal[
    "bad-json", "truncated", "bad-event", "too-deep", "unreadable", "too-long", "glued", "odd-json"
]

MAX_LINE_BYTES = 16 << 20
MAX_EVENT_BYTES = 256 << 20
"""How much JSON the events of one log may hold in all: they are kept in memory while the log is checked."""

MAX_PROBLEMS = 100
"""How many problems of one kind are kept for one log; all are counted."""

MAX_DEPTH = 200
"""How deep a value may nest. Python's `json` goes on to nearly 1,000, but comparing and copying would not."""

_MARK = b":::MLLOG "
_MARK_BYTES = len(_MARK)
_SHORT = 8  # bytes between two events that are not kept as text: a launcher's rank
_LONG = 2 * MAX_DEPTH  # a value that nests deeper takes more bytes
_SHOWN = 80
_LOOKED_AT = 16  # pieces of a file of any name that may be a log: launchers write much before the first event


_TAKEN = ("glued", "odd-json")


class Problem(msgspec.Struct, frozen=True):
    """Something wrong with a line. `refused` tells that the official parser takes the log as invalid."""

    kind: ProblemKind
    line: int | None
    message: str
    refused: bool


class LogFile(msgspec.Struct):
    """One log, read: its events in file order, what they say of the run, and its problems.

    `problems` holds the first `MAX_PROBLEMS` of each kind, `counts` how many of each kind there are;
    `binary` tells of NUL bytes in the file.
    """

    path: Path
    events: list[Event]
    summary: Summary
    problems: list[Problem]
    counts: Counter[ProblemKind]
    binary: bool = False

    @classmethod
    def unreadable(cls, path: Path, why: str) -> "LogFile":
        """Give the log that a file which cannot be opened amounts to: no event and one problem."""
        problem = Problem("unreadable", None, why, refused=True)
        return cls(path, [], Summary(), [problem], Counter({"unreadable": 1}))


_decode = msgspec.json.Decoder(Event).decode
_UNDECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_put = msgspec.structs.force_setattr


def read_log(path: Path) -> LogFile:
    """Read one log, plain, gzip, zstd, xz or bzip2, once, with everything that is wrong with its lines.

    Raises `PitboardError` only where the file cannot be opened or is packed in another way; what it holds
    becomes events and problems.
    """
    builder, every = SummaryBuilder(), list[Event]()
    scan = _Scan(builder.text)
    for events in scan.read(path):
        builder.add(events)
        every += events
    return LogFile(path, every, builder.summary(), scan.problems, scan.counts, scan.binary)


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of one log in file order, holding no more than a piece of it in memory.

    Lines that are no event, damaged ones included, are passed over: `read_log` tells of them.
    Raises `PitboardError` where the file cannot be opened.
    """
    for events in _Scan().read(path):
        yield from events


def holds_events(path: Path) -> bool:
    """Tell whether a file is a log by its beginning: a line of events in the first pieces that are read."""
    tail = b""
    try:
        for piece in islice(read_pieces(path), _LOOKED_AT):
            if _MARK in tail + piece:
                return True
            tail = piece[-_MARK_BYTES:]
    except (PitboardError, DamagedSourceError):
        return False
    return False


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


class _Scan:
    """The state of reading one file: where it is, and what it has met.

    What stands between the events goes into `text`, where it is wanted.
    """

    def __init__(self, text: LogText | None = None) -> None:
        self.line = 1
        self.problems: list[Problem] = []
        self.counts: Counter[ProblemKind] = Counter()
        self.binary = False
        self._events: list[Event] = []
        self._room = MAX_EVENT_BYTES
        self._text = text

    def read(self, path: Path) -> Iterator[list[Event]]:
        """Yield the events of the file, a piece at a time."""
        tail, drop = b"", False
        try:
            for piece in read_pieces(path):
                self.binary = self.binary or b"\0" in piece
                cut = piece.rfind(b"\n") + 1
                if not cut:
                    tail += piece
                    if len(tail) > MAX_LINE_BYTES:
                        at = tail.rfind(_MARK)
                        drop = drop or at == 0
                        tail = tail[at:] if at > 0 else tail[-_MARK_BYTES + 1 :]
                    continue
                yield self._lines(tail + piece[:cut], drop)
                tail, drop = piece[cut:], False
                if self._room < 0:
                    raise DamagedSourceError(f"its events hold more than {MAX_EVENT_BYTES >> 20} MiB")
        except DamagedSourceError as error:
            self._tell("unreadable", f"reading stopped here: {error}")
            return
        if tail:
            yield self._lines(tail, drop)

    def _lines(self, block: bytes, drop_first: bool) -> list[Event]:
        """Take the events of whole lines."""
        events: list[Event] = []
        self._events = events
        if drop_first:
            self._tell("too-long", f"an event line longer than {MAX_LINE_BYTES >> 20} MiB")
            block = block[block.find(b"\n") :] if b"\n" in block else b""
        before, *marked = block.split(_MARK)
        self._keep(self.line, before)
        self.line += _newlines(before)
        if not marked:
            return events
        # Loops in C: a round has millions of lines, and nearly all of its events are plain.
        payloads, ends, texts = zip(*map(bytes.partition, marked, repeat(b"\n")), strict=True)
        counts = [len(end) + (_newlines(text) if text else 0) for end, text in zip(ends, texts, strict=True)]
        lines = list(accumulate(counts, initial=self.line))
        several = b"" in ends[:-1] or (b"\r" in block and any(b"\r" in each[:-1] for each in payloads))
        try:
            events += [] if several else map(_decode, payloads)
        except _UNDECODED:
            several = True
        if several:
            events.clear()
            self._one_by_one(lines, payloads, ends)
        else:
            deque(map(_put, events, repeat("line"), lines), maxlen=0)
            for number in [number for number, payload in enumerate(payloads) if len(payload) > _LONG]:
                self.line = lines[number]
                events[number] = self._flatten(payloads[number], events[number])
        for number in [number for number, text in enumerate(texts) if len(text) > _SHORT]:
            self._keep(lines[number] + 1, texts[number])
        self.line = lines[-1]
        self._room -= sum(map(len, payloads))
        return events

    def _keep(self, line: int, text: bytes) -> None:
        if self._text is not None and text:
            self._text.add(line, text)

    def _one_by_one(self, lines: list[int], payloads: Sequence[bytes], ends: Sequence[bytes]) -> None:
        """Take events of which some are not plain; those that share a line have no `ends` between them."""
        shared: list[bytes] = []
        for number, (payload, end) in enumerate(zip(payloads, ends, strict=True)):
            shared.append(payload)
            if end or number == len(payloads) - 1:
                self.line = lines[number]
                self._take(_MARK.join(shared), ends=end != b"")
                shared = []

    def _take(self, payload: bytes, ends: bool) -> None:
        """Take what follows the first mark of a line."""
        if _MARK in payload or b"\r" in payload[:-1]:
            self._several(payload, ends)
            return
        try:
            event = _decode(payload)
        except _UNDECODED as error:
            self._odd(payload, error, ends)
        else:
            _put(event, "line", self.line)
            self._events.append(self._flatten(payload, event))

    def _several(self, payload: bytes, ends: bool) -> None:
        """Take what follows the first mark of a line with several marks or carriage returns in it."""
        for part in (_MARK + payload).split(b"\r"):
            at = part.rfind(_MARK)
            if at < 0:
                continue
            if part.find(_MARK) != at:
                self._tell("glued", "several events on one line; only the last one counts")
            self._odd(part[at + _MARK_BYTES :], None, ends)

    def _odd(self, payload: bytes, error: Exception | None, ends: bool) -> None:
        """Take an event that is not plain JSON of the usual shape, as the official parser would."""
        text = payload.decode("latin-1").rstrip()
        try:
            fields = json.loads(text)
        except RecursionError:
            self._tell("too-deep", "JSON nested too deeply to read")
            return
        except ValueError as cause:
            kind: ProblemKind = "bad-json" if ends else "truncated"
            self._tell(kind, f"not JSON ({cause}): {text[:_SHOWN]}")
            return
        wrong = _wrong_with(fields)
        if wrong:
            self._tell("bad-event", wrong)
            if not _is_whole_but_for_its_time(fields):
                return
            fields["time_ms"] = math.nan
        if not isinstance(fields["key"], str):
            self._note(f"passed over an event whose key is no string: {reprlib.repr(fields['key'])}")
            return
        if not isinstance(fields["metadata"], dict):
            found = reprlib.repr(fields["metadata"])
            self._note(f"took the metadata as empty: expected an object, found {found}")
        if isinstance(error, UnicodeDecodeError):
            self._note("text that is not UTF-8")
        elif error is not None and not isinstance(error, msgspec.ValidationError):
            self._note(f"a number or string that standard JSON has not: {text[:_SHOWN]}")
        self._events.append(self._flatten(payload, _lenient_event(fields, self.line)))

    def _flatten(self, payload: bytes, event: Event) -> Event:
        """Put a word in the place of a value that nests too deeply to be handed about."""
        if payload.count(b"[") + payload.count(b"{") <= MAX_DEPTH:
            return event
        if _is_deep(event.value) or _is_deep(event.metadata):
            self._note(f"dropped a value nested deeper than {MAX_DEPTH} levels")
            return msgspec.structs.replace(event, value="nested too deeply", metadata={})
        return event

    def _note(self, message: str) -> None:
        self._tell("odd-json", message)

    def _tell(self, kind: ProblemKind, message: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= MAX_PROBLEMS:
            self.problems.append(Problem(kind, self.line, message, refused=kind not in _TAKEN))


def _newlines(text: bytes) -> int:
    """Count line ends; in a long text removing them all is several times faster than `bytes.count`."""
    return text.count(b"\n") if len(text) < _LONG else len(text) - len(text.replace(b"\n", b""))


def _wrong_with(fields: Any) -> str | None:
    """Say why the official parser cannot make an event of a JSON value."""
    if not isinstance(fields, dict):
        return f"expected a JSON object, found {type(fields).__name__}"
    missing = [name for name in ("time_ms", "key", "value", "metadata") if name not in fields]
    if missing:
        return f"an event without {' and '.join(missing)}"
    try:
        float(fields["time_ms"])
    except (TypeError, ValueError, OverflowError):
        return f"expected time_ms in milliseconds, found {reprlib.repr(fields['time_ms'])}"
    return None


def _is_whole_but_for_its_time(fields: Any) -> bool:
    """Tell whether what an event says can still be taken, though not when it was."""
    return isinstance(fields, dict) and _wrong_with(fields | {"time_ms": 0}) is None


def _lenient_event(fields: dict[str, Any], line: int) -> Event:
    metadata, event_type, namespace = fields["metadata"], fields.get("event_type"), fields.get("namespace")
    return Event(
        key=fields["key"],
        time_ms=float(fields["time_ms"]),
        value=fields["value"],
        metadata=metadata if isinstance(metadata, dict) else {},
        event_type=event_type if isinstance(event_type, str) else "POINT_IN_TIME",
        namespace=namespace if isinstance(namespace, str) else "",
        line=line,
    )
