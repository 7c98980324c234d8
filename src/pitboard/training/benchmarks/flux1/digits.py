"""The images of FLUX.1's `smoke` preset: scikit-learn's handwritten digits with captions, and fixed encoders.

A caption says what can be seen: the digit, how much ink it took, which way
it leans. The encoders stand in for T5-XXL, CLIP and the autoencoder: frozen, made from fixed seeds, the
same everywhere.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pitboard.errors import PitboardError
from pitboard.training.data.scans import load_scans
from pitboard.training.initialize import seeded_generator

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INKS = ("thin", "plain", "bold")
SLANTS = ("leaning-left", "upright", "leaning-right")
CAPTION_WORDS = 4
"""A caption is "a", ink, name and slant, as in "a bold seven upright"; the empty one is four blanks."""

_VOCABULARY = ("", "a", *INKS, *NAMES, *SLANTS)
# Of the pixels of all images, in units of the brightest.
_PIXEL_MEAN, _PIXEL_DEVIATION = 0.305, 0.376
_LOG_VARIANCE = -6.0


@dataclass(frozen=True)
class Digits:
    """Images in [0, 1], shape (count, 8, 8), and the caption of each."""

    images: Tensor
    captions: tuple[str, ...]


@cache
def load_digits() -> tuple[Digits, Digits]:
    """Return the digits to train on and those held out for validation.

    Raises `PitboardError` if scikit-learn, which carries the images, is not installed.
    """
    splits = load_scans()
    images = np.concatenate([scans.images for scans in splits])
    captions = _captions(images, np.concatenate([scans.digits for scans in splits]))
    cut = len(splits[0].images)
    train, validation = (
        Digits(torch.from_numpy(scans.images), tuple(own))
        for scans, own in zip(splits, (captions[:cut], captions[cut:]), strict=True)
    )
    return train, validation


def _captions(images: np.ndarray, names: np.ndarray) -> list[str]:
    """Describe each image: ink and slant by the thirds of all images into which it falls."""
    rows = np.arange(images.shape[1]).reshape(1, -1, 1) - (images.shape[1] - 1) / 2
    columns = rows.transpose(0, 2, 1)
    ink = images.sum(axis=(1, 2))
    across = (images * columns).sum(axis=(1, 2), keepdims=True) / ink[:, None, None]
    along = (images * rows).sum(axis=(1, 2), keepdims=True) / ink[:, None, None]
    covariance = (images * (rows - along) * (columns - across)).sum(axis=(1, 2))
    slant = -covariance / (images * (rows - along) ** 2).sum(axis=(1, 2))
    return [
        f"a {INKS[i]} {NAMES[n]} {SLANTS[s]}"
        for i, n, s in zip(_thirds(ink), names, _thirds(slant), strict=True)
    ]


def _thirds(values: np.ndarray) -> np.ndarray:
    third: np.ndarray = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    return third


def encode_image(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and log variance of an image's latents, shape (1, 8, 8), about unit variance."""
    mean = (image.unsqueeze(0) - _PIXEL_MEAN) / _PIXEL_DEVIATION
    return mean, torch.full_like(mean, _LOG_VARIANCE)


def decode_image(latent: Tensor) -> Tensor:
    """Return the pixels in [0, 1] of latents of any shape."""
    return (latent * _PIXEL_DEVIATION + _PIXEL_MEAN).clamp(0, 1)


def encode_caption(caption: str, text_width: int, pooled_width: int) -> tuple[Tensor, Tensor]:
    """Return the encodings of a caption's words, (4, text_width), and of the whole, (pooled_width,).

    Each word has a fixed random vector. Raises `PitboardError` for a word that no caption has.
    """
    words = caption.split()
    unknown = [word for word in words if word not in _VOCABULARY]
    if unknown or len(words) > CAPTION_WORDS:
        raise PitboardError(
            f"The caption {caption!r} cannot be encoded: expected at most {CAPTION_WORDS} words of"
            f" {', '.join(_VOCABULARY[1:])}."
        )
    numbers = [_VOCABULARY.index(word) for word in words] + [0] * (CAPTION_WORDS - len(words))
    vectors = _table("words", text_width)[numbers] + 0.5 * _table("places", text_width)[:CAPTION_WORDS]
    pooled = _table("pooled", pooled_width)[numbers].sum(dim=0) / CAPTION_WORDS**0.5
    return vectors, pooled


@cache
def _table(purpose: str, width: int) -> Tensor:
    generator = seeded_generator(torch.device("cpu"), 0, purpose)
    return torch.randn(len(_VOCABULARY), width, generator=generator)
