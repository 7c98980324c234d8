"""What a submitter wants to know and no checker says: aborted runs, the rules' text, two runs in a file."""

from pathlib import Path

from made_logs import event, valid_log, write_log
from made_results import run_log
from pitboard.compliance import check_log

ROUND = "5.1.0"


def test_a_run_that_was_aborted_is_a_warning_where_the_rule_asks_for_a_status_only(tmp_path: Path) -> None:
    log = [*valid_log()[:-1], event("run_stop", minute=30, status="aborted")]

    report = check_log(write_log(tmp_path / "a.txt", log), ROUND)

    assert report.valid
    (finding,) = report.findings
    assert (finding.rule, finding.severity, finding.line, finding.found) == (
        "log-aborted",
        "warning",
        len(log),
        "aborted",
    )


def test_a_setting_that_the_rules_tie_to_another_is_advice(tmp_path: Path) -> None:
    (finding,) = check_log(
        write_log(tmp_path / "a.txt", run_log(1, opt_end_learning_rate=0.0002)), ROUND
    ).findings

    assert (finding.rule, finding.severity, finding.expected, finding.found) == (
        "log-rules-text",
        "warning",
        0.0001,
        0.0002,
    )
    assert check_log(write_log(tmp_path / "b.txt", run_log(1, opt_end_learning_rate="x")), ROUND).valid


def test_two_runs_in_a_file_are_one_diagnosis(tmp_path: Path) -> None:
    first = run_log(1)[:-2]
    log = write_log(tmp_path / "a.txt", first + run_log(2))

    report = check_log(log, ROUND)

    assert not report.valid
    (finding,) = report.findings
    assert finding.rule == "log-attempts"
    assert f"lines 1 to {len(first)} (without its end)" in finding.message
    assert finding.message.endswith("The last breaks no rule by itself")
    assert finding.line == len(first) + 1

    broken = check_log(write_log(log, first + run_log(2, opt_name="sgd")), ROUND)
    assert [each.rule for each in broken.findings] == ["log-attempts", "log-value"]
    assert "The last breaks 1 rule by itself" in broken.findings[0].message
