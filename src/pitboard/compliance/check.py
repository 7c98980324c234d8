"""Check everything under a path: find its logs, check them in several processes, judge what they form."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import msgspec

from pitboard.compliance.inventory import find_logs, shown
from pitboard.compliance.log.check import judge_log
from pitboard.compliance.log.preset import preset_of_output
from pitboard.compliance.log.round import detect_ruleset
from pitboard.compliance.log.rulesets import preload, ruleset_of
from pitboard.compliance.report import Level, LogReport, TreeReport
from pitboard.compliance.submission.check import judge
from pitboard.errors import PitboardError
from pitboard.events import LogFile, read_log
from pitboard.suite import find_round
from pitboard.text import printable

Progress = Callable[[int, int], None]
Gather = Callable[[LogFile], object]

_WORTH_PROCESSES = 8 << 20
"""Below this many bytes of logs, starting processes costs more than it saves."""


def check_tree(
    root: Path,
    round: str | None = None,
    level: Level | None = None,
    progress: Progress | None = None,
    gather: Gather | None = None,
) -> TreeReport:
    """Check all logs under `root`: a log, a result's folder, a submission or a round.

    `round` is such as `"5.1"`, `None` to detect it from the logs; `level` is how far to look, `None` to
    detect it from the layout; `progress` is called with (logs done, logs in all). Logs are read in as many
    processes as there are processors, each log once and each in one process alone; what `gather` (a plain
    function) makes of a log that was read comes back as its report's `gathered`.

    The output folder of a run of another preset than `full`, or what lies in it, is judged by the preset's
    own target and reference points; with `level` "submission" or "round" by the official rules, as all else.

    Raises `PitboardError` where `root` holds no log (a submission without any is a finding), or the installed
    rules do not know the round.
    """
    paths, findings = find_logs(root)
    asked, level = level, level or detect_level(root)
    official = asked == "submission" or level == "round"
    preset = None if official else preset_of_output(root)
    if not paths and not findings and level in ("log", "result"):
        raise PitboardError(
            f"No log under {root}: expected files named result_*.txt; give a log of another name itself."
        )
    ruleset = ruleset_of(round) if round else detect_ruleset(paths)
    preload(ruleset)
    logs = []
    for report in _reports(root, paths, ruleset, preset, gather):
        logs.append(report)
        if progress:
            progress(len(logs), len(paths))
    results, more = judge(root, level, dict(zip(paths, logs, strict=True)), ruleset, preset)
    findings += more
    # A log that belongs to a result counts through it: the olympic mean may drop one that is not valid.
    judged = {path for result in results for path in result.logs}
    alone = all(log.valid for log in logs if log.path not in judged)
    return TreeReport(
        round=find_round(ruleset).version,
        valid=alone
        and all(result.valid for result in results)
        and all(finding.severity != "error" for finding in findings),
        logs=logs,
        results=results,
        findings=findings,
    )


def detect_level(root: Path) -> Level:
    """Tell from the layout what a path is: a file is a log, a folder with `results/` a submission."""
    if root.is_file():
        return "log"
    if (root / "results").is_dir() or (root / "systems").is_dir():
        return "submission"
    if any((child / "results").is_dir() for child in root.iterdir()):
        return "round"
    return "result"


def _reports(
    root: Path, paths: list[Path], ruleset: str, preset: str | None, gather: Gather | None
) -> Iterator[LogReport]:
    examine = partial(_examine, root, ruleset, preset, gather)
    processes = min(len(paths), _processors())
    if processes < 2 or sum(path.lstat().st_size for path in paths) < _WORTH_PROCESSES:
        yield from map(examine, paths)
        return
    # Forked workers start with the rules compiled; elsewhere each compiles its own.
    start = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(start)
    try:
        with ProcessPoolExecutor(processes, context, _spare_collections) as pool:
            yield from pool.map(examine, paths, chunksize=8)
    except BrokenProcessPool as error:
        raise PitboardError(
            "A process that read logs was ended from outside, most likely for want of memory. "
            "Check fewer logs at a time."
        ) from error


def _examine(root: Path, ruleset: str, preset: str | None, gather: Gather | None, path: Path) -> LogReport:
    """Check one log; one that cannot be opened is a finding, and the others are still checked."""
    file = printable(path.name) if path == root else shown(path, root)
    try:
        log = read_log(path)
    except PitboardError as error:
        log = LogFile.unreadable(path, str(error))
    report = judge_log(log, ruleset, file, preset)
    return msgspec.structs.replace(report, gathered=gather(log)) if gather else report


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _spare_collections() -> None:
    """Let the garbage collector run seldom: events are many, and hold no cycles."""
    gc.set_threshold(200_000, 20, 20)
