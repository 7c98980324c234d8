"""FLUX.1 text-to-image pretraining: `diffusers`' FLUX transformer by rectified flow matching.

The reference is mlcommons/training `text_to_image` (round v5.1), which adapts torchtitan's FLUX: the
schnell layout (no guidance embedding), Xavier-uniform weights with zero modulation and output layers,
frozen encoders whose outputs are computed beforehand, captions dropped with probability 0.1 for
classifier-free guidance, time steps drawn uniformly, and the validation loss at the time steps 0/8 … 7/8,
taken in turn by the samples (arXiv:2403.03206).
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.distributed.tensor.parallel import ParallelStyle
from torch.utils.data import Dataset

from pitboard.errors import PitboardError
from pitboard.training.data import digits
from pitboard.training.data.encoded import EVALUATION_TIMES, DigitSource, MadeUp, Samples, Source
from pitboard.training.data.encoded_images import EncodedImages, read_empty
from pitboard.training.data.flux1 import EMPTY, TRAIN, VALIDATION
from pitboard.training.initialize import seeded_generator
from pitboard.training.joint_attention import JointAttention
from pitboard.training.settings import Settings

PATCH = 2
"""A token of the image is a square of 2 × 2 latents."""
_INITIAL_DEVIATION = 0.02
_DRAWING_STEPS, _GUIDANCE = 32, 2.0
_JOINED = tuple(
    f"{part}.weight" for part in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
)
_ZERO = ("norm1.linear", "norm1_context.linear", "norm.linear", "norm_out.linear", "flux.proj_out")


class FluxSettings(Settings):
    """The settings of a FLUX run: those of every run, the model's size, and where the encodings come from."""

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
                " every time step counts alike."
            )
        if self.tensor_parallel > 1:
            raise ValueError("flux1 is spread by FSDP only, as its reference is: tensor_parallel must be 1.")
        return self

    @property
    def image_tokens(self) -> int:
        """Tokens of an image."""
        return (self.latent_size // PATCH) ** 2

    @property
    def width(self) -> int:
        """Width of the transformer."""
        return self.attention_heads * self.head_size


class FluxRace(nn.Module):
    """The FLUX transformer with its loss."""

    def __init__(self, settings: FluxSettings) -> None:
        super().__init__()
        # Takes seconds, which a process that only reads the settings need not wait for.
        from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

        head = settings.head_size
        self.flux = FluxTransformer2DModel(
            in_channels=settings.latent_channels * PATCH**2,
            num_layers=settings.double_blocks,
            num_single_layers=settings.single_blocks,
            attention_head_dim=head,
            num_attention_heads=settings.attention_heads,
            joint_attention_dim=settings.text_width,
            pooled_projection_dim=settings.pooled_width,
            guidance_embeds=False,
            # (16, 56, 56) of FLUX.1's 128: an unused axis, rows, columns.
            axes_dims_rope=(head // 8, head * 7 // 16, head * 7 // 16),
        )
        self.flux.set_attn_processor(JointAttention())

    def forward(
        self,
        latent: Tensor,
        noise: Tensor,
        time: Tensor,
        text: Tensor,
        pooled: Tensor,
        *,
        velocity: bool = False,
    ) -> Tensor:
        """Return each sample's mean squared error of the predicted velocity, shape (samples,).

        `latent` and `noise` are (samples, channels, height, width), `time` (samples,) in [0, 1]. The path
        from image to noise is straight, (1 − t) · latent + t · noise, so its velocity is noise − latent
        (arXiv:2209.03003).
        """
        t = time.view(-1, 1, 1, 1)
        predicted = self._velocity((1 - t) * latent + t * noise, time, text, pooled)
        if velocity:
            return predicted
        return (predicted.float() - patches(noise - latent).float()).square().mean(dim=(1, 2))

    def _velocity(self, noised: Tensor, time: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
        """Return the predicted velocity in patches, shape (samples, image tokens, channels × 4)."""
        rows, columns = noised.shape[2] // PATCH, noised.shape[3] // PATCH
        predicted: Tensor = self.flux(
            hidden_states=patches(noised),
            encoder_hidden_states=text,
            pooled_projections=pooled,
            timestep=time,
            img_ids=_positions(rows, columns, noised.device),
            txt_ids=torch.zeros(text.shape[1], 3, device=noised.device),
            return_dict=False,
        )[0]
        return predicted


def _positions(rows: int, columns: int, device: torch.device) -> Tensor:
    row, column = torch.meshgrid(
        torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
    )
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).flatten(0, 1).float()


def patches(latent: Tensor) -> Tensor:
    """Cut latents (samples, channels, height, width) into tokens (samples, tokens, channels × 4)."""
    return nn.functional.pixel_unshuffle(latent, PATCH).flatten(2).transpose(1, 2)


def unpatched(tokens: Tensor, height: int) -> Tensor:
    """Put tokens together again: the inverse of `patches`, for latents of this height in patches."""
    folded = tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], height, -1)
    return nn.functional.pixel_shuffle(folded, PATCH)


