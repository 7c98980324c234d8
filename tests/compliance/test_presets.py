"""Runs of a preset other than `full`: judged by their preset's own rules, and marked as no MLPerf result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from made_logs import Event, valid_log, write_log
from made_results import SMOKE, SMOKE_POINT, SMOKE_SAMPLES, SMOKE_TARGET, preset_log, run_output
from pitboard import suite
from pitboard.cli.findings import as_text
from pitboard.cli.progress import show_verdict
from pitboard.cli.score import as_csv
from pitboard.cli.score import as_text as scores_as_text
from pitboard.compliance import TreeReport, check_tree, judge_runs
from pitboard.compliance.result.reference import measured_points
from pitboard.scoring import score_tree
from pitboard.suite import ReferenceConvergencePoint
from pitboard.training.output import Output, Plan

EARLY = SMOKE_SAMPLES // 2
MEASURED_IN = SMOKE_POINT.precision.upper()
"""Samples that no honest run of the preset reaches its target with."""


def rules_broken(report: TreeReport) -> list[str]:
    return sorted(finding.rule for finding in report.every_finding() if finding.severity == "error")


def test_a_run_that_met_its_presets_target_is_valid_and_no_mlperf_result(tmp_path: Path) -> None:
    folder = run_output(tmp_path / "out", preset_log())

    report = check_tree(folder)

    assert report.valid
    assert report.every_finding() == []
    (result,) = report.results
    assert (result.preset, result.rcp and result.rcp.passed, result.rcp_precision) == (
        "smoke",
        True,
        SMOKE_POINT.precision,
    )
    text = Text.from_ansi(as_text(report)).plain
    assert text.startswith("preset smoke: not an MLPerf result.\n")
    assert f"RCP test passed: {SMOKE_SAMPLES:,} samples to the target" in text
    assert text.endswith("Verdict: valid, as a run of preset smoke")
    inside = check_tree(folder / "results" / "box" / "llama31_8b" / "result_0.txt")
    assert (inside.valid, inside.preset) == (True, "smoke")


@pytest.mark.parametrize("where", ["submission", "level", "round", "alone"])
def test_a_submission_is_judged_by_the_official_rules_whatever_its_logs_say(
    tmp_path: Path, where: str
) -> None:
    """The preset's mark buys nothing: the same findings as without it, and the mark besides."""

    def judged(name: str, log: list[Event]) -> TreeReport:
        if where == "alone":
            return check_tree(write_log(tmp_path / f"{name}.txt", log), "5.1")
        plan = None if where == "submission" else "smoke"
        folder = run_output(tmp_path / name / "Acme", log, plan=plan)
        if where == "round":
            return check_tree(folder.parent, "5.1")
        return check_tree(folder, "5.1", "submission" if where == "level" else None)

    claimed = judged("claimed", preset_log())
    unclaimed = judged("unclaimed", [e for e in preset_log() if e["key"] != "pitboard_preset"])

    assert "log-target" in rules_broken(claimed)
    assert rules_broken(claimed) == rules_broken(unclaimed)
    assert (claimed.valid, claimed.preset, unclaimed.preset) == (False, "smoke", None)


@pytest.mark.parametrize(
    "log",
    [
        preset_log(pitboard_preset="full"),
        preset_log(pitboard_preset="sanity"),
        preset_log(submission_division="closed"),
    ],
    ids=["full", "another", "closed"],
)
def test_in_an_output_folder_only_its_own_presets_logs_are_judged_by_it(
    tmp_path: Path, log: list[Event]
) -> None:
    report = check_tree(run_output(tmp_path / "out", log))

    assert not report.own_rules
    assert {"log-target", "result-runs"} <= set(rules_broken(report))


def test_the_target_is_the_presets_own_and_not_what_the_log_says(tmp_path: Path) -> None:
    log = preset_log(quality=SMOKE_TARGET + 2, target_accuracy=SMOKE_TARGET + 3, pitboard_changed=["target"])

    report = check_tree(run_output(tmp_path / "out", log))

    (finding,) = report.logs[0].findings
    assert (finding.rule, finding.expected) == ("log-target", f"at most {SMOKE_TARGET:g}")
    assert finding.found == SMOKE_TARGET + 0.6
    assert f"the run's own target was {SMOKE_TARGET + 3:g}" in finding.message
    assert report.results[0].rcp_not_held == "target differs from that of the reference points"
    assert score_tree(report)[0].minutes is None


@pytest.mark.parametrize(
    ("without", "rule"),
    [("run_stop", "log-missing-key"), ("init_stop", "log-order"), ("train_samples", "log-missing-key")],
)
def test_the_structure_of_a_log_is_checked_all_the_same(tmp_path: Path, without: str, rule: str) -> None:
    log = [each for each in preset_log() if each["key"] != without]

    assert rule in rules_broken(check_tree(run_output(tmp_path / "out", log)))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"target_accuracy": SMOKE_TARGET + 1}, "target differs from that of the reference points"),
        ({"global_batch_size": 12345}, "global_batch_size differs from that of the reference points"),
        (
            {"pitboard_changed": ["layers", "target"]},
            "target and layers differ from those of the reference points",
        ),
        (
            {"pitboard_changed": ["beta1", "beta2", "layers", "target"]},
            "target, beta1 and 2 more settings differ from those of the reference points",
        ),
        ({"pitboard_changed": None}, None),
    ],
)
def test_no_rcp_test_is_held_where_the_reference_trained_something_else(
    tmp_path: Path, settings: dict[str, Any], reason: str | None
) -> None:
    (result,) = check_tree(run_output(tmp_path / "out", preset_log(**settings))).results

    assert result.rcp_not_held == reason
    assert (result.rcp is None) == (reason is not None)


