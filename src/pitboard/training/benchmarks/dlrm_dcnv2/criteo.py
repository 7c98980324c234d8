"""Read Criteo's days as the reference's preprocessing writes them (see `downloads` for their format)."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.dlrm_dcnv2.data import Rows

# A local header of a zip file: 30 bytes, the last four of which are the lengths of name and extra field.
_LOCAL_HEADER = 30


class CriteoDays:
    """Some days one after the other, mapped into memory; opening them reads only their headers.

    Ids are taken modulo the rows of their table, as the reference does. Raises `PitboardError` for a file
    that is missing, not whole, or of another shape.
    """

    def __init__(
        self,
        root: Path,
        days: Sequence[int],
        dense_features: int,
        ids_per_table: Sequence[int],
        table_rows: Sequence[int],
    ) -> None:
        self._days = [read_day(root, day, dense_features, ids_per_table) for day in days]
        self._ends = np.cumsum([len(labels) for _, _, labels in self._days])
        self._modulo = np.repeat(np.array(table_rows, dtype=np.int32), ids_per_table)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, numbers: np.ndarray) -> Rows:
        """Return these samples, in this order."""
        which = np.searchsorted(self._ends, numbers, side="right")
        dense = np.empty((len(numbers), self._days[0][0].shape[1]), dtype=np.float32)
        ids = np.empty((len(numbers), len(self._modulo)), dtype=np.int32)
        label = np.empty(len(numbers), dtype=np.int32)
        for day in np.unique(which):
            here = which == day
            places = numbers[here] - (self._ends[day - 1] if day else 0)
            numerical, tables, labels = self._days[day]
            dense[here], label[here] = _taken(numerical, places), _taken(labels, places)[:, 0]
            ids[here] = np.concatenate([_taken(table, places) for table in tables], axis=1)
        return dense, ids % self._modulo, label


def _taken(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return rows of an array; a run of rows is one piece of the file."""
    run = (np.diff(places) == 1).all()
    taken: np.ndarray = array[slice(places[0], places[-1] + 1) if run else places]
    return taken


def files_of(day: int) -> tuple[str, str, str]:
    """Return the names of a day's files: numerical features, ids, labels."""
    return f"day_{day}_dense.npy", f"day_{day}_sparse_multi_hot.npz", f"day_{day}_labels.npy"


def read_day(
    root: Path, day: int, dense_features: int, ids_per_table: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return a day's numerical features, the ids for each table, and its labels, mapped into memory.

    Raises `PitboardError` for a file that is missing, not whole, or of another shape.
    """
    dense_file, ids_file, labels_file = (root / name for name in files_of(day))
    labels = _checked(labels_file, _mapped(labels_file), np.int32, None, 1)
    rows = len(labels)
    dense = _checked(dense_file, _mapped(dense_file), np.float32, rows, dense_features)
    tables = [
        _checked(ids_file, array, np.int32, rows, count, f", array {number}.npy,")
        for number, (count, array) in enumerate(
            zip(ids_per_table, _arrays(ids_file, len(ids_per_table)), strict=True)
        )
    ]
    return dense, tables, labels


def _checked(
    path: Path, array: np.ndarray, kind: type, rows: int | None, columns: int, part: str = ""
) -> np.ndarray:
    expected = (len(array) if array.ndim and rows is None else rows, columns)
    if array.dtype != kind or array.shape != expected:
        raise PitboardError(
            f"{path}{part} holds {array.dtype} {array.shape}, expected {np.dtype(kind)}"
            f" {('all rows' if rows is None else rows, columns)}: `pitboard data dlrm_dcnv2` says what to"
            " download."
        )
    return array


def _mapped(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error
    return array


def _arrays(path: Path, count: int) -> list[np.ndarray]:
    """Map the arrays of an uncompressed `.npz`, which NumPy itself would read whole."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            return [_member(archive.getinfo(f"{number}.npy"), file, path) for number in range(count)]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _member(info: zipfile.ZipInfo, file: BinaryIO, path: Path) -> np.ndarray:
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    file.seek(info.header_offset + _LOCAL_HEADER - 4)
    lengths = np.frombuffer(file.read(4), dtype="<u2")
    file.seek(info.header_offset + _LOCAL_HEADER + int(lengths.sum()))
    form = np.lib.format
    first = form.read_magic(file) == (1, 0)
    shape, fortran, dtype = (form.read_array_header_1_0 if first else form.read_array_header_2_0)(file)
    order: Literal["C", "F"] = "F" if fortran else "C"
    return np.memmap(path, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order=order)


def _unreadable(path: Path, error: Exception) -> PitboardError:
    reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
    return PitboardError(
        f"Cannot read the day {path} ({reason}): `pitboard data dlrm_dcnv2` says what to download."
    )
