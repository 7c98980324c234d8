"""docs/rules.md says what the rules in the source say."""

import runpy
from pathlib import Path

from pitboard.compliance.rules import RULES

_ROOT = Path(__file__).parents[2]


def test_the_page_of_rules_is_up_to_date() -> None:
    written = (_ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    source = runpy.run_path(str(_ROOT / "tools" / "rules_page.py"))

    assert written == source["page"](), "docs/rules.md is out of date: run `make rules`"
    assert [line[4:] for line in written.splitlines() if line.startswith("### ")] == list(RULES)
