"""One line of an MLPerf log, decoded."""

from typing import Annotated, Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One MLLOG event, as the official `mlperf_logging.mllog` writes it.

    `time_ms` is in milliseconds since the Unix epoch, NaN where a line does not say; `event_type` is
    `INTERVAL_START`, `INTERVAL_END` or `POINT_IN_TIME`; `line` is the 1-based line number in its file.

    The fields without a default are those that the official parser demands. The bounds of the time keep it a
    float's size. Values come from JSON and hold no cycles, so the garbage collector need not look at them.
    """

    key: str
    time_ms: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float
    value: Any
    metadata: dict[str, Any]
    event_type: str = "POINT_IN_TIME"
    namespace: str = ""
    line: int = 0
