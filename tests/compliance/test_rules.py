"""The registry of rules: whole, each code once, and the only source of findings."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import pitboard
from pitboard.compliance.rules import AREAS, RULES, rule
from pitboard.errors import PitboardError

_SOURCE = Path(pitboard.__file__).parent


def _calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    for path in _SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield path.relative_to(_SOURCE), node


def test_every_rule_in_the_source_is_collected_once() -> None:
    codes = [
        ast.literal_eval(argument.value)
        for _, call in _calls("Rule")
        for argument in call.keywords
        if argument.arg == "code"
    ]

    assert Counter(codes) == Counter(list(RULES))


def test_every_finding_is_made_by_a_rule() -> None:
    assert {str(path) for path, _ in _calls("Finding")} == {"compliance/rule.py"}


def test_rules_are_listed_by_what_they_judge() -> None:
    listed = [code.partition("-")[0] for code in RULES]

    assert list(dict.fromkeys(listed)) == list(AREAS)
    assert listed == sorted(listed, key=list(AREAS).index)


def test_an_unknown_rule_is_said_with_the_nearest() -> None:
    with pytest.raises(PitboardError, match=r"No rule 'log-targt'\. Did you mean 'log-target'\?"):
        rule("log-targt")
