"""Run a stranger's query: in a process of its own, over tables in memory, with no file left to read.

DuckDB can be kept from files and the network, but not from taking memory and time: one call of `repeat` or
`levenshtein` takes gigabytes or half a minute that no setting of it limits. The operating system can.
`python -m pitboard.results.sandbox` is that process: a `Job` on standard input, a `Reply` on its output.
"""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from threading import BoundedSemaphore
from typing import Any

import msgspec

from pitboard.errors import BusyError, PitboardError
from pitboard.processes import end_with_parent, limit
from pitboard.results.store import Store, without_paths
from pitboard.text import fits_json

AT_ONCE = 2
MOST_ROWS = 10_000
MOST_COLUMNS = 1_000
MOST_BYTES = 8_000_000
SECONDS = 5
_GRACE_SECONDS = 20
_MEMORY_BYTES = 2 << 30
_DUCKDB_BYTES = 512 << 20
_LONGEST_ERROR = 1_000

_free = BoundedSemaphore(AT_ONCE)


class Job(msgspec.Struct):
    """A query over the store at `place`, and the seconds of processor time that it may take."""

    place: str
    shipped: bool
    query: str
    seconds: int


class Reply(msgspec.Struct):
    """A query's columns (name, DuckDB's type) and at most `MOST_ROWS` + 1 rows, or why there are none."""

    columns: list[tuple[str, str]] = []
    rows: list[list[Any]] = []
    error: str = ""


def run(store: Store, query: str, seconds: int = SECONDS) -> tuple[list[tuple[str, str]], list[list[Any]]]:
    """Return the columns and rows of a query, as `Store.read_only` does, at most `MOST_ROWS` + 1 of them.

    Raises `PitboardError` for what that refuses and for a query that takes too much time or memory,
    `BusyError` where as many queries are being answered as may be at once.
    """
    job = Job(store.place, store.shipped, query, seconds)
    if not _free.acquire(blocking=False):
        raise BusyError("Other queries are being answered just now. Try again in a few seconds.")
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pitboard.results.sandbox"],
            input=msgspec.json.encode(job),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": "/nonexistent"},
            timeout=_wall_seconds(seconds),
            check=False,
        )
        reply = msgspec.json.decode(done.stdout, type=Reply)
    except (subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        raise PitboardError(
            f"The query takes longer than {seconds} seconds, or more memory than it may. Make it smaller, or "
            "run `pitboard results sql` on a machine of your own."
        ) from error
    finally:
        _free.release()
    if reply.error:
        raise PitboardError(reply.error)
    return reply.columns, reply.rows


def main() -> None:
    """Do the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    _limit(job.seconds)
    try:
        reply = _encoded(_answered(job))
    except PitboardError as error:
        reply = _encoded(Reply(error=_without_paths(str(error), job)))
    except MemoryError:
        reply = _encoded(Reply(error="The query takes more memory than it may. Make it smaller."))
    sys.stdout.buffer.write(reply)


_encoded = msgspec.json.Encoder().encode


def _limit(seconds: int) -> None:
    """Set the limits of this process, which no query can lift: it computes, and writes no file."""
    end_with_parent()
    signal.alarm(_wall_seconds(seconds))  # the same elsewhere, a little later
    limit(memory_bytes=_MEMORY_BYTES, processor_seconds=seconds, file_bytes=0)


def _wall_seconds(seconds: int) -> int:
    """Return how long a query may take where other processes have the processor too, or where it sleeps."""
    return seconds + _GRACE_SECONDS


def _answered(job: Job) -> Reply:
    store = Store(job.place, shipped=job.shipped)
    columns, rows = store.in_memory(job.query, MOST_ROWS + 1, _DUCKDB_BYTES)
    if len(columns) > MOST_COLUMNS:
        raise PitboardError(
            f"The answer has {len(columns):,} columns, expected at most {MOST_COLUMNS:,}: name fewer."
        )
    reply = Reply(columns, [list(map(plain, row)) for row in rows])
    if len(_encoded(reply)) > MOST_BYTES:
        raise PitboardError(
            f"The answer is larger than {MOST_BYTES // 1_000_000} MB. Ask for fewer rows or columns, or run "
            "`pitboard results sql` on a machine of your own."
        )
    return reply


def _without_paths(error: str, job: Job) -> str:
    """Say it as one paragraph, and without telling a stranger where on this machine the store is."""
    error = " ".join(error.partition("\n\nLINE ")[0].split())
    error = without_paths(error, job.place)
    return error if len(error) <= _LONGEST_ERROR else error[: _LONGEST_ERROR - 1] + "…"


def plain(value: object) -> Any:
    """Return a value of DuckDB's as the row of an answer holds it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, int) and not fits_json(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


if __name__ == "__main__":
    main()
