"""Energy to target: the official sums, and what is said where they cannot be made."""

import random
from pathlib import Path

import pytest
from mlperf_logging.result_summarizer import result_summarizer

import made_results
from made_logs import Event, event, write_log
from pitboard.compliance import check_tree
from pitboard.scoring import Score, score_tree


def _reading(key: str, value: object, seconds: float) -> Event:
    return event(key, value, seconds / 60)


def _measure(folder: Path, run: int, seconds: float = 1.0, **left_out: bool) -> None:
    """Write what two nodes and a switch drew in a run."""
    draw = random.Random(run)
    place = folder / "power" / f"result_{run}"
    for node in range(2):
        start = 300 + draw.random()
        lines = [
            _reading("power_measurement_start", None, start),
            _reading("conversion_eff", 0.94, start),
            *(
                _reading("power_reading", draw.uniform(4000, 9000), start + seconds * number)
                for number in range(1, 90)
            ),
            _reading("power_measurement_stop", None, start + seconds * 90),
        ]
        lines = [line for line in lines if not left_out.get(str(line["key"]))]
        write_log(place / f"node_{node}.txt", [lines[0], *draw.sample(lines[1:], len(lines) - 1)])
    write_log(place / "sw_0.txt", [_reading("interconnect_power_est", 750, 0)])


def _scored(tmp_path: Path) -> tuple[Score, set[str]]:
    report = check_tree(tmp_path / "Acme", "5.1")
    return score_tree(report)[0], {finding.rule for finding in report.every_finding()}


@pytest.mark.parametrize("left_out", ["", "power_measurement_stop", "conversion_eff"])
def test_energy_is_the_official_one_over_the_runs_that_the_minutes_average(
    tmp_path: Path, left_out: str
) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        _measure(folder, run, **{left_out: True})

    score, rules = _scored(tmp_path)

    minutes, energy, _ = result_summarizer._compute_strong_score_standalone(
        "llama31_8b", "box", True, str(folder), "training", "5.1.0"
    )
    assert score.joules == pytest.approx(energy * score.rcp_scale, rel=1e-9)
    assert score.minutes == pytest.approx(minutes * score.rcp_scale)
    assert not {rule for rule in rules if rule.startswith("power-")}


def test_readings_of_every_other_second_are_told(tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        _measure(folder, run, seconds=2.0 if run == 3 else 1.0)

    score, rules = _scored(tmp_path)

    assert (score.joules is not None, "power-rate" in rules) == (True, True)


def test_a_file_that_cannot_be_added_up_costs_the_energy_and_nothing_else(tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        _measure(folder, run, power_measurement_start=run == 3)

    score, rules = _scored(tmp_path)

    assert (score.joules, score.valid, "power-unreadable" in rules) == (None, True, True)
    assert [joules is None for joules in score.run_joules] == [run == 3 for run in range(10)]
