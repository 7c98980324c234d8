"""Rounds before the newest two: verdicts, RCP tests, seeds, scores and energies are the official ones.

In every run a sample of each round is compared with what `recorded` has of the official tool, and with the
tool itself; `PITBOARD_PARITY=all` compares every log and result of these rounds (half an hour or more).
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

import official_checker
import official_package
import pytest
import recorded

from pitboard.compliance import ResultReport, TreeReport, check_tree
from pitboard.compliance.inventory import Inventory
from pitboard.compliance.log.round import sampled, told_round
from pitboard.events import read_log
from pitboard.scoring import Score, score_tree
from pitboard.suite import find_round
from published_rounds import unpacked

# Small, and between them: both divisions, metrics in lines of their own, sizes beyond the reference points,
# benchmarks that are gone, and power before and after the power supplies.
_SAMPLE = {
    "1.0": ("Graphcore", "Habana"),
    "2.0": ("HazyResearch", "MosaicML"),
    "3.1": ("Intel-HabanaLabs",),
    "4.0": ("JuniperNetworks", "smc-dc-power/systems", "smc-dc-power/results/8xSMC-H100-SXM-80GB"),
    "4.1": ("FlexAI", "tinycorp"),
}
# All of their runs were made before the round before was published, and nothing else of theirs is younger.
_TOLD_OTHERWISE = {("3.1", "Azure"): "3.0.0", ("4.1", "Krai"): "3.1.0"}
# Clemson entered more runs of a year before than of its own round.
_RUN_EARLIER = {"4.1": ("Clemson", "Krai")}
_ALL = os.environ.get("PITBOARD_PARITY") == "all"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if _ALL else 1800)]


@pytest.mark.parametrize("round", _SAMPLE)
def test_an_older_round_is_judged_and_scored_as_official(
    round: str, archive: Callable[[str], Path], published: Callable[[str], Path]
) -> None:
    file = archive(round)
    root = published(round) if _ALL else unpacked(file, *_SAMPLE[round])
    ruleset = find_round(round).ruleset
    answers = recorded.answers(round, file)
    results = 0
    for place in sorted(folder for folder in root.iterdir() if folder.is_dir()):
        report = check_tree(place, round)
        official = answers["places"].get(place.name) if answers else None
        if answers and official:
            not_valid = {
                log.partition("/")[2] for log in answers["logs_not_valid"] if log.startswith(f"{place.name}/")
            }
        else:
            official = recorded.ask(place, ruleset)
            not_valid = {
                str(Path(log).relative_to(place)) for log, valid in official["logs"].items() if not valid
            }
        ours = {log.path: log.valid for log in report.logs}
        assert {log for log, valid in ours.items() if not valid} == not_valid & ours.keys(), place
        for result, score in zip(report.results, score_tree(report, published=True), strict=True):
            _compare(place, result, score, official["results"][result.path])
            results += 1
        _ask_about_some(place, ruleset, report, official["results"], not_valid)
    assert results >= 2


def _compare(place: Path, result: ResultReport, score: Score, said: recorded.Answers) -> None:
    where = (place, result.path)
    if result.division == "closed" and said["rcp"] is not None:
        assert result.rcp is not None, where
        passed, verdict, scale = said["rcp"]
        assert result.rcp.passed == passed, where
        if result.rcp.verdict == "Too few runs":
            # The official tool compares with NaN: docs/differences-score.md.
            assert math.isnan(scale), where
        else:
            assert result.rcp.verdict == verdict, where
            assert math.isclose(result.rcp.scale, scale, rel_tol=1e-9), where
    if result.division == "closed":
        failed = any(f.rule.startswith("seed-") and f.severity == "error" for f in result.findings)
        assert failed != said["seeds"], where
    # Without an answer the official tool ends in a traceback: a run has no power files, or has no window.
    minutes, energy = said["score"] or (score.minutes, None)
    if minutes is None and result.rcp is not None and result.rcp.verdict == "Too few runs":
        # Their plain mean is given, as what is not valid: docs/differences-score.md.
        assert not score.valid, where
        return
    for ours, theirs in ((score.minutes, minutes), (score.joules, energy)):
        assert (ours is None) == (theirs is None), where
        assert ours is None or math.isclose(ours, float(theirs or 0), rel_tol=1e-9), where


def _ask_about_some(
    place: Path, ruleset: str, report: TreeReport, said: recorded.Answers, not_valid: set[str]
) -> None:
    """Ask the official tool itself: about a log of each benchmark, and all of one result."""
    for path in {path.split("/")[-2]: path for path in (log.path for log in report.logs)}.values():
        assert bool(official_checker.verdict(place / path, ruleset)) == (path not in not_valid), path
    result = max(report.results, key=lambda result: (bool(result.watts), -len(result.logs)))
    folder = place / result.path
    rcp = official_package.rcp(folder, ruleset)
    recorded_rcp = said[result.path]["rcp"]
    assert repr(rcp and list(rcp)) == repr(recorded_rcp and list(recorded_rcp))  # NaN is not itself
    valid = {str(place / log.path): log.valid for log in report.logs}
    score = official_package.score(folder, ruleset, lambda log: valid[log])
    assert score == said[result.path]["score"]


@pytest.mark.parametrize("round", _SAMPLE)
def test_an_older_round_is_told_from_its_logs(
    round: str, archive: Callable[[str], Path], published: Callable[[str], Path]
) -> None:
    sample = (*_SAMPLE[round], *_RUN_EARLIER.get(round, ()))
    root = published(round) if _ALL else unpacked(archive(round), *sample)
    for place in sorted(folder for folder in root.iterdir() if folder.is_dir()):
        told = told_round([read_log(path) for path in sampled(Inventory(place).logs)]).ruleset
        assert told == _TOLD_OTHERWISE.get((round, place.name), find_round(round).ruleset), place
