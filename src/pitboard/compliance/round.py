"""Tell from logs which round they were made for."""

from collections.abc import Sequence
from pathlib import Path

from pitboard.compliance.log import judge_log
from pitboard.compliance.rulesets import config_names, rulesets
from pitboard.errors import PitboardError
from pitboard.events import LogFile, Run, read_log

MOST_SAMPLED = 12


def detect_ruleset(paths: Sequence[Path]) -> str:
    """Give the ruleset of logs: of those that know their benchmarks, the one that they break least.

    One log of each benchmark is read (by the name of its folder, at most `MOST_SAMPLED`). Among rulesets
    that fit equally well, and where no log names a benchmark, the newest is taken.
    """
    samples = {path.parent.name: path for path in reversed(paths)}
    logs = [log for path in sorted(samples.values())[:MOST_SAMPLED] if (log := _read(path))]
    benchmarks = {Run.from_events(log.events).benchmark for log in logs}
    knowing = {ruleset: sum(_knows(ruleset, name) for name in benchmarks) for ruleset in rulesets()}
    fitting = [ruleset for ruleset, known in knowing.items() if known == max(knowing.values())]
    if len(fitting) == 1 or not logs:
        return fitting[-1]
    return min(reversed(fitting), key=lambda ruleset: _errors(logs, ruleset))


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
