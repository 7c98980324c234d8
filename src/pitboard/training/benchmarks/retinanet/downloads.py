"""What the RetinaNet benchmark needs to be downloaded, and what is known about it.

Sources: the reference's README and scripts (mlcommons/training, `single_stage_detector`) for the folders, the
annotations' format (COCO's, with `IsGroupOf` as `iscrowd`), sizes and counts; OpenImages' page for the
licences; PyTorch for the backbone.
"""

from dataclasses import dataclass

from pitboard.training.data.downloads import Download

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

_REFERENCE = "https://github.com/mlcommons/training"
DOWNLOADS = (
    Download(
        what="the images and boxes of OpenImages v6 that MLPerf uses, by the reference's script",
        size="352 GB",
        licence="CC BY 4.0 for the boxes; the images, by their owners, are listed as CC BY 2.0",
        uri=_REFERENCE,
        folder="",
        own_command="pip install fiftyone && git clone --depth 1 {uri} mlcommons-training"
        " && (cd mlcommons-training/single_stage_detector/scripts"
        " && ./download_openimages_mlperf.sh -d {folder})",
    ),
    Download(
        what="the backbone, torchvision's ResNeXt-50 (32 × 4d) trained on ImageNet",
        size="100 MB",
        licence="BSD 3-Clause, as torchvision; ImageNet's terms for the images that it was trained on",
        uri=f"https://download.pytorch.org/models/{BACKBONE}",
        folder="",
        own_command="wget --directory-prefix {folder} {uri}",
    ),
)