def test_runs_that_are_too_early_are_an_error_once_they_are_more_than_chance(tmp_path: Path) -> None:
    one = check_tree(run_output(tmp_path / "one", preset_log(EARLY)))
    three = check_tree(run_output(tmp_path / "three", *[preset_log(EARLY, seed=n) for n in range(3)]))

    (finding,) = one.results[0].findings
    assert (finding.rule, finding.severity, one.valid) == ("rcp-too-fast", "warning", True)
    assert (rules_broken(three), three.valid) == (["rcp-too-fast"], False)


def test_its_score_is_its_own_time_to_train_and_says_what_it_is(tmp_path: Path) -> None:
    report = check_tree(run_output(tmp_path / "out", *[preset_log(SMOKE_SAMPLES, seed=n) for n in range(3)]))

    (score,) = score_tree(report)

    assert (score.kind, score.preset, score.valid) == ("preset", "smoke", True)
    (result,) = report.results
    assert result.rcp
    assert score.rcp_scale == result.rcp.scale
    assert score.minutes == pytest.approx(10 * score.rcp_scale)
    assert scores_as_text([score]).startswith("preset smoke: not an MLPerf result.\n")
    assert as_csv([score]).splitlines()[1].endswith("false,preset,smoke")


def test_a_preset_without_a_target_has_no_evaluation_no_score_and_no_finding(tmp_path: Path) -> None:
    log = preset_log(pitboard_preset="sanity", target_accuracy=None)
    log = [each for each in log if each["key"] != "eval_accuracy"]

    report = check_tree(run_output(tmp_path / "out", log, plan="sanity"))

    assert report.every_finding() == []
    assert report.results[0].rcp_not_held == "preset sanity has no target"
    assert score_tree(report)[0].minutes is None


def test_the_reference_points_are_those_that_fit_the_precision() -> None:
    def point(precision: str, samples: int) -> ReferenceConvergencePoint:
        return ReferenceConvergencePoint(
            global_batch_size=8, precision=precision, hyperparameters={}, samples_to_target=(samples,) * 3
        )

    both = replace(SMOKE, reference_convergence=(point("bf16", 2000), point("fp32", 1000)))
    fp32 = replace(SMOKE, reference_convergence=(point("fp32", 1000),))

    def fitting(preset: suite.Preset, precision: str, baseline: str = "bf16") -> list[str | None]:
        return [found.precision for found in measured_points(preset, precision, baseline)]

    assert fitting(both, "fp32") == ["fp32"]
    assert fitting(both, "bf16", "fp32") == ["bf16"]
    assert fitting(both, "nvfp4") == ["bf16"]
    assert fitting(both, "nvfp4", "fp32") == ["fp32"]
    assert fitting(fp32, "bf16") == ["fp32"]
    assert fitting(replace(SMOKE, reference_convergence=()), "bf16") == []


def test_the_benchmark_itself_is_held_against_the_official_points(tmp_path: Path) -> None:
    free = preset_log(
        90112,
        3.2,
        pitboard_preset="full",
        submission_division="closed",
        global_batch_size=16,
        target_accuracy=3.3,
        pitboard_changed=["global_batch_size", "learning_rate"],
    )
    log = write_log(tmp_path / "result_0.txt", free)

    verdict = judge_runs([log], "5.1", "llama31_8b", "full")

    assert (verdict.kind, verdict.note, verdict.reference) == ("mlperf", None, "official")
    assert (verdict.rcp and verdict.rcp.verdict, verdict.findings) == ("RCP found", [])


def test_a_run_ends_with_one_note_and_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = run_output(tmp_path / "out", preset_log())
    plan = Plan(
        benchmark="llama31_8b", preset="smoke", overrides={}, seeds=[1], system="box", submitter="Acme"
    )

    rcp = check_tree(folder).results[0].rcp
    assert rcp
    show_verdict(Output(folder), plan)
    shown = capsys.readouterr().out
    write_log(
        folder / "results" / "box" / "llama31_8b" / "result_0.txt", preset_log(quality=SMOKE_TARGET + 0.1)
    )
    show_verdict(Output(folder), plan)
    missed = capsys.readouterr().out

    assert [line.rstrip() for line in shown.splitlines()] == [
        "Not an MLPerf result: preset smoke",
        f"Rules of 5.1  no finding; the target is the preset's own, {SMOKE_TARGET:g}",
        f"RCP test      passed: {SMOKE_SAMPLES:,} samples to the target; reference convergence points",
        f"              (the preset's own, measured in {MEASURED_IN}): {rcp.reference_mean:,.0f}",
    ]
    assert f"log-target: eval_accuracy: expected at most {SMOKE_TARGET:g}" in missed


def test_a_name_that_a_log_makes_up_does_not_reach_the_terminal(tmp_path: Path) -> None:
    log = [*valid_log(), {**valid_log()[0], "key": "pitboard_preset", "value": "\x1b[31mred\n"}]

    report = check_tree(write_log(tmp_path / "run.txt", log), "5.1")

    assert report.preset == r"\x1b[31mred\n"
    assert "\x1b[31m" not in as_text(report)
    assert "\x1b" not in scores_as_text(score_tree(report))
