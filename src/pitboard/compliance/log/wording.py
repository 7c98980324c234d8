"""Say in a person's words what a piece of official code demanded, what it met, and what to do.

Looked at only once a check has failed, so it may take its time. What it does not know it shows as the
official expression with the names of the log in it: `opt_base_learning_rate * 1152 == global_batch_size *
8e-05`.
"""

import ast
import math
import reprlib
from typing import Any, NamedTuple

from pitboard.compliance.log.expressions import Code
from pitboard.compliance.rule import RULESET, Rule
from pitboard.events import Event

VALUE = Rule(
    code="log-value",
    title="A value is not one that the rules allow",
    meaning=(
        "The logged value, alone or together with others, breaks a check of the ruleset. In the closed "
        "division most hyperparameters are fixed or tied to the batch size."
    ),
    why="The closed division compares systems, so it fixes what else could make training faster.",
    where=RULESET,
)
TYPE = Rule(
    code="log-type",
    title="A value of a kind that the rules cannot compute with",
    meaning=(
        "The check needs, for instance, a number and the log has text. Where the official checker "
        "evaluates the quality target it ends in a traceback."
    ),
    why="A rule that cannot be computed is not met.",
    where=RULESET,
)
METADATA = Rule(
    code="log-metadata",
    title="An event lacks metadata",
    meaning=(
        "The rules ask for a field in the event's metadata: an evaluation, for instance, must say after "
        "how many samples (samples_count) or epochs (epoch_num) it came."
    ),
    why="Convergence is judged in samples, so each step of the run must be placed in the count of samples.",
    where=RULESET,
)
ORDER = Rule(
    code="log-order",
    title="An event comes at the wrong place",
    meaning=(
        "init_start, init_stop, run_start and run_stop must come in this order, blocks after run_start, "
        "and a setting before what is computed from it."
    ),
    why="Time-to-train runs from run_start; the order shows that no training happened before the clock ran.",
    where=RULESET,
)
INIT_TIME = Rule(
    code="log-init-time",
    title="Initialisation takes too long",
    meaning=(
        "More than 30 minutes (closed) or 240 minutes (open) pass from the first init_start to init_stop."
    ),
    why="Initialisation and compilation are not timed, so they are bounded.",
    where=RULESET,
)
TARGET = Rule(
    code="log-target",
    title="The quality target is not reached",
    meaning="No evaluation of the run reaches the benchmark's quality target.",
    why=(
        "The score is the time to reach the target. A result may drop a run that did not converge, within "
        "limits."
    ),
    where=RULESET,
)

_FLAGS = {
    "init_started": "init_start",
    "init_stopped": "init_stop",
    "run_started": "run_start",
    "run_stopped": "run_stop",
}
_LONGEST = 200


class Wording(NamedTuple):
    """The parts of a finding that are words."""

    rule: Rule
    expected: Any
    found: Any
    fix: str


