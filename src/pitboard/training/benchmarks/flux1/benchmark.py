"""FLUX.1 text-to-image pretraining: `diffusers`' FLUX transformer by rectified flow matching.

The reference is mlcommons/training `text_to_image` (round v5.1), which adapts torchtitan's FLUX: the
schnell layout (no guidance embedding), Xavier-uniform weights with zero modulation and output layers,
frozen encoders whose outputs are computed beforehand, captions dropped with probability 0.1 for
classifier-free guidance, time steps drawn uniformly, and the validation loss at the time steps 0/8 … 7/8,
one of which the validation set pairs with each image (arXiv:2403.03206).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.flux1 import digits
from pitboard.training.benchmarks.flux1.data import (
    EVALUATION_TIMES,
    DigitSource,
    Samples,
    Source,
    SyntheticSamples,
)
from pitboard.training.benchmarks.flux1.downloads import EMPTY, TRAIN, VALIDATION
from pitboard.training.benchmarks.flux1.encoded_images import EncodedImages, read_empty
from pitboard.training.benchmarks.flux1.model import PATCH, FluxWithLoss, unpatched
from pitboard.training.data.downloads import required_folder
from pitboard.training.distributed import World
from pitboard.training.evaluate import mean_loss
from pitboard.training.initialize import seeded_generator
from pitboard.training.optimizer import (
    AdamWSettings,
    ScheduledOptimizer,
    adamw_hyperparameters,
    adamw_with_cosine,
)
from pitboard.training.protocol import Batch, EvaluationBatches, TrainableBenchmark

_INITIAL_DEVIATION = 0.02
_DRAWING_STEPS, _GUIDANCE = 32, 2.0
_JOINED = tuple(
    f"{part}.weight" for part in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
)
_ZERO = ("norm1.linear", "norm1_context.linear", "norm.linear", "norm_out.linear", "flux.proj_out")

# Added to a run's seed: its validation noise is not that of its first training samples.
_EVALUATION_SEEDS = 1 << 40


class FluxSettings(AdamWSettings):
    """The settings of a FLUX run: those of AdamW, the model's size, and where the encodings come from."""

    dataset: Literal["cc12m", "digits"]
    data: Path | None = Field(default=None, description="folder of the encoded images; $PITBOARD_DATA")
    double_blocks: int = Field(gt=0)
    single_blocks: int = Field(gt=0)
    attention_heads: int = Field(gt=0)
    head_size: int = Field(gt=0, multiple_of=32)
    latent_channels: int = Field(gt=0)
    latent_size: int = Field(gt=0, multiple_of=PATCH, description="height and width of the latents")
    text_length: int = Field(gt=0)
    text_width: int = Field(gt=0)
    pooled_width: int = Field(gt=0)
    caption_dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _possible(self) -> "FluxSettings":
        if self.evaluation_samples % EVALUATION_TIMES:
            raise ValueError(
                f"evaluation_samples {self.evaluation_samples} must be a multiple of {EVALUATION_TIMES}:"
                " every time step must count the same."
            )
        return self

    @property
    def image_tokens(self) -> int:
        """Tokens of an image."""
        return (self.latent_size // PATCH) ** 2

    @property
    def width(self) -> int:
        """Width of the transformer."""
        return self.attention_heads * self.head_size


class Flux1(TrainableBenchmark[FluxSettings]):
    """The benchmark `flux1` for the loop."""

    settings_class = FluxSettings
    # The modulation of the norms: one row a sample, no time to win, and it scales every token of the block.
    keep_bf16 = ("norm", "norm1", "norm1_context")

    def build(self) -> nn.Module:
        """Return the model with its loss, on the default device."""
        return FluxWithLoss(self.settings)

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill a parameter as the reference does: see the module's description."""
        if parameter.ndim == 1:
            # The only weights among the vectors are those of the norms of queries and keys.
            parameter.fill_(1.0 if name.endswith(".weight") else 0.0)
        elif name.removesuffix(".weight").endswith(_ZERO):
            parameter.zero_()
        elif ".time_text_embed." in name:
            parameter.normal_(0.0, _INITIAL_DEVIATION, generator=generator)
        else:
            bound = math.sqrt(6 / (parameter.shape[1] + self._fan_out(name, parameter)))
            parameter.uniform_(-bound, bound, generator=generator)

    def _fan_out(self, name: str, parameter: Tensor) -> int:
        """Return the outputs of the matrix in the reference, which joins several of `diffusers`' in one."""
        width = self.settings.width
        if ".single_transformer_blocks." in name and not name.endswith("proj_out.weight"):
            return 7 * width  # query, key, value, and the first matrix of the feed-forward part
        if name.endswith(_JOINED):
            return 3 * width
        return parameter.shape[0]

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the double-stream and the single-stream blocks."""
        kinds = ("flux.transformer_blocks", "flux.single_transformer_blocks")
        return [block for kind in kinds for block in model.get_submodule(kind).children()]

    def optimizer(self, model: nn.Module) -> ScheduledOptimizer:
        """Return AdamW with a cosine schedule."""
        return adamw_with_cosine(model, self.settings, peak_in_warmup=True)

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        """Return the mean validation loss."""
        return mean_loss(model, batches, world)

    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the images to train on, in a new order each epoch."""
        settings = self.settings
        source, empty = self._source(0), self._empty()
        return Samples(
            source, settings.sample_limit, seed, caption_dropout=settings.caption_dropout, empty=empty
        )

    def evaluation_data(self, seed: int) -> Dataset[Batch]:
        """Return the validation images at the time steps they are paired with, and always their captions."""
        source, count = self._source(1), self.settings.evaluation_samples
        if len(source) < count:
            raise PitboardError(
                f"The validation set has {len(source):,} images and evaluation_samples is {count:,}:"
                " lower it, or complete the data (`pitboard data flux1`)."
            )
        # The digits' 224 are too few: with noise of its own a run's loss would be 0.01 off another's.
        own = seed + _EVALUATION_SEEDS
        return Samples(source, count, 0 if self.settings.dataset == "digits" else own)

    def warmup_batch(self, samples: int) -> Batch:
        """Return random samples."""
        s = self.settings
        latent = (s.latent_channels, s.latent_size, s.latent_size)
        captions = torch.bfloat16 if s.dataset == "cc12m" else torch.float32
        synthetic = SyntheticSamples(latent, (s.text_length, s.text_width), s.pooled_width, captions)
        return self.collate([synthetic[index] for index in range(samples)])

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Check that the transformer sees nothing of the image at t = 1 and nothing of the noise at t = 0.

        Whatever reaches it is recorded in two forward passes that differ only in what it must not know.
        Raises `PitboardError` when they can be told apart: the loss of such a model says nothing.
        """
        for hidden, at in (("latent", 1.0), ("noise", 0.0)):
            fixed = {**batch, "time": torch.full_like(batch["time"], at)}
            seen = [_seen(model, {**fixed, hidden: values}) for values in (batch[hidden], -batch[hidden])]
            for name, before in seen[0].items():
                if not torch.allclose(before, seen[1][name]):
                    raise PitboardError(
                        f"At t = {at:g} the model's input '{name}' depends on the {hidden} that it must"
                        " predict: the validation loss says nothing. Fix the interpolation."
                    )

    def draw(self, model: nn.Module, device: torch.device) -> Tensor:
        """Return digits made from noise: a row a digit, a column each of the nine looks to ask for.

        Euler's method along the predicted velocity, guided away from the empty caption (arXiv:2207.12598).
        """
        s = self.settings
        looks = [(ink, slant) for slant in digits.SLANTS for ink in digits.INKS]
        captions = [f"a {ink} {name} {slant}" for name in digits.NAMES for ink, slant in looks]
        encoded = [digits.encode_caption(caption, s.text_width, s.pooled_width) for caption in captions]
        text, pooled = (torch.stack(parts).to(device) for parts in zip(*encoded, strict=True))
        no_text, no_pooled = (part.to(device).expand(len(captions), *part.shape) for part in self._empty())
        shape = (len(captions), s.latent_channels, s.latent_size, s.latent_size)
        latent = torch.randn(shape, generator=seeded_generator(torch.device("cpu"), 0, "drawing")).to(device)
        for step in range(_DRAWING_STEPS, 0, -1):
            time = torch.full((len(captions),), step / _DRAWING_STEPS, device=device)
            toward = _velocity(model, latent, time, text, pooled)
            away = _velocity(model, latent, time, no_text, no_pooled)
            latent = latent - (away + _GUIDANCE * (toward - away)) / _DRAWING_STEPS
        images = digits.decode_image(latent[:, 0]).view(len(digits.NAMES), len(looks), *shape[2:]).cpu()
        framed = nn.functional.pad(images, (1, 1, 1, 1))
        return framed.transpose(1, 2).flatten(2).flatten(0, 1)

    def hyperparameters(self) -> dict[str, object]:
        """Return what the rules of flux1 want logged."""
        own = {"evaluation_frequency": self.settings.evaluation_interval}
        return adamw_hyperparameters(self.settings) | own

    def flops_per_sample(self) -> float:
        """Return forward and backward FLOPs of one image: 6 per weight and token, and attention.

        As in PaLM's model FLOPs utilisation (arXiv:2204.02311, appendix B). A double block has 12 × width²
        weights for each token, of image or text, a single block as many; modulation is computed once a
        sample.
        """
        s = self.settings
        width, blocks = s.width, s.double_blocks + s.single_blocks
        tokens = s.image_tokens + s.text_length
        per_token = 12 * width**2 * blocks * tokens
        per_token += width * (
            2 * s.latent_channels * PATCH**2 * s.image_tokens + s.text_width * s.text_length
        )
        per_sample = width**2 * (12 * s.double_blocks + 3 * s.single_blocks + 2 + 2)
        per_sample += width * (256 + width + s.pooled_width)
        return float(6 * (per_token + per_sample) + 12 * blocks * width * tokens**2)

    def _source(self, split: int) -> Source:
        """Return the encodings to train on (split 0), or to evaluate on (1)."""
        settings = self.settings
        if settings.dataset == "digits":
            return DigitSource(digits.load_digits()[split], settings.text_width, settings.pooled_width)
        return EncodedImages(self._root() / (TRAIN, VALIDATION)[split].folder)

    def _empty(self) -> tuple[Tensor, Tensor]:
        """Return the encodings of the empty caption."""
        if self.settings.dataset == "digits":
            return digits.encode_caption("", self.settings.text_width, self.settings.pooled_width)
        root = self._root()
        text, pooled = (read_empty(root / name, shape) for name, shape in EMPTY.items())
        return text, pooled

    def _root(self) -> Path:
        return required_folder("flux1", "encoded images", self.settings.data)


def _velocity(model: nn.Module, noised: Tensor, time: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
    """Return the predicted velocity in the shape of the latents, by the forward that FSDP knows."""
    tokens = model(latent=noised, noise=noised, time=time, text=text, pooled=pooled, velocity=True)
    return unpatched(tokens.float(), noised.shape[2] // PATCH)


def _seen(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the tensors that the transformer is called with in a forward pass over the batch."""
    seen: dict[str, Tensor] = {}

    def record(_module: nn.Module, _arguments: Any, named: dict[str, Any]) -> None:
        seen.update({name: value for name, value in named.items() if isinstance(value, Tensor)})

    hook = model.get_submodule("flux").register_forward_pre_hook(record, with_kwargs=True)
    try:
        model(**batch)
    finally:
        hook.remove()
    return seen


BENCHMARK: type[TrainableBenchmark[FluxSettings]] = Flux1
