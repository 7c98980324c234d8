"""The official rulesets, loaded: all compile, rounds are named, and a log cannot ask for other files."""

import pytest

from made_logs import event, valid_log
from pitboard.compliance.log import rulesets
from pitboard.compliance.log.engine import MOST_ALIKE, check_events
from pitboard.errors import PitboardError
from pitboard.events import Event


@pytest.mark.parametrize("ruleset", rulesets.rulesets())
def test_every_file_of_every_ruleset_is_compiled(ruleset: str) -> None:
    rulesets.preload(ruleset)

    names = [name for name in rulesets.config_names() if name.startswith(f"training_{ruleset}/")]
    rules = [rule for name in names if (config := rulesets.config(name)) for rule in config.keys.values()]
    assert len(names) > 10
    assert len(rules) > 100
    assert {rule.required.split("(")[0] for rule in rules} <= {
        "OPTIONAL",
        "EXACTLY_ONE",
        "AT_LEAST_ONE",
        "AT_LEAST",
        "AT_LEAST_ONE_OR",
    }


def test_a_rule_knows_its_line() -> None:
    config = rulesets.config("training_5.1.0/common.yaml")
    assert config is not None
    lines = (rulesets.folder() / config.name).read_text().splitlines()

    for rule in config.keys.values():
        line = int(rule.where.rpartition(":")[2])
        assert "KEY" in lines[line - 1]
        assert rule.name in lines[line]


@pytest.mark.parametrize(
    "name", ["training_5.1.0/../../rcp_checker/rcps.yaml", "/etc/passwd", "common.yaml", ""]
)
def test_a_log_cannot_ask_for_other_files(name: str) -> None:
    assert rulesets.config(name) is None


@pytest.mark.parametrize(
    ("round", "ruleset"), [("5.1", "5.1.0"), ("v4.0", "4.0.0"), ("1.0", "1.0.0"), ("6.1.0", "6.1.0")]
)
def test_rounds_have_rulesets(round: str, ruleset: str) -> None:
    assert rulesets.ruleset_of(round) == ruleset


@pytest.mark.parametrize(
    ("round", "sentence"),
    [
        ("5.2", r"There is no round '5\.2'\. The nearest are 5\.0 and 5\.1\."),
        ("0.7", r"There is no round '0\.7'\. The nearest are 1\.0 and 1\.1\."),
    ],
)
def test_a_round_that_cannot_be_checked_is_said_with_those_that_can(round: str, sentence: str) -> None:
    with pytest.raises(PitboardError, match=sentence):
        rulesets.ruleset_of(round)


def _events(log: "list[dict[str, object]]") -> list[Event]:
    fields = ("key", "time_ms", "value", "metadata")
    return [Event(line=line, **{name: each[name] for name in fields}) for line, each in enumerate(log, 1)]  # type: ignore[arg-type]


def test_many_lines_alike_are_counted_not_listed() -> None:
    log = valid_log()
    stray = event("eval_accuracy", 9.9)
    del stray["metadata"]["lineno"]

    findings = check_events(_events([*log, *[stray] * 1000]), "5.1.0")

    assert len(findings) == MOST_ALIKE + 1
    assert findings[-1].message.startswith(f"eval_accuracy: the same in {1000 - MOST_ALIKE} more lines")
    assert {finding.rule for finding in findings} == {"log-metadata"}


def test_a_benchmark_named_common_comes_to_an_end() -> None:
    log = [
        {**each, "value": "common"} if each["key"] == "submission_benchmark" else each for each in valid_log()
    ]

    assert "log-value" in {finding.rule for finding in check_events(_events(log), "5.1.0")}