def shown(value: Any) -> Any:
    """Give a value of a log as something safe and short to print: plain scalars as such, the rest as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}… ({len(value)} characters)"
        return text.encode("utf-8", "replace").decode()
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return reprlib.repr(value).encode("utf-8", "replace").decode()


def of_failed(code: Code, event: Event, s: dict[str, Any]) -> Wording:
    """Word a check that came out false for a line; `s` is the state of the official code at that line."""
    body = _parsed(code)
    if "first_init_start" in code.text:
        return _init_time(event, s)
    fields = _demanded_fields(body)
    if fields:
        names = " or ".join(fields)
        return Wording(
            METADATA,
            f"metadata with {names}",
            f"metadata with {', '.join(sorted(shown(str(name)) for name in event.metadata)) or 'nothing'}",
            f"Log {event.key} with {names} in its metadata.",
        )
    order = _demanded_order(body)
    if order:
        return Wording(
            ORDER,
            order,
            f"{event.key} at this line",
            f"Log {event.key} {order}, in the order of the run.",
        )
    unset = _unset(code, event.key, s)
    if unset:
        return unset
    expected = _expected(body, event.key)
    known = _state_words(code, s)
    text = f"{expected}, where {known}" if known else expected
    return Wording(VALUE, text, shown(_value_of(code, event)), _value_fix(code, event.key, text))


def of_error(code: Code, event: Event, s: dict[str, Any], error: Exception) -> Wording:
    """Word a check that could not be computed for a line."""
    unset = _unset(code, event.key, s)
    if unset and not code.statements:
        return unset
    if isinstance(error, KeyError):
        name = shown(str(error.args[0])) if error.args else "a field"
        return Wording(METADATA, f"a field {name}", "no such field", f"Log {event.key} with {name}.")
    kind = type(event.value).__name__
    return Wording(
        TYPE,
        "a value to compute with" if code.statements else _expected(_parsed(code), event.key),
        shown(event.value),
        f"Log {event.key} as a value that the rule can compute with, not {kind} ({type(error).__name__}).",
    )


def of_target(code: Code, key: str, event: Event, s: dict[str, Any]) -> Wording:
    """Word that no line of a key passed, most often that no evaluation reached the quality target."""
    expected = _expected(_parsed(code), key)
    known = _state_words(code, s)
    return Wording(
        TARGET,
        f"{expected}, where {known}" if known else expected,
        shown(event.value),
        "Train on until an evaluation reaches the target; a run that does not is unconverged. "
        "One such run of a result may be dropped.",
    )


def _unset(code: Code, key: str, s: dict[str, Any]) -> Wording | None:
    """Word that a check computes with what an earlier line should have set, and did not."""
    unset = [name for name in _state_names(ast.parse(code.text)) if s.get(name) is None]
    if not unset:
        return None
    names = " and ".join(unset)
    return Wording(
        ORDER,
        f"{names} logged before {key}",
        f"no usable {names} before this line",
        f"Log what sets {names} before {key}.",
    )


def _init_time(event: Event, s: dict[str, Any]) -> Wording:
    minutes = (event.time_ms - s["first_init_start"]) / 60_000
    if math.isnan(minutes):
        return Wording(ORDER, "a time in init_start and in init_stop", "a line without", "Log with mllog.")
    if not s["init_started"]:
        return Wording(ORDER, "after init_start", "no init_start before", "Log init_start before init_stop.")
    limit = s["compile_time_mins"]
    if limit == 0:
        return Wording(
            ORDER,
            "a submission_division before init_stop, which sets the time allowed",
            "none before this line",
            "Log submission_division before init_stop.",
        )
    return Wording(
        INIT_TIME,
        f"less than {limit} minutes after the first init_start",
        f"{minutes:.1f} minutes",
        f"Initialise and compile in less than {limit} minutes.",
    )


def _parsed(code: Code) -> ast.expr:
    body = ast.parse(code.text, mode="eval").body
    # `A if B else True` fails only where B holds and A does not.
    if isinstance(body, ast.IfExp) and isinstance(body.orelse, ast.Constant) and body.orelse.value is True:
        return body.body
    return body


def _demanded_fields(body: ast.expr) -> list[str]:
    """Name the metadata fields of which one must be there, where that is all that an expression asks."""
    match body:
        case ast.Compare(
            left=ast.Constant(value=str(name)),
            ops=[ast.In()],
            comparators=[ast.Subscript(value=ast.Name("v"), slice=ast.Constant("metadata"))],
        ):
            return [name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            both = _demanded_fields(left), _demanded_fields(right)
            return both[0] + both[1] if all(both) else []
    return []


def _demanded_order(body: ast.expr) -> str:
    match body:
        case ast.Subscript(value=ast.Name("s"), slice=ast.Constant(value=flag)) if flag in _FLAGS:
            return f"after {_FLAGS[flag]}"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            order = _demanded_order(operand)
            return order.replace("after", "before", 1)
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=True)]):
            return _demanded_order(left)
    return ""


def _expected(body: ast.expr, key: str) -> Any:
    """Give the one value, the list of values, or the condition that an expression asks for."""
    match body:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=value)]) if _is_value(
            left
        ):
            return value
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.List() as values]) if _is_value(left):
            return ast.literal_eval(values)
        case ast.Compare(left=left, ops=[ast.NotEq()], comparators=[ast.Constant(value="")]) if _is_value(
            left
        ):
            return "a value that is not empty"
    return ast.unparse(ast.fix_missing_locations(_Named(key).visit(body)))


def _is_value(node: ast.expr) -> bool:
    match node:
        case ast.Subscript(value=ast.Name("v"), slice=ast.Constant("value")):
            return True
    return False


class _Named(ast.NodeTransformer):
    """Write `v['value']` as the key's name, and fields and remembered values as their own."""

    def __init__(self, key: str) -> None:
        self.key = key

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if _is_value(node):
            return ast.Name(self.key)
        self.generic_visit(node)
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            return ast.Name(node.slice.value)
        return node


def _state_names(body: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(body):
        match node:
            case ast.Subscript(value=ast.Name("s"), slice=ast.Constant(value=str(name))):
                names.append(name)
            case ast.Call(
                func=ast.Attribute(value=ast.Name("s"), attr="get"), args=[ast.Constant(value=str(name)), *_]
            ):
                names.append(name)
    return sorted(set(names))


def _state_words(code: Code, s: dict[str, Any]) -> str:
    return ", ".join(f"{name} is {shown(s.get(name))}" for name in _state_names(_parsed(code)))


def _value_of(code: Code, event: Event) -> Any:
    if "metadata" not in code.text:
        return event.value
    used = [name for name in event.metadata if name in code.text]
    return {name: event.metadata[name] for name in used} if len(used) != 1 else event.metadata[used[0]]


def _value_fix(code: Code, key: str, expected: str) -> str:
    if "/closed_" in code.where:
        return f"Train with {key} as the closed division fixes it ({expected}), or enter the open division."
    return f"Log {key} as the rule asks: {expected}."
