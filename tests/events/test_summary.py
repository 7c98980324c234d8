"""The summary of a log: what the one pass over the file gathers, and that nothing else is needed for it."""

import ast
import gzip
from pathlib import Path

import pytest
from backports import zstd

import pitboard.events
from made_logs import as_text, event, valid_log
from pitboard.events import Run, Statistic, read_log


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    log = [
        *valid_log(),
        event("tracked_stats", {"throughput": 2.0, "step": 1, "text": "no number", "not a name": 1.0}),
        event("tracked_stats", {"throughput": 4, "step": True}),
        event("tracked_stats", {"throughput": 1e31}),
        event("tracked_stats", "no object"),
        # A number a rank: what is said of them is over the ranks.
        event("tracked_stats", {"rank_compute_seconds": [1.0, 5.0, 2.0], "rank_lost": [1.0, "no number"]}),
        event("tracked_stats", {"rank_compute_seconds": [3.0, 5.0, 2.0], "others": [1.0, 2.0]}),
        event("tensor_parallelism", 4),
        event("lowest_numerical_precision_in_linear", "fp8"),
    ]
    path = tmp_path / "result_0.txt"
    path.write_text("0:   precision: bf16\n" + as_text(log))
    return path


def test_a_summary_has_the_run_its_statistics_and_its_disclosures(log_path: Path) -> None:
    log = read_log(log_path)

    summary = log.summary
    assert summary.run == Run.from_events(log.events)
    assert summary.statistics == [
        Statistic("rank_compute_seconds", 3, 2.0, 2.0, 5.0),
        Statistic("step", 2, 1.0, 1.0, 1.0),
        Statistic("throughput", 2, 2.0, 3.0, 4.0),
    ]
    assert summary.disclosures == {"lowest_numerical_precision_in_linear": "fp8", "tensor_parallelism": 4}
    assert summary.precision is not None
    assert (summary.precision.name, summary.precision.certain) == ("FP8", True)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_packed_log_has_the_summary_of_the_plain_one(pack: "type[bytes]", log_path: Path) -> None:
    log_path.write_bytes(b"0:   fp8: true\n0:   fp8_recipe: mxfp8\n" + log_path.read_bytes())
    plain = read_log(log_path).summary
    log_path.write_bytes(pack(log_path.read_bytes()))

    assert plain.precision is not None
    assert (plain.precision.name, plain.precision.source) == (
        "MXFP8",
        "log line 1: fp8: true, recipe mxfp8 (run's settings)",
    )
    assert read_log(log_path).summary == plain


def test_evaluation_time_counts_within_the_run_only(tmp_path: Path) -> None:
    marks = [("eval_start", 0), ("run_start", 1), ("eval_stop", 3), ("eval_start", 4), ("eval_stop", 6)]
    marks += [("eval_stop", 7), ("run_stop", 8), ("eval_start", 9), ("eval_stop", 20)]
    path = tmp_path / "result_0.txt"
    path.write_text(as_text([event(key, None, minute) for key, minute in marks]))

    assert read_log(path).summary.evaluation_minutes == 5


def test_events_know_nothing_of_the_rooms_that_read_them() -> None:
    folder = Path(pitboard.events.__file__).parent
    imported = {
        node.module
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pitboard.")
    }

    rooms = {module.split(".")[1] for module in imported}
    assert rooms <= {"events", "errors", "files", "suite", "text"}
