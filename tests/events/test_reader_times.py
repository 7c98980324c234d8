"""A line that does not say its time: told, and what else it says still counts."""

from pathlib import Path

import pytest

import made_results
from made_logs import write_log
from pitboard.compliance import check_tree
from pitboard.events import read_log
from pitboard.scoring import score_tree


@pytest.mark.parametrize("time", [None, "soon", []])
def test_an_event_without_a_time_keeps_its_content(time: object, tmp_path: Path) -> None:
    log = made_results.run_log(1)
    for each in log:
        each.pop("time_ms") if time is None else each.update(time_ms=time)
    read = read_log(write_log(tmp_path / "result_0.txt", log))
    assert len(read.events) == len(log)
    assert read.counts == {"bad-event": len(log)}
    run = read.summary.run
    assert (run.minutes, run.samples_to_target) == (None, made_results.SAMPLES[0])
    assert run.evaluations[0].time_ms is None
    assert read.summary.evaluation_minutes is None


def test_without_any_time_the_rcp_test_still_runs(tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        log = [{k: v for k, v in each.items() if k != "time_ms"} for each in made_results.run_log(run, 92160)]
        write_log(folder / f"result_{run}.txt", log)
    report = check_tree(tmp_path / "Acme", "5.1")
    assert report.results[0].rcp is not None
    assert report.results[0].rcp.verdict == "RCP found"
    assert not report.results[0].rcp.passed
    assert score_tree(report)[0].minutes is None
    messages = [f.message for f in report.every_finding()]
    assert any("without time_ms" in each for each in messages)
    assert not any("no event can be read" in each for each in messages)
