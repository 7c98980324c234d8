"""Precision of the computation, and compilation of the model's blocks."""

from contextlib import AbstractContextManager, nullcontext

import torch

from pitboard.training.settings import Settings


def autocast(settings: Settings, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of forward passes: BF16 autocast, or none for FP32.

    Under BF16 the matrix products run in BF16 while parameters, optimizer state and reductions stay FP32.
    """
    if settings.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
