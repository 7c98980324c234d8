"""A model's weights in a safetensors folder, read row by row."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pitboard.errors import PitboardError
from pitboard.training.data.verify import FileReport

_INDEX = "model.safetensors.index.json"
_FUSED = "qkv_proj.weight"


class SafetensorsFolder:
    """A model's folder as `transformers` writes it: `*.safetensors`, with an index if there are several.

    A fused `qkv_proj` that is not there is made of the folder's `q_proj`, `k_proj` and `v_proj`.
    Raises `PitboardError` for a folder that holds no readable model, or an index that leads out of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = self._where()

    def _where(self) -> dict[str, Path]:
        index, single = self.folder / _INDEX, self.folder / "model.safetensors"
        try:
            if index.is_file():
                return {name: self._inside(file) for name, file in _weight_map(index).items()}
            with safe_open(single, "pt") as file:
                return dict.fromkeys(file.keys(), single)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            raise PitboardError(
                f"{self.folder} holds no readable model ({error}): expected {_INDEX} with its files, or"
                " model.safetensors. `pitboard data` with the benchmark's id says what to download."
            ) from error

    @property
    def files(self) -> list[Path]:
        """Return the files that hold the weights."""
        return sorted(set(self._files.values()))

    def _inside(self, file: str) -> Path:
        """Return the path of a file that the index names; an index that was downloaded is not trusted."""
        if Path(file).name != file or file in ("", ".."):
            raise PitboardError(
                f"{self.folder / _INDEX} names the file '{file}', which is not in its folder:"
                " the index is damaged; download it again."
            )
        return self.folder / file

    def rows(self, name: str, shape: Sequence[int], first: int, count: int, *, cut: bool = False) -> Tensor:
        """Return `count` rows of a weight from row `first` on, and read no others.

        With `cut` the stored weight may have more rows than the shape, of which the first are taken.
        Raises `PitboardError` if the weight is not there, has not this shape, or cannot be read.
        """
        read, start = [torch.empty(0, *shape[1:])], 0
        for part, rows in self.parts(name, shape, cut=cut).items():
            low, high = max(first - start, 0), min(first + count - start, rows)
            if low < high:
                read.append(self._open(part, itemgetter(slice(low, high))).float())
            start += rows
        return torch.cat(read)

    def parts(self, name: str, shape: Sequence[int], *, cut: bool = False) -> dict[str, int]:
        """Return the stored weights that a weight of this shape is made of, and how many rows each has.

        Raises `PitboardError` if the weight is not there or has not this shape, or with `cut` fewer rows.
        """
        stem = name.removesuffix(_FUSED)
        fused = name not in self._files and stem != name
        names = [f"{stem}{part}_proj.weight" for part in "qkv"] if fused else [name]
        shapes = [self._shape(part) for part in names]
        found = (sum(size[0] for size in shapes), *shapes[0][1:])
        expected = tuple(shape)
        if found[1:] != expected[1:] or (found[0] < expected[0] if cut else found[0] != expected[0]):
            raise PitboardError(
                f"{self.folder}: the weight '{name}' has shape {found}, expected {expected}:"
                " it is not the model of this preset."
            )
        return {part: size[0] for part, size in zip(names, shapes, strict=True)}

    def _shape(self, name: str) -> list[int]:
        shape: list[int] = self._open(name, lambda weight: weight.get_shape())
        return shape

    def _open(self, name: str, take: Callable[[Any], Any]) -> Any:
        """Return what `take` makes of a weight that is mapped, not read."""
        if name not in self._files:
            raise PitboardError(f"{self.folder} has no weight '{name}': it is not the model of this preset.")
        try:
            with safe_open(self._files[name], "pt") as file:
                return take(file.get_slice(name))
        except (OSError, SafetensorError) as error:
            raise PitboardError(
                f"{self._files[name]} cannot be read ({error}): download it again."
            ) from error


def model_reports(root: Path, inside: str, shapes: Mapping[str, Sequence[int]]) -> Iterator[FileReport]:
    """Yield a report for each file of the model in the folder `inside` of a root, or one for the folder.

    Every weight must be there and have its shape.
    """
    folder = root / inside
    if not any(folder.glob("*.safetensors")):
        yield FileReport(inside, "missing", f"expected *.safetensors in {folder}")
        return
    try:
        model = SafetensorsFolder(folder)
        for name, shape in shapes.items():
            model.parts(name, shape)
    except PitboardError as error:
        yield FileReport(inside, "wrong", str(error))
        return
    for path in model.files:
        detail = f"of the files with all {len(shapes):,} weights"
        yield FileReport(path.relative_to(root).as_posix(), "ok", detail)


def _weight_map(index: Path) -> dict[str, str]:
    names = json.loads(index.read_bytes())["weight_map"]
    if not isinstance(names, dict) or not all(isinstance(file, str) for file in names.values()):
        raise ValueError(f"the weight_map of {_INDEX} is no map of names to files")
    return names
