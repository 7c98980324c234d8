"""What the FLUX.1 benchmark needs to be downloaded, and what is known about it.

Sources: the reference's README (mlcommons/training, `text_to_image`) for addresses, sizes and counts; its
scripts for the format: datasets saved by the `datasets` library (Arrow streams named
`data-00000-of-…arrow`), whose columns `t5_encodings`, `clip_encodings`, `mean` and `logvar` hold BF16
arrays as the bytes of a `.npy` file of unsigned 16-bit numbers, that of validation with a column `timestep`;
and two `.npy` files of the empty caption's
encodings. The cards of pixparse/cc12m-wds and COCO for the licences.
"""

from dataclasses import dataclass

from pitboard.training.data.downloads import Download

LATENT_SHAPE, TEXT_SHAPE, POOLED_SHAPE = (16, 32, 32), (256, 4096), (768,)
COLUMNS = {
    "mean": LATENT_SHAPE,
    "logvar": LATENT_SHAPE,
    "t5_encodings": TEXT_SHAPE,
    "clip_encodings": POOLED_SHAPE,
}
"""The columns that are read, and the shape of an array in each."""
TIME = "timestep"
"""The column of the validation set that says which eighth an image is evaluated at: 0 to 7."""


@dataclass(frozen=True)
class SplitFacts:
    """What is known of one set of encoded images: its folder under the root, and how many it has."""

    folder: str
    images: int


TRAIN = SplitFacts("cc12m_preprocessed", 1_099_776)
VALIDATION = SplitFacts("coco_preprocessed", 29_696)
EMPTY = {"empty_encodings/t5_empty.npy": TEXT_SHAPE, "empty_encodings/clip_empty.npy": POOLED_SHAPE}
"""The files of the empty caption's encodings, and their shapes."""

_STORE = "https://training.mlcommons-storage.org/metadata"
DOWNLOADS = (
    Download(
        what="the training images of CC12M, encoded",
        size="about 2.5 TB",
        licence="CC12M's own: free for any purpose, the images' owners keep their rights",
        uri=f"{_STORE}/flux-1-cc12m-preprocessed.uri",
        folder="",
    ),
    Download(
        what="the validation images of COCO 2014, encoded",
        size="about 65 GB",
        licence="CC BY 4.0 for the captions, Flickr's terms for the images",
        uri=f"{_STORE}/flux-1-coco-preprocessed.uri",
        folder="",
    ),
    Download(
        what="the encodings of the empty caption",
        size="about 2 MB",
        licence="as the above",
        uri=f"{_STORE}/flux-1-empty-encodings.uri",
        folder="",
    ),
)
