"""Read the events of a log file."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from pitboard.errors import PitboardError
from pitboard.events.event import Event

_MARK = b":::MLLOG "
_decoder = msgspec.json.Decoder(Event)


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of one log in file order; lines that are not MLLOG events are passed over.

    Raises `PitboardError` for a file that cannot be read, and for an event line that is not valid JSON.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise PitboardError(f"Cannot read the log {path}: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        at = line.find(_MARK)
        if at < 0:
            continue
        try:
            event = _decoder.decode(line[at + len(_MARK) :])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PitboardError(
                f"{path}:{number}: expected one JSON object after ':::MLLOG', found {error}."
            ) from error
        yield msgspec.structs.replace(event, line=number)
