"""Read and write Megatron-LM's indexed dataset: `<prefix>.bin` holds tokens, `<prefix>.idx` where they are.

The index is little-endian and has no padding: the magic `MMIDIDX\\0\\0`, a version (uint64, 1), the token
type's code (uint8), the number of sequences (uint64), the number of document entries (uint64, one more than
there are documents), then for the sequences their lengths in tokens (int32) and their byte offsets in the
`.bin` (int64), and last the document entries (int64): document `d` is the sequences `entries[d]` up to, not
including, `entries[d + 1]`. Described in Megatron-LM's `megatron/core/datasets/readme.md`.
"""

import mmap
import os
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from pitboard.errors import PitboardError

DTYPES: dict[int, type[np.number[Any]]] = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    6: np.float64,
    7: np.float32,
    8: np.uint16,
}
"""Every token type of the format, by its code in the index."""

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
_VERSION = 1
# Bounds what a check holds in memory beside the mapped index: 4 Mi entries of 8 bytes.
_CHUNK = 1 << 22
_REPAIR = "Download or preprocess the dataset again."

Tokens = npt.NDArray[Any]


class DatasetIndex:
    """A memory-mapped `.idx`: the type, number and place of the tokens in its `.bin`.

    Raises `PitboardError` on opening if the file is missing or breaks the format's rules: magic, version,
    type code, counts against the file's size, offsets against lengths, document entries.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        raw = _map(path)
        self.dtype, sequences, entries = self._header(raw)
        lengths_end = _HEADER.size + 4 * sequences
        offsets_end = lengths_end + 8 * sequences
        self.sequence_lengths: npt.NDArray[np.int32] = raw[_HEADER.size : lengths_end].view("<i4")
        """Tokens in each sequence: int32, shape (sequences,)."""
        self.offsets: npt.NDArray[np.int64] = raw[lengths_end:offsets_end].view("<i8")
        """Where each sequence starts in the `.bin`, in bytes: int64, shape (sequences,)."""
        self.document_count = entries - 1
        self.token_count = self._check_offsets()
        self._check_entries(raw[offsets_end:].view("<i8"))

    @property
    def data_size(self) -> int:
        """The exact size of the `.bin` in bytes."""
        return self.token_count * self.dtype.itemsize

    def _header(self, raw: npt.NDArray[np.uint8]) -> tuple[np.dtype[Any], int, int]:
        if raw.size < _HEADER.size:
            self._refuse(f"is {raw.size} bytes long, and its header alone takes {_HEADER.size}")
        magic, version, code, sequences, entries = _HEADER.unpack(raw[: _HEADER.size].tobytes())
        if magic != _MAGIC:
            self._refuse(f"starts with {magic!r} where an index of Megatron's format starts with {_MAGIC!r}")
        if version != _VERSION:
            self._refuse(f"has format version {version}, and only {_VERSION} is known")
        if code not in DTYPES:
            self._refuse(f"has token type code {code}, expected one of {min(DTYPES)} to {max(DTYPES)}")
        expected = _HEADER.size + 12 * sequences + 8 * entries
        if raw.size != expected:
            self._refuse(
                f"is {raw.size} bytes long, expected {expected} for its {sequences} sequences"
                f" and {entries} document entries"
            )
        return np.dtype(DTYPES[code]).newbyteorder("<"), sequences, entries

    def _check_offsets(self) -> int:
        """Check that the sequences lie end to end in the `.bin`, and return the number of tokens."""
        tokens = 0
        for begin in range(0, len(self.sequence_lengths), _CHUNK):
            lengths = self.sequence_lengths[begin : begin + _CHUNK].astype(np.int64)
            if lengths.min() < 0:
                at = begin + int(np.argmax(lengths < 0))
                self._refuse(f"gives sequence {at} a negative length, {self.sequence_lengths[at]}")
            ends = tokens + np.cumsum(lengths)
            expected = (ends - lengths) * self.dtype.itemsize
            wrong = self.offsets[begin : begin + _CHUNK] != expected
            if wrong.any():
                at = int(np.argmax(wrong))
                self._refuse(
                    f"puts sequence {begin + at} at byte {self.offsets[begin + at]} of the .bin,"
                    f" expected {expected[at]} from the lengths before it"
                )
            tokens = int(ends[-1])
        return tokens

    def _check_entries(self, entries: npt.NDArray[np.int64]) -> None:
        sequences = len(self.sequence_lengths)
        if len(entries) == 0 or entries[0] != 0 or entries[-1] != sequences:
            found = f"from {entries[0]} to {entries[-1]}" if len(entries) else "nowhere"
            self._refuse(f"has document entries that go {found}, expected from 0 to {sequences}")
        for begin in range(0, len(entries) - 1, _CHUNK):
            part = entries[begin : begin + _CHUNK + 1]
            back = part[1:] < part[:-1]
            if back.any():
                self._refuse(f"has document entries that go back after document {begin + np.argmax(back)}")

    def _refuse(self, what: str) -> NoReturn:
        raise PitboardError(f"{self.path} {what}. {_REPAIR}")


class IndexedDataset:
    """The tokens of one `<prefix>.bin`, memory-mapped and found through `<prefix>.idx`.

    In a corpus for GPT training each document is one sequence; where a document holds several, the sequence
    is the unit that is read and shuffled, as in Megatron-core.

    Raises `PitboardError` on opening if the index is missing or broken (`DatasetIndex`), or the `.bin` is
    missing or not exactly as long as the index says.
    """

    def __init__(self, prefix: Path) -> None:
        index = DatasetIndex(suffixed(prefix, ".idx"))
        self.index_path = index.path
        self.data_path = suffixed(prefix, ".bin")
        self.dtype = index.dtype
        self.document_count = index.document_count
        self.token_count = index.token_count
        self.sequence_lengths = index.sequence_lengths
        """Tokens in each sequence: int32, shape (sequences,)."""
        self._offsets = index.offsets
        # Documents are read in random order, so reading ahead from one to its neighbours only costs.
        data = _map(self.data_path, mmap.MADV_RANDOM)
        if data.size != index.data_size:
            raise PitboardError(
                f"{self.data_path} is {data.size} bytes long, expected {index.data_size}"
                f" ({index.token_count} tokens of {index.dtype.name}) from {index.path.name}. {_REPAIR}"
            )
        self._data = data.view(self.dtype)

    def tokens(self, sequence: int, offset: int = 0, length: int | None = None) -> Tokens:
        """Return a view of a sequence's tokens, at most `length` of them from `offset` on.

        Shape (n,), in the dataset's own type; shorter than asked where the sequence ends.
        """
        start = int(self._offsets[sequence]) // self.dtype.itemsize
        end = start + int(self.sequence_lengths[sequence])
        first = min(start + offset, end)
        return self._data[first : end if length is None else min(first + length, end)]


def write_indexed_dataset(
    prefix: Path, documents: Iterable[npt.ArrayLike], dtype: type[np.number[Any]]
) -> None:
    """Write documents of tokens, each as one sequence, as `<prefix>.bin` and `<prefix>.idx`.

    `documents` yields one-dimensional arrays, one at a time in memory; `dtype` is one of `DTYPES`. Each file
    is written beside its final name and moved there when complete, the `.bin` first. Raises `PitboardError`
    if a document holds a value that `dtype` cannot, or the folder cannot be written.
    """
    code = next(code for code, known in DTYPES.items() if known is dtype)
    lengths: list[int] = []
    try:
        with _Replacement(suffixed(prefix, ".bin")) as data:
            for document in documents:
                tokens = _as_type(np.asarray(document), dtype, len(lengths))
                data.write(tokens.tobytes())
                lengths.append(tokens.size)
        counts = np.array(lengths, dtype="<i4")
        ends = np.cumsum(counts, dtype="<i8") * np.dtype(dtype).itemsize
        with _Replacement(suffixed(prefix, ".idx")) as index:
            index.write(_HEADER.pack(_MAGIC, _VERSION, code, len(counts), len(counts) + 1))
            index.write(counts.tobytes())
            index.write((np.concatenate(([0], ends))[:-1]).astype("<i8").tobytes())
            index.write(np.arange(len(counts) + 1, dtype="<i8").tobytes())
    except OSError as error:
        raise PitboardError(f"Cannot write {prefix}.bin and .idx: {error.strerror or error}.") from error


def token_dtype(vocabulary_size: int) -> type[np.number[Any]]:
    """Return the type that Megatron's preprocessing picks: uint16 below 65,500 tokens, else int32."""
    return np.uint16 if vocabulary_size < 65_500 else np.int32


