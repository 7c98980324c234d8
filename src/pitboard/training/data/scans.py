"""Handwritten digits that scikit-learn carries, as some smoke presets read them.

1,797 images of 8 × 8 grey pixels (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from pitboard.errors import PitboardError

_HELD_OUT_EVERY = 8
_PIXEL_LEVELS = 16


@dataclass(frozen=True)
class Scans:
    """Images in [0, 1], shape (count, 8, 8), ink bright, and the digit that each shows."""

    images: np.ndarray
    digits: np.ndarray


@cache
def load_scans() -> tuple[Scans, Scans]:
    """Return the digits to train on and those held out for validation: every eighth.

    Raises `PitboardError` if scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise PitboardError(
            "This smoke preset reads the images that scikit-learn carries. Install it with:"
            " pip install 'pitboard[train]'"
        ) from error
    data = datasets.load_digits()
    images = (data.images / _PIXEL_LEVELS).astype(np.float32)
    held_out = np.arange(len(images)) % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    train, validation = (Scans(images[chosen], data.target[chosen]) for chosen in (~held_out, held_out))
    return train, validation
