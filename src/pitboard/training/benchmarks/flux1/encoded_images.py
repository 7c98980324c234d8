"""Read FLUX.1's encoded images (see `data.flux1` for their format)."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.flux1.data import EVALUATION_TIMES, Encodings
from pitboard.training.benchmarks.flux1.downloads import COLUMNS, TIME


class EncodedImages:
    """One folder of encoded images, mapped into memory; opening reads only the streams' structure.

    Raises `PitboardError` for a folder without Arrow files, or a file that is none or lacks a column.
    """

    def __init__(self, folder: Path) -> None:
        self._tables = [open_table(path) for path in arrow_files(folder)]
        self._ends = np.cumsum([table.num_rows for table in self._tables])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def evaluation_time(self, index: int) -> float:
        """Return the time step that the validation set has an image evaluated at: 0/8 … 7/8.

        Raises `PitboardError` if the set does not say, as a set to train on does not.
        """
        table, row = self._place(index)
        step = table.column(TIME)[row].as_py() if TIME in table.column_names else None
        if not isinstance(step, int) or not 0 <= step < EVALUATION_TIMES:
            raise PitboardError(
                f"Image {index} of the validation set has the {TIME} {step}, expected 0 to"
                f" {EVALUATION_TIMES - 1} in a column of that name: download the set again."
            )
        return step / EVALUATION_TIMES

    def _place(self, index: int) -> tuple[pa.Table, int]:
        """Return the table that an image is in, and its row there."""
        file = int(np.searchsorted(self._ends, index, side="right"))
        return self._tables[file], index - (int(self._ends[file - 1]) if file else 0)

    def __getitem__(self, index: int) -> Encodings:
        table, row = self._place(index)
        mean, logvar, text, pooled = (
            decode(table.column(name)[row].as_buffer(), shape, f"image {index}, {name}")
            for name, shape in COLUMNS.items()
        )
        return mean, logvar, text, pooled


def arrow_files(folder: Path) -> list[Path]:
    """Return the Arrow files of a folder in order. Raises `PitboardError` if there are none."""
    files = sorted(folder.glob("*.arrow"))
    if not files:
        raise PitboardError(
            f"There are no encoded images (*.arrow) in {folder}: `pitboard data flux1` says what to download."
        )
    return files


def open_table(path: Path) -> pa.Table:
    """Map an Arrow stream into memory. Raises `PitboardError` if it is none, or lacks a column."""
    try:
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise PitboardError(f"{path} is not a whole Arrow stream ({reason}): download it again.") from error
    for name in COLUMNS:
        if name not in table.column_names or not pa.types.is_binary(table.schema.field(name).type):
            raise PitboardError(
                f"{path} has no binary column '{name}': expected the encoded images of the reference."
            )
    return table


def decode(buffer: pa.Buffer, shape: tuple[int, ...], where: str) -> Tensor:
    """Return a BF16 array that was saved as unsigned 16-bit numbers in `.npy` format.

    Raises `PitboardError` for anything else.
    """
    try:
        array = np.lib.format.read_array(io.BytesIO(buffer), allow_pickle=False)
    except ValueError as error:
        raise PitboardError(
            f"The encoding of {where} cannot be read ({error}): download it again."
        ) from error
    if array.dtype != np.uint16 or array.shape != shape:
        raise PitboardError(
            f"The encoding of {where} is {array.dtype} {array.shape}, expected uint16 {shape}."
        )
    return torch.from_numpy(array).view(torch.bfloat16)


def read_empty(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Return an encoding of the empty caption; a leading dimension of one sample is dropped.

    In BF16, which the captions of the set were saved in.

    Raises `PitboardError` if the file is missing, no array, or of another shape.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PitboardError(
            f"Cannot read the empty caption's encoding {path} ({error}): `pitboard data flux1` says what to"
            " download."
        ) from error
    if array.shape not in (shape, (1, *shape)) or array.dtype.kind != "f":
        raise PitboardError(f"{path} holds {array.dtype} {array.shape}, expected floats of shape {shape}.")
    return torch.from_numpy(array.reshape(shape).astype(np.float32)).bfloat16()
