"""What lies beside the logs of a result decides as little as it does officially, and never a score."""

import json
from pathlib import Path

import pytest

import made_results
from made_logs import write_log
from pitboard.compliance import check_tree
from pitboard.compliance.rule import Finding
from pitboard.scoring import score_tree


def _found(place: Path, rule: str) -> list[Finding]:
    return [finding for finding in check_tree(place, "5.1").every_finding() if finding.rule == rule]


@pytest.mark.parametrize(
    ("names", "fine"),
    [
        (["node_0.txt"], True),
        (["node_1.txt"], False),
        (["node_1.txt", "nodes_1_to_1.png"], True),
        (["node_0.txt", "node_0.csv"], True),
        (["node_00.txt", "node_1.txt", "sw_0.txt"], True),
        (["node_0.txt", "sw_1.txt"], False),
        (["node.txt"], False),
    ],
)
def test_power_files_are_counted_as_officially(names: list[str], fine: bool, tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        for name in names:
            file = folder / "power" / f"result_{run}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    assert check_tree(tmp_path / "Acme", "5.1").results[0].valid is fine
    assert bool(_found(tmp_path / "Acme", "power-names")) is not fine


@pytest.mark.parametrize("factor", [0.5, 1.25])
def test_a_factor_that_is_not_the_tests_is_a_warning_and_not_used(factor: float, tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    (expected,) = score_tree(check_tree(tmp_path / "Acme", "5.1"))
    (folder / "scaling.json").write_text(json.dumps({"scaling_factor": factor}))

    report = check_tree(tmp_path / "Acme", "5.1")

    (score,) = score_tree(report)
    assert (score.minutes, score.rcp_scale, score.unused_scale) == (expected.minutes, 1.0, factor)
    (finding,) = _found(tmp_path / "Acme", "result-scaling-differs")
    assert finding.severity == "warning"
    (published,) = score_tree(report, published=True)
    assert published.minutes == pytest.approx((expected.minutes or 0) * factor)


def test_a_waived_failure_of_the_rcp_test_writes_no_factor(tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        write_log(folder / f"result_{run}.txt", made_results.run_log(run, samples=92160, minutes=20 + run))
    (failed,) = check_tree(tmp_path / "Acme", "5.1").results
    assert failed.rcp is not None
    assert not failed.rcp.passed
    assert failed.rcp.scale > 1.5
    (folder / "package_checker_params").write_text("rcp-bypass")

    report = check_tree(tmp_path / "Acme", "5.1")

    assert report.results[0].valid
    (score,) = score_tree(report)
    assert (score.minutes, score.rcp_scale) == (24.5, 1.0)


def test_a_folder_of_another_name_is_judged_as_what_its_logs_say(tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        write_log(folder / f"result_{run}.txt", made_results.run_log(run, samples=92160, minutes=20 + run))
    renamed = folder.rename(tmp_path / "my_runs")

    report = check_tree(renamed, "5.1")

    assert report.results[0].benchmark == "llama31_8b"
    assert not report.valid
    assert [f.rule for f in report.results[0].findings if f.severity == "error"] == ["rcp-too-fast"]
    assert len(_found(renamed, "result-benchmark")) == 1


def test_a_byte_order_mark_in_a_description_is_an_error(tmp_path: Path) -> None:
    made_results.submit(tmp_path / "Acme")
    path = tmp_path / "Acme" / "systems" / "box.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (finding,) = _found(tmp_path / "Acme", "system-damaged")
    assert "byte-order mark" in finding.message
    assert not check_tree(tmp_path / "Acme", "5.1").valid
