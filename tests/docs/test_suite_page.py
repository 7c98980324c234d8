"""The Python of the page on what is raced: every value that a comment promises is the one that it has."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "suite.md"


def test_the_values_in_the_comments_are_those_of_the_suite() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)
    names: dict[str, object] = {}
    promised = 0
    for line in block.splitlines():
        code, _, comment = line.partition("  # ")
        if comment:
            value = eval(code, names)
            told = ", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
            assert comment.split(":")[0] == told, line
            promised += 1
        else:
            exec(code, names)
    assert promised >= 4
