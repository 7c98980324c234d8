"""The indexed format: what is written is read back, and no damage gets past opening."""

import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitboard.errors import PitboardError
from pitboard.training.data import megatron
from pitboard.training.data.megatron import DTYPES, IndexedDataset, token_dtype, write_indexed_dataset

Corpus = tuple[type[np.number[Any]], list[npt.NDArray[Any]]]

HEADER = 34
DOCUMENTS = [[5, 6, 7], [], [8], [9, 10, 11, 12]]


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    dtype = draw(st.sampled_from(list(DTYPES.values())))
    document = arrays.arrays(dtype, st.integers(0, 9))
    return dtype, draw(st.lists(document, max_size=7))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = tmp_path / "c4-train.en_6_text_document"
    write_indexed_dataset(prefix, DOCUMENTS, np.int32)
    return prefix


@given(corpora())
def test_what_is_written_is_read_back(corpus: Corpus) -> None:
    dtype, documents = corpus
    with tempfile.TemporaryDirectory() as folder:
        write_indexed_dataset(Path(folder) / "a.b", documents, dtype)
        dataset = IndexedDataset(Path(folder) / "a.b")
        assert dataset.dtype == dtype
        assert dataset.document_count == len(documents)
        assert dataset.token_count == sum(map(len, documents))
        assert dataset.sequence_lengths.tolist() == [len(document) for document in documents]
        for number, document in enumerate(documents):
            assert dataset.tokens(number).tobytes() == document.tobytes()


def test_the_bytes_are_those_of_the_format(prefix: Path) -> None:
    assert prefix.with_name(prefix.name + ".bin").read_bytes() == np.arange(5, 13, dtype="<i4").tobytes()
    assert prefix.with_name(prefix.name + ".idx").read_bytes() == b"".join(
        [
            b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 4, 4, 5),
            struct.pack("<4i", 3, 0, 1, 4),
            struct.pack("<4q", 0, 12, 12, 16),
            struct.pack("<5q", 0, 1, 2, 3, 4),
        ]
    )


def test_a_part_of_a_document(prefix: Path) -> None:
    dataset = IndexedDataset(prefix)
    assert dataset.tokens(3, 1).tolist() == [10, 11, 12]
    assert dataset.tokens(3, 1, 2).tolist() == [10, 11]
    assert dataset.tokens(3, 2, 99).tolist() == [11, 12]
    assert dataset.tokens(0, 9).tolist() == []


@given(st.data())
def test_a_flipped_bit_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_indexed_dataset(Path(folder) / "a", DOCUMENTS, np.int32)
        index = Path(folder) / "a.idx"
        damaged = bytearray(index.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
        damaged[bit // 8] ^= 1 << bit % 8
        index.write_bytes(damaged)
        entries = HEADER + 12 * len(DOCUMENTS)
        if bit // 8 < entries:
            with pytest.raises(PitboardError, match=r"a\.(idx|bin)"):
                IndexedDataset(index.with_suffix(""))
            return
        # Moving a border between two documents can leave a valid file, of the same tokens.
        with suppress(PitboardError):
            assert IndexedDataset(index.with_suffix("")).token_count == 8


@given(st.integers(0, HEADER + 12 * 4 + 8 * 5 - 1))
def test_a_truncated_index_is_refused(size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_indexed_dataset(Path(folder) / "a", DOCUMENTS, np.int32)
        index = Path(folder) / "a.idx"
        index.write_bytes(index.read_bytes()[:size])
        with pytest.raises(PitboardError, match=rf"a\.idx is {size} bytes long, "):
            IndexedDataset(index.with_suffix(""))


@given(st.binary(max_size=200), st.booleans())
def test_an_index_of_arbitrary_bytes_is_refused(content: bytes, with_header: bool) -> None:
    if with_header:
        content = b"MMIDIDX\0\0" + struct.pack("<QB", 1, 4) + content
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.idx").write_bytes(content)
        (Path(folder) / "a.bin").write_bytes(b"")
        with pytest.raises(PitboardError, match=r"a\.idx"):
            IndexedDataset(Path(folder) / "a")


@pytest.mark.parametrize("change", [-1, 1])
def test_data_of_another_length_is_refused(prefix: Path, change: int) -> None:
    data = prefix.with_name(prefix.name + ".bin")
    data.write_bytes((data.read_bytes() + b"\0")[: 32 + change])
    with pytest.raises(PitboardError, match=rf"\.bin is {32 + change} bytes long, expected 32 \(8 tokens"):
        IndexedDataset(prefix)


@pytest.mark.parametrize("suffix", [".idx", ".bin"])
def test_a_missing_file_is_named(prefix: Path, suffix: str) -> None:
    prefix.with_name(prefix.name + suffix).unlink()
    with pytest.raises(PitboardError, match=rf"text_document\{suffix} does not exist"):
        IndexedDataset(prefix)


def test_a_large_index_is_checked_in_parts(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(megatron, "_CHUNK", 2)
    assert IndexedDataset(prefix).token_count == 8
    index = prefix.with_name(prefix.name + ".idx")
    content = index.read_bytes()
    index.write_bytes(content[: HEADER + 12] + struct.pack("<i", 5) + content[HEADER + 16 :])
    with pytest.raises(PitboardError, match="32 bytes long, expected 36"):
        IndexedDataset(prefix)
    index.write_bytes(content[: HEADER + 16 + 24] + struct.pack("<q", 20) + content[HEADER + 16 + 32 :])
    with pytest.raises(PitboardError, match=r"sequence 3 at byte 20 of the \.bin, expected 16"):
        IndexedDataset(prefix)


def test_tokens_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="Document 1 holds tokens that do not fit uint16"):
        write_indexed_dataset(tmp_path / "a", [[1], [65536]], np.uint16)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match=r"Cannot write .*No such file or directory"):
        write_indexed_dataset(tmp_path / "absent" / "a", [[1]], np.uint8)


def test_the_token_type_follows_megatron() -> None:
    assert token_dtype(65_499) is np.uint16
    assert token_dtype(128_256) is np.int32
