"""Check everything under a path: find its logs, check them in several processes, judge what they form."""

from collections.abc import Callable
from pathlib import Path

from pitboard.compliance.report import Level, TreeReport

Progress = Callable[[int, int], None]


def check_tree(
    root: Path, round: str | None = None, level: Level | None = None, progress: Progress | None = None
) -> TreeReport:
    """Check all logs under `root` (a log, a result folder, a submission or a round).

    `round` is such as `"5.1"`, `None` to detect it from the logs; `level` is how far to look, `None` to detect
    it from the layout; `progress` is called with (logs done, logs in all).

    Raises `PitboardError` where `root` holds no log, or the round is not known.
    """
    raise NotImplementedError
