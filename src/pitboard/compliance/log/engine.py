"""Run a ruleset over the events of one log, with the semantics of the official compliance checker.

The official checker (`mlperf_logging.compliance_checker.mlp_compliance`, the same for rulesets 4.0.0 to
6.1.0) takes one file of rules at a time, starting at `common.yaml`; a rule may enqueue further files. For
each file it visits the lines in order and, where the file knows the line's key, runs PRE, CHECK, POST,
FIRST_CHECK and ATLEAST_ONE_CHECK; then it counts occurrences. What an earlier file had to say of a key is
forgotten when a later file has a rule for it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pitboard.compliance.log import wording
from pitboard.compliance.log.expressions import Code, Function
from pitboard.compliance.log.rulesets import Config, KeyRule, config
from pitboard.compliance.rule import CHECKER, RULESET, Finding, Rule
from pitboard.events import Event

MOST_ALIKE = 5
"""How many lines that break the same check get a finding each; the rest are counted."""


MISSING_KEY = Rule(
    code="log-missing-key",
    title="A required key is not logged",
    meaning="The ruleset requires the key (or one of several keys), and no line has it.",
    why="The required keys are what makes runs comparable: settings, the course of the run, its result.",
    where=RULESET,
)
TOO_FEW = Rule(
    code="log-too-few",
    title="A key is logged too few times",
    meaning="The ruleset requires the key more often than it is logged.",
    why="Some benchmarks are judged on several evaluations.",
    where=RULESET,
)
REPEATED_KEY = Rule(
    code="log-repeated-key",
    title="A key is logged with different values",
    meaning="The key must be logged exactly once, and is logged several times with values that differ.",
    why="Nobody can tell which of the values the run used.",
    where=RULESET,
)
REPEATED_SAME = Rule(
    code="log-repeated-same",
    title="A key is logged more than once",
    severity="warning",
    meaning=(
        "The key must be logged exactly once, and is logged several times with one value. A warning only."
    ),
    why="Usually every rank logs what one rank should; harmless while they agree.",
    where=RULESET,
)


def check_events(events: list[Event], ruleset: str, file: str = "") -> list[Finding]:
    """Give what a ruleset such as `"5.1.0"` has to say of a log's events; `file` goes into the findings.

    The log is valid exactly if no finding is an error. Never raises for what the events hold.
    """
    ledger = _Ledger()
    queue = [f"training_{ruleset}/common.yaml"]
    done: set[str] = set()
    while queue:
        name = queue.pop(0)
        # The official checker would run a file twice that is enqueued twice, and for ever where a log names
        # its benchmark "common"; the second time can tell nothing new.
        if name in done:
            continue
        done.add(name)
        rules = config(name)
        if rules is None:
            ledger.add(None, _unknown_rules(name, file))
        else:
            events = _Pass(rules, events, ledger, queue.append, file).run()
    return ledger.findings()


@dataclass
class _LogLine:
    """A line as the official code sees it (`ll`, `loglines`); rules copy it with `dataclasses.replace`."""

    full_string: str
    timestamp: float
    key: str
    value: dict[str, Any]
    lineno: int


class _Ledger:
    """The findings so far: those that a later file may withdraw, by key, and those that stay."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[Finding]] = {}
        self._warnings: dict[str, Finding] = {}
        self._lasting: list[Finding] = []

    def add(self, key: str | None, finding: Finding) -> None:
        """Add a finding: on a key it may be withdrawn, without one it stays."""
        if key is None:
            self._lasting.append(finding)
        elif finding.severity == "warning":
            self._warnings[key] = finding
        else:
            self._by_key.setdefault(key, []).append(finding)

    def forget(self, keys: dict[str, KeyRule]) -> None:
        """Withdraw the errors on these keys; warnings stay, as in the official checker."""
        for key in keys:
            self._by_key.pop(key, None)

    def findings(self) -> list[Finding]:
        """List all by line; those about the whole file come last."""
        every = [*self._lasting, *self._warnings.values()]
        for found in self._by_key.values():
            every.extend(found)
        return sorted(every, key=lambda finding: (finding.line is None, finding.line or 0))


