"""Read OpenImages as the reference's script leaves it: JPEG files, and their boxes in COCO's format.

The boxes of the training set are gigabytes of JSON: they are read once, and kept in the cache as arrays that
every rank and later run maps.
"""

import mmap
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.retinanet.average_precision import Truth
from pitboard.training.benchmarks.retinanet.data import Labelled
from pitboard.training.benchmarks.retinanet.downloads import ANNOTATIONS, IMAGES
from pitboard.training.data.cached import cache_key, cached, default_cache

_COLUMNS = ("names", "starts", "boxes", "labels", "area", "group", "categories")
# To be raised when what is kept changes.
_FORMAT_VERSION = 1


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str


class _Box(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int = 0


class _Category(msgspec.Struct, gc=False):
    id: int


class _Annotations(msgspec.Struct, gc=False):
    images: list[_Image]
    annotations: list[_Box]
    categories: list[_Category]


class OpenImages:
    """One split: images by number, in the order of their ids; of those to train on, the ones with a box.

    Raises `PitboardError` for a folder without readable boxes, or with other than so many classes.
    """

    def __init__(self, folder: Path, classes: int, *, to_train: bool) -> None:
        self.folder = folder
        index = _index(folder)
        self._columns = {name: np.load(index / f"{name}.npy", mmap_mode="r") for name in _COLUMNS}
        self.classes = len(self._columns["categories"])
        if self.classes != classes:
            raise PitboardError(
                f"{folder / ANNOTATIONS} has {self.classes} categories, expected {classes}: it is not the"
                " subset of OpenImages that MLPerf uses."
            )
        count = len(self._columns["names"])
        self._chosen = self._with_boxes() if to_train else np.arange(count)

    def _with_boxes(self) -> np.ndarray:
        """Return the images with a box that is more than a pixel wide and high, as the reference does."""
        boxes, starts = self._columns["boxes"], self._columns["starts"]
        sound = (boxes[:, 2:] - boxes[:, :2] > 1).all(axis=1)
        before = np.concatenate([[0], np.cumsum(sound)])
        chosen: np.ndarray = np.flatnonzero(np.diff(before[starts]))
        return chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def file(self, index: int) -> Path:
        """Return the file of an image."""
        name: bytes = self._columns["names"][self._chosen[index]]
        return self.folder / IMAGES / name.decode()

    def __getitem__(self, index: int) -> Labelled:
        """Decode an image; boxes are cut to it, and those of which nothing is left are dropped.

        Raises `PitboardError` for a file that is missing or no image.
        """
        pixels = _decoded(self.file(index))
        height, width = pixels.shape[:2]
        image = self._chosen[index]
        own = slice(*self._columns["starts"][image : image + 2])
        boxes = self._columns["boxes"][own].clip(0, [width, height, width, height]).astype(np.float32)
        there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        labels = self._columns["labels"][own][there].astype(np.int64)
        return Labelled(
            torch.from_numpy(pixels).permute(2, 0, 1),
            torch.from_numpy(boxes[there]),
            torch.from_numpy(labels),
        )

    def truth(self, count: int) -> Truth:
        """Return the boxes of the first `count` images."""
        starts = self._columns["starts"][: count + 1]
        own = slice(0, int(starts[-1]))
        return Truth(
            images=count,
            classes=self.classes,
            image=np.repeat(np.arange(count), np.diff(starts)),
            **{name: self._columns[name][own] for name in ("boxes", "labels", "area", "group")},
        )


def _decoded(file: Path) -> np.ndarray:
    """Return the pixels of an image file, (height, width, 3)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise PitboardError(
            f"The image {file} cannot be read ({error}): download it again (`pitboard data retinanet`)."
        ) from error


def _index(folder: Path) -> Path:
    """Return the folder of the cache that has a split's boxes as arrays; made if it is not there."""
    path = folder / ANNOTATIONS
    try:
        state = path.stat()
    except OSError as error:
        raise PitboardError(
            f"{path} cannot be read ({error.strerror}): `pitboard data retinanet` says what to download."
        ) from error
    facts = str(path.resolve()), state.st_size, state.st_mtime_ns, _FORMAT_VERSION
    key = cache_key(*facts)
    return cached(default_cache() / f"boxes-{key}", partial(_write_columns, path), large=True)


def _write_columns(path: Path, folder: Path) -> None:
    """Write the boxes of a JSON file as arrays, image after image."""
    found = _read(path)
    images = sorted(found.images, key=lambda image: image.id)
    for image in images:
        # The file was downloaded, and its names are opened.
        if Path(image.file_name).name != image.file_name or image.file_name in ("", ".", ".."):
            raise PitboardError(f"{path} names the image {image.file_name!r}, which is no file's name alone.")
    ids, categories = (
        np.array([image.id for image in images]),
        np.array(sorted(category.id for category in found.categories)),
    )
    of_image = np.array([box.image_id for box in found.annotations], dtype=np.int64)
    of_category = np.array([box.category_id for box in found.annotations], dtype=np.int64)
    for what, numbers, known in (("image", of_image, ids), ("category", of_category, categories)):
        unknown = numbers[~np.isin(numbers, known)]
        if len(unknown):
            raise PitboardError(f"{path} has a box of {what} {unknown[0]}, which it does not list.")
    place = np.searchsorted(ids, of_image)
    order = np.argsort(place, kind="stable")
    boxes = np.array([box.bbox for box in found.annotations], dtype=np.float32).reshape(-1, 4)[order]
    boxes[:, 2:] += boxes[:, :2]
    plain = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    area = np.array([np.nan if box.area is None else box.area for box in found.annotations], dtype=np.float32)
    columns = {
        "names": np.array([each.file_name.encode() for each in images], dtype=np.bytes_),
        "starts": np.searchsorted(place[order], np.arange(len(images) + 1)),
        "boxes": boxes,
        "labels": np.searchsorted(categories, of_category)[order].astype(np.int16),
        "area": np.where(np.isnan(area[order]), plain, area[order]),
        "group": np.array([box.iscrowd for box in found.annotations], dtype=bool)[order],
        "categories": categories,
    }
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values)


def _read(path: Path) -> _Annotations:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return msgspec.json.decode(text, type=_Annotations)
    except (OSError, ValueError) as error:
        # ValueError: an empty file cannot be mapped; msgspec's errors are of its kind.
        raise PitboardError(
            f"{path} holds no boxes in COCO's format ({error}): download it again."
        ) from error
