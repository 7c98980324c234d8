"""For every result of the published rounds, RCP verdict, factor, seeds and score are the official ones."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded
from mlperf_logging.package_checker.package_checker import get_allowed_benchmarks

from pitboard import results
from pitboard.compliance import check_tree
from pitboard.scoring import Score, score_tree

# A few submitters that between them have failed runs, power results, an open division, a factor, …
_SAMPLE = {"5.1": ("ASUSTeK", "MiTAC", "Krai"), "5.0": ("ASUSTeK", "TinyCorp", "SCITIX")}
_RULESETS = {"5.1": "5.1.0", "5.0": "5.0.0"}
_RESULTS = {"5.1": 184, "5.0": 201}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("round", _RULESETS)
def test_every_result_is_judged_and_scored_as_official(
    round: str, archive: Callable[[str], Path], published: Callable[[str], Path]
) -> None:
    """All are compared with what `recorded` has of the official tool, or with the tool itself.

    In every run the tool is asked about the submitters of the sample: a record that is not its own fails.
    """
    root = published(round)
    answers = recorded.answers(round, archive(round))
    compared = 0
    for place in sorted(folder for folder in root.iterdir() if folder.is_dir()):
        official = answers and answers["places"][place.name]
        if official is None or place.name in _SAMPLE[round]:
            # As it is read from the record.
            asked = json.loads(json.dumps(recorded.ask(place, _RULESETS[round])))
            del asked["logs"]
            if official:
                # These rounds were recorded before the score of a single result was.
                for path, result in asked["results"].items():
                    asked["results"][path] = {name: result[name] for name in official["results"][path]}
            assert official in (None, asked)
            official = asked
        compared += _compare(place, round, official)
    assert compared == _RESULTS[round]


def _compare(place: Path, round: str, official: recorded.Answers) -> int:
    report = check_tree(place, round)
    scores = score_tree(report, published=True)
    for result in report.results:
        said = official["results"][result.path]
        if result.division == "closed":
            assert result.rcp is not None
            assert said["rcp"] is not None, (place, result.path)
            passed, verdict, scale = said["rcp"]
            assert (result.rcp.passed, result.rcp.verdict) == (passed, verdict), (place, result.path)
            assert math.isclose(result.rcp.scale, scale, rel_tol=1e-12), (place, result.path)
            failed = any(f.rule.startswith("seed-") and f.severity == "error" for f in result.findings)
            assert failed != said["seeds"], (place, result.path)
        else:
            assert result.rcp is None
    _compare_rows(place, round, scores, official["rows"])
    return len(scores)


def _compare_rows(place: Path, round: str, scores: list[Score], rows: dict[str, dict[str, float]]) -> None:
    ours: dict[str, dict[str, float | None]] = {system: {} for system in rows}
    for score in scores:
        ours[score.system][score.benchmark] = score.minutes
    table = {row["system"]: row for row in results.table(round, submitter=place.name)}
    for system, row in rows.items():
        for benchmark in get_allowed_benchmarks("training", _RULESETS[round]):
            mine, minutes = ours[system].get(benchmark), row.get(benchmark)
            assert table.get(system, {}).get(benchmark) == mine, "shipped round"
            if minutes is None:
                assert mine is None, (place, system, benchmark)
            else:
                assert mine is not None
                assert abs(mine - minutes) <= 1e-9, (place, system, benchmark)
