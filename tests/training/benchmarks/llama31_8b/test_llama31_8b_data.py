"""Verifying a download: each kind of damage is found, and named with the file it is in."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.llama31_8b import downloads
from pitboard.training.data.megatron import write_indexed_dataset
from pitboard.training.data.verify import Status, verify

TRAIN, VALIDATION = downloads.TRAIN.prefix, downloads.VALIDATION.prefix


def statuses(root: Path) -> dict[str, Status]:
    return {report.file: report.status for report in verify("llama31_8b", root)}


def problems(root: Path, *, checksums: bool = True) -> dict[str, tuple[Status, str]]:
    found = verify("llama31_8b", root, checksums=checksums)
    return {r.file: (r.status, r.detail) for r in found if r.status != "ok"}


def test_a_whole_download(whole_download: Path) -> None:
    read: dict[str, tuple[int, int]] = {}
    reports = verify(
        "llama31_8b", whole_download, on_read=lambda file, done, size: read.update({file: (done, size)})
    )
    assert {report.file: (report.status, report.detail) for report in reports} == {
        f"{TRAIN}.idx": (
            "ok",
            "100 documents, 9,300 tokens of uint8; MD5 matches llama-3-1-8b-preprocessed-c4-dataset.md5",
        ),
        f"{TRAIN}.bin": (
            "ok",
            "9,300 bytes, as the index says; MD5 matches llama-3-1-8b-preprocessed-c4-dataset.md5",
        ),
        f"{VALIDATION}.idx": (
            "ok",
            "91,205 documents, 8,482,065 tokens of uint8; MD5 matches"
            " llama-3-1-8b-preprocessed-c4-dataset.md5",
        ),
        f"{VALIDATION}.bin": (
            "ok",
            "8,482,065 bytes, as the index says; MD5 matches llama-3-1-8b-preprocessed-c4-dataset.md5",
        ),
        "tokenizer/tokenizer.json": ("ok", "128,256 tokens; MD5 matches llama-3-1-8b-tokenizer.md5"),
        "tokenizer/tokenizer_config.json": ("ok", "a JSON object; MD5 matches llama-3-1-8b-tokenizer.md5"),
    }
    assert set(read) == {report.file for report in reports}
    assert all(done == size for done, size in read.values())


def test_nothing_there(tmp_path: Path) -> None:
    assert set(statuses(tmp_path / "absent").values()) == {"missing"}


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PitboardError, match="is not a folder"):
        verify("llama31_8b", tmp_path / "file")


def test_a_truncated_file_is_named_and_spoils_no_other(download: Path) -> None:
    (download / f"{VALIDATION}.bin").write_bytes((download / f"{VALIDATION}.bin").read_bytes()[:-1])
    found = problems(download)
    assert list(found) == [f"{VALIDATION}.bin"]
    assert found[f"{VALIDATION}.bin"][0] == "wrong"
    assert "8482064 bytes long, expected 8482065" in found[f"{VALIDATION}.bin"][1]


def test_a_truncated_index_leaves_its_data_unchecked(download: Path) -> None:
    (download / f"{TRAIN}.idx").write_bytes((download / f"{TRAIN}.idx").read_bytes()[:100])
    found = problems(download)
    assert {file: status for file, (status, _) in found.items()} == {
        f"{TRAIN}.idx": "wrong",
        f"{TRAIN}.bin": "unchecked",
    }


def test_a_changed_byte_is_found_by_its_checksum_alone(download: Path) -> None:
    data = bytearray((download / f"{TRAIN}.bin").read_bytes())
    data[-1] ^= 1
    (download / f"{TRAIN}.bin").write_bytes(data)
    assert not problems(download, checksums=False)
    found = problems(download)
    assert list(found) == [f"{TRAIN}.bin"]
    assert f"has MD5 {hashlib.md5(data).hexdigest()}, expected " in found[f"{TRAIN}.bin"][1]


def test_sha256_lists_and_a_list_in_the_root(download: Path) -> None:
    (download / "tokenizer" / "llama-3-1-8b-tokenizer.md5").unlink()
    name = "tokenizer/tokenizer.json"
    right = hashlib.sha256((download / name).read_bytes()).hexdigest()
    (download / "sha256sums.txt").write_text(f"# sums\n{right.upper()} *{name}\n")
    report = next(report for report in verify("llama31_8b", download) if report.file == name)
    assert (report.status, report.detail) == ("ok", "128,256 tokens; SHA256 matches sha256sums.txt")
    (download / "sha256sums.txt").write_text(f"{'0' * 64}  {name}\n")
    assert list(problems(download)) == [name]


def test_without_lists_the_rest_is_verified(download: Path) -> None:
    for sums in download.rglob("*.md5"):
        sums.unlink()
    assert all(
        r.status == "ok" and r.detail.endswith("; no checksum listed") for r in verify("llama31_8b", download)
    )


def test_another_count_of_documents(download: Path) -> None:
    write_indexed_dataset(download / VALIDATION, [np.zeros(93, dtype=np.uint8)] * 91_204, np.uint8)
    status, detail = problems(download)[f"{VALIDATION}.idx"]
    assert status == "wrong"
    assert detail.startswith("91,204 documents, 8,481,972 tokens")
    assert detail.endswith("expected 91,205 documents")


def test_too_few_tokens_to_evaluate(download: Path) -> None:
    write_indexed_dataset(download / VALIDATION, [np.zeros(9, dtype=np.uint8)] * 91_205, np.uint8)
    found = problems(download, checksums=False)
    assert list(found) == [f"{VALIDATION}.bin"]
    assert (
        "enough for 100 evaluation sequences of 8192, and 1024 are asked for" in found[f"{VALIDATION}.bin"][1]
    )


def test_tokens_of_another_tokenizer(download: Path) -> None:
    write_indexed_dataset(download / TRAIN, [np.full(9000, 128_256)], np.int32)
    found = problems(download, checksums=False)
    assert list(found) == [f"{TRAIN}.bin"]
    assert "token 128256 is outside the model's vocabulary of 128256" in found[f"{TRAIN}.bin"][1]


def test_another_tokenizer(download: Path) -> None:
    model = models.WordLevel({"a": 0, "b": 1}, unk_token="a")
    Tokenizer(model).save(str(download / "tokenizer" / "tokenizer.json"))
    (download / "tokenizer" / "tokenizer_config.json").write_text("[]")
    assert problems(download, checksums=False) == {
        "tokenizer/tokenizer.json": (
            "wrong",
            "has 2 tokens, expected 128,256; take the tokenizer of Llama 3.1 8B",
        ),
        "tokenizer/tokenizer_config.json": ("wrong", "holds no JSON object"),
    }


def test_a_tokenizer_that_is_no_json(download: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (download / "tokenizer" / name).write_bytes(b"\xff{")
    assert [status for status, _ in problems(download).values()] == ["wrong", "wrong"]
