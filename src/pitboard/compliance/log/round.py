"""Tell from logs which round they were made for."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pitboard.compliance.log.check import judge_log
from pitboard.compliance.log.rulesets import config_names, rulesets
from pitboard.errors import PitboardError
from pitboard.events import LogFile, Run, read_log
from pitboard.suite import ROUNDS, find_round

MOST_SAMPLED = 12


def detect_ruleset(paths: Sequence[Path]) -> str:
    """Give the ruleset of logs: the one that they name (Pitboard's own do), or else the one that fits.

    Of the rulesets that know most of their benchmarks, the one that they break least fits.
    Where several are equal, the dates of the runs decide: the first round published after them, or the
    newest. One log of each benchmark is read (by the name of its folder, at most `MOST_SAMPLED`).
    """
    samples = {path.parent.name: path for path in reversed(paths)}
    logs = [log for path in sorted(samples.values())[:MOST_SAMPLED] if (log := _read(path))]
    named = {str(event.value) for log in logs for event in log.events if event.key == "pitboard_round"}
    for known in ROUNDS:
        if named == {known.version} and known.ruleset in rulesets():
            return known.ruleset
    runs = [Run.from_events(log.events) for log in logs]
    fitting = _most(
        rulesets(), lambda ruleset: len({run.benchmark for run in runs if _knows(ruleset, run.benchmark)})
    )
    if len(fitting) > 1:
        fitting = _most(fitting, lambda ruleset: -_errors(logs, ruleset))
    times = [run.run_start_ms for run in runs if run.run_start_ms is not None]
    latest = max(times, default=0) / 1000
    after = [ruleset for ruleset in fitting if _published(ruleset) > latest]
    return after[0] if times and after else fitting[-1]


def _published(ruleset: str) -> float:
    """Return when a round's results were out, in seconds since 1970: a run over by then may be for it."""
    day = find_round(ruleset).published_by
    return 0.0 if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _most(rulesets: Sequence[str], count: Callable[[str], int]) -> list[str]:
    counts = {ruleset: count(ruleset) for ruleset in rulesets}
    return [ruleset for ruleset in rulesets if counts[ruleset] == max(counts.values())]


def _read(path: Path) -> LogFile | None:
    try:
        return read_log(path)
    except PitboardError:
        return None


def _knows(ruleset: str, benchmark: str | None) -> bool:
    return f"training_{ruleset}/closed_{benchmark}.yaml" in config_names()


def _errors(logs: list[LogFile], ruleset: str) -> int:
    reports = [judge_log(log, ruleset, "") for log in logs]
    return sum(finding.severity == "error" for report in reports for finding in report.findings)
