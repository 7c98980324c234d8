"""Write docs/rules.md, the page of all rules, from the rules themselves: `make rules` runs this."""

import re
from itertools import groupby
from pathlib import Path

from pitboard.compliance.rule import Rule
from pitboard.compliance.rules import AREAS, RULES

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"

_INTRODUCTION = """\
# What each rule means

A finding of [`pitboard check`](check.md) names one of these rules; `pitboard explain log-target` prints one
of them, `pitboard explain` lists all. An error makes a log, a result or a submission not valid, a warning
does not. Codes do not change.

<!-- Written by `make rules` from the rules in src/pitboard/compliance: change them there. -->
"""


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for area, rules in groupby(RULES.values(), key=lambda rule: rule.code.partition("-")[0]):
        parts += [f"## {AREAS[area]}\n", *map(_section, rules)]
    return "\n".join(parts)


def _section(rule: Rule) -> str:
    severity = f"{rule.severity}; {rule.otherwise}" if rule.otherwise else rule.severity
    return (
        f"### {rule.code}\n\n**{_escaped(rule.title)}.** {_escaped(rule.meaning)}\n\n"
        f"{_escaped(rule.why)}\n\nSeverity: {_escaped(severity)}. Written in: {_escaped(rule.where)}.\n"
    )


def _escaped(text: str) -> str:
    """Escape what Markdown would take for emphasis or a tag."""
    return re.sub(r"([\\*]|(?<!\w)_|_(?!\w))", r"\\\1", text).replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
