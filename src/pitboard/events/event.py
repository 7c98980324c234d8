"""One line of an MLPerf log, decoded."""

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One MLLOG event, as the official `mlperf_logging.mllog` writes it.

    `time_ms` is in milliseconds since the Unix epoch; `event_type` is `INTERVAL_START`,
    `INTERVAL_END` or `POINT_IN_TIME`; `line` is the 1-based line number in its file.
    """

    key: str
    time_ms: int | float
    value: Any = None
    metadata: dict[str, Any] = {}
    event_type: str = "POINT_IN_TIME"
    namespace: str = ""
    line: int = 0
