"""Tell from logs which round they were made for."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pitboard.compliance.log.check import judge_log
from pitboard.compliance.log.rulesets import config_names, rulesets
from pitboard.events import LogFile
from pitboard.suite import ROUNDS, find_round

MOST_SAMPLED = 12


def sampled(paths: Sequence[Path]) -> list[Path]:
    """Return the logs that tell the round: one of each benchmark by its folder, at most `MOST_SAMPLED`."""
    samples = {path.parent.name: path for path in reversed(paths)}
    return sorted(samples.values())[:MOST_SAMPLED]


def detect_ruleset(logs: Sequence[LogFile]) -> str:
    """Give the ruleset of logs: the one that they name (Pitboard's own do), or else the one that fits.

    Of the rulesets that know most of their benchmarks, the one that they break least fits.
    Where several are equal, the dates of the runs decide: the first round published after them, or the
    newest.
    """
    named = {str(event.value) for log in logs for event in log.events if event.key == "pitboard_round"}
    for known in ROUNDS:
        if named == {known.version} and known.ruleset in rulesets():
            return known.ruleset
    runs = [log.summary.run for log in logs]
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


def _knows(ruleset: str, benchmark: str | None) -> bool:
    return f"training_{ruleset}/closed_{benchmark}.yaml" in config_names()


def _errors(logs: Sequence[LogFile], ruleset: str) -> int:
    reports = [judge_log(log, ruleset, "") for log in logs]
    return sum(finding.severity == "error" for report in reports for finding in report.findings)
