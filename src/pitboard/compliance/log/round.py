"""Tell from logs which round they were made for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime, timedelta
from itertools import chain, zip_longest
from math import inf
from pathlib import Path
from typing import NamedTuple

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


class Told(NamedTuple):
    """The ruleset that logs belong to, and how that is known: a sentence or two, none where they name it."""

    ruleset: str
    how: str | None


def told_round(logs: Sequence[LogFile]) -> Told:
    """Tell the round of the logs of one entry: the one that they name (Pitboard's own do), or else by dates.

    A log belongs to the round that was open when it was run, or the first after it that has its benchmark; a
    log without a benchmark has no say. A result is of the round of most of its logs, so that one clock that
    was not set decides nothing. What holds several results is of the latest of their rounds: an entry has no
    run that was made after its round was published, but it may have older ones, entered again.

    Where no log has a time that can be, the ruleset that they break least is theirs, of those that know most
    of their benchmarks; of equals the newest.
    """
    named = {str(event.value) for log in logs for event in log.events if event.key == "pitboard_round"}
    for known in ROUNDS:
        if named == {known.version} and known.ruleset in rulesets():
            return Told(known.ruleset, None)
    results: dict[Path, list[tuple[int, float]]] = defaultdict(list)
    for log in logs:
        if (ruleset := _open_at(log.summary.run)) is not None:
            results[log.path.parent].append((rulesets().index(ruleset), _started(log.summary.run)))
    readable = [log for log in logs if log.summary.run.benchmark is not None]
    benchmarks = {log.summary.run.benchmark for log in readable}
    if results:
        place, started = max(map(_of_most, results.values()))
        return Told(rulesets()[place], _by_date(rulesets()[place], started, benchmarks))
    fitting = _most(rulesets(), lambda ruleset: sum(_knows(ruleset, each) for each in benchmarks))
    if len(fitting) > 1:
        fitting = _most(fitting, lambda ruleset: -_errors(readable, ruleset))
    how = "No log has a plausible time: told by the rules that they break least." if readable else None
    return Told(fitting[-1], how)


def _of_most(votes: list[tuple[int, float]]) -> tuple[int, float]:
    """Return the round of most logs of a result, of equals the latest, with its newest run."""
    counts = Counter(place for place, _ in votes)
    place = max(counts, key=lambda place: (counts[place], place))
    return place, max(started for each, started in votes if each == place)


def _by_date(ruleset: str, started: float, benchmarks: Set[str | None]) -> str:
    """Say how a round was told by the date of the newest run, and what that cannot tell."""
    round = find_round(ruleset)
    said = f"Told from its newest run{_of_day(started)}: the first round with its benchmark"
    if round.published is None:
        return f"{said} whose results are not out yet."
    later = [each for each in rulesets()[rulesets().index(ruleset) + 1 :] if _knows_all(each, benchmarks)]
    said += f" that was published after it ({round.published})."
    if not later:
        return said
    return (
        f"{said} Runs that were entered again in a later round look the same: if these were, name that "
        f"round, as in --round {find_round(later[0]).version}."
    )


def _of_day(time: float) -> str:
    """Write the day of a time as a log has it, which may be any number; nothing for one that is no day."""
    try:
        return f", of {datetime.fromtimestamp(time, UTC).date()}"
    except (ValueError, OverflowError, OSError):
        return ""


def _open_at(run: Run) -> str | None:
    """Return the ruleset of the round that a run was made for, by its benchmark and its time."""
    knowing = [ruleset for ruleset in rulesets() if _knows(ruleset, run.benchmark)]
    if run.run_start_ms is None or not knowing:
        return None
    time = _started(run)
    first = _published(knowing[0])
    if first < inf and time < first - _OLDEST:
        return None
    return next((ruleset for ruleset in knowing if _published(ruleset) > time), knowing[-1])


def _started(run: Run) -> float:
    return float(run.run_start_ms or 0) / 1000


def _published(ruleset: str) -> float:
    """Return when a round's results were out, in seconds since 1970: a run over by then may be for it."""
    day = find_round(ruleset).published_by
    return inf if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _most(rulesets: Sequence[str], count: Callable[[str], int]) -> list[str]:
    counts = {ruleset: count(ruleset) for ruleset in rulesets}
    return [ruleset for ruleset in rulesets if counts[ruleset] == max(counts.values())]


def _knows(ruleset: str, benchmark: str | None) -> bool:
    return f"training_{ruleset}/closed_{benchmark}.yaml" in config_names()


def _knows_all(ruleset: str, benchmarks: Set[str | None]) -> bool:
    return all(_knows(ruleset, each) for each in benchmarks)


def _errors(logs: Sequence[LogFile], ruleset: str) -> int:
    reports = [judge_log(log, ruleset, "") for log in logs]
    return sum(finding.severity == "error" for report in reports for finding in report.findings)
