"""docs/settings.md has every setting that a run can be given, and no other."""

import re
from pathlib import Path

import pytest

from pitboard.training.protocol import benchmark_class, raceable

_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
_EVERY = "Every benchmark"


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize("benchmark", raceable())
def test_every_setting_is_described(benchmark: str) -> None:
    described: list[str] = []
    for section in _PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        if heading == _EVERY or f"`{benchmark}`" in heading:
            described += re.findall(r"^\| `(\w+)` \| \S", text, re.MULTILINE)

    assert sorted(described) == sorted(benchmark_class(benchmark).settings_class.model_fields)
