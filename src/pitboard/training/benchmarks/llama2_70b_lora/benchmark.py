"""Llama 2 70B LoRA: `transformers`' Llama, frozen, with `peft`'s adapters on its attention projections.

The reference is mlcommons/training `llama2_70b_lora`: query, key and value are one projection, with one
adapter (LoRA, arXiv:2106.09685), the output projection has the other: 44,564,480 trained weights at rank 16.
Its base is BF16. The adapters' master weights are FP32, as DeepSpeed keeps them in the reference.
Its attention spans the documents of a packed sequence; `document_boundaries` keeps them from each other.
Positions count from the start of the sequence either way: rotary embeddings see differences only.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.utils.data import Dataset
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.llama2_70b_lora import downloads
from pitboard.training.benchmarks.llama2_70b_lora.model import LoraWithLoss
from pitboard.training.benchmarks.llama2_70b_lora.pydoc import sequences
from pitboard.training.benchmarks.llama31_8b.base_weights import StartsFromSmallBase
from pitboard.training.benchmarks.llama31_8b.benchmark import Llama31, LlamaSizes
from pitboard.training.context_parallel import SequenceParts
from pitboard.training.data.cached import default_cache
from pitboard.training.data.downloads import required_folder
from pitboard.training.data.embedded import smoke_dataset
from pitboard.training.data.packed import Packed, first_tokens, read_parquet
from pitboard.training.data.safetensors_folder import SafetensorsFolder
from pitboard.training.distributed import World
from pitboard.training.evaluate import mean_loss
from pitboard.training.initialize import seeded_generator
from pitboard.training.optimizer import ScheduledOptimizer, adamw_hyperparameters, adamw_with_cosine
from pitboard.training.protocol import Batch, EvaluationBatches, TrainableBenchmark

_BASE = ".base_layer."


class _SmallBase(Llama31):
    """Llama 2's rotary frequencies instead of Llama 3.1's; else the pre-training benchmark as it is."""

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Compute the rotary frequencies."""
        rope = {"rope_theta": self.settings.rope_theta, "rope_type": "default"}
        model.llama.config.rope_parameters = rope  # type: ignore[union-attr]
        super().fill_buffers(model, device)


class LoraSettings(LlamaSizes):
    """The settings of a LoRA run: those of every run, the base's size, the adapters, and the data."""

    spread_by = frozenset({"context_parallel"})

    dataset: Literal["govreport", "pydoc"]
    data: Path | None = Field(default=None, description="folder of GovReport's Parquet; $PITBOARD_DATA")
    model: Path | None = Field(default=None, description="folder of the base's safetensors; $PITBOARD_DATA")
    begin_token: int = Field(ge=0, description="the token that each packed document begins with")
    document_boundaries: bool = Field(description="keep packed documents from each other")
    lora_rank: int = Field(gt=0)
    lora_alpha: int = Field(gt=0)
    lora_dropout: float = Field(ge=0, lt=1)
    base_steps: int | None = Field(default=None, gt=0, description="smoke: steps that pre-train the base")


