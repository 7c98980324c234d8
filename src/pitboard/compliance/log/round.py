"""Tell from logs which round they were made for."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pitboard.compliance.log.check import judge_log
from pitboard.compliance.log.rulesets import config_names, rulesets
from pitboard.errors import PitboardError
from pitboard.events import LogFile, Run, read_log

MOST_SAMPLED = 12

# When MLCommons published a round's results: a run that was over by then may have been made for it.
_PUBLISHED = {
    "4.0.0": datetime(2024, 6, 12, tzinfo=UTC),
    "4.1.0": datetime(2024, 11, 13, tzinfo=UTC),
    "5.0.0": datetime(2025, 6, 4, tzinfo=UTC),
    "5.1.0": datetime(2025, 11, 12, tzinfo=UTC),
    "6.0.0": datetime(2026, 6, 16, tzinfo=UTC),
}


def detect_ruleset(paths: Sequence[Path]) -> str:
    """Give the ruleset of logs: the one that they name (Pitboard's own do), or else the one that fits.

    Of the rulesets that know most of their benchmarks, the one that they break least fits.
    Where several are equal, the dates of the runs decide: the first round published after them, or the
    newest. One log of each benchmark is read (by the name of its folder, at most `MOST_SAMPLED`).
    """
    samples = {path.parent.name: path for path in reversed(paths)}
    logs = [log for path in sorted(samples.values())[:MOST_SAMPLED] if (log := _read(path))]
    named = {str(event.value) for log in logs for event in log.events if event.key == "pitboard_round"}
    if len(named) == 1 and f"{min(named)}.0" in rulesets():
        return f"{min(named)}.0"
    runs = [Run.from_events(log.events) for log in logs]
    fitting = _most(
        rulesets(), lambda ruleset: len({run.benchmark for run in runs if _knows(ruleset, run.benchmark)})
    )
    if len(fitting) > 1:
        fitting = _most(fitting, lambda ruleset: -_errors(logs, ruleset))
    times = [run.run_start_ms for run in runs if run.run_start_ms is not None]
    latest = max(times, default=0) / 1000
    after = [
        ruleset for ruleset in fitting if ruleset in _PUBLISHED and _PUBLISHED[ruleset].timestamp() > latest
    ]
    return after[0] if times and after else fitting[-1]


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
