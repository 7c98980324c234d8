"""Check everything under a path: find its logs, check them in several processes, judge what they form."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from pitboard.compliance.archives import tree
from pitboard.compliance.inventory import Inventory, is_submission, shown
from pitboard.compliance.log.check import NO_EVENTS, judge_log
from pitboard.compliance.log.preset import preset_of_output
from pitboard.compliance.log.round import Told, sampled, told_round
from pitboard.compliance.log.rulesets import preload, ruleset_of
from pitboard.compliance.report import Level, LogReport, TreeReport
from pitboard.compliance.submission.check import judge_submission
from pitboard.errors import PitboardError
from pitboard.events import LogFile, read_log
from pitboard.processes import end_on_signals, end_with_parent, held_signals
from pitboard.suite import find_round
from pitboard.text import printable

Progress = Callable[[int, int], None]

_WORTH_PROCESSES = 8 << 20
"""Below this many bytes of logs, starting processes costs more than it saves."""


def check_tree(
    root: Path,
    round: str | None = None,
    level: Level | None = None,
    progress: Progress | None = None,
    inventory: Inventory | None = None,
    processes: int | None = None,
) -> TreeReport:
    """Check all logs under `root`: a log, a result's folder, a submission or a round, or an archive of one.

    `round` is such as `"5.1"`, `None` to detect it from the logs; `level` is how far to look, `None` to
    detect it from the layout; `progress` is called with (logs done, logs in all); `inventory` is that of
    `root`, where it was taken already. Logs are read in `processes`, by default as many as there are
    processors, each log once and each in one process alone; each folder is listed and each system description
    read once.

    The output folder of a run of another preset than `full`, or what lies in it, is judged by the preset's
    own target and reference points; with `level` "submission" or "round" by the official rules, as all else.

    Raises `PitboardError` where `root` holds no log (a submission without any is a finding), or the installed
    rules do not know the round.
    """
    if inventory is not None:
        return _check_tree(root, round, level, progress, inventory, processes=processes)
    with tree(root) as place:
        inventory = Inventory(place)
        if level == "log" and not inventory.logs:
            inventory = Inventory(place, every_log=True)
        return _check_tree(place, round, level, progress, inventory, processes=processes)


def check_logs(
    paths: Sequence[Path], round: str | None = None, progress: Progress | None = None
) -> TreeReport:
    """Check logs that were named one by one, each by itself, by the rules of one round.

    Raises `PitboardError` as `check_tree` does.
    """
    presets = {preset_of_output(path) for path in paths}
    preset = presets.pop() if len(presets) == 1 else None
    return _check_tree(Path(), round, "log", progress, Inventory(Path(), named=paths), preset)


def _check_tree(
    root: Path,
    round: str | None,
    level: Level | None,
    progress: Progress | None,
    inventory: Inventory,
    preset: str | None = None,
    processes: int | None = None,
) -> TreeReport:
    paths = inventory.logs
    asked, level = level, level or detect_level(inventory)
    if asked != "submission" and level != "round":
        preset = preset if inventory.named else preset_of_output(root)
    if not paths and not inventory.led_out and level in ("log", "result"):
        raise PitboardError(
            f"No log under {root}: expected files "
            + (
                "that hold events of MLPerf."
                if level == "log"
                else "named result_*.txt. Level 'log' takes files of other names, too, if they hold events."
            )
        )
    samples = [] if round else [_read(path) for path in sampled(paths)]
    ruleset, told = Told(ruleset_of(round), None) if round else told_round(samples)
    preload(ruleset)
    known = {log.path: _judge(log, root, ruleset, preset) for log in samples}
    del samples  # events take much memory, which the processes to come need not inherit
    logs = []
    for report in _reports(inventory, ruleset, preset, known, processes):
        logs.append(report)
        if progress:
            progress(len(logs), len(paths))
    results, more = judge_submission(inventory, level, dict(zip(paths, logs, strict=True)), ruleset, preset)
    findings = inventory.led_out + more
    # A log that belongs to a result counts through it: the olympic mean may drop one that is not valid.
    judged = {path for result in results for path in result.logs}
    alone = all(log.valid for log in logs if log.path not in judged)
    return TreeReport(
        round=find_round(ruleset).version if round or any(map(_is_log, logs)) else None,
        valid=alone
        and all(result.valid for result in results)
        and all(finding.severity != "error" for finding in findings),
        logs=logs,
        results=results,
        findings=findings,
        told=told,
    )


def _is_log(log: LogReport) -> bool:
    """Tell whether a file holds events, which say what round it is of."""
    return all(finding.rule != NO_EVENTS.code for finding in log.findings)


def detect_level(inventory: Inventory) -> Level:
    """Tell from the layout what a path is: a file is a log, a folder with `results/` a submission."""
    root = inventory.root
    if root.is_file():
        return "log"
    if is_submission(root):
        return "submission"
    if any((entry.path / "results").is_dir() for entry in inventory.entries(root) if entry.kind != "file"):
        return "round"
    return "result"


def _reports(
    inventory: Inventory,
    ruleset: str,
    preset: str | None,
    known: dict[Path, LogReport],
    processes: int | None,
) -> Iterator[LogReport]:
    """Yield the report on each log in order; `known` are those that were read already, to tell the round."""
    examine = partial(_examine, inventory.root, ruleset, preset)
    unread = [path for path in inventory.logs if path not in known]
    processes = min(len(unread), processes or _processors())
    if processes < 2 or inventory.bytes_of_logs() < _WORTH_PROCESSES:
        for path in inventory.logs:
            yield known[path] if path in known else examine(path)
        return
    # Forked workers start with the rules compiled; elsewhere each compiles its own.
    start = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(start)
    try:
        with ProcessPoolExecutor(processes, context, _begin, (os.getpid(),)) as pool:
            try:
                with held_signals():
                    reports = pool.map(examine, unread, chunksize=8)
                for path in inventory.logs:
                    yield known[path] if path in known else next(reports)
            except BaseException:  # also a signal's, or that of a caller who wants no more
                # Nobody waits for what they are at.
                for worker in multiprocessing.active_children():
                    worker.kill()
                raise
    except BrokenProcessPool as error:
        raise PitboardError(
            "A process that read logs was ended from outside, most likely for want of memory. "
            "Check fewer logs at a time."
        ) from error


def _examine(root: Path, ruleset: str, preset: str | None, path: Path) -> LogReport:
    return _judge(_read(path), root, ruleset, preset)


def _judge(log: LogFile, root: Path, ruleset: str, preset: str | None) -> LogReport:
    file = printable(root.name) if log.path == root else shown(log.path, root)
    return judge_log(log, ruleset, file, preset)


def _read(path: Path) -> LogFile:
    """Read one log; one that cannot be opened is a finding, and the others are still checked."""
    try:
        return read_log(path)
    except PitboardError as error:
        return LogFile.unreadable(path, str(error))


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin(parent: int) -> None:
    """Begin a process of the pool: it ends with its parent, and its garbage collector runs seldom.

    Events are many, and hold no cycles.
    """
    end_with_parent(parent)
    end_on_signals()
    gc.set_threshold(200_000, 20, 20)
