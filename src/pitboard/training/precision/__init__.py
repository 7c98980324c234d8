"""Precision of the computation: autocast, and linear layers in low-precision formats, those below BF16.

`products` measures what the device is fast at, `onednn` computes FP32 where it is the faster library, both by
`kernels` of our own; `formats` rounds to the four-bit formats, `hadamard` rotates, `linear` has the matrix
products, and `recipes` says which layers of a model use them.
"""

from contextlib import AbstractContextManager, nullcontext

import torch

from pitboard.training.precision.linear import in_bf16
from pitboard.training.precision.products import choose_precision, cost_of_bf16, prepare_products
from pitboard.training.precision.recipes import Converted, convert, emulated
from pitboard.training.settings import Settings

__all__ = [
    "Converted",
    "autocast",
    "choose_precision",
    "convert",
    "cost_of_bf16",
    "emulated",
    "in_bf16",
    "prepare_products",
]


def autocast(settings: Settings, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of forward passes: BF16 autocast, or none for FP32.

    Under BF16 the matrix products run in BF16 while parameters, optimizer state and reductions stay FP32; a
    low precision replaces the products of some linear layers and leaves all else in BF16.
    """
    if settings.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
