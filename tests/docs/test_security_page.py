"""SECURITY.md: each promise names the test that keeps it, and that test is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_has_its_test() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    promises = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| A ", "| It "))
    ]
    assert len(promises) > 20
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", promise.rpartition(" | ")[2])
        assert named, promise
        for file, test in named:
            content = (ROOT / file).read_text()
            assert f"def {test}(" in content if test else "def test_" in content, (file, test)
