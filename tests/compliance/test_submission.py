import os
from pathlib import Path

import pytest

import made_results
from made_logs import write_log
from pitboard.compliance import check_tree
from pitboard.compliance.layout import MAX_DEPTH, printable
from pitboard.compliance.rules import RULES
from pitboard.errors import PitboardError


def _found(report, rule):
    return [finding for finding in report.every_finding() if finding.rule == rule]


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "round" / "Acme"
    made_results.submit(folder)
    return folder


def test_a_round_is_judged_submission_by_submission(place):
    made_results.submit(place.parent / "Bolt", system="rig")

    report = check_tree(place.parent, "5.1")

    assert [(r.submitter, r.system, r.benchmark, r.valid) for r in report.results] == [
        ("Acme", "box", "llama31_8b", True),
        ("Bolt", "rig", "llama31_8b", True),
    ]
    assert report.valid
    assert report.results[0].path == "Acme/results/box/llama31_8b"


def test_a_result_folder_alone_finds_its_description(place):
    report = check_tree(place / "results" / "box" / "llama31_8b", "5.1")

    assert (report.results[0].submitter, report.results[0].description.accelerators) == ("Acme", 16)


def test_a_result_whose_logs_are_all_lost_is_a_finding_and_the_rest_is_judged(place):
    lost = place / "results" / "box" / "flux1"
    lost.mkdir()
    (lost / "scaling.json").write_text('{"scaling_factor": 1.0}')

    report = check_tree(place, "5.1")

    assert not report.valid
    assert {r.benchmark: r.valid for r in report.results} == {"flux1": False, "llama31_8b": True}
    assert _found(report, "result-runs")[0].found == 0


def test_an_invalid_run_that_is_dropped_leaves_result_and_submission_valid(place):
    write_log(place / "results" / "box" / "llama31_8b" / "result_0.txt", made_results.run_log(100)[:-1])

    report = check_tree(place, "5.1")

    assert [log.valid for log in report.logs].count(False) == 1
    assert report.valid


def test_code_missing_everywhere_is_one_warning_and_missing_once_is_named(place):
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


def test_a_link_out_of_the_tree_is_not_followed(place, tmp_path):
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


def test_a_link_inside_the_tree_counts_as_its_file(place):
    folder = place / "results" / "box" / "llama31_8b"
    (folder / "result_3.txt").rename(place / "kept.txt")
    (folder / "result_3.txt").symlink_to(place / "kept.txt")

    assert check_tree(place, "5.1").valid


def test_names_that_git_takes_badly_are_named_and_printable(place):
    names = ["a b", ".hidden", "bell\a", "line\nbreak", os.fsdecode(b"bad\xff")]
    for name in names:
        (place / "benchmarks" / name).mkdir()

    found = {f.file for f in _found(check_tree(place, "5.1"), "package-name")}

    assert found == {f"benchmarks/{printable(name)}" for name in names}
    assert all(file.isprintable() and file.encode() for file in found)


def test_a_huge_file_is_named_by_its_size(place):
    with (place / "benchmarks" / "weights.bin").open("wb") as file:
        file.truncate(60 << 20)

    (finding,) = _found(check_tree(place, "5.1"), "package-oversized")

    assert (finding.file, finding.found) == ("benchmarks/weights.bin", 60 << 20)


def test_a_pipe_is_not_opened(place):
    os.mkfifo(place / "systems" / "pipe.json")
    os.mkfifo(place / "results" / "box" / "llama31_8b" / "scaling.json")

    assert {f.file for f in _found(check_tree(place, "5.1"), "package-stray")} == {
        "systems/pipe.json",
        "results/box/llama31_8b/scaling.json",
    }


def test_folders_without_end_are_given_up(place):
    deep = place / "benchmarks"
    for _ in range(MAX_DEPTH + 5):
        deep /= "d"
    deep.mkdir(parents=True)

    assert len(_found(check_tree(place, "5.1"), "package-unreadable")) == 1


def test_a_huge_description_is_not_read(place):
    with (place / "systems" / "box.json").open("wb") as file:
        file.truncate(1 << 30)

    (finding,) = _found(check_tree(place, "5.1"), "system-damaged")

    assert "larger than" in finding.message


@pytest.mark.parametrize(
    "text", ['{"a": ' * 100_000, "\udcff".encode("utf-8", "surrogateescape"), "null", "NaN"]
)
def test_a_damaged_description_is_a_finding(place, text):
    path = place / "systems" / "box.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    report = check_tree(place, "5.1")

    assert len(_found(report, "system-damaged")) == 1
    assert report.results[0].submitter == "Acme"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"scaling_factor": "x"}', '{"scaling_factor": -1}', '{"scaling_factor": NaN}']
)
def test_a_damaged_factor_is_a_finding(place, text):
    (place / "results" / "box" / "llama31_8b" / "scaling.json").write_text(text)

    assert len(_found(check_tree(place, "5.1"), "result-scaling-damaged")) == 1


def test_settings_that_differ_are_named_with_the_odd_run(place):
    odd = place / "results" / "box" / "llama31_8b" / "result_7.txt"
    write_log(odd, made_results.run_log(7, made_results.SAMPLES[1], opt_base_learning_rate=0.002))

    (finding,) = _found(check_tree(place, "5.1"), "result-settings")

    assert (finding.severity, finding.file) == ("warning", "results/box/llama31_8b/result_7.txt")
    assert finding.found == ["0.001 (9 runs)", "0.002 (1 runs)"]


def test_a_folder_without_any_log_cannot_be_checked(tmp_path):
    with pytest.raises(PitboardError, match="No log under"):
        check_tree(tmp_path)


def test_every_rule_that_a_finding_can_carry_is_explained():
    source = Path(__file__).parents[2] / "src" / "pitboard" / "compliance"
    used = set()
    for path in source.glob("*.py"):
        for part in path.read_text().split('rule="')[1:]:
            used.add(part.partition('"')[0])
    assert used
    assert used <= set(RULES)
