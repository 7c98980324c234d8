"""FLUX.1's transformer, `diffusers`' own, with its loss by rectified flow matching."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pitboard.training.benchmarks.flux1.joint_attention import JointAttention

if TYPE_CHECKING:
    from pitboard.training.benchmarks.flux1.benchmark import FluxSettings

PATCH = 2
"""A token of the image is a square of 2 × 2 latents."""


class FluxWithLoss(nn.Module):
    """The FLUX transformer with its loss."""

    def __init__(self, settings: "FluxSettings") -> None:
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

        `latent` and `noise` are (samples, channels, height, width), `time` (samples,) in [0, 1]; `text` and
        `pooled` may be narrower, and are computed with as if they were of the latents' type. The path
        from image to noise is straight, (1 − t) · latent + t · noise, so its velocity is noise − latent
        (arXiv:2209.03003).
        """
        t = time.view(-1, 1, 1, 1)
        text, pooled = text.to(latent.dtype), pooled.to(latent.dtype)
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