class _Pass:
    """One file of rules over the events of one log."""

    def __init__(
        self,
        rules: Config,
        events: list[Event],
        ledger: _Ledger,
        enqueue: Callable[[str], None],
        file: str,
    ) -> None:
        self._rules = rules
        self._events = events
        self._ledger = ledger
        self._enqueue = enqueue
        self._file = file
        self._s: dict[str, Any] = {}
        self._reported: dict[str, list[Event]] = {key: [] for key in rules.keys}
        self._reached: dict[str, bool] = {}
        self._alike: Counter[tuple[str, Code, Rule]] = Counter()

    def run(self) -> list[Event]:
        """Run the file; gives the events, and those that its BEGIN code made up, for the files after it."""
        self._ledger.forget(self._rules.keys)
        if self._rules.begin:
            self._begin(self._rules.begin)
        rules, reported = self._rules.keys, self._reported
        for event in self._events:
            rule = rules.get(event.key)
            if rule is not None:
                seen = reported[event.key]
                seen.append(event)
                self._visit(rule, event, first=len(seen) == 1)
        self._judge_targets()
        for rule in rules.values():
            self._count(rule)
        self._count_alternatives()
        self._end()
        self._mention_more_alike()
        return self._events

    def _begin(self, code: Code) -> None:
        """Run the code before the lines; it may set the state, or add lines of its own to the log's."""
        lines: list[_LogLine] = []
        if "loglines" in code.names:
            lines = [_log_line(event) for event in self._events]
        try:
            code.run(self._s, None, None, self._enqueue, lines)
        except Exception as error:
            self._ledger.add(
                None,
                wording.TYPE.finding(
                    f"The evaluations cannot be put together: {error!r:.100} ({code.where})",
                    file=self._file,
                    expected="evaluations with samples_count and metric in their metadata",
                    fix="Log each eval_accuracy with metadata samples_count and metric.",
                ),
            )
            return
        made = lines[len(self._events) :]
        if made:
            self._events = self._events + [_event(line) for line in made]

    def _visit(self, rule: KeyRule, event: Event, *, first: bool) -> None:
        v = {"value": event.value, "metadata": event.metadata}
        line = _log_line(event) if rule.uses_line else None
        # Several ranks may repeat the submission_* lines; the official checker judges the first.
        if first or "submission_" not in rule.name:
            if rule.pre:
                self._execute(rule.pre, event, line, v)
            if rule.passes and not self._holds(rule.passes, line, v):
                self._name_failures(rule.checks, event, line, v)
            if rule.post:
                self._execute(rule.post, event, line, v)
        if first:
            self._name_failures(rule.first_checks, event, line, v)
        if rule.at_least_one:
            self._try_target(rule.at_least_one, event, line, v)

    def _holds(self, passes: Function, line: _LogLine | None, v: dict[str, Any]) -> bool:
        try:
            return bool(passes(self._s, line, v, self._enqueue, None))
        except Exception:
            return False

    def _execute(self, code: Code, event: Event, line: _LogLine | None, v: dict[str, Any]) -> None:
        try:
            code.run(self._s, line, v, self._enqueue, None)
        except Exception as error:
            self._broken(code, event, wording.of_error(code, event, self._s, error))

    def _name_failures(
        self, codes: tuple[Code, ...], event: Event, line: _LogLine | None, v: dict[str, Any]
    ) -> None:
        """Find which of several checks fail on a line, and say so of each."""
        for code in codes:
            try:
                if not code.run(self._s, line, v, self._enqueue, None):
                    self._broken(code, event, wording.of_failed(code, event, self._s))
            except Exception as error:
                self._broken(code, event, wording.of_error(code, event, self._s, error))

    def _broken(self, code: Code, event: Event, words: wording.Wording) -> None:
        self._alike[event.key, code, words.rule] += 1
        if self._alike[event.key, code, words.rule] <= MOST_ALIKE:
            self._add_words(event.key, event.key, code, event, words)

    def _add_words(
        self, scope: str | None, key: str, code: Code, event: Event, words: wording.Wording
    ) -> None:
        expected = words.expected if isinstance(words.expected, str) else repr(words.expected)
        self._ledger.add(
            scope,
            words.rule.finding(
                f"{key}: expected {expected}, found {words.found} ({code.where})",
                file=self._file,
                line=event.line or None,
                expected=words.expected,
                found=words.found,
                fix=words.fix,
            ),
        )

    def _try_target(self, code: Code, event: Event, line: _LogLine | None, v: dict[str, Any]) -> None:
        try:
            reached = bool(code.run(self._s, line, v, self._enqueue, None))
        except Exception as error:
            # The official checker stops here with a traceback, so this cannot be withdrawn.
            self._add_words(None, event.key, code, event, wording.of_error(code, event, self._s, error))
            return
        self._reached[event.key] = self._reached.get(event.key, False) or reached

    def _judge_targets(self) -> None:
        for key, reached in self._reached.items():
            code = self._rules.keys[key].at_least_one
            if code and not reached:
                last = self._reported[key][-1]
                self._add_words(None, key, code, last, wording.of_target(code, key, last, self._s))

    def _count(self, rule: KeyRule) -> None:
        events, key = self._reported[rule.name], rule.name
        least = _least(rule.required)
        if least and not events:
            self._ledger.add(
                key,
                MISSING_KEY.finding(
                    f"{key} is not logged ({rule.where})",
                    file=self._file,
                    expected=f"{'exactly' if rule.required == 'EXACTLY_ONE' else 'at least'} {least}",
                    found=0,
                    fix=f"Log {key}.",
                ),
            )
        elif len(events) < least:
            self._ledger.add(
                key,
                TOO_FEW.finding(
                    f"{key} is logged {len(events)} times, expected at least {least} ({rule.where})",
                    file=self._file,
                    line=events[-1].line or None,
                    expected=least,
                    found=len(events),
                    fix=f"Log {key} at least {least} times.",
                ),
            )
        elif rule.required == "EXACTLY_ONE" and len(events) > 1:
            self._repeated(rule, events)

    def _repeated(self, rule: KeyRule, events: list[Event]) -> None:
        first = events[0].value
        other = next((event for event in events if event.value is not first and event.value != first), None)
        values = (
            f"the values {wording.shown(first)} and {wording.shown(other.value)}" if other else "one value"
        )
        finding = (REPEATED_KEY if other else REPEATED_SAME).finding(
            f"{rule.name} is logged {len(events)} times with {values}, expected once ({rule.where})",
            file=self._file,
            line=(other or events[1]).line or None,
            expected=1,
            found=len(events),
            fix=f"Log {rule.name} once, from one rank.",
        )
        self._ledger.add(rule.name, finding)

    def _count_alternatives(self) -> None:
        told: set[frozenset[str]] = set()
        for rule in self._rules.keys.values():
            keys = _alternatives(rule)
            if not keys or keys in told or any(self._reported.get(key) for key in keys):
                continue
            told.add(keys)
            names = " or ".join(sorted(keys))
            self._ledger.add(
                None,
                MISSING_KEY.finding(
                    f"None of {names} is logged ({rule.where})",
                    file=self._file,
                    expected=f"at least 1 of {names}",
                    found=0,
                    fix=f"Log {names}.",
                ),
            )

    def _end(self) -> None:
        try:
            if self._rules.end:
                self._rules.end.run(self._s, None, None, self._enqueue, None)
            failed = [
                code
                for code in self._rules.end_checks
                if not code.run(self._s, None, None, self._enqueue, None)
            ]
        except Exception as error:
            failure = wording.TYPE.finding(f"The closing check fails: {error!s:.80}", file=self._file)
            self._ledger.add(None, failure)
            return
        for code in failed:
            failure = wording.VALUE.finding(f"The closing check fails: {code.text}", file=self._file)
            self._ledger.add(None, failure)

    def _mention_more_alike(self) -> None:
        for (key, code, rule), times in self._alike.items():
            if times > MOST_ALIKE:
                self._ledger.add(
                    key,
                    rule.finding(
                        f"{key}: the same in {times - MOST_ALIKE} more lines ({code.where})",
                        file=self._file,
                        expected=code.text,
                    ),
                )


