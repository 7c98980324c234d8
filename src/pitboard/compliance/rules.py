"""Every rule that a finding can carry, collected from the modules that check them."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

from pitboard import compliance
from pitboard.compliance.rule import Rule
from pitboard.errors import PitboardError, near

AREAS = {
    "log": "Logs",
    "result": "Results",
    "seed": "Seeds",
    "rcp": "Convergence",
    "power": "Power",
    "system": "System descriptions",
    "package": "Submissions",
}
"""What is judged, by the first word of a rule's code, in the order in which rules are listed."""


def _collected() -> Iterator[Rule]:
    for module in walk_packages(compliance.__path__, f"{compliance.__name__}."):
        yield from (each for each in vars(import_module(module.name)).values() if isinstance(each, Rule))


def _place(rule: Rule) -> int:
    return list(AREAS).index(rule.code.partition("-")[0])


RULES = {rule.code: rule for rule in sorted(_collected(), key=_place)}


def rule(code: str) -> Rule:
    """Return a rule by its code. Raises `PitboardError`, with the nearest code, where there is none."""
    if code not in RULES:
        raise PitboardError(f"No rule '{code:.60}'.{near(code[:60], list(RULES))}")
    return RULES[code]
