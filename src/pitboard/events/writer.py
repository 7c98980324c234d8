"""Write a log of events through the official `mlperf_logging.mllog`."""

import logging
import re
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants, mllog

from pitboard.errors import PitboardError, StorageError

_SOURCES = Path(__file__).parents[1]


class LogWriter:
    """Writes one log file, an event a line, flushed at once so that a killed run loses none.

    `path=None` makes a writer that writes nothing, for the ranks other than 0. The metadata's `file` and
    `lineno` are those of the caller, as the official logger gives them.
    """

    def __init__(self, path: Path | None, *, append: bool = False) -> None:
        self.path = path
        self.closed = path is None
        self._logger: mllog.MLLogger | None = None
        if path is None:
            return
        if append:
            _drop_partial_line(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handler = _StrictFileHandler(path, mode="a" if append else "w", encoding="utf-8")
        except OSError as error:
            raise PitboardError(f"Cannot write the log {path}: {error.strerror}.") from error
        logger = logging.Logger(f"pitboard.{path}")
        logger.addHandler(self._handler)
        self._logger = mllog.MLLogger(logger, default_stack_offset=3, root_dir=re.escape(str(_SOURCES)))

    def start(self, key: str, **metadata: Any) -> None:
        """Log the start of an interval, e.g. `run_start`."""
        self._write("start", key, None, metadata)

    def end(self, key: str, **metadata: Any) -> None:
        """Log the end of an interval, e.g. `run_stop`."""
        self._write("end", key, None, metadata)

    def event(self, key: str, value: Any, **metadata: Any) -> None:
        """Log a point in time with a value, e.g. `eval_accuracy`."""
        self._write("event", key, value, metadata)

    def close(self, status: str, **metadata: Any) -> None:
        """Log `run_stop` with its status (`success` or `aborted`) once, and close the file."""
        if self.closed:
            return
        self.closed = True
        try:
            self.end(constants.RUN_STOP, status=status, **metadata)
            self.event(constants.TRAIN_SAMPLES, metadata.get(constants.SAMPLES_COUNT, 0))
        finally:
            self._handler.close()

    def _write(self, kind: str, key: str, value: Any, metadata: dict[str, Any]) -> None:
        if self._logger is None:
            return
        try:
            getattr(self._logger, kind)(key, value, metadata=metadata)
        except OSError as error:
            raise StorageError(
                f"Cannot write the log {self.path}: {error.strerror}. Free some space there."
            ) from error


class _StrictFileHandler(logging.FileHandler):
    """Raises what goes wrong: the standard handler would print a traceback and train on without a log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        raise  # noqa: PLE0704 - called by logging from within its except clause


def _drop_partial_line(path: Path) -> None:
    """Cut off a last line without its end, which a killed run may have left, so that appending is clean."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
