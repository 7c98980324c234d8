"""Llama 3.1 8B pretraining: `transformers`' Llama on next-token prediction.

The reference is mlcommons/training `small_llm_pretraining/nemo` (round v5.1): weights drawn from N(0, 0.02),
the projections back into the residual stream narrower by √(2 × layers) (Megatron's scaled initialisation),
RoPE with Llama 3.1's frequency scaling, no dropout, attention across document borders within a sequence.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
)
from torch.utils.data import Dataset
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.llama31_8b.data import SyntheticTokens, TextTokens
from pitboard.training.benchmarks.llama31_8b.downloads import TRAIN, VALIDATION
from pitboard.training.benchmarks.llama31_8b.model import LlamaWithLoss
from pitboard.training.context_parallel import SequenceParts
from pitboard.training.data.cached import default_cache
from pitboard.training.data.downloads import required_folder
from pitboard.training.data.embedded import smoke_dataset
from pitboard.training.data.megatron import IndexedDataset
from pitboard.training.data.samples import TokenSamples
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
from pitboard.training.settings import Settings

_INITIAL_DEVIATION = 0.02


class LlamaSizes(AdamWSettings):
    """The settings of every run with AdamW, and the sizes of a Llama."""

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
        chunks = 2 * self.context_parallel * self.tensor_parallel
        if self.context_parallel > 1 and self.sequence_length % chunks:
            raise ValueError(
                f"sequence_length {self.sequence_length} must be a multiple of {chunks}, which is"
                " 2 × context_parallel × tensor_parallel."
            )
        return self


class LlamaSettings(LlamaSizes):
    """The settings of a pre-training run of Llama: its sizes, and where the tokens come from."""

    spread_by = frozenset({"tensor_parallel", "context_parallel", "pipeline_parallel"})

    dataset: Literal["c4", "bible", "synthetic"]
    data: Path | None = Field(default=None, description="folder of the preprocessed C4; $PITBOARD_DATA")

    @model_validator(mode="after")
    def _splittable(self) -> "LlamaSettings":
        for name in ("key_value_heads", "intermediate_size", "vocabulary_size", "sequence_length"):
            if getattr(self, name) % self.tensor_parallel:
                raise ValueError(
                    f"{name} {getattr(self, name)} must be a multiple of tensor_parallel"
                    f" {self.tensor_parallel}."
                )
        if self.layers < self.pipeline_parallel:
            raise ValueError(
                f"layers {self.layers} must be at least pipeline_parallel {self.pipeline_parallel}."
            )
        return self


class Llama31(TrainableBenchmark[LlamaSettings]):
    """The benchmark `llama31_8b` for the loop."""

    settings_class: ClassVar[type[Settings]] = LlamaSettings

    def build(self) -> nn.Module:
        """Return the model with its loss, on the default device."""
        return LlamaWithLoss(self.settings)

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
        assert isinstance(model, LlamaWithLoss)
        return model.layers()

    def split_sequences(self, model: nn.Module, ranks: DeviceMesh) -> None:
        """Give each of these ranks its part of every sequence."""
        assert isinstance(model, LlamaWithLoss)
        model.split_sequences(SequenceParts(ranks, self.settings.sequence_length))

    def keep_stage(self, model: nn.Module, stage: int, stages: int) -> None:
        """Leave the layers of one stage, as many in each as can be, with the embedding or the head."""
        assert isinstance(model, LlamaWithLoss)
        model.keep_stage(stage, stages)

    def tensor_parallel_plan(self) -> dict[str, ParallelStyle]:
        """Split heads and feed-forward columns over the ranks, as Megatron-LM (arXiv:1909.08053) does.

        Between them, in the norms and residual additions, each rank has its part of the sequence (sequence
        parallel, arXiv:2205.05198): it is gathered before a split and scattered by the sum after it.
        """
        split, part, whole = ColwiseParallel, Shard(1), Replicate()
        return {
            "input_layernorm": SequenceParallel(),
            "self_attn": PrepareModuleInput(
                input_kwarg_layouts={"hidden_states": part},
                desired_input_kwarg_layouts={"hidden_states": whole},
            ),
            "self_attn.q_proj": split(),
            "self_attn.k_proj": split(),
            "self_attn.v_proj": split(),
            "self_attn.o_proj": RowwiseParallel(output_layouts=part),
            "post_attention_layernorm": SequenceParallel(),
            "mlp": PrepareModuleInput(input_layouts=part, desired_input_layouts=whole),
            "mlp.gate_proj": split(),
            "mlp.up_proj": split(),
            "mlp.down_proj": RowwiseParallel(output_layouts=part),
        }

    def outer_tensor_parallel_plan(self, model: nn.Module) -> dict[str, ParallelStyle]:
        """Split the vocabulary of embedding and head, and the sequence of the last norm between them."""
        assert isinstance(model, LlamaWithLoss)
        plan: dict[str, ParallelStyle] = {}
        if model.llama.model.embed_tokens is not None:
            inputs, outputs = Replicate(), Shard(1)
            plan["llama.model.embed_tokens"] = RowwiseParallel(input_layouts=inputs, output_layouts=outputs)
        if model.llama.lm_head is not None:
            plan |= {"llama.model.norm": SequenceParallel(), "llama.lm_head": ColwiseParallel()}
        return plan

    def optimizer(self, model: nn.Module) -> ScheduledOptimizer:
        """Return AdamW with a cosine schedule."""
        return adamw_with_cosine(model, self.settings)

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        """Return the mean validation loss."""
        return mean_loss(model, batches, world)

    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the sequences to train on: shuffled documents, then shuffled sequences, by this seed."""
        settings = self.settings
        if settings.dataset == "synthetic":
            return self._synthetic(settings.sample_limit, seed)
        return TextTokens(
            TokenSamples.training(
                [IndexedDataset(prefix) for prefix in self._prefixes()[0]],
                settings.sequence_length,
                settings.sample_limit,
                seed % 2**32,
                settings.vocabulary_size,
                self._order_cache(),
            )
        )

    def evaluation_data(self, seed: int) -> Dataset[Batch]:  # noqa: ARG002 - nothing is drawn
        """Return the first `evaluation_samples` sequences of the validation set, unshuffled."""
        settings = self.settings
        if settings.dataset == "synthetic":
            return self._synthetic(settings.evaluation_samples)
        dataset = IndexedDataset(self._prefixes()[1])
        return TextTokens(
            TokenSamples.validation(
                dataset, settings.sequence_length, settings.evaluation_samples, settings.vocabulary_size
            )
        )

    def warmup_batch(self, samples: int) -> Batch:
        """Return sequences of random tokens."""
        synthetic = self._synthetic(samples)
        return self.collate([synthetic[index] for index in range(samples)])

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Check that no prediction depends on a later token, whatever the mask or the labels claim.

        The second half of each sequence is replaced by random tokens; the states of the first half must stay.
        Of a pipeline each stage is looked at by itself, the later ones with random states for tokens.
        Raises `PitboardError` when they do not: the loss of such a model says nothing.
        """
        assert isinstance(model, LlamaWithLoss)
        tokens = batch["tokens"][:, :-1]
        half = tokens.shape[1] // 2
        positions = model.positions(tokens.shape[1], tokens.device)
        rows = self._rows(model, positions)
        if model.llama.model.embed_tokens is not None:
            given = tokens[:, positions]
            other = (given + 1 + tokens[0, 0]) % self.settings.vocabulary_size
            changed = torch.where(positions < half, given, other)
        else:
            generator = seeded_generator(tokens.device, 0, "states of the stage before")
            shape = (len(tokens), len(rows), self.settings.hidden_size)
            given = torch.randn(shape, generator=generator, device=tokens.device)
            given = given.to(torch.float32 if self.settings.precision == "fp32" else torch.bfloat16)
            changed = torch.where((rows < half).unsqueeze(1), given, given.flip(2))
        others = (rows >= half).unsqueeze(1)
        before, after = (
            _local(model.states(each, positions)).masked_fill(others, 0.0) for each in (given, changed)
        )
        if not torch.allclose(before, after, rtol=1e-3, atol=1e-3):
            raise PitboardError(
                "The model's predictions depend on later tokens (largest change"
                f" {(before - after).abs().max().item():.3g}): the attention mask leaks the labels, so the"
                " validation loss says nothing. Fix the mask."
            )

    def _rows(self, model: LlamaWithLoss, positions: Tensor) -> Tensor:
        """Return the positions whose states this rank has between blocks: tensor parallel divides them."""
        if self.settings.tensor_parallel == 1:
            return positions
        weight = model.layers()[0].get_parameter("mlp.down_proj.weight")
        assert isinstance(weight, DTensor)
        ranks = weight.device_mesh["tensor"]
        return positions.chunk(ranks.size())[ranks.get_local_rank()]

    def hyperparameters(self) -> dict[str, object]:
        """Return what the rules of llama31_8b want logged."""
        own = {"max_sequence_length": self.settings.sequence_length, "init_checkpoint_step": 0}
        return adamw_hyperparameters(self.settings) | own

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

    def _order_cache(self) -> Path:
        """Return where large orders of samples are kept: beside the data, where that can be written."""
        beside = self._prefixes()[1].parent
        return beside / ".pitboard" if os.access(beside, os.W_OK) else default_cache() / "orders"

    def _synthetic(self, count: int, seed: int = 0) -> SyntheticTokens:
        return SyntheticTokens(self.settings.vocabulary_size, self.settings.sequence_length, count, seed)

    def _prefixes(self) -> tuple[list[Path], Path]:
        if self.settings.dataset == "bible":
            made = smoke_dataset(default_cache(), self.settings.vocabulary_size)
            return [made.train], made.validation
        root = required_folder("llama31_8b", "the preprocessed C4", self.settings.data)
        return [root / TRAIN.prefix], root / VALIDATION.prefix


def _local(states: Tensor) -> Tensor:
    return states.to_local() if isinstance(states, DTensor) else states


BENCHMARK: type[TrainableBenchmark[LlamaSettings]] = Llama31