class Llama2Lora(StartsFromSmallBase, TrainableBenchmark[LoraSettings]):
    """The benchmark `llama2_70b_lora` for the loop."""

    settings_class = LoraSettings
    settings: LoraSettings
    small_base_dataset = "pydoc"
    small_base_llama = _SmallBase
    # The adapters are what is learned, and cost next to nothing beside the frozen base, which is converted.
    keep_bf16 = ("lora_A", "lora_B")

    def build(self) -> nn.Module:
        """Return the frozen base with its adapters and loss, on the default device."""
        return LoraWithLoss(self.settings)

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill an adapter as LoRA's paper and `peft` do: A uniform, B zero."""
        if "lora_B" in name:
            parameter.zero_()
        else:
            nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)

    def is_pretrained(self, name: str) -> bool:
        """Whether the base has the parameter; the adapters are new."""
        return ".lora_" not in name

    def rows(self, name: str, shape: torch.Size, first: int, count: int) -> Tensor:
        """Return rows of the base, rounded to BF16, from its safetensors folder."""
        stored = name.removeprefix("llama.").replace(_BASE, ".")
        return self._base.rows(stored, shape, first, count).to(torch.bfloat16)

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Compute the rotary frequencies, the model's only buffers."""
        llama: Any = model.llama.model  # type: ignore[union-attr]
        with torch.device(device):
            llama.rotary_emb = LlamaRotaryEmbedding(llama.config)

    def split_sequences(self, model: nn.Module, ranks: DeviceMesh) -> None:
        """Give each of these ranks its part of every sequence."""
        assert isinstance(model, LoraWithLoss)
        model.split_sequences(SequenceParts(ranks, self.settings.sequence_length))

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the decoder layers."""
        return list(model.llama.model.layers)  # type: ignore[union-attr, arg-type]

    def optimizer(self, model: nn.Module) -> ScheduledOptimizer:
        """Return AdamW with a cosine schedule."""
        return adamw_with_cosine(model, self.settings)

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        """Return the mean validation loss over the tokens of the answers."""
        return mean_loss(model, batches, world)

    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the packed sequences, reshuffled each epoch by this seed."""
        return Packed(*self._sequences("train"), self.settings.begin_token, seed % 2**32)

    def evaluation_data(self, seed: int) -> Dataset[Batch]:  # noqa: ARG002 - nothing is drawn
        """Return the packed sequences held out, in order; their instructions do not count in the loss."""
        data = Packed(*self._sequences("validation"), self.settings.begin_token)
        if len(data) < self.settings.evaluation_samples:
            raise PitboardError(
                f"The validation set has {len(data)} sequences, and {self.settings.evaluation_samples} are"
                " to be evaluated: it is not whole; download it again."
            )
        return data

    def warmup_batch(self, samples: int) -> Batch:
        """Return random tokens, two documents a sequence."""
        settings = self.settings
        generator = seeded_generator(torch.device("cpu"), 0, "warm-up")
        low = settings.begin_token + 1
        shape = (samples, settings.sequence_length)
        tokens = torch.randint(low, settings.vocabulary_size, shape, generator=generator)
        tokens[:, settings.sequence_length // 2] = settings.begin_token
        first = torch.stack([first_tokens(row, settings.begin_token) for row in tokens])
        return {"tokens": tokens, "labels": tokens.clone(), "first": first}

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Check that no state depends on a later token or, with boundaries kept, on another document.

        Either half of each sequence is changed; the states of the other must stay. Raises `PitboardError`
        when they do not: the loss of such a model says nothing.
        """
        assert isinstance(model, LoraWithLoss)
        tokens, first = batch["tokens"], batch["first"]
        half = tokens.shape[1] // 2
        positions = model.positions(tokens.shape[1], tokens.device)
        halves = {"later tokens": (slice(half + 1, None), slice(0, half))}
        if self.settings.document_boundaries:
            halves["another document"] = (slice(0, half), slice(half, None))
        before = model.states(tokens, first, positions)
        for what, (changed, kept) in halves.items():
            other = tokens.clone()
            low = self.settings.begin_token + 1
            other[:, changed] = low + (other[:, changed] - low + 7) % (self.settings.vocabulary_size - low)
            after = model.states(other, first, positions)
            others = torch.ones_like(first[0], dtype=torch.bool)
            others[kept] = False
            same, as_before = (
                each.masked_fill(others[positions].unsqueeze(1), 0.0) for each in (after, before)
            )
            if not torch.allclose(same, as_before, rtol=1e-3, atol=1e-3):
                raise PitboardError(
                    f"The model's predictions depend on {what}: the attention mask leaks, so the validation"
                    " loss says nothing. Fix the mask."
                )

    def hyperparameters(self) -> dict[str, object]:
        """Return what the rules want logged, and what pre-training the base cost."""
        settings = self.settings
        return {
            **adamw_hyperparameters(settings),
            **self.small_base_keys(),
            "lora_rank": settings.lora_rank,
            "lora_alpha": settings.lora_alpha,
            "lora_dropout": settings.lora_dropout,
            "max_sequence_length": settings.sequence_length,
            "opt_learning_rate_training_steps": settings.max_steps,
            "opt_learning_rate_warmup_ratio": settings.warmup_steps / settings.max_steps,
            "pitboard_document_boundaries": settings.document_boundaries,
        }

    def flops_per_sample(self) -> float:
        """Return forward and backward FLOPs of one sequence.

        A frozen weight costs 4 a token (its own gradient is not computed), an adapter's 6, and attention
        12 × layers × width × length as in PaLM (arXiv:2204.02311, appendix B).
        """
        s = self.settings
        key_width = s.hidden_size // s.attention_heads * s.key_value_heads
        projections = (s.hidden_size, s.hidden_size + 2 * key_width), (s.hidden_size, s.hidden_size)
        frozen = sum(inputs * outputs for inputs, outputs in projections)
        adapters = sum(s.lora_rank * (inputs + outputs) for inputs, outputs in projections)
        frozen += 3 * s.hidden_size * s.intermediate_size
        weights = 4 * (s.layers * frozen + s.hidden_size * s.vocabulary_size) + 6 * s.layers * adapters
        per_token = weights + 12 * s.layers * s.hidden_size * s.sequence_length
        return float(per_token * s.sequence_length)

    def tokens_per_sample(self) -> int:
        """Return the tokens of a sequence."""
        return self.settings.sequence_length

    @cached_property
    def _base(self) -> SafetensorsFolder:
        if self.has_small_base:
            return SafetensorsFolder(self.small_base.folder)
        return SafetensorsFolder(
            required_folder(
                "llama2_70b_lora",
                "the base's weights",
                self.settings.model,
                setting="model",
                inside=downloads.MODEL_FOLDER,
            )
        )

    def _sequences(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        s = self.settings
        if s.dataset == "pydoc":
            tokenizer = smoke_dataset(default_cache(), s.vocabulary_size).tokenizer
            return sequences(tokenizer, s.sequence_length, held_out=split == "validation")
        folder = required_folder(
            "llama2_70b_lora", "the packed GovReport", s.data, inside=downloads.DATA_FOLDER
        )
        files = downloads.parquet_files(folder, split)
        return read_parquet(files, s.sequence_length, s.vocabulary_size)


BENCHMARK: type[TrainableBenchmark[LoraSettings]] = Llama2Lora
