import json
import os
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_results
from made_logs import valid_log, write_log
from pitboard.cli.score import as_json
from pitboard.compliance import TreeReport, check_tree
from pitboard.compliance.inventory import MAX_DEPTH
from pitboard.compliance.rule import Finding
from pitboard.compliance.submission.system import FIELDS
from pitboard.errors import PitboardError
from pitboard.scoring import score_tree
from pitboard.text import printable


def _found(report: TreeReport, rule: str) -> list[Finding]:
    return [finding for finding in report.every_finding() if finding.rule == rule]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "round" / "Acme"
    made_results.submit(folder)
    return folder


def test_a_round_is_judged_submission_by_submission(place: Path) -> None:
    made_results.submit(place.parent / "Bolt", system="rig")

    report = check_tree(place.parent, "5.1")

    assert [(r.submitter, r.system, r.benchmark, r.valid) for r in report.results] == [
        ("Acme", "box", "llama31_8b", True),
        ("Bolt", "rig", "llama31_8b", True),
    ]
    assert report.valid
    assert report.results[0].path == "Acme/results/box/llama31_8b"


def test_a_result_folder_alone_finds_its_description(place: Path) -> None:
    report = check_tree(place / "results" / "box" / "llama31_8b", "5.1")

    (result,) = report.results
    assert result.description is not None
    assert (result.submitter, result.description.accelerators) == ("Acme", 16)


def test_a_result_whose_logs_are_all_lost_is_a_finding_and_the_rest_is_judged(place: Path) -> None:
    lost = place / "results" / "box" / "flux1"
    lost.mkdir()
    (lost / "scaling.json").write_text('{"scaling_factor": 1.0}')

    report = check_tree(place, "5.1")

    assert not report.valid
    assert {r.benchmark: r.valid for r in report.results} == {"flux1": False, "llama31_8b": True}
    assert _found(report, "result-runs")[0].found == 0


def test_an_invalid_run_that_is_dropped_leaves_result_and_submission_valid(place: Path) -> None:
    write_log(place / "results" / "box" / "llama31_8b" / "result_0.txt", made_results.run_log(100)[:-1])

    report = check_tree(place, "5.1")

    assert [log.valid for log in report.logs].count(False) == 1
    assert report.valid


def test_invalid_logs_of_an_unknown_benchmark_are_not_passed_over(place: Path) -> None:
    write_log(place / "results" / "box" / "chess" / "result_0.txt", "no log")

    report = check_tree(place, "5.1")

    assert {r.benchmark: r.valid for r in report.results} == {"chess": False, "llama31_8b": True}
    assert not report.valid


def test_code_missing_everywhere_is_one_warning_and_missing_once_is_named(place: Path) -> None:
    other = place.parent / "Bolt"
    made_results.submit(other)
    (place / "benchmarks" / "llama31_8b").rmdir()
    (place / "benchmarks").rmdir()
    assert [f.file for f in _found(check_tree(place.parent, "5.1"), "package-no-code")] == ["Acme"]

    (other / "benchmarks" / "llama31_8b").rmdir()
    assert [f.file for f in _found(check_tree(other, "5.1"), "package-no-code")] == ["."]
    (other / "benchmarks").rmdir()
    report = check_tree(place.parent, "5.1")
    assert [f.severity for f in _found(report, "package-no-code")] == ["warning"]
    assert report.valid


