"""Check one log: what the reader could not take, what the ruleset says, and what only we look at."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

from pitboard.compliance.log.advice import aborted, attempts, relations, told_apart
from pitboard.compliance.log.engine import MOST_ALIKE, check_events
from pitboard.compliance.log.preset import judge_by_preset, preset_judging, scaled_preset
from pitboard.compliance.log.rulesets import ruleset_of
from pitboard.compliance.report import LogReport
from pitboard.compliance.rule import CHECKER, UNCHECKED, Finding, Rule
from pitboard.events import LogFile, Run, read_log
from pitboard.events.reader import ProblemKind

_PARSER = "mlperf-logging, compliance_checker/mlp_parser"


def check_log(path: Path, ruleset: str, file: str | None = None, preset: str | None = None) -> LogReport:
    """Check one log against a ruleset such as `"5.1.0"` (or a round, `"5.1"`), as the official checker does.

    `file` is what findings call the file, by default its name. `preset` is one other than `full` whose log
    this is known to be: its own target then counts. Raises `PitboardError` where the file cannot be opened or
    there is no such ruleset; whatever the file holds becomes findings.
    """
    return judge_log(read_log(path), ruleset_of(ruleset), path.name if file is None else file, preset)


def judge_log(log: LogFile, ruleset: str, file: str, preset: str | None = None) -> LogReport:
    """Check a log that has been read; see `check_log`."""
    run = log.summary.run
    findings = _problems(log, file)
    own = preset_judging(run, preset)
    if log.events:
        official = check_events(log.events, ruleset, file)
        judged = judge_by_preset(official, log, own, file) if own else official
        runs = attempts(log.events)
        findings += told_apart(judged, runs, ruleset, file) if len(runs) > 1 else judged
        findings += _clock(run, file) + aborted(run, log.events, findings, file)
        findings += relations(run, log.events, file)
    else:
        findings.append(_no_events(log, file))
    return LogReport(
        path=file,
        benchmark=run.benchmark,
        division=run.division,
        valid=all(finding.severity != "error" for finding in findings),
        findings=findings,
        ruleset=ruleset,
        summary=log.summary,
        preset=scaled_preset([run]),
        own_rules=own is not None,
    )


UNREADABLE = Rule(
    code="log-unreadable",
    title="The log cannot be read to its end",
    meaning="The file cannot be opened, is a damaged archive, or unpacks to more than a log may hold.",
    why="A log that others cannot read proves nothing.",
    where=UNCHECKED,
)
BAD_JSON = Rule(
    code="log-bad-json",
    title="An event is not JSON",
    meaning=(
        "What follows ':::MLLOG ' on the line is not one JSON object, most often because two processes "
        "wrote into each other's lines."
    ),
    why=(
        "One line that cannot be parsed makes the official checker refuse the log: nobody can tell what "
        "it said."
    ),
    where=_PARSER,
)
TRUNCATED = Rule(
    code="log-truncated",
    title="The log breaks off inside an event",
    meaning="The last line has no end and is not whole JSON: the run was killed, or the copy is incomplete.",
    why="The official checker refuses a log with a line that cannot be parsed.",
    where=_PARSER,
)
BAD_EVENT = Rule(
    code="log-bad-event",
    title="An event lacks a field that every event has",
    meaning=(
        "time_ms, key, value or metadata is missing, or time_ms is not a number. The official parser ends "
        "in a traceback or refuses the line."
    ),
    why="Every rule is written in terms of these four fields.",
    where=_PARSER,
)
TOO_DEEP = Rule(
    code="log-too-deep",
    title="An event nests too deeply",
    meaning=(
        "The JSON of the line nests deeper than a JSON parser follows; the official one ends in a traceback."
    ),
    why="No logged value needs nesting; such a line is damage or an attack on the reader.",
    where=_PARSER,
)
TOO_LONG = Rule(
    code="log-too-long",
    title="An event line is too long",
    meaning="One line holds more than 16 MiB.",
    why="Events are short; the bound keeps the memory of a check small.",
    where=UNCHECKED,
)
GLUED = Rule(
    code="log-glued",
    title="Several events on one line",
    severity="warning",
    meaning="A line holds ':::MLLOG ' more than once; only what follows the last one counts, officially too.",
    why=(
        "Ranks that write at the same moment lose events this way, and an event that counts may be among "
        "them."
    ),
    where=_PARSER,
)
ODD_JSON = Rule(
    code="log-odd-json",
    title="An event is not standard JSON",
    severity="warning",
    meaning=(
        "The line holds NaN, Infinity, text that is not UTF-8, metadata that is no object, a key that is "
        "no string, or very deep nesting. Python's parser takes it, so it does not make the log invalid "
        "by itself."
    ),
    why="Other tools refuse such lines, and NaN never passes a comparison.",
    where=UNCHECKED,
)

_OF_PROBLEM: dict[ProblemKind, tuple[Rule, str]] = {
    "bad-json": (BAD_JSON, "Let each event be written whole, in one write, by mllog."),
    "truncated": (TRUNCATED, "Copy the whole log; if the run died here, it counts as not finished."),
    "bad-event": (BAD_EVENT, "Write events with mllog, which adds time_ms, key, value and metadata."),
    "too-deep": (TOO_DEEP, "Log flat values."),
    "unreadable": (UNREADABLE, "Copy the file again, or unpack it and check what is there."),
    "too-long": (TOO_LONG, "Log short values; keep statistics out of the MLLOG lines."),
    "glued": (GLUED, "Let one rank log, or let each rank write whole lines."),
    "odd-json": (
        ODD_JSON,
        "Write plain JSON in UTF-8: finite numbers, strings as keys, objects as metadata.",
    ),
}
"""For each thing that the reader tells of a line: the rule that it breaks, and the fix."""

UNPARSED = frozenset(rule.code for rule, _ in _OF_PROBLEM.values() if rule.severity == "error")
"""The rules of findings on a log after which the official parser takes none of its events."""


def _problems(log: LogFile, file: str) -> list[Finding]:
    findings = []
    told: Counter[str] = Counter()
    for problem in log.problems:
        told[problem.kind] += 1
        more = log.counts[problem.kind] - MOST_ALIKE
        if told[problem.kind] > MOST_ALIKE:
            continue
        tail = f" (and {more} more such lines)" if told[problem.kind] == MOST_ALIKE and more > 0 else ""
        rule, fix = _OF_PROBLEM[problem.kind]
        message = f"{problem.message[0].upper()}{problem.message[1:]}{tail}"
        findings.append(rule.finding(message, file=file, line=problem.line, fix=fix))
    return findings


NO_EVENTS = Rule(
    code="log-no-events",
    title="The log holds no event",
    meaning="No line of the file is an MLPerf event (':::MLLOG ' and a JSON object).",
    why="A run is judged by its events alone; without any there is nothing to judge.",
    where=CHECKER,
)


def _no_events(log: LogFile, file: str) -> Finding:
    found = "a binary file, or text in UTF-16" if log.binary else "no line with ':::MLLOG '"
    if any(kind not in ("unreadable", "too-long") for kind in log.counts):
        found = "lines with ':::MLLOG ' none of which holds one, as said above"
    return NO_EVENTS.finding(
        f"Not an MLPerf log: no event can be read from it; found {found}",
        file=file,
        expected="lines with ':::MLLOG ' and a JSON object",
        found=found,
        fix="Give the log that the training wrote through mllog, as UTF-8 text.",
    )


CLOCK = Rule(
    code="log-clock",
    title="The clock runs backwards",
    severity="warning",
    meaning="Of init_start, init_stop, run_start and run_stop, a later one carries an earlier time.",
    why=(
        "Time-to-train is the difference of two of these times. The official checker looks at the order "
        "of lines."
    ),
    where=UNCHECKED,
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
        CLOCK.finding(
            f"{later} carries an earlier time than {earlier}, by {(before - after) / 1000:.3f} s",
            file=file,
            expected=f"{later} at or after {earlier}",
            found=after,
            fix="Take all times from one clock, the one that mllog reads.",
        )
        for (earlier, before), (later, after) in pairwise(marks)
        if after < before
    ]
