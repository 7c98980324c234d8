import gzip
import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

import made_results
from pitboard.compliance import check_tree
from pitboard.compliance.submission.package import build_package
from pitboard.errors import PitboardError


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """What runs leave behind: logs, and nothing else."""
    made_results.submit(tmp_path / "made")
    (tmp_path / "made" / "systems" / "box.json").unlink()
    (tmp_path / "made" / "systems").rmdir()
    return tmp_path / "made"


@pytest.fixture
def described(output: Path) -> Path:
    """The same with all that a submission needs."""
    made_results.describe(output, submitter="Acme", hw_notes="fast")
    (output / "benchmarks" / "llama31_8b" / "README.md").write_text("torchrun …")
    return output


def _names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_a_complete_output_becomes_a_valid_submission(described: Path, tmp_path: Path) -> None:
    packed = build_package(described, tmp_path / "out" / "acme.tar.gz", "Acme", "5.1")

    assert packed.report.valid
    assert packed.drafts == []
    assert all("still empty" in sentence for sentence in packed.missing)
    with tarfile.open(packed.archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    place = tmp_path / "unpacked" / "Acme"
    assert check_tree(place, "5.1").valid
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=place, check=True)
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "acme.tar.gz.sha256"], cwd=tmp_path / "out", check=True
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["acme.tar.gz", "acme.tar.gz.sha256"]


def test_equal_inputs_give_equal_bytes(described: Path, tmp_path: Path) -> None:
    first = build_package(described, tmp_path / "a.tar.gz", "Acme", "5.1")
    for path in described.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)

    second = build_package(described, tmp_path / "b.tar.gz", "Acme", "5.1")

    assert first.archive.read_bytes() == second.archive.read_bytes()
    assert first.sha256 == hashlib.sha256(second.archive.read_bytes()).hexdigest()


def test_an_archive_is_packed_as_the_folder_that_it_holds(output: Path, tmp_path: Path) -> None:
    given = tmp_path / "runs.tar.gz"
    with tarfile.open(given, "w:gz") as tar:
        tar.add(output, ".")

    packed = build_package(given, tmp_path / "acme.tar.gz", "Acme", "5.1")

    assert packed.drafts == [Path("systems/box.json")]
    assert packed.sha256 == build_package(output, tmp_path / "b.tar.gz", "Acme", "5.1").sha256
    with pytest.raises(PitboardError, match="is what is to be packed"):
        build_package(given, given, "Acme", "5.1")


def test_a_description_is_drafted_from_the_logs_and_never_overwritten(output: Path, tmp_path: Path) -> None:
    packed = build_package(output, tmp_path / "a.tar.gz", round="5.1")

    (draft,) = packed.drafts
    fields = json.loads(draft.read_text())
    assert (fields["submitter"], fields["division"], fields["status"]) == (
        "Pitboard",
        "closed",
        "Available on-premise",
    )
    assert not packed.report.valid
    assert any("number_of_nodes" in sentence for sentence in packed.missing)
    assert _names(packed.archive)[0].startswith("Pitboard/")

    draft.write_text("mine")
    assert build_package(output, tmp_path / "a.tar.gz", round="5.1").drafts == []
    assert draft.read_text() == "mine"


def test_what_is_missing_is_named(described: Path, tmp_path: Path) -> None:
    (described / "results" / "box" / "llama31_8b" / "result_9.txt").unlink()
    (described / "benchmarks" / "llama31_8b" / "README.md").unlink()

    missing = build_package(described, tmp_path / "a.tar.gz", "Acme", "5.1").missing

    assert any("has 10 runs, this one has 9" in sentence for sentence in missing)
    assert any("no code" in sentence for sentence in missing)


def test_a_packed_log_is_unpacked_as_the_official_tools_want_it(described: Path, tmp_path: Path) -> None:
    log = described / "results" / "box" / "llama31_8b" / "result_3.txt"
    log.with_name("result_3.txt.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()

    packed = build_package(described, tmp_path / "a.tar.gz", "Acme", "5.1")

    assert packed.report.valid
    assert "Acme/results/box/llama31_8b/result_3.txt" in _names(packed.archive)


def test_links_and_strangers_stay_outside(described: Path, tmp_path: Path) -> None:
    (described / "benchmarks" / "passwd").symlink_to("/etc/passwd")
    (described / "results" / "box" / "llama31_8b" / "notes.txt").write_text("draft")

    names = _names(build_package(described, tmp_path / "a.tar.gz", "Acme", "5.1").archive)

    assert not any(name.endswith(("passwd", "notes.txt")) for name in names)


@pytest.mark.parametrize("submitter", ["../up", "a b", ".hidden", "a/b"])
def test_a_submitter_that_names_no_folder_is_refused(described: Path, tmp_path: Path, submitter: str) -> None:
    with pytest.raises(PitboardError, match="--submitter"):
        build_package(described, tmp_path / "a.tar.gz", submitter, "5.1")


def test_an_archive_that_cannot_be_written_leaves_nothing(described: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").mkdir()
    before = sorted(tmp_path.iterdir())

    with pytest.raises(PitboardError, match="Cannot pack"):
        build_package(described, tmp_path / "a.tar.gz", "Acme", "5.1")

    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="No run to pack"):
        build_package(tmp_path)
