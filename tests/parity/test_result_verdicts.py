"""For every result of the published rounds, RCP verdict, factor, seeds and score are the official ones."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import official_package
import pytest

from pitboard import results
from pitboard.compliance import TreeReport, check_tree
from pitboard.scoring import Score, score_tree

# Without CI a few submitters that between them have failed runs, power results, an open division, a factor, …
_SAMPLE = {"5.1": ("ASUSTeK", "MiTAC", "Krai"), "5.0": ("ASUSTeK", "TinyCorp", "SCITIX")}
_RULESETS = {"5.1": "5.1.0", "5.0": "5.0.0"}
_RESULTS = {"5.1": 184, "5.0": 201}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def _places(root: Path, round: str) -> list[Path]:
    places = sorted(folder for folder in root.iterdir() if folder.is_dir())
    if os.environ.get("CI") == "true":
        return places
    return [place for place in places if place.name in _SAMPLE[round]]


@pytest.mark.parametrize("round", _RULESETS)
def test_every_result_is_judged_and_scored_as_official(round: str, published: Callable[[str], Path]) -> None:
    root = published(round)
    places = _places(root, round)
    assert places
    # Not forked: DuckDB's threads, which another test of this process may have started, do not survive it.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        compared = sum(pool.map(partial(_compare, round=round), places))
    assert compared == _RESULTS[round] or os.environ.get("CI") != "true"


def _compare(place: Path, round: str) -> int:
    report = check_tree(place, round)
    scores = score_tree(report)
    for result in report.results:
        folder = place / result.path
        if result.division == "closed":
            assert result.rcp is not None
            official = official_package.rcp(folder, _RULESETS[round])
            assert official is not None, folder
            assert (result.rcp.passed, result.rcp.verdict) == official[:2], folder
            assert math.isclose(result.rcp.scale, official[2], rel_tol=1e-12), folder
            failed = any(f.rule.startswith("seed-") and f.severity == "error" for f in result.findings)
            assert failed != official_package.seeds_pass(folder, _RULESETS[round]), folder
        else:
            assert result.rcp is None
    _compare_rows(place, round, report, scores)
    return len(scores)


def _compare_rows(place: Path, round: str, report: TreeReport, scores: list[Score]) -> None:
    verdicts = {str(place / log.path): log.valid for log in report.logs}
    rows = official_package.rows(place, _RULESETS[round], verdicts.__getitem__)
    ours: dict[str, dict[str, float | None]] = {system: dict.fromkeys(row) for system, row in rows.items()}
    for score in scores:
        ours[score.system][score.benchmark] = score.minutes
    table = {row["system"]: row for row in results.table(round, submitter=place.name)}
    for system, row in rows.items():
        for benchmark, minutes in row.items():
            mine = ours[system][benchmark]
            assert table.get(system, {}).get(benchmark) == mine, "shipped round"
            # An absent score is `None` in the row and NaN in the table.
            if minutes is None or math.isnan(minutes):
                assert mine is None, (place, system, benchmark)
            else:
                assert mine is not None
                assert abs(mine - minutes) <= 1e-9, (place, system, benchmark)
