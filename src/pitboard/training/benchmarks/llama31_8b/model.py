"""Llama with its loss: `transformers`' model, and a next-token loss that does not hold all logits."""

from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

from pitboard.training import attention
from pitboard.training.chunked_loss import Softmax, chunked_head_loss, sharded_head_loss, softmax_loss
from pitboard.training.context_parallel import SequenceParts
from pitboard.training.data.packed import IGNORED

if TYPE_CHECKING:
    from pitboard.training.benchmarks.llama31_8b.benchmark import LlamaSettings, LlamaSizes

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


class LlamaWithLoss(nn.Module):
    """Llama with its loss: `forward(tokens=…)` takes (samples, sequence_length + 1) and gives (samples,).

    A stage of a pipeline has some of the layers; but for the first, it takes the hidden states of the stage
    before, and but for the last it gives its own. With `split_sequences` a rank has a part of the length.
    """

    _parts: SequenceParts | None = None

    def __init__(self, settings: "LlamaSettings") -> None:
        super().__init__()
        rope = {"rope_theta": settings.rope_theta, **_ROPE_SCALING}
        self.llama = LlamaForCausalLM(llama_config(settings, rope, _LONGEST_CONTEXT))
        self._loss = HeadLoss(compiled=bool(settings.compile))
        if settings.compile:
            self.llama.model.norm.compile(dynamic=False)

    def keep_stage(self, stage: int, stages: int) -> None:
        """Leave only the layers of one of the stages; the first also has the embedding, the last the head."""
        model = self.llama.model
        kept = layers_of_stages(len(model.layers), stages)[stage]
        for number in range(len(model.layers)):
            if number not in kept:
                model.layers[number] = _Elsewhere()
        if stage > 0:
            model.embed_tokens = None
        if stage < stages - 1:
            model.norm, self.llama.lm_head = nn.Identity(), None

    def split_sequences(self, parts: SequenceParts) -> None:
        """Compute only this rank's part of the sequences."""
        self._parts = parts
        for layer in self.layers():
            layer.self_attn.sequence_parts = parts  # type: ignore[union-attr]

    def layers(self) -> list[nn.Module]:
        """Return the layers that this rank has."""
        return [layer for layer in self.llama.model.layers if not isinstance(layer, _Elsewhere)]

    def positions(self, length: int, device: torch.device) -> Tensor:
        """Return which tokens of a sequence are this rank's; ranks that share layers (tensor) share them."""
        if self._parts is not None:
            return self._parts.positions(device)
        return torch.arange(length, device=device)

    def states(self, inputs: Tensor, positions: Tensor) -> Tensor:
        """Return the last hidden states of this stage, (samples, this rank's length, width).

        `inputs` are this rank's tokens, or the states of the stage before. Under tensor parallelism each rank
        has a part of that length: the states of the last stage then come as a `DTensor`.
        """
        name = "inputs_embeds" if inputs.is_floating_point() else "input_ids"
        rotated = {"position_ids": positions.unsqueeze(0), "use_cache": False}
        states: Tensor = self.llama.model(**{name: inputs}, **rotated).last_hidden_state
        return states

    def forward(self, *received: Tensor, tokens: Tensor) -> Tensor:
        """Return each sequence's mean next-token loss in nats over this rank's part, shape (samples,).

        A stage before the last returns its states, and one after the first takes those `received`.
        """
        positions = self.positions(tokens.shape[1] - 1, tokens.device)
        hidden = self.states(received[0] if received else tokens[:, positions], positions)
        if self.llama.lm_head is None:
            return hidden
        labels, weight = tokens[:, positions + 1], self.llama.lm_head.weight
        if isinstance(hidden, DTensor):
            assert isinstance(weight, DTensor)
            return sharded_head_loss(hidden, weight, labels)
        return self._loss(hidden, weight, labels)


class _Elsewhere(nn.Module):
    """A layer that another stage has."""

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:
        """Return what it is given."""
        return hidden_states


def layers_of_stages(layers: int, stages: int) -> list[range]:
    """Return which layers each stage of a pipeline has.

    Where they do not come out even, the first stage and the last, which has the head, have the fewer (as in
    Llama 3's training, arXiv:2407.21783).
    """
    fewest, more = divmod(layers, stages)
    longer = [*range(1, stages - 1), 0][:more]
    ends = list(accumulate(fewest + (stage in longer) for stage in range(stages)))
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def llama_config(settings: "LlamaSizes", rope: dict[str, Any], longest: int) -> LlamaConfig:
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


class HeadLoss:
    """The loss of a head, from all logits at once or, where they would fill the memory, a chunk at a time."""

    def __init__(self, *, compiled: bool) -> None:
        self._whole: Callable[..., Tensor] = whole_head_loss
        self._softmax: Softmax = softmax_loss
        if compiled:
            self._whole = torch.compile(whole_head_loss, dynamic=False)
            self._softmax = torch.compile(softmax_loss, dynamic=False)

    def __call__(
        self, hidden: Tensor, weight: Tensor, labels: Tensor, counts: Tensor | None = None
    ) -> Tensor:
        """Return what `chunked_head_loss` does."""
        if labels.numel() * weight.shape[0] >= _CHUNKED_LOSS_FROM:
            return chunked_head_loss(hidden, weight, labels, counts, self._softmax)
        return self._whole(hidden, weight, labels, counts)


def whole_head_loss(hidden: Tensor, weight: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """Return what `chunked_head_loss` does, from all logits at once: several times as fast on a CPU."""
    logits = F.linear(hidden, weight).flatten(0, 1).float()
    losses = F.cross_entropy(logits, labels.flatten(), reduction="none", ignore_index=IGNORED)
    sums = losses.view(labels.shape).sum(dim=1)
    return sums / ((labels != IGNORED).sum(dim=1) if counts is None else counts)
