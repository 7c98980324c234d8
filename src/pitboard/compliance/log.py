"""Check one log: what the reader could not take, what the ruleset says, and what only we look at."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

from pitboard.compliance.engine import MOST_ALIKE, check_events
from pitboard.compliance.finding import Finding
from pitboard.compliance.preset import judge_by_preset, preset_judging, scaled_preset
from pitboard.compliance.report import LogReport
from pitboard.compliance.rulesets import ruleset_of
from pitboard.events import LogFile, Run, read_log

_FIXES = {
    "bad-json": "Let each event be written whole, in one write, by mllog.",
    "truncated": "Copy the whole log; if the run died here, it counts as not finished.",
    "bad-event": "Write events with mllog, which adds time_ms, key, value and metadata.",
    "too-deep": "Log flat values.",
    "unreadable": "Copy the file again, or unpack it and check what is there.",
    "too-long": "Log short values; keep statistics out of the MLLOG lines.",
    "glued": "Let one rank log, or let each rank write whole lines.",
    "odd-json": "Write plain JSON in UTF-8: finite numbers, strings as keys, objects as metadata.",
}


def check_log(path: Path, ruleset: str, file: str | None = None, preset: str | None = None) -> LogReport:
    """Check one log against a ruleset such as `"5.1.0"` (or a round, `"5.1"`), as the official checker does.

    `file` is what findings call the file, by default its name. `preset` is one other than `full` whose log
    this is known to be: its own target then counts. Raises `PitboardError` where the file cannot be opened or
    there is no such ruleset; whatever the file holds becomes findings.
    """
    return judge_log(read_log(path), ruleset_of(ruleset), path.name if file is None else file, preset)


def judge_log(log: LogFile, ruleset: str, file: str, preset: str | None = None) -> LogReport:
    """Check a log that has been read; see `check_log`."""
    run = Run.from_events(log.events)
    findings = _problems(log, file)
    own = preset_judging(run, preset)
    if log.events:
        official = check_events(log.events, ruleset, file)
        findings += judge_by_preset(official, log.events, own, file) if own else official
        findings += _clock(run, file)
    else:
        findings.append(_no_events(log, file))
    return LogReport(
        path=file,
        benchmark=run.benchmark,
        division=run.division,
        valid=all(finding.severity != "error" for finding in findings),
        findings=findings,
        ruleset=ruleset,
        run=run,
        preset=scaled_preset([run]),
        own_rules=own is not None,
    )


def _problems(log: LogFile, file: str) -> list[Finding]:
    findings = []
    told: Counter[str] = Counter()
    for problem in log.problems:
        told[problem.kind] += 1
        more = log.counts[problem.kind] - MOST_ALIKE
        if told[problem.kind] > MOST_ALIKE:
            continue
        tail = f" (and {more} more such lines)" if told[problem.kind] == MOST_ALIKE and more > 0 else ""
        findings.append(
            Finding(
                rule=f"log-{problem.kind}",
                severity="error" if problem.refused else "warning",
                file=file,
                line=problem.line,
                message=f"{problem.message[0].upper()}{problem.message[1:]}{tail}",
                fix=_FIXES[problem.kind],
            )
        )
    return findings


def _no_events(log: LogFile, file: str) -> Finding:
    found = "a binary file, or text in UTF-16" if log.binary else "no line with ':::MLLOG '"
    return Finding(
        rule="log-no-events",
        file=file,
        message=f"Not an MLPerf log: no event can be read from it; found {found}",
        expected="lines with ':::MLLOG ' and a JSON object",
        found=found,
        fix="Give the log that the training wrote through mllog, as UTF-8 text.",
    )


def _clock(run: Run, file: str) -> list[Finding]:
    """Warn where the marks of a run are not in order in time; the official checker looks at lines only."""
    marks = [
        (name, time)
        for name, time in (
            ("init_start", run.init_start_ms),
            ("init_stop", run.init_stop_ms),
            ("run_start", run.run_start_ms),
            ("run_stop", run.run_stop_ms),
        )
        if time is not None
    ]
    return [
        Finding(
            rule="log-clock",
            severity="warning",
            file=file,
            message=f"{later} carries an earlier time than {earlier}, by {(before - after) / 1000:.3f} s",
            expected=f"{later} at or after {earlier}",
            found=after,
            fix="Take all times from one clock, the one that mllog reads.",
        )
        for (earlier, before), (later, after) in pairwise(marks)
        if after < before
    ]
