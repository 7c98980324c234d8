"""Llama 2 with `peft`'s adapters on its fused attention projections, and its loss."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from pitboard.training import attention
from pitboard.training.benchmarks.llama31_8b.model import HeadLoss, llama_config
from pitboard.training.context_parallel import SequenceParts
from pitboard.training.data.packed import IGNORED

if TYPE_CHECKING:
    from pitboard.training.benchmarks.llama2_70b_lora.benchmark import LoraSettings

_ADAPTED = ["qkv_proj", "o_proj"]


class FusedAttention(nn.Module):
    """Llama's attention with one projection for query, key and value, in this order, as the reference's."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, self.head_size = config.hidden_size, config.hidden_size // config.num_attention_heads
        self.key_width = config.num_key_value_heads * self.head_size
        self.qkv_proj = nn.Linear(width, width + 2 * self.key_width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        documents: attention.Documents | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """Return the attention's output, (samples, length, width), and no weights."""
        samples, length, width = hidden_states.shape
        fused = self.qkv_proj(hidden_states).split([width, self.key_width, self.key_width], dim=-1)
        query, key, value = (x.view(samples, length, -1, self.head_size).transpose(1, 2) for x in fused)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        output, _none = attention.causal_attention(
            self, query, key, value, attention_mask, documents=documents
        )
        return self.o_proj(output.reshape(samples, length, width)), None


class LoraWithLoss(nn.Module):
    """The adapted Llama with its loss: takes tokens, labels and document starts, each (samples, length).

    With `split_sequences` a rank computes a part of the length.
    """

    _parts: SequenceParts | None = None

    def __init__(self, settings: "LoraSettings") -> None:
        super().__init__()
        rope = {"rope_theta": settings.rope_theta, "rope_type": "default"}
        config = llama_config(settings, rope, settings.sequence_length)
        self.llama = LlamaForCausalLM(config)
        for layer in self.llama.model.layers:
            layer.self_attn = FusedAttention(config)
        # Rounded once and for all; under FP32 the base computes in FP32 from the same BF16 values.
        self.llama.to(torch.float32 if settings.precision == "fp32" else torch.bfloat16)
        self.llama.requires_grad_(False)
        adapters = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=_ADAPTED,
            bias="none",
        )
        inject_adapter_in_model(adapters, self.llama)
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self._boundaries = settings.document_boundaries
        self._loss = HeadLoss(compiled=bool(settings.compile))
        if settings.compile:
            self.llama.model.norm.compile(dynamic=False)

    def split_sequences(self, parts: SequenceParts) -> None:
        """Compute only this rank's part of the sequences."""
        self._parts = parts
        for layer in self.llama.model.layers:
            layer.self_attn.sequence_parts = parts

    def positions(self, length: int, device: torch.device) -> Tensor:
        """Return which tokens of a sequence are this rank's."""
        if self._parts is not None:
            return self._parts.positions(device)
        return torch.arange(length, device=device)

    def states(self, tokens: Tensor, first: Tensor, positions: Tensor) -> Tensor:
        """Return the last hidden states at these positions, (samples, positions, width)."""
        given: dict[str, Any] = {"position_ids": positions.unsqueeze(0), "use_cache": False}
        if self._boundaries:
            begins = first[:, positions]
            given["documents"] = attention.documents(begins) if self._parts is None else begins
        states: Tensor = self.llama.model(tokens[:, positions], **given).last_hidden_state
        return states

    def forward(self, tokens: Tensor, labels: Tensor, first: Tensor) -> Tensor:
        """Return each sequence's mean loss in nats over the tokens that have a label, shape (samples,).

        A rank that has a part of the sequence returns its part of this mean, times the number of ranks.
        """
        positions = self.positions(tokens.shape[1], tokens.device)
        wanted = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
        share = len(positions) / tokens.shape[1]
        counts = (wanted != IGNORED).sum(dim=1) * share
        states = self.states(tokens, first, positions)
        return self._loss(states, self.llama.lm_head.weight, wanted[:, positions], counts)
