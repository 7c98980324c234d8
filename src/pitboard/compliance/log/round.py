"""Tell from logs which round they were made for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, zip_longest
from math import inf
from pathlib import Path

from pitboard.compliance.log.check import judge_log
from pitboard.compliance.log.rulesets import config_names, rulesets
from pitboard.events import LogFile, Run
from pitboard.suite import ROUNDS, find_round

MOST_SAMPLED = 12
_OF_ONE_BENCHMARK = 3

# Results are entered again: runs of published rounds are up to 21 months older than the round. What is older
# than this before the first round that knows its benchmark carries a clock that was not set.
_OLDEST = timedelta(days=1000).total_seconds()


def sampled(paths: Sequence[Path]) -> list[Path]:
    """Return the logs that tell the round: up to three of each benchmark by its folder, a dozen in all."""
    folders: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent.name].append(path)
    spread = [_spread(found, _OF_ONE_BENCHMARK) for found in folders.values()]
    in_turn = [path for path in chain.from_iterable(zip_longest(*spread)) if path is not None]
    return sorted(in_turn[:MOST_SAMPLED])


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """Return up to `count` of the paths: the first, the last and what lies evenly between."""
    last = len(paths) - 1
    return [paths[number] for number in sorted({last * n // (count - 1) for n in range(count)})]


def detect_ruleset(logs: Sequence[LogFile]) -> str:
    """Give the ruleset of logs: the one that they name (Pitboard's own do), or else the one of most of them.

    A log belongs to the round that was open when it was run, or the first after it that has its benchmark. A
    log without a benchmark has no say. Where no log has a time that can be, the ruleset that they break least
    is theirs, of those that know most of their benchmarks; of equals the newest.
    """
    named = {str(event.value) for log in logs for event in log.events if event.key == "pitboard_round"}
    for known in ROUNDS:
        if named == {known.version} and known.ruleset in rulesets():
            return known.ruleset
    votes = Counter(ruleset for log in logs if (ruleset := _open_at(log.summary.run)) is not None)
    if votes:
        return max(rulesets(), key=lambda ruleset: (votes[ruleset], rulesets().index(ruleset)))
    readable = [log for log in logs if log.summary.run.benchmark is not None]
    benchmarks = {log.summary.run.benchmark for log in readable}
    fitting = _most(rulesets(), lambda ruleset: sum(_knows(ruleset, each) for each in benchmarks))
    if len(fitting) > 1:
        fitting = _most(fitting, lambda ruleset: -_errors(readable, ruleset))
    return fitting[-1]


def _open_at(run: Run) -> str | None:
    """Return the ruleset of the round that a run was made for, by its benchmark and its time."""
    knowing = [ruleset for ruleset in rulesets() if _knows(ruleset, run.benchmark)]
    if run.run_start_ms is None or not knowing:
        return None
    time = float(run.run_start_ms) / 1000
    first = _published(knowing[0])
    if first < inf and time < first - _OLDEST:
        return None
    return next((ruleset for ruleset in knowing if _published(ruleset) > time), knowing[-1])


def _published(ruleset: str) -> float:
    """Return when a round's results were out, in seconds since 1970: a run over by then may be for it."""
    day = find_round(ruleset).published_by
    return inf if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _most(rulesets: Sequence[str], count: Callable[[str], int]) -> list[str]:
    counts = {ruleset: count(ruleset) for ruleset in rulesets}
    return [ruleset for ruleset in rulesets if counts[ruleset] == max(counts.values())]


def _knows(ruleset: str, benchmark: str | None) -> bool:
    return f"training_{ruleset}/closed_{benchmark}.yaml" in config_names()


def _errors(logs: Sequence[LogFile], ruleset: str) -> int:
    reports = [judge_log(log, ruleset, "") for log in logs]
    return sum(finding.severity == "error" for report in reports for finding in report.findings)