def _least(required: str) -> int:
    if required in ("EXACTLY_ONE", "AT_LEAST_ONE"):
        return 1
    if required.startswith("AT_LEAST("):
        return int(required.removeprefix("AT_LEAST(").removesuffix(")"))
    return 0


def _alternatives(rule: KeyRule) -> frozenset[str]:
    """Name the keys of which one must be there: `AT_LEAST_ONE_OR(a, b)` on c is one of a, b and c."""
    if not rule.required.startswith("AT_LEAST_ONE_OR("):
        return frozenset()
    others = rule.required.removeprefix("AT_LEAST_ONE_OR(").removesuffix(")").split(",")
    return frozenset({rule.name, *(other.strip() for other in others)})


UNKNOWN_RULES = Rule(
    code="log-unknown-rules",
    title="No rules for this division or benchmark",
    meaning=(
        "The ruleset has no file for what submission_division or submission_benchmark says. The official "
        "checker ends in a traceback."
    ),
    why="Each round has its own benchmarks; a log of another round must be checked with that round's rules.",
    where=CHECKER,
)


def _unknown_rules(name: str, file: str) -> Finding:
    return UNKNOWN_RULES.finding(
        f"The rules have no file '{wording.shown(name)}' for this log's division or benchmark",
        file=file,
        expected="a division and a benchmark of this round",
        found=wording.shown(name),
        fix="Log submission_division and submission_benchmark as the round names them.",
    )


def _log_line(event: Event) -> _LogLine:
    value = {"value": event.value, "metadata": event.metadata}
    return _LogLine("", float(event.time_ms), event.key, value, event.line)


def _event(line: _LogLine) -> Event:
    return Event(
        key=line.key,
        time_ms=line.timestamp,
        value=line.value["value"],
        metadata=line.value["metadata"],
        line=max(line.lineno, 0),
    )
