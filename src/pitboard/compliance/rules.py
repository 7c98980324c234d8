"""Every rule that a finding can carry: what it means, why it exists, and where it is written.

The code of a rule is stable: scripts and CI match on it. Its first word names what is judged.
"""

from pitboard.compliance.result_rules import RESULT_RULES
from pitboard.compliance.rule import Rule
from pitboard.errors import PitboardError, near

_RULESET = "mlperf-logging, compliance_checker/training_<ruleset>/*.yaml; a finding names the file and line"
_PARSER = "mlperf-logging, compliance_checker/mlp_parser"
_CHECKER = "mlperf-logging, compliance_checker/mlp_compliance.py"
_OURS = "Pitboard; the official checker does not look at it"

LOG_RULES = (
    Rule(
        code="log-no-events",
        title="The log holds no event",
        meaning="No line of the file is an MLPerf event (':::MLLOG ' and a JSON object).",
        why="A run is judged by its events alone; without any there is nothing to judge.",
        where=_CHECKER,
    ),
    Rule(
        code="log-unreadable",
        title="The log cannot be read to its end",
        meaning="The file cannot be opened, is a damaged archive, or unpacks to more than a log may hold.",
        why="A log that others cannot read proves nothing.",
        where=_OURS,
    ),
    Rule(
        code="log-bad-json",
        title="An event is not JSON",
        meaning=(
            "What follows ':::MLLOG ' on the line is not one JSON object, most often because two "
            "processes wrote into each other's lines."
        ),
        why=(
            "One line that cannot be parsed makes the official checker refuse the log: nobody can tell "
            "what it said."
        ),
        where=_PARSER,
    ),
    Rule(
        code="log-truncated",
        title="The log breaks off inside an event",
        meaning=(
            "The last line has no end and is not whole JSON: the run was killed, or the copy is incomplete."
        ),
        why="The official checker refuses a log with a line that cannot be parsed.",
        where=_PARSER,
    ),
    Rule(
        code="log-bad-event",
        title="An event lacks a field that every event has",
        meaning=(
            "time_ms, key, value or metadata is missing, or time_ms is not a number. The official "
            "parser ends in a traceback or refuses the line."
        ),
        why="Every rule is written in terms of these four fields.",
        where=_PARSER,
    ),
    Rule(
        code="log-too-deep",
        title="An event nests too deeply",
        meaning=(
            "The JSON of the line nests deeper than a JSON parser follows; the official one ends in a "
            "traceback."
        ),
        why="No logged value needs nesting; such a line is damage or an attack on the reader.",
        where=_PARSER,
    ),
    Rule(
        code="log-too-long",
        title="An event line is too long",
        meaning="One line holds more than 16 MiB.",
        why="Events are short; the bound keeps the memory of a check small.",
        where=_OURS,
    ),
    Rule(
        code="log-glued",
        title="Several events on one line",
        meaning=(
            "A line holds ':::MLLOG ' more than once; only what follows the last one counts, officially too."
        ),
        why=(
            "Ranks that write at the same moment lose events this way, and an event that counts may be "
            "among them."
        ),
        where=_PARSER,
    ),
    Rule(
        code="log-odd-json",
        title="An event is not standard JSON",
        meaning=(
            "The line holds NaN, Infinity, text that is not UTF-8, metadata that is no object, a key "
            "that is no string, or very deep nesting. Python's parser takes it, so it does not make the "
            "log invalid by itself."
        ),
        why="Other tools refuse such lines, and NaN never passes a comparison.",
        where=_OURS,
    ),
    Rule(
        code="log-missing-key",
        title="A required key is not logged",
        meaning="The ruleset requires the key (or one of several keys), and no line has it.",
        why=(
            "The required keys are what makes runs comparable: settings, the course of the run, its result."
        ),
        where=_RULESET,
    ),
    Rule(
        code="log-too-few",
        title="A key is logged too few times",
        meaning="The ruleset requires the key more often than it is logged.",
        why="Some benchmarks are judged on several evaluations.",
        where=_RULESET,
    ),
    Rule(
        code="log-repeated-key",
        title="A key is logged with different values",
        meaning="The key must be logged exactly once, and is logged several times with values that differ.",
        why="Nobody can tell which of the values the run used.",
        where=_RULESET,
    ),
    Rule(
        code="log-repeated-same",
        title="A key is logged more than once",
        meaning=(
            "The key must be logged exactly once, and is logged several times with one value. A warning only."
        ),
        why="Usually every rank logs what one rank should; harmless while they agree.",
        where=_RULESET,
    ),
    Rule(
        code="log-value",
        title="A value is not one that the rules allow",
        meaning=(
            "The logged value, alone or together with others, breaks a check of the ruleset. In the "
            "closed division most hyperparameters are fixed or tied to the batch size."
        ),
        why="The closed division compares systems, so it fixes what else could make training faster.",
        where=_RULESET,
    ),
    Rule(
        code="log-type",
        title="A value of a kind that the rules cannot compute with",
        meaning=(
            "The check needs, for instance, a number and the log has text. Where the official checker "
            "evaluates the quality target it ends in a traceback."
        ),
        why="A rule that cannot be computed is not met.",
        where=_RULESET,
    ),
    Rule(
        code="log-metadata",
        title="An event lacks metadata",
        meaning=(
            "The rules ask for a field in the event's metadata: an evaluation, for instance, must say "
            "after how many samples (samples_count) or epochs (epoch_num) it came."
        ),
        why=(
            "Convergence is judged in samples, so each step of the run must be placed in the count of "
            "samples."
        ),
        where=_RULESET,
    ),
    Rule(
        code="log-order",
        title="An event comes at the wrong place",
        meaning=(
            "init_start, init_stop, run_start and run_stop must come in this order, blocks after "
            "run_start, and a setting before what is computed from it."
        ),
        why=(
            "Time-to-train runs from run_start; the order shows that no training happened before the "
            "clock ran."
        ),
        where=_RULESET,
    ),
    Rule(
        code="log-init-time",
        title="Initialisation takes too long",
        meaning=(
            "More than 30 minutes (closed) or 240 minutes (open) pass from the first init_start to init_stop."
        ),
        why="Initialisation and compilation are not timed, so they are bounded.",
        where=_RULESET,
    ),
    Rule(
        code="log-target",
        title="The quality target is not reached",
        meaning="No evaluation of the run reaches the benchmark's quality target.",
        why=(
            "The score is the time to reach the target. A result may drop a run that did not converge, "
            "within limits."
        ),
        where=_RULESET,
    ),
    Rule(
        code="log-unknown-rules",
        title="No rules for this division or benchmark",
        meaning=(
            "The ruleset has no file for what submission_division or submission_benchmark says. The "
            "official checker ends in a traceback."
        ),
        why=(
            "Each round has its own benchmarks; a log of another round must be checked with that "
            "round's rules."
        ),
        where=_CHECKER,
    ),
    Rule(
        code="log-clock",
        title="The clock runs backwards",
        meaning="Of init_start, init_stop, run_start and run_stop, a later one carries an earlier time.",
        why=(
            "Time-to-train is the difference of two of these times. The official checker looks at the "
            "order of lines."
        ),
        where=_OURS,
    ),
    Rule(
        code="log-outside-tree",
        title="A link leads out of the checked folder",
        meaning="A file named as a log is a link to a file elsewhere; it is not read.",
        why=(
            "A submission must be whole in itself, and a checked folder must not make the checker read "
            "other files."
        ),
        where=_OURS,
    ),
)

RULES = {rule.code: rule for rule in (*LOG_RULES, *RESULT_RULES)}


def rule(code: str) -> Rule:
    """Give a rule by its code. Raises `PitboardError`, with the nearest code, where there is none."""
    if code not in RULES:
        raise PitboardError(f"No rule '{code:.60}'.{near(code[:60], list(RULES))}")
    return RULES[code]
