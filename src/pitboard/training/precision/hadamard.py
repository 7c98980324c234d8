"""The random Hadamard transform, which spreads a block's outliers over the block before it is rounded."""

import math
from functools import cache

import torch
from torch import Tensor


def random_signs(size: int, device: torch.device) -> Tensor:
    """Draw `size` random signs, shape (size,), from the device's generator."""
    return torch.randint(0, 2, (size,), device=device).float() * 2 - 1


def rotate(x: Tensor, signs: Tensor) -> Tensor:
    """Flip signs and apply the Hadamard matrix of order len(signs) to each block of the last dimension.

    The order must be a power of two and divide the last dimension. The matrix is orthogonal, so that a
    product over the dimension does not change when both its factors are rotated with the same signs.
    """
    blocks = x.float().reshape(*x.shape[:-1], -1, len(signs)) * signs
    return (blocks @ _hadamard(len(signs), x.device)).flatten(-2)


@cache
def _hadamard(order: int, device: torch.device) -> Tensor:
    """Sylvester's construction, normalised to be orthogonal; made on the device, not copied there."""
    matrix = torch.ones(1, 1, device=device)
    while len(matrix) < order:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(order)
