"""What the official checker passes without a word, and a submitter wants to know of a log.

That its run was aborted, that a setting is not the one which the rules demand in their text, and that the
file holds two runs: one diagnosis in place of every rule that the two break together.
"""

import math
from collections.abc import Sequence
from typing import TypeGuard

from pitboard import suite
from pitboard.compliance.log.engine import check_events
from pitboard.compliance.log.wording import TARGET
from pitboard.compliance.rule import POLICIES, UNCHECKED, Finding, Rule
from pitboard.errors import PitboardError
from pitboard.events import Event, Run
from pitboard.suite.model import Hyperparameter
from pitboard.text import printable

_COURSE = frozenset(
    {
        *("run_start", "run_stop", "epoch_start", "epoch_stop", "block_start", "block_stop"),
        *("eval_start", "eval_stop", "eval_accuracy", "eval_error", "tracked_stats"),
    }
)
"""What a run logs once it trains; all else may stand before `init_start`."""
_STARTS = ("init_start", "run_start")

ABORTED = Rule(
    code="log-aborted",
    title="The run did not end well",
    severity="warning",
    meaning="run_stop has another status than 'success'. The ruleset asks for a status only, not for which.",
    why="Such a run counts as not converged in the RCP test, whatever its log reached.",
    where=UNCHECKED,
)
RELATION = Rule(
    code="log-rules-text",
    title="A setting is not as the training rules have it",
    severity="warning",
    meaning=(
        "The training rules fix the setting, or tie it to others, in the closed division, and the ruleset "
        "only asks that it is logged: an end learning rate of a tenth of the base, for instance."
    ),
    why="No tool enforces it, but reviewers read logs with the rules beside them.",
    where=POLICIES,
)
ATTEMPTS = Rule(
    code="log-attempts",
    title="The file holds several runs",
    otherwise="a warning where the official checker passes them together",
    meaning=(
        "init_start and run_start come again after run_start: a job was restarted and wrote on into the same "
        "file. The official checker judges all as one run, and finds most rules broken."
    ),
    why="A log is one run. Told apart, the one that counts may well be valid.",
    where=UNCHECKED,
)


def aborted(run: Run, events: Sequence[Event], findings: Sequence[Finding], file: str) -> list[Finding]:
    """Warn of a run that its own log does not call a success, where no finding says so already."""
    if run.status in (None, "success") or any(finding.rule == TARGET.code for finding in findings):
        return []
    last = next(event for event in reversed(events) if event.key == "run_stop")
    return [
        ABORTED.finding(
            f"run_stop: the run ended with the status {printable(str(run.status))!r:.60}",
            file=file,
            line=last.line or None,
            expected="success",
            found=run.status[:60],
            fix="Repeat the run; as it is it counts as not converged.",
        )
    ]


def relations(run: Run, events: Sequence[Event], file: str) -> list[Finding]:
    """Warn of settings of a closed run that are not what the text of the training rules makes them."""
    try:
        rules = suite.benchmark(str(run.benchmark)).hyperparameters
    except PitboardError:
        return []
    if run.division != "closed":
        return []
    findings = []
    for rule in rules:
        found, wanted = run.settings.get(rule.name), _wanted(rule, run)
        if not _is_number(found) or wanted is None or _agree(float(found), wanted):
            continue
        line = next((event.line for event in reversed(events) if event.key == rule.name), None)
        words = f" ({rule.formula})" if rule.formula else ""
        findings.append(
            RELATION.finding(
                f"{rule.name}: the training rules make it {wanted:g}{words}, found {found:g}",
                file=file,
                line=line or None,
                expected=wanted,
                found=found,
                fix=f"Train with {rule.name} = {wanted:g}, or be ready to explain it in the review.",
            )
        )
    return findings


def _wanted(rule: Hyperparameter, run: Run) -> float | None:
    """Compute what the rules' text, and no ruleset, makes a setting; `None` where that is open."""
    if rule.source != "rules":
        return None
    value: object = rule.value
    if rule.kind == "computed":
        known = {name: float(v) for name, v in run.settings.items() if _is_number(v)}
        try:
            # The formulas are the suite's own; only the numbers are the log's.
            value = eval(rule.formula, {"ceil": math.ceil, "__builtins__": {}}, known)
        except (ArithmeticError, NameError, ValueError):
            return None
    return float(value) if _is_number(value) else None


def _agree(found: float, wanted: float) -> bool:
    """Tell whether a setting is as wanted; a count of steps may be rounded either way."""
    return math.isclose(found, wanted, rel_tol=1e-6) or (wanted >= 100 and abs(found - wanted) <= 1)


def _is_number(value: object) -> TypeGuard[int | float]:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e300
        and not math.isnan(value)
    )


def attempts(events: Sequence[Event]) -> list[Sequence[Event]]:
    """Split the events of a file into its runs: one that starts again after another had started."""
    marks = [(place, event.key) for place, event in enumerate(events) if event.key in _STARTS]
    starts, begun, running = [0], False, False
    for number, (place, key) in enumerate(marks):
        if key == "run_start":
            running = True
            continue
        if begun and running and any(later == "run_start" for _, later in marks[number:]):
            first = place
            while events[first - 1].key not in _COURSE:
                first -= 1
            starts.append(first)
            running = False
        begun = True
    return [events[start:stop] for start, stop in zip(starts, [*starts[1:], len(events)], strict=True)]


def told_apart(
    findings: Sequence[Finding], runs: Sequence[Sequence[Event]], ruleset: str, file: str
) -> list[Finding]:
    """Give one diagnosis of a file that holds several runs, and what the last of them breaks by itself."""
    own = check_events(list(runs[-1]), ruleset, file)
    same = {(finding.rule, finding.message) for finding in own}
    errors = sum(finding.severity == "error" for finding in own)
    places = ", ".join(f"lines {run[0].line} to {run[-1].line} ({_end(run)})" for run in runs)
    alone = "breaks no rule" if not errors else f"breaks {errors} rule{'s' * (errors > 1)}"
    broken = any(finding.severity == "error" for finding in findings)
    diagnosis = ATTEMPTS.finding(
        f"The file holds {len(runs)} runs, which are judged as one: {places}. The last {alone} by itself",
        severity="error" if broken else "warning",
        file=file,
        line=runs[1][0].line or None,
        expected="one run a file",
        found=len(runs),
        fix="Give each run a file of its own, and submit the one that counts.",
    )
    return [diagnosis, *(each for each in findings if (each.rule, each.message) in same)]


def _end(run: Sequence[Event]) -> str:
    stops = [event for event in run if event.key == "run_stop"]
    return printable(str(stops[-1].metadata.get("status", "no status")))[:40] if stops else "without its end"