def suffixed(prefix: Path, suffix: str) -> Path:
    """Return `<prefix><suffix>`; the names of C4's files hold dots, so `with_suffix` would cut them."""
    return prefix.with_name(prefix.name + suffix)


def _as_type(tokens: Tokens, dtype: type[np.number[Any]], document: int) -> Tokens:
    little = np.dtype(dtype).newbyteorder("<")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = tokens.astype(little)
    if tokens.dtype != little and not np.array_equal(converted, tokens):
        raise PitboardError(f"Document {document} holds tokens that do not fit {np.dtype(dtype).name}.")
    return converted


def _map(path: Path, advice: int = mmap.MADV_NORMAL) -> npt.NDArray[np.uint8]:
    """Map a whole file read-only."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:  # which cannot be mapped
                return np.empty(0, dtype=np.uint8)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        mapped.madvise(advice)
        return np.frombuffer(mapped, dtype=np.uint8)
    except FileNotFoundError:
        raise PitboardError(f"{path} does not exist. Check the path, or download the dataset.") from None
    except (OSError, ValueError) as error:
        raise PitboardError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error


class _Replacement:
    """A file that takes its final name only when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> IO[bytes]:
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        self._temporary = Path(name)
        self._file = os.fdopen(handle, "wb")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None:
            # mkstemp makes the file private; a dataset is read by every rank, whoever starts it.
            self._temporary.chmod(0o644)
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink()
