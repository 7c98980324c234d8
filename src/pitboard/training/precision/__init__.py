"""Precision of the computation: autocast, and linear layers in formats narrower than BF16.

`formats` rounds to the narrow formats, `hadamard` rotates, `linear` has the matrix products, and `recipes`
says which layers of a model use them.
"""

from contextlib import AbstractContextManager, nullcontext

import torch

from pitboard.training.precision.linear import in_bf16
from pitboard.training.precision.recipes import Converted, convert, emulated
from pitboard.training.settings import Settings

__all__ = ["Converted", "autocast", "convert", "emulated", "in_bf16"]


def autocast(settings: Settings, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of forward passes: BF16 autocast, or none for FP32.

    Under BF16 the matrix products run in BF16 while parameters, optimizer state and reductions stay FP32; a
    narrower precision replaces the products of some linear layers and leaves all else in BF16.
    """
    if settings.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
