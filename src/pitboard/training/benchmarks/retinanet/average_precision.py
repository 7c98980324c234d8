"""Mean average precision by COCO's rules: the quality of RetinaNet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.retinanet.data import Labelled


@dataclass(frozen=True)
class Truth:
    """All boxes of the images to evaluate on, one row each.

    `image` counts the images from 0; `boxes` are (left, top, right, bottom) in pixels; a `group` is found or
    not without being counted, as COCO does with crowds.
    """

    images: int
    classes: int
    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    area: np.ndarray
    group: np.ndarray


def truth_of(images: Sequence[Labelled], classes: int) -> Truth:
    """Return the boxes of labelled images, none of them a group."""
    boxes = torch.cat([each.boxes for each in images]).numpy()
    image = np.repeat(np.arange(len(images)), [len(each.labels) for each in images])
    return Truth(
        images=len(images),
        classes=classes,
        image=image,
        boxes=boxes,
        labels=torch.cat([each.labels for each in images]).numpy(),
        area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        group=np.zeros(len(image), dtype=bool),
    )


def mean_average_precision(truth: Truth, detections: Iterable[tuple[int, Tensor]]) -> float:
    """Return the mean over the classes, and the overlaps 0.5, 0.55 … 0.95, of the average precision.

    `detections` gives the number of an image with its detections, shape (n, 6): box, score and class. Of each
    image the 100 best of each class count. Raises `PitboardError` if `faster-coco-eval` is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise PitboardError(
            "retinanet's mean average precision needs faster-coco-eval: pip install 'pitboard[train]'"
        ) from error
    found = list(_found(detections))
    if not found:
        return 0.0
    known = COCO(_annotations(truth), print_function=_silent)
    evaluation = COCOeval_faster(known, known.loadRes(found), "bbox", print_function=_silent)
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"]
    # Of all sizes of boxes and at most 100 detections; −1 where a class has no box.
    counted = precision[:, :, :, 0, -1]
    return float(counted[counted > -1].mean()) if (counted > -1).any() else 0.0


def _silent(*_: object) -> None:
    pass


def _found(detections: Iterable[tuple[int, Tensor]]) -> Iterator[dict[str, object]]:
    for number, rows in detections:
        for left, top, right, bottom, score, label in rows.tolist():
            box = [left, top, right - left, bottom - top]
            yield {"image_id": number, "category_id": int(label), "bbox": box, "score": score}


def _annotations(truth: Truth) -> dict[str, object]:
    """Return the truth in COCO's own format."""
    sizes = truth.boxes[:, 2:] - truth.boxes[:, :2]
    columns = (truth.image, truth.labels, truth.boxes[:, :2], sizes, truth.area, truth.group)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {
        "images": [{"id": number} for number in range(truth.images)],
        "categories": [{"id": number, "name": str(number)} for number in range(truth.classes)],
        "annotations": [
            {
                # COCO takes the number 0 for none.
                "id": number + 1,
                "image_id": image,
                "category_id": label,
                "bbox": [*corner, *size],
                "area": area,
                "iscrowd": int(group),
            }
            for number, (image, label, corner, size, area, group) in enumerate(rows)
        ],
    }
