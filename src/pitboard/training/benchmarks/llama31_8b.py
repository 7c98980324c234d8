"""Llama 3.1 8B pretraining: `transformers`' Llama on next-token prediction.

The reference is mlcommons/training `small_llm_pretraining/nemo` (round v5.1): weights drawn from N(0, 0.02),
the projections back into the residual stream narrower by √(2 × layers) (Megatron's scaled initialisation),
RoPE with Llama 3.1's frequency scaling, no dropout, attention across document borders within a sequence.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pitboard.errors import PitboardError
from pitboard.training import attention
from pitboard.training.data.cached import default_cache
from pitboard.training.data.embedded import smoke_dataset
from pitboard.training.data.llama31_8b import TRAIN, VALIDATION
from pitboard.training.data.megatron import IndexedDataset
from pitboard.training.data.packed import IGNORED
from pitboard.training.data.samples import TokenSamples
from pitboard.training.initialize import seeded_generator
from pitboard.training.settings import Settings

_INITIAL_DEVIATION = 0.02
# The model's own limit, from which its rotary frequencies are scaled; training sees shorter sequences.
_LONGEST_CONTEXT = 131_072
_ROPE_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
# Above this many logits a head computes its loss in chunks and never holds them all.
_CHUNKED_LOSS_FROM = 1 << 28
# Tokens of a chunk in evaluation, and in training. PyTorch adds the chunks' gradients in BF16 where they are
# BF16, so that the 64 chunks of 128 tokens that it would choose on a GPU lose four times as much as these.
_EXACT_CHUNK = 1024
_CHUNKS = nn.LinearCrossEntropyOptions(
    batch_chunk_size=2048, chunking_method=None, acc_policy="compact", acc_dtype=torch.float32
)


class LlamaSizes(Settings):
    """The settings of every run, and the sizes of a Llama."""

    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    layers: int = Field(gt=0)
    attention_heads: int = Field(gt=0)
    key_value_heads: int = Field(gt=0)
    vocabulary_size: int = Field(gt=257)
    rope_theta: float = Field(gt=0)
    sequence_length: int = Field(gt=1)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden_size % (2 * self.attention_heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of 2 × attention_heads.")
        if self.attention_heads % self.key_value_heads:
            raise ValueError("attention_heads must be a multiple of key_value_heads.")
        return self


class LlamaSettings(LlamaSizes):
    """The settings of a pre-training run of Llama: its sizes, and where the tokens come from."""

    dataset: Literal["c4", "bible", "synthetic"]
    data: Path | None = Field(default=None, description="folder of the preprocessed C4; $PITBOARD_DATA")

    @model_validator(mode="after")
    def _splittable(self) -> "LlamaSettings":
        if self.key_value_heads % self.tensor_parallel:
            raise ValueError(
                f"key_value_heads {self.key_value_heads} must be a multiple of tensor_parallel"
                f" {self.tensor_parallel}."
            )
        return self


class LlamaRace(nn.Module):
    """Llama with its loss: `forward(tokens)` takes (samples, sequence_length + 1) and gives (samples,)."""

    def __init__(self, settings: LlamaSettings) -> None:
        super().__init__()
        rope = {"rope_theta": settings.rope_theta, **_ROPE_SCALING}
        self.llama = LlamaForCausalLM(llama_config(settings, rope, _LONGEST_CONTEXT))
        self._whole = torch.compile(whole_head_loss, dynamic=False) if settings.compile else whole_head_loss
        if settings.compile:
            self.llama.model.norm.compile(dynamic=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return each sequence's mean next-token loss in nats, shape (samples,)."""
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        hidden = self.llama.model(input_ids=inputs, use_cache=False).last_hidden_state
        return head_loss(hidden, self.llama.lm_head.weight, labels, self._whole)


