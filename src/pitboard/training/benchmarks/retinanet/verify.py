"""Check OpenImages and the backbone's weights against what is known about them."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from pitboard.errors import PitboardError
from pitboard.suite.benchmarks.retinanet import RETINANET
from pitboard.training.benchmarks.retinanet import downloads as facts
from pitboard.training.benchmarks.retinanet.backbone import BackboneSizes, read_backbone, weight
from pitboard.training.benchmarks.retinanet.model import FrozenBatchNorm
from pitboard.training.benchmarks.retinanet.openimages import OpenImages
from pitboard.training.data.verify import FileReport, checked_report


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for the boxes and for the images of each split, and for the backbone, under `root`.

    The boxes must be whole and of as many images and classes as the rules say; every image that they name
    must be there, the first and the last be readable; the backbone must have every weight.
    """
    for split, about in facts.SPLITS.items():
        yield from _split(root, split, about)
    yield checked_report(root, facts.BACKBONE, partial(_backbone, root / facts.BACKBONE))


def _split(root: Path, split: str, about: facts.SplitFacts) -> Iterator[FileReport]:
    boxes, images = f"{about.folder}/{facts.ANNOTATIONS}", f"{about.folder}/{facts.IMAGES}"
    if not (root / boxes).is_file():
        yield FileReport(boxes, "missing", f"expected in {root}")
        yield FileReport(images, "unchecked", f"{boxes} says which images there must be")
        return
    try:
        found = OpenImages(root / about.folder, facts.CLASSES, to_train=split == "train")
    except PitboardError as error:
        yield FileReport(boxes, "wrong", str(error))
        yield FileReport(images, "unchecked", f"{boxes} says which images there must be")
        return
    counts = f"boxes of {len(found):,} images in {facts.CLASSES} classes"
    if len(found) == about.images:
        yield FileReport(boxes, "ok", counts)
    else:
        yield FileReport(boxes, "wrong", f"{counts}; expected {about.images:,} images")
    yield checked_report(root, images, partial(_images, root / images, found))


def _images(folder: Path, found: OpenImages) -> str:
    there = {each.name for each in os.scandir(folder)}
    absent = [file for index in range(len(found)) if (file := found.file(index).name) not in there]
    if absent:
        raise PitboardError(f"{len(absent):,} images are not there, as {absent[0]}")
    for index in {0, len(found) - 1}:
        found[index]
    return f"{len(found):,} images"


def _backbone(path: Path) -> str:
    values = RETINANET.preset("full").values
    stages = tuple(map(int, str(values["depths"]).split("-")))
    sizes = BackboneSizes(int(str(values["planes"])), stages, int(str(values["groups"])))
    with torch.device("meta"):
        expected = sizes.build(FrozenBatchNorm).state_dict()
    weights = read_backbone(path)
    for name, value in expected.items():
        weight(weights, name, value.shape, path)
    count = sum(value.numel() for value in expected.values())
    return f"{count:,} numbers of a ResNeXt-50 (32 × 4d)"
