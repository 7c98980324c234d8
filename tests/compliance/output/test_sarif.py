"""Findings as SARIF 2.1.0: what the standard and GitHub code scanning require of it."""

from pathlib import Path
from typing import Any

import pytest

from made_logs import valid_log, write_log
from pitboard.compliance import check_tree
from pitboard.compliance.output.sarif import to_sarif
from pitboard.compliance.rules import RULES


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The SARIF run of a folder with a log that misses its target and its end, and one that is no log."""
    monkeypatch.chdir(tmp_path)
    missed = [{**each, "value": 3.5} if each["key"] == "eval_accuracy" else each for each in valid_log()[:-1]]
    write_log(Path("my runs") / "result_0.txt", missed)
    write_log(Path("my runs") / "result_1.txt", "")
    root = Path("my runs")
    document = to_sarif(check_tree(root, "5.1", "log"), root)
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    only: dict[str, Any]
    (only,) = document["runs"]
    return only


def test_every_result_points_to_a_line_of_a_file_below_the_checked_folder(run: dict[str, Any]) -> None:
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]

    told = [(place["artifactLocation"]["uri"], place["region"]["startLine"]) for place in places]
    last_evaluation = 1 + max(
        place for place, each in enumerate(valid_log()) if each["key"] == "eval_accuracy"
    )
    assert told == [
        ("my%20runs/result_0.txt", last_evaluation),
        ("my%20runs/result_0.txt", 1),
        ("my%20runs/result_1.txt", 1),
    ]


def test_every_result_names_its_rule_and_the_rule_is_described(run: dict[str, Any]) -> None:
    rules = run["tool"]["driver"]["rules"]

    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning")
        assert result["message"]["text"]
    assert [rule["id"] for rule in rules] == ["log-missing-key", "log-no-events", "log-target"]
    for rule in rules:
        assert rule["shortDescription"]["text"] == RULES[rule["id"]].title
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
