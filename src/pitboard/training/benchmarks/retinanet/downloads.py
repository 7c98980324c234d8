"""What the RetinaNet benchmark needs to be downloaded, and what is known about it.

Sources: the reference's README and scripts (mlcommons/training, `single_stage_detector`) for the folders, the
annotations' format (COCO's, with `IsGroupOf` as `iscrowd`), sizes and counts; OpenImages' page for the
licences; PyTorch for the backbone.
"""

from dataclasses import dataclass

ANNOTATIONS = "labels/openimages-mlperf.json"
"""The file of a split's boxes, in its folder; its images are in `data/`."""
IMAGES = "data"
BACKBONE = "resnext50_32x4d-7cdf4587.pth"
CLASSES = 264


@dataclass(frozen=True)
class SplitFacts:
    """What is known of one split: its folder under the root, and how many images it has."""

    folder: str
    images: int


SPLITS = {
    "train": SplitFacts("train", 1_170_301),
    "validation": SplitFacts("validation", 24_781),
}
DOWNLOADS = ()
