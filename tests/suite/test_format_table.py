"""The table of number formats held against what names them: types, the official rules, the documentation."""

from importlib.resources import files
from pathlib import Path
from typing import get_args

import yaml

from pitboard.suite import FORMATS
from pitboard.suite.formats import TRAINED, FormatName

PAGE = Path(__file__).parents[2] / "docs" / "precision.md"


def test_the_type_of_the_setting_names_every_format_that_is_trained_in() -> None:
    assert get_args(FormatName) == TRAINED


def test_the_rules_accept_what_is_disclosed() -> None:
    common = files("mlperf_logging") / "compliance_checker" / "training_6.1.0" / "common.yaml"
    rules = {each["KEY"]["NAME"]: each["KEY"] for each in yaml.safe_load(common.read_text())[1:]}
    check = rules["lowest_numerical_precision_in_linear"]["CHECK"]
    for each in FORMATS.values():
        assert eval(check.strip(), {}, {"v": {"value": each.disclosed}}), each.name


def test_the_page_tells_where_every_low_format_is_native_and_whose_recipe_it_is() -> None:
    _, *table = PAGE.read_text().partition("| format | native from |")[2].splitlines()
    rows = {line.split("`")[1]: line.split(" | ") for line in table if line.startswith("| `")}
    low = {each.name: each for each in FORMATS.values() if each.low}
    assert rows.keys() == low.keys()
    for name, (_, native, recipe, *_) in rows.items():
        capability = low[name].capability
        assert native.startswith(
            f"compute capability {capability[0]}.{capability[1]}" if capability else "none"
        )
        assert ("CDNA" in native) == bool(low[name].amd)
        assert recipe.startswith(low[name].recipe.split(" (")[0].split(":")[0])
