"""A finding: one thing that a rule has to say about a log, a result, a system or a submission."""

from typing import Any, Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One violation, as data; text, JSON and SARIF are made from it.

    `rule` is a stable code that `pitboard explain` knows; `file` is relative to the checked path;
    `line` is 1-based, or `None` where the finding is about the whole file.
    """

    rule: str
    severity: Literal["error", "warning"] = "error"
    file: str = ""
    line: int | None = None
    message: str
    expected: Any = None
    found: Any = None
    fix: str = ""