def test_a_link_out_of_the_tree_is_not_followed(place: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    write_log(outside / "result_0.txt", made_results.run_log(1))
    (place / "results" / "box" / "rgat").symlink_to(outside)
    (place / "systems" / "stolen.json").symlink_to("/etc/passwd")
    (place / "loop").symlink_to(place)
    (place / "gone").symlink_to("nowhere")

    report = check_tree(place, "5.1")

    assert {f.file for f in _found(report, "package-link")} == {
        "results/box/rgat",
        "systems/stolen.json",
        "loop",
        "gone",
    }
    assert len(report.logs) == 10
    assert "root:" not in repr(report)


def test_a_link_inside_the_tree_counts_as_its_file(place: Path) -> None:
    folder = place / "results" / "box" / "llama31_8b"
    (folder / "result_3.txt").rename(place / "kept.txt")
    (folder / "result_3.txt").symlink_to(place / "kept.txt")

    assert check_tree(place, "5.1").valid


def test_names_that_git_takes_badly_are_named_and_printable(place: Path) -> None:
    names = ["a b", ".hidden", "bell\a", "line\nbreak", os.fsdecode(b"bad\xff")]
    for name in names:
        (place / "benchmarks" / name).mkdir()

    found = {f.file for f in _found(check_tree(place, "5.1"), "package-name")}

    assert found == {f"benchmarks/{printable(name)}" for name in names}
    assert all(file.isprintable() and file.encode() for file in found)


def test_a_huge_file_is_named_by_its_size(place: Path) -> None:
    with (place / "benchmarks" / "weights.bin").open("wb") as file:
        file.truncate(60 << 20)

    (finding,) = _found(check_tree(place, "5.1"), "package-oversized")

    assert (finding.file, finding.found) == ("benchmarks/weights.bin", 60 << 20)


def test_a_pipe_is_not_opened(place: Path) -> None:
    os.mkfifo(place / "systems" / "pipe.json")
    os.mkfifo(place / "results" / "box" / "llama31_8b" / "scaling.json")

    assert {f.file for f in _found(check_tree(place, "5.1"), "package-stray")} == {
        "systems/pipe.json",
        "results/box/llama31_8b/scaling.json",
    }


def test_folders_without_end_are_given_up(place: Path) -> None:
    deep = place / "benchmarks"
    for _ in range(MAX_DEPTH + 5):
        deep /= "d"
    deep.mkdir(parents=True)

    assert len(_found(check_tree(place, "5.1"), "package-unreadable")) == 1


def test_a_huge_description_is_not_read(place: Path) -> None:
    with (place / "systems" / "box.json").open("wb") as file:
        file.truncate(1 << 30)

    (finding,) = _found(check_tree(place, "5.1"), "system-damaged")

    assert "larger than" in finding.message


@pytest.mark.parametrize(
    "text", ['{"a": ' * 100_000, "\udcff".encode("utf-8", "surrogateescape"), "null", "NaN"]
)
def test_a_damaged_description_is_a_finding(place: Path, text: str | bytes) -> None:
    path = place / "systems" / "box.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    report = check_tree(place, "5.1")

    assert len(_found(report, "system-damaged")) == 1
    assert report.results[0].submitter == "Acme"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"scaling_factor": "x"}', '{"scaling_factor": -1}', '{"scaling_factor": NaN}']
)
def test_a_damaged_factor_is_a_finding(place: Path, text: str) -> None:
    (place / "results" / "box" / "llama31_8b" / "scaling.json").write_text(text)

    assert len(_found(check_tree(place, "5.1"), "result-scaling-damaged")) == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(value=_JSON, name=st.sampled_from(FIELDS))
def test_whatever_stands_in_files_the_report_can_be_written(value: object, name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        place = Path(root) / "Acme"
        folder = made_results.submit(place, runs=3)
        made_results.describe(place, "box", **{name: value})
        (folder / "scaling.json").write_text(json.dumps({"scaling_factor": value}))
        for key in ("seed", "global_batch_size", "submission_benchmark", "submission_org", "eval_accuracy"):
            log = made_results.run_log(1)
            for each in log:
                if each["key"] == key:
                    each["value"] = value
                    each["metadata"] = {"file": value, "lineno": value, "samples_count": value}
            write_log(folder / f"result_{key}.txt", log)

        report = check_tree(place, "5.1")

        assert as_json(score_tree(report))
        assert msgspec.json.encode(report.every_finding())
        assert msgspec.json.encode([result.rcp for result in report.results])


def test_settings_that_differ_are_named_with_the_odd_run(place: Path) -> None:
    odd = place / "results" / "box" / "llama31_8b" / "result_7.txt"
    write_log(odd, made_results.run_log(7, made_results.SAMPLES[1], opt_base_learning_rate=0.002))

    (finding,) = _found(check_tree(place, "5.1"), "result-settings")

    assert (finding.severity, finding.file) == ("warning", "results/box/llama31_8b/result_7.txt")
    assert finding.found == ["0.001 in 9 of 10 runs", "0.002 in 1 of 10 runs"]


def test_a_folder_without_any_log_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="No log under"):
        check_tree(tmp_path)


def test_the_configuration_that_logs_name_is_among_the_code(tmp_path: Path) -> None:
    place = tmp_path / "Acme"
    made_results.describe(place, "box")
    write_log(place / "results" / "box" / "dlrmv4" / "result_0.txt", valid_log("dlrmv4"))
    code = place / "benchmarks" / "dlrmv4" / "implementations" / "config.sh"
    code.parent.mkdir(parents=True)
    (code.parent / "other.sh").write_text("")

    (finding,) = _found(check_tree(place, "6.1"), "package-configuration")
    assert finding.message == "The log names the configuration 'config.sh', which is not among the code"
    code.write_text("")
    assert _found(check_tree(place, "6.1"), "package-configuration") == []
