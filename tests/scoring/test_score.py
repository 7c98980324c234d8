from typing import Any

import pytest
from mlperf_logging.result_summarizer import result_summarizer

from pitboard.compliance import LogReport, RcpVerdict, ResultReport, TreeReport
from pitboard.events import Evaluation, Run, Summary
from pitboard.scoring import score_result, score_tree


def _log(number: int, minutes: float, samples: int = 1000, valid: bool = True) -> LogReport:
    run = Run(
        benchmark="llama31_8b",
        status="success",
        run_start_ms=0,
        run_stop_ms=minutes * 60_000,
        evaluations=[Evaluation(samples, 3.0, 0)],
        evaluated=1,
    )
    return LogReport(
        path=f"result_{number}.txt",
        benchmark="llama31_8b",
        division="closed",
        valid=valid,
        findings=[],
        ruleset="5.1.0",
        summary=Summary(run=run),
    )


def _result(logs: list[LogReport], **fields: Any) -> ResultReport:
    known = {
        "path": "",
        "submitter": "Acme",
        "system": "box",
        "benchmark": "llama31_8b",
        "division": "closed",
        "valid": True,
        "rcp": None,
        "findings": [],
        "description": None,
        "filed_scale": None,
        "logs": [log.path for log in logs],
    }
    return ResultReport(**{**known, **fields})


_RUNS = [_log(number, minutes) for number, minutes in enumerate([10, 20, 30, 40, 100])]


@pytest.mark.parametrize(
    ("fields", "minutes", "scale"),
    [
        ({}, 30, 1),
        ({"rcp": RcpVerdict(verdict="RCP found", passed=True, scale=1.5)}, 45, 1.5),
        ({"rcp": RcpVerdict(verdict="RCP found", passed=False, scale=1.5)}, 30, 1),
        ({"rcp": RcpVerdict(verdict="RCP found", passed=True, scale=1.5), "filed_scale": 2.0}, 45, 1.5),
    ],
)
def test_the_factor_is_the_tests_and_of_published_results_the_committees(
    fields: dict[str, Any], minutes: float, scale: float
) -> None:
    result = _result(_RUNS, **fields)
    score, published = score_result(result, _RUNS), score_result(result, _RUNS, published=True)

    assert (score.minutes, score.rcp_scale) == (minutes, scale)
    filed = fields.get("filed_scale", 1)
    assert (published.minutes, published.rcp_scale) == (30 * filed, filed)


def test_a_run_that_does_not_comply_is_listed_without_minutes() -> None:
    logs = [*_RUNS[:4], _log(4, 5, valid=False)]

    score = score_result(_result(logs), logs)

    assert score.runs == [10, 20, 30, 40, None]
    assert score.minutes == 30
    assert score.samples_to_target == [1000] * 5


def test_too_few_runs_for_an_olympic_mean_give_their_mean() -> None:
    assert score_result(_result(_RUNS[:2]), _RUNS[:2]).minutes == 15


def test_a_log_alone_is_scored_as_one_run() -> None:
    report = TreeReport(round="5.1", valid=True, logs=[_RUNS[2]], results=[], findings=[])

    (score,) = score_tree(report)

    assert (score.benchmark, score.minutes, score.runs) == ("llama31_8b", 30, [30])


def test_minutes_are_from_the_last_start_before_the_first_stop_as_official() -> None:
    from pitboard.events import Event

    events = [
        Event(key=key, time_ms=minute * 60_000, value=None, metadata={"status": "success"})
        for key, minute in [
            ("run_start", 1),
            ("run_start", 2),
            ("run_stop", 9),
            ("run_start", 10),
            ("run_stop", 20),
        ]
    ]
    loglines = [
        result_summarizer.mlp_compliance.mlp_parser.ruleset_510.LogLine("", e.time_ms, e.key, "", 0)
        for e in events
    ]

    assert (
        Run.from_events(events).minutes == result_summarizer._query_mlperf_strong_scaling_score(loglines) == 7
    )