def llama_config(settings: LlamaSizes, rope: dict[str, Any], longest: int) -> LlamaConfig:
    """Return the configuration of a Llama for training, from its rotary parameters and longest sequence."""
    config = LlamaConfig(
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.attention_heads,
        num_key_value_heads=settings.key_value_heads,
        vocab_size=settings.vocabulary_size,
        max_position_embeddings=longest,
        rms_norm_eps=1e-5,
        rope_parameters=rope,
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    config._attn_implementation = attention.NAME
    return config


def head_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    whole: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Return each sequence's mean loss in nats over the tokens with a label (not −100), shape (samples,).

    `hidden` is (samples, length, width), `weight` (vocabulary, width), `labels` (samples, length). Logits
    that would fill the memory are made a chunk at a time; `whole` stands for `whole_head_loss`, compiled.
    """
    if labels.numel() * weight.shape[0] >= _CHUNKED_LOSS_FROM:
        return chunked_head_loss(hidden, weight, labels)
    return (whole or whole_head_loss)(hidden, weight, labels)


def whole_head_loss(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return what `chunked_head_loss` does, from all logits at once: several times as fast on a CPU."""
    logits = F.linear(hidden, weight).flatten(0, 1).float()
    losses = F.cross_entropy(logits, labels.flatten(), reduction="none", ignore_index=IGNORED)
    return losses.view(labels.shape).sum(dim=1) / (labels != IGNORED).sum(dim=1)


def chunked_head_loss(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return `head_loss`, a chunk of tokens at a time: at 8,192 × 128,256 the logits alone are 4 GiB."""
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    one = _fused_loss if torch.is_grad_enabled() else _exact_loss
    return torch.stack(
        [one(states, weight, target) for states, target in zip(hidden, labels, strict=True)]
    ).float()


def _fused_loss(states: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Compute the gradient with the loss. Under BF16 the loss is rounded; the weight's gradient to 0.3 %."""
    return F.linear_cross_entropy(states, weight, target, options=_CHUNKS)


def _exact_loss(states: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Compute a loss that a target is held against."""
    losses = [
        F.cross_entropy(F.linear(part, weight).float(), wanted, reduction="sum")
        for part, wanted in zip(
            torch.split(states, _EXACT_CHUNK), torch.split(target, _EXACT_CHUNK), strict=True
        )
    ]
    return torch.stack(losses).sum() / (target != IGNORED).sum()


class _Tokens(Dataset[dict[str, Tensor]]):
    """Token samples as tensors."""

    def __init__(self, samples: TokenSamples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"tokens": torch.from_numpy(self._samples[index])}


class _MadeUp(Dataset[dict[str, Tensor]]):
    """Random tokens, the same for a seed and an index on any machine."""

    def __init__(self, settings: LlamaSettings, count: int, seed: int) -> None:
        self._settings = settings
        self._count = count
        self._seed = seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = seeded_generator(torch.device("cpu"), self._seed, f"sample {index}")
        shape = (self._settings.sequence_length + 1,)
        return {"tokens": torch.randint(self._settings.vocabulary_size, shape, generator=generator)}


class Llama31:
    """The benchmark `llama31_8b` for the loop (`training.protocol.Benchmark`)."""

    settings_class = LlamaSettings
    never_narrow = ()

    def __init__(self, settings: LlamaSettings) -> None:
        self.settings = settings

    def build(self) -> nn.Module:
        """Return the model with its loss, on the default device."""
        return LlamaRace(self.settings)

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill a parameter: norms with one, the rest from the normal distribution of the reference."""
        if parameter.ndim == 1:
            parameter.fill_(1.0)
            return
        deviation = _INITIAL_DEVIATION
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            deviation /= math.sqrt(2 * self.settings.layers)
        parameter.normal_(0.0, deviation, generator=generator)

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Compute the rotary frequencies, the model's only buffers."""
        llama = model.llama.model  # type: ignore[union-attr]
        with torch.device(device):
            llama.rotary_emb = LlamaRotaryEmbedding(llama.config)  # type: ignore[union-attr]

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the decoder layers."""
        return list(model.llama.model.layers)  # type: ignore[union-attr, arg-type]

    def tensor_parallel_plan(self) -> dict[str, ParallelStyle]:
        """Split heads and feed-forward columns over the ranks, as Megatron-LM (arXiv:1909.08053) does."""
        split, join = ColwiseParallel, RowwiseParallel
        return {
            "self_attn.q_proj": split(),
            "self_attn.k_proj": split(),
            "self_attn.v_proj": split(),
            "self_attn.o_proj": join(),
            "mlp.gate_proj": split(),
            "mlp.up_proj": split(),
            "mlp.down_proj": join(),
        }

    def training_data(self, seed: int) -> Dataset[dict[str, Tensor]]:
        """Return the sequences to train on: shuffled documents, then shuffled sequences, by this seed."""
        settings = self.settings
        if settings.dataset == "synthetic":
            return _MadeUp(settings, settings.sample_limit, seed)
        return _Tokens(
            TokenSamples.training(
                [IndexedDataset(prefix) for prefix in self._prefixes()[0]],
                settings.sequence_length,
                settings.sample_limit,
                seed % 2**32,
                settings.vocabulary_size,
            )
        )

    def evaluation_data(self) -> Dataset[dict[str, Tensor]]:
        """Return the first `evaluation_samples` sequences of the validation set, unshuffled."""
        settings = self.settings
        if settings.dataset == "synthetic":
            return _MadeUp(settings, settings.evaluation_samples, 0)
        dataset = IndexedDataset(self._prefixes()[1])
        return _Tokens(
            TokenSamples.validation(
                dataset, settings.sequence_length, settings.evaluation_samples, settings.vocabulary_size
            )
        )

    def warmup_batch(self, samples: int) -> dict[str, Tensor]:
        """Return sequences of random tokens."""
        made_up = _MadeUp(self.settings, samples, seed=0)
        return {"tokens": torch.stack([made_up[index]["tokens"] for index in range(samples)])}

    def verify(self, model: nn.Module, batch: Mapping[str, Tensor]) -> None:
        """Check that no prediction depends on a later token, whatever the mask or the labels claim.

        The second half of each sequence is replaced by random tokens; the states of the first half must stay.
        Raises `PitboardError` when they do not: the loss of such a model says nothing.
        """
        tokens = batch["tokens"][:, :-1]
        half = tokens.shape[1] // 2
        changed = tokens.clone()
        changed[:, half:] = (changed[:, half:] + 1 + changed.flatten()[0]) % self.settings.vocabulary_size
        backbone = model.llama.model  # type: ignore[union-attr]
        before, after = (backbone(input_ids=t).last_hidden_state[:, :half] for t in (tokens, changed))  # type: ignore[operator]
        if not torch.allclose(before, after, rtol=1e-3, atol=1e-3):
            raise PitboardError(
                "The model's predictions depend on later tokens (largest change"
                f" {(before - after).abs().max().item():.3g}): the attention mask leaks the labels, so the"
                " validation loss says nothing. Mend the mask."
            )

    def hyperparameters(self) -> dict[str, Any]:
        """Return the keys that the rules of llama31_8b want beside the loop's own."""
        return {"max_sequence_length": self.settings.sequence_length, "init_checkpoint_step": 0}

    def flops_per_sample(self) -> float:
        """Return forward and backward FLOPs of one sequence: 6 per weight and token, and attention.

        As in PaLM's model FLOPs utilisation (arXiv:2204.02311, appendix B): the embedding look-up costs none,
        attention counts 12 × layers × width × length per token, the causal half not deducted.
        """
        s = self.settings
        head = s.hidden_size // s.attention_heads
        per_layer = s.hidden_size * head * (2 * s.attention_heads + 2 * s.key_value_heads)
        per_layer += 3 * s.hidden_size * s.intermediate_size
        weights = s.layers * per_layer + s.hidden_size * s.vocabulary_size
        per_token = 6 * weights + 12 * s.layers * s.hidden_size * s.sequence_length
        return float(per_token * s.sequence_length)

    def tokens_per_sample(self) -> int:
        """Return the trained tokens of a sequence."""
        return self.settings.sequence_length

    def _prefixes(self) -> tuple[list[Path], Path]:
        if self.settings.dataset == "bible":
            made = smoke_dataset(default_cache(), self.settings.vocabulary_size)
            return [made.train], made.validation
        root = self.settings.data
        if root is None and "PITBOARD_DATA" in os.environ:
            root = Path(os.environ["PITBOARD_DATA"]) / "llama31_8b"
        if root is None:
            raise PitboardError(
                "The full preset reads the preprocessed C4: give its folder with --set data=DIR or"
                " $PITBOARD_DATA. `pitboard data llama31_8b` says what to download."
            )
        return [root / TRAIN.prefix], root / VALIDATION.prefix


BENCHMARK = Llama31
