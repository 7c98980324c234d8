"""Verdicts on formats, from logs written as a run writes them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pitboard import suite
from pitboard.charts import as_json
from pitboard.charts.answers import draw
from pitboard.compliance.result.reference import ReferencePoint
from pitboard.results.sweep import PrecisionResult, judge_precisions, precision_sweep

POINTS = (ReferencePoint(batch_size=8, samples=tuple([2048.0, 2176.0] * 10)),)


def line(key: str, value: object, minutes: float = 0.0, **metadata: object) -> str:
    event = {
        "namespace": "",
        "time_ms": int(minutes * 60_000),
        "event_type": "POINT_IN_TIME",
        "key": key,
        "value": value,
        "metadata": metadata,
    }
    return f":::MLLOG {json.dumps(event)}"


def log(
    path: Path,
    *,
    samples: int | None,
    minutes: float,
    throughput: float = 10.0,
    emulated: bool = False,
    batch: int = 8,
    target: float = 3.6,
) -> Path:
    """A run that took `samples` to its target, or never reached it."""
    end = samples or 2560
    lines = [
        line("submission_benchmark", "llama31_8b"),
        line("pitboard_emulated", emulated),
        line("global_batch_size", batch),
        line("target_accuracy", target),
        line("run_start", None),
        line("tracked_stats", {"throughput": throughput}, samples_count=end),
        line("eval_accuracy", 3.5 if samples else 3.7, minutes, samples_count=end, epoch_num=end),
        line("run_stop", None, minutes, status="success" if samples else "aborted", samples_count=end),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def race(tmp_path: Path, samples: Sequence[int | None], minutes: float, **more: object) -> PrecisionResult:
    """Judge a format against BF16, which needs 2,112 samples in 10 minutes."""
    bf16 = [log(tmp_path / f"b{i}", samples=n, minutes=10) for i, n in enumerate([2048, 2176, 2048])]
    other = [
        log(tmp_path / f"o{i}", samples=n, minutes=minutes, **more)  # type: ignore[arg-type]
        for i, n in enumerate(samples)
    ]
    baseline, result = judge_precisions({"bf16": bf16, "nvfp4": other}, POINTS)
    assert baseline.verdict == "baseline"
    assert baseline.converges
    return result


def test_a_format_wins_by_time_to_train(tmp_path: Path) -> None:
    result = race(tmp_path, [2176, 2048, 2176], 6, throughput=20.0)
    assert (result.verdict, result.converges, result.reached) == ("wins", True, 3)
    assert result.minutes == pytest.approx(6)
    assert result.throughput == pytest.approx(20)


def test_speed_without_the_target_does_not_win(tmp_path: Path) -> None:
    result = race(tmp_path, [2176, None, None], 6, throughput=20.0)
    assert result.verdict == "faster but does not converge in time"
    assert (result.minutes, result.reached, result.converges) == (None, 1, False)


def test_speed_eaten_up_by_samples_does_not_win(tmp_path: Path) -> None:
    result = race(tmp_path, [2560, 2560, 2560], 11, throughput=12.0)
    assert result.verdict == "faster but does not converge in time"
    assert result.late


def test_a_slower_format_is_called_so(tmp_path: Path) -> None:
    assert race(tmp_path, [2048, 2176, 2048], 12, throughput=8.0).verdict == "slower"


def test_an_emulated_formats_time_is_not_compared_but_its_convergence_is(tmp_path: Path) -> None:
    right = race(tmp_path, [2048, 2176, 2048], 1, throughput=99.0, emulated=True)
    broken = race(tmp_path, [2560, 2560, None], 1, throughput=99.0, emulated=True)
    assert right.verdict == broken.verdict == "not comparable (emulated)"
    assert right.converges
    assert not broken.converges


def test_too_few_samples_are_no_win(tmp_path: Path) -> None:
    result = race(tmp_path, [1024, 1024, 1024], 5)
    assert not result.rcp.passed
    assert result.verdict != "wins"


def test_a_format_that_left_no_log_did_not_run(tmp_path: Path) -> None:
    result = race(tmp_path, [], 1)
    assert result.verdict == "did not run"
    assert not result.converges


def test_a_sweep_is_answered_against_its_presets_own_points_and_drawn_over_them(tmp_path: Path) -> None:
    smoke = suite.benchmark("llama31_8b").preset("smoke")
    (point,) = [each for each in smoke.reference_convergence if each.precision == "fp32"]
    same = {"batch": point.global_batch_size, "target": float(smoke.values["target"] or 0)}
    usual = int(sorted(point.samples_to_target)[len(point.samples_to_target) // 2])
    logs = {
        "fp32": [log(tmp_path / "fp32", samples=usual, minutes=1, **same)],  # type: ignore[arg-type]
        "fp8": [log(tmp_path / "fp8", samples=None, minutes=1, emulated=True, **same)],  # type: ignore[arg-type]
    }
    answer = precision_sweep(logs, "llama31_8b", "smoke")
    assert [(row["precision"], row["reached"], row["converges"]) for row in answer] == [
        ("fp32", 1, True),
        ("fp8", 0, False),
    ]
    assert [row["convergence"] for row in answer] == ["as FP32", "target not reached"]
    assert answer.facts == {"complete": True, "passed": False}
    assert answer.notes[0].startswith("FP32's reference convergence points: ")
    assert sorted(row["samples_to_target"] for row in answer.more["reference"]) == sorted(
        point.samples_to_target
    )
    assert "0 of 1 reached the target" in as_json(draw(answer))

    other = precision_sweep(logs | {"mxfp8": []}, "llama31_8b", "smoke")
    assert (other.rows[-1]["verdict"], other.facts["complete"]) == ("did not run", False)
    changed = precision_sweep(
        {"fp32": [log(tmp_path / "b", samples=usual, minutes=1)]}, "llama31_8b", "smoke"
    )
    assert changed.notes[0].startswith(
        "No reference convergence points apply to these settings (global_batch_size and "
    )
