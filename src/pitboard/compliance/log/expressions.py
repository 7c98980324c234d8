"""Turn the code that stands in the official rulesets into functions.

The official checker hands each piece of code, for each line, to `eval` and `exec`; here each piece is
compiled once. The code comes from the installed `mlperf-logging` and is trusted; the values of a log, which
it computes with, are not. So that a value cannot ask for a huge string (`"%999999999d" % 1`, `"a" *
10**9`), products, remainders and powers take numbers only: where the official code would go on with a
string, its check fails on comparing it anyway.
"""

import ast
import math
from collections.abc import Callable
from typing import Any, cast

PARAMETERS = ("s", "ll", "v", "enqueue_config", "loglines")
"""The names that official code may use besides `math` and `is_integer`."""

Function = Callable[..., Any]


def is_integer(value: Any) -> bool:
    """Tell whether a number is whole to 1e-5: the helper of that name in the official checker."""
    return bool(abs(round(value) - value) < 0.00001)


class Code:
    """One piece of official code: a check, or statements; its text, place, names and function.

    The function takes the arguments of `PARAMETERS` in that order.
    """

    __slots__ = ("names", "run", "statements", "text", "where")

    def __init__(self, text: str, where: str, *, statements: bool = False) -> None:
        self.text = text.strip()
        self.where = where
        self.statements = statements
        tree = _parse(self.text, where, statements)
        self.names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        self.run = _function(tree)


def all_of(codes: tuple[Code, ...]) -> Function:
    """Join checks into one function that is true where every one is: one call a line instead of several."""
    joined = ast.Expression(
        ast.BoolOp(ast.And(), [ast.parse(code.text, code.where, "eval").body for code in codes])
        if len(codes) > 1
        else ast.parse(codes[0].text, codes[0].where, "eval").body
    )
    return _function(joined)


def _parse(text: str, where: str, statements: bool) -> ast.Module | ast.Expression:
    if statements:
        return ast.parse(text, where, "exec")
    return ast.parse(text, where, "eval")


def _function(tree: ast.Module | ast.Expression) -> Function:
    tree = _NumbersOnly().visit(tree)
    arguments = ast.arguments([], [ast.arg(name) for name in PARAMETERS], None, [], [], None, [])
    if isinstance(tree, ast.Expression):
        whole = ast.Expression(ast.Lambda(arguments, tree.body))
        code = compile(ast.fix_missing_locations(whole), "<ruleset>", "eval")
        return cast(Function, eval(code, dict(_GLOBALS)))
    module = ast.Module([ast.FunctionDef("statements", arguments, tree.body, [])], [])
    names = dict(_GLOBALS)
    exec(compile(ast.fix_missing_locations(module), "<ruleset>", "exec"), names)
    return cast(Function, names["statements"])


class _NumbersOnly(ast.NodeTransformer):
    """Replace `a * b`, `a % b` and `a ** b` by calls that refuse anything but numbers."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        name = _GUARDED.get(type(node.op))
        if name is None:
            return node
        return ast.Call(ast.Name(name, ast.Load()), [node.left, node.right], [])


def _numbers(*values: Any) -> None:
    for value in values:
        if not isinstance(value, int | float | complex):
            raise TypeError(f"expected a number, found {type(value).__name__}")


def _product(a: Any, b: Any) -> Any:
    _numbers(a, b)
    return a * b


def _remainder(a: Any, b: Any) -> Any:
    _numbers(a, b)
    return a % b


def _power(a: Any, b: Any) -> Any:
    _numbers(a, b)
    if abs(b) > 64:
        raise OverflowError("a power too large for any rule")
    return a**b


_GUARDED = {ast.Mult: "_product", ast.Mod: "_remainder", ast.Pow: "_power"}
_GLOBALS = {
    "is_integer": is_integer,
    "math": math,
    "_product": _product,
    "_remainder": _remainder,
    "_power": _power,
}