class Flux1:
    """The benchmark `flux1` for the loop (`training.protocol.Benchmark`)."""

    settings_class = FluxSettings
    # The modulation of the norms: one row a sample, no time to win, and it scales every token of the block.
    never_narrow = ("norm", "norm1", "norm1_context")

    def __init__(self, settings: FluxSettings) -> None:
        self.settings = settings

    def build(self) -> nn.Module:
        """Return the model with its loss, on the default device."""
        return FluxRace(self.settings)

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

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Do nothing: the model has no buffers."""

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the double-stream and the single-stream blocks."""
        kinds = ("flux.transformer_blocks", "flux.single_transformer_blocks")
        return [block for kind in kinds for block in model.get_submodule(kind).children()]

    def tensor_parallel_plan(self) -> dict[str, ParallelStyle]:
        """Return an empty plan: the settings refuse tensor parallelism."""
        return {}

    def training_data(self, seed: int) -> Dataset[dict[str, Tensor]]:
        """Return the images to train on, in a new order each epoch."""
        settings = self.settings
        source, empty = self._source(0), self._empty()
        return Samples(
            source, settings.sample_limit, seed, caption_dropout=settings.caption_dropout, empty=empty
        )

    def evaluation_data(self) -> Dataset[dict[str, Tensor]]:
        """Return the validation images with the time steps 0/8 … 7/8 in turn, and always their captions."""
        source, count = self._source(1), self.settings.evaluation_samples
        if len(source) < count:
            raise PitboardError(
                f"The validation set has {len(source):,} images and evaluation_samples is {count:,}:"
                " lower it, or complete the data (`pitboard data flux1`)."
            )
        return Samples(source, count, seed=0)

    def warmup_batch(self, samples: int) -> dict[str, Tensor]:
        """Return random samples."""
        s = self.settings
        latent = (s.latent_channels, s.latent_size, s.latent_size)
        made_up = MadeUp(latent, (s.text_length, s.text_width), s.pooled_width)
        drawn = [made_up[index] for index in range(samples)]
        return {name: torch.stack([sample[name] for sample in drawn]) for name in drawn[0]}

    def verify(self, model: nn.Module, batch: Mapping[str, Tensor]) -> None:
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
                        f"At t = {at:g} the model's input '{name}' depends on the {hidden} that it shall"
                        " predict: the validation loss says nothing. Mend the interpolation."
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

    def hyperparameters(self) -> dict[str, Any]:
        """Return the key that the rules of flux1 want beside the loop's own."""
        return {"evaluation_frequency": self.settings.evaluation_interval}

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

    def tokens_per_sample(self) -> int:
        """Return 1: images are counted."""
        return 1

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
        if self.settings.data is not None:
            return self.settings.data
        if "PITBOARD_DATA" in os.environ:
            return Path(os.environ["PITBOARD_DATA"]) / "flux1"
        raise PitboardError(
            "The full preset reads encoded images: give their folder with --set data=DIR or"
            " $PITBOARD_DATA. `pitboard data flux1` says what to download."
        )


def _velocity(model: nn.Module, noised: Tensor, time: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
    """Return the predicted velocity in the shape of the latents, by the forward that FSDP knows."""
    tokens = model(latent=noised, noise=noised, time=time, text=text, pooled=pooled, velocity=True)
    return unpatched(tokens.float(), noised.shape[2] // PATCH)


def _seen(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
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


BENCHMARK = Flux1
