"""Which round logs belong to: the one that was open when they were run, not the most lenient."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

import made_results
from made_logs import Event, valid_log, write_log
from pitboard.compliance import check_tree

DAY = 86_400_000
OCTOBER_2025 = 1_760_000_000_000


def _moved(log: list[Event], days: int) -> list[Event]:
    return [each | {"time_ms": each["time_ms"] + days * DAY} for each in log]


@pytest.mark.parametrize(
    ("days", "round"),
    [(0, "5.1"), (60, "6.0"), (360, "6.1"), (3000, "6.1"), (-300, "5.1"), (-9000, "6.0")],
    ids=[
        "in its round",
        "in the next",
        "in the one after",
        "in none yet",
        "before its first",
        "with no clock",
    ],
)
def test_it_is_the_round_that_was_open(days: int, round: str, tmp_path: Path) -> None:
    log = write_log(tmp_path / "result_0.txt", _moved(valid_log(), days))
    assert check_tree(log).round == round


def test_a_later_round_is_not_avoided_for_its_stricter_rules(tmp_path: Path) -> None:
    """Round 6.1 wants nine keys more than 6.0, in which this log would be valid."""
    log = write_log(tmp_path / "result_0.txt", _moved(valid_log(), 360))
    report = check_tree(log)
    assert report.round == "6.1"
    missing = [f for f in report.every_finding() if f.rule == "log-missing-key"]
    assert len(missing) == 9
    assert check_tree(log, "6.0").valid


@pytest.mark.parametrize("cut", [0, 1, 400, 2000])
@pytest.mark.parametrize("number", [0, 5, 9])
def test_one_broken_log_does_not_decide(cut: int, number: int, tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    log = folder / f"result_{number}.txt"
    log.write_bytes(log.read_bytes()[:cut])
    report = check_tree(tmp_path / "Acme")
    assert report.round == "5.1"
    assert [each.valid for each in report.logs].count(False) == 1


def test_a_submission_is_of_the_round_of_its_latest_result(tmp_path: Path) -> None:
    """Intel in v3.1 and Clemson in v4.1 had more runs of the round before than of their own."""
    submitter = tmp_path / "Acme"
    older = made_results.submit(submitter)
    results = [older.parents[1] / name / older.name for name in ("box1", "box2", "new")]
    for folder in results:
        made_results.describe(submitter, folder.parent.name)
        shutil.copytree(older, folder)
    log = _moved(valid_log(), 60)
    for path in results[-1].glob("result_*.txt"):
        write_log(path, log)
    report = check_tree(submitter)
    assert report.round == "6.0"
    day = next(
        datetime.fromtimestamp(each["time_ms"] / 1000, UTC) for each in log if each["key"] == "run_start"
    )
    assert report.told == (
        f"Told from its newest run, of {day.date()}: the first round with its benchmark that was published "
        "after it (2026-06-16). Runs that were entered again in a later round look the same: if these were, "
        "name that round, as in --round 6.1."
    )
    # A clock that was not set decides nothing in a result, and a round that is named needs no telling.
    for folder in results:
        shutil.rmtree(folder.parent)
    write_log(older / "result_0.txt", _moved(valid_log(), 3000))
    assert check_tree(submitter).round == "5.1"
    assert check_tree(submitter, "5.0").told is None


@pytest.mark.parametrize("time", ["1e300", "-1e300", "99999999999999999999"])
def test_a_time_that_is_no_day_stops_nothing(time: str, tmp_path: Path) -> None:
    """Of a benchmark that only the newest round has, any time is taken."""
    path = write_log(tmp_path / "result_0.txt", valid_log("dlrmv4"))
    path.write_text(re.sub(r'"time_ms": \d+', f'"time_ms": {time}', path.read_text()))
    report = check_tree(path)
    assert report.round == "6.1"
    assert report.told in (
        "Told from its newest run: the first round with its benchmark whose results are not out yet.",
        "No log has a plausible time: told by the rules that they break least.",
    )
