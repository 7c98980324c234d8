"""FLUX's attention over text and image together, for `diffusers`: fast on a CPU, rotated in FP32."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor, nn


class JointAttention:
    """Attention over text and image: of a double-stream block, or of a single-stream one that joined them.

    A processor of `diffusers`, in place of its `FluxAttnProcessor`, to which it is equal but for rounding.
    On a CPU it takes plain products, since PyTorch's CPU flash kernel is twenty times as slow on short
    sequences in BF16.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: None = None,  # noqa: ARG002 - the interface of diffusers: FLUX has no mask
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend, and return the tokens' states; for a double-stream block the image's and the text's.

        States are (samples, tokens, width), `encoder_hidden_states` the text's in a double-stream block;
        `image_rotary_emb` is what `FluxPosEmbed` makes: cosines and sines, (tokens, head size).
        """
        streams = [_heads(hidden_states, attn.to_q, attn.to_k, attn.to_v, attn.norm_q, attn.norm_k)]
        if encoder_hidden_states is not None:
            projections = attn.add_q_proj, attn.add_k_proj, attn.add_v_proj
            text = _heads(encoder_hidden_states, *projections, attn.norm_added_q, attn.norm_added_k)
            streams.insert(0, text)
        query, key, value = (torch.cat(parts, dim=1) for parts in zip(*streams, strict=True))
        assert image_rotary_emb is not None
        query, key = (_rotated(x, *image_rotary_emb).to(value.dtype) for x in (query, key))
        attended = _attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        joined = attended.transpose(1, 2).flatten(2)
        if encoder_hidden_states is None:
            return joined
        text_states, image_states = joined.tensor_split([encoder_hidden_states.shape[1]], dim=1)
        return attn.to_out[0](image_states), attn.to_add_out(text_states)


def _heads(
    states: Tensor, to_query: nn.Module, to_key: nn.Module, to_value: nn.Module, *norms: nn.RMSNorm
) -> tuple[Tensor, Tensor, Tensor]:
    """Return normalised queries and keys, and values: (samples, tokens, heads, head size)."""
    size = norms[0].weight.shape[0]
    query, key, value = (layer(states).unflatten(-1, (-1, size)) for layer in (to_query, to_key, to_value))
    query, key = (norm(x.to(norm.weight.dtype)) for norm, x in zip(norms, (query, key), strict=True))
    return query, key, value


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate each pair of neighbouring elements by its angle, in FP32 (arXiv:2104.09864).

    `cosine` and `sine` are (tokens, head size) and hold each pair's value twice.
    """
    cosine, sine = cosine[:, None, ::2], sine[:, None, ::2]
    pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    if not torch.compiler.is_compiling():
        # The same products in one pass over contiguous numbers, four times as fast on a CPU; compiled,
        # the lines below are one pass too, and the compiler takes no complex numbers.
        return torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cosine, sine)).flatten(-2)
    first, second = pairs.unbind(-1)
    return torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1).flatten(-2)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend from every token to every token; all are (samples, heads, tokens, head size)."""
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value)
    scores = query @ key.transpose(2, 3)
    weights = torch.softmax(scores.float() * query.shape[-1] ** -0.5, dim=-1)
    return weights.to(value.dtype) @ value
