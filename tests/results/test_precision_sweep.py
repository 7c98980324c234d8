"""Verdicts on formats, from logs written as a run writes them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pitboard.compliance.result.reference import ReferencePoint
from pitboard.results.sweep import PrecisionResult, judge_precisions

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
    path: Path, *, samples: int | None, minutes: float, throughput: float = 10.0, emulated: bool = False
) -> Path:
    """A run that took `samples` to its target, or never reached it."""
    end = samples or 2560
    lines = [
        line("submission_benchmark", "llama31_8b"),
        line("pitboard_emulated", emulated),
        line("global_batch_size", 8),
        line("target_accuracy", 3.6),
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
