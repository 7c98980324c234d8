"""Training and evaluation samples of FLUX.1 from encodings, wherever these come from."""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pitboard.training.benchmarks.flux1 import digits
from pitboard.training.data.epoch_order import EpochOrder
from pitboard.training.initialize import seeded_generator

EVALUATION_TIMES = 8
# What FLUX.1's autoencoder shifts and scales its latents by, so that they have about unit variance.
LATENT_SHIFT, LATENT_SCALE = 0.1159, 0.3611

Encodings = tuple[Tensor, Tensor, Tensor, Tensor]
"""Mean and log variance of an image's latents, (channels, height, width); its caption's encodings: of each
token, (tokens, text width), and of the whole, (pooled width,). In the type that the source has them in."""


class Source(Protocol):
    """Encodings of captioned images by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Encodings: ...

    def evaluation_time(self, index: int) -> float:
        """Return the time step that an image is evaluated at, where the images are those to evaluate on."""


class Samples(Dataset[dict[str, Tensor]]):
    """Samples from encodings: latents drawn, noise, a time step, the caption or now and then the empty one.

    All of it is drawn from a generator of the sample's own, so sample i is the same for any number of
    ranks, and in a resumed run. Latents and noise are FP32, captions of their source's type. Without the
    encodings of an `empty` caption it is evaluation: images in order, at the time steps they are paired with,
    captions kept.
    """

    def __init__(
        self,
        source: Source,
        count: int,
        seed: int,
        *,
        caption_dropout: float = 0.0,
        empty: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._source = source
        self._count = count
        self._seed = seed
        self._caption_dropout = caption_dropout
        self._empty = empty
        self._order = EpochOrder(len(source), seed)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = seeded_generator(torch.device("cpu"), self._seed, f"sample {index}")
        mean, logvar, text, pooled = self._source[index if self._empty is None else self._order.place(index)]
        drawn = torch.randn(2, *mean.shape, generator=generator)
        latent = (mean.float() + torch.exp(0.5 * logvar.float()) * drawn[0] - LATENT_SHIFT) * LATENT_SCALE
        if self._empty is None:
            time = torch.tensor(self._source.evaluation_time(index))
        else:
            time, drop = torch.rand(2, generator=generator).unbind()
            if drop < self._caption_dropout:
                text, pooled = self._empty
        return {"latent": latent, "noise": drawn[1], "time": time, "text": text, "pooled": pooled}


class DigitSource:
    """The smoke preset's digits, encoded once."""

    def __init__(self, chosen: digits.Digits, text_width: int, pooled_width: int) -> None:
        self._samples: list[Encodings] = []
        for image, caption in zip(chosen.images, chosen.captions, strict=True):
            mean, logvar = digits.encode_image(image)
            raw = mean / LATENT_SCALE + LATENT_SHIFT, logvar - 2 * math.log(LATENT_SCALE)
            self._samples.append((*raw, *digits.encode_caption(caption, text_width, pooled_width)))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Encodings:
        return self._samples[index]

    def evaluation_time(self, index: int) -> float:
        """Return the time steps 0/8 … 7/8 in turn."""
        return index % EVALUATION_TIMES / EVALUATION_TIMES


class SyntheticSamples(Dataset[dict[str, Tensor]]):
    """Random samples of given shapes: for the warm-up, which must not touch the training data.

    `captions` is the type of their encodings.
    """

    def __init__(
        self, latent: tuple[int, int, int], text: tuple[int, int], pooled: int, captions: torch.dtype
    ) -> None:
        self._latent, self._text, self._pooled, self._captions = latent, text, pooled, captions

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = seeded_generator(torch.device("cpu"), 0, f"sample {index}")
        return {
            "latent": torch.randn(self._latent, generator=generator),
            "noise": torch.randn(self._latent, generator=generator),
            "time": torch.rand((), generator=generator),
            "text": torch.randn(self._text, generator=generator).to(self._captions),
            "pooled": torch.randn(self._pooled, generator=generator).to(self._captions),
        }
