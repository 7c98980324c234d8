"""The four-bit formats, emulated: a tensor rounded to what the format holds, in a wider type.

MXFP4 is defined by the OCP Microscaling Formats specification v1.0: blocks of 32 E2M1 elements that share one
E8M0 scale, a power of two. NVFP4 has blocks of 16 E2M1 elements, an E4M3 scale for each, and one FP32 scale
for the tensor (arXiv:2509.25149, section 2). `torchao` rounds to both only to nearest and along one
dimension; the training recipes also need stochastic rounding and square blocks, hence this module.
"""

from typing import NamedTuple

import torch
from torch import Tensor

MX_BLOCK = 32
NVFP4_BLOCK = 16

KERNEL_MULTIPLES = {"fp8": 16, "mxfp8": MX_BLOCK, "nvfp4": 128}
"""What inputs, outputs and tokens must be multiples of for a format's kernels on a GPU.

The kernels are PyTorch's and `torchao`'s. Tokens too: the weight's gradient sums over them.
"""

_FP32_EXPONENT = 0x7F800000
_E2M1_MAX = 6.0
_E2M1_MAX_EXPONENT = 2
_E4M3_MAX = 448.0
_E4M3_SMALLEST = 2.0**-9
# Its product with the smallest block scale is still a normal FP32 number, by which zeros can be divided.
_NVFP4_SMALLEST_SCALE = 2.0**-117
# E8M0 also holds 2⁻¹²⁷, but that is no normal FP32 number: a device that flushes those would divide by zero.
_E8M0_MIN_EXPONENT, _E8M0_MAX_EXPONENT = -126, 127


class Scaled(NamedTuple):
    """A rounded tensor: the numbers are `values` × `scale`, `values` exact in BF16 and `scale` in FP32.

    The split is the hardware's: a product of two tensors takes the tensor scales after its accumulation.
    """

    values: Tensor
    scale: Tensor


def to_e2m1(x: Tensor, *, stochastic: bool = False) -> Tensor:
    """Round FP32 to the E2M1 numbers 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; beyond 6 saturates.

    To nearest with ties to even (OCP MX v1.0, section 5.3.3), or up with a probability of the distance to the
    number below (stochastic rounding), whose mean over the draws is x itself.
    """
    x = x.clamp(-_E2M1_MAX, _E2M1_MAX)
    # Its exponent's bits alone are the power of two not above a number; half of that is the step, from 1 up.
    step = (x.view(torch.int32) & _FP32_EXPONENT).view(torch.float32).clamp(min=1.0).mul(0.5)
    # In units of the step all neighbours are integers, and the even ones have an even mantissa.
    units = x / step
    units = (units + torch.rand_like(units)).floor() if stochastic else units.round()
    return units * step


def mx_scale(largest: Tensor) -> Tensor:
    """Return the shared scale X of a block from its largest magnitude: OCP MX v1.0, section 6.3.

    The largest power of two not above the magnitude, over that of the element format (4 for E2M1), within
    what E8M0 and normal FP32 numbers both hold: 2⁻¹²⁶ for a block of zeros. NaN where the magnitude is not
    finite, so that a diverged run is seen to diverge.
    """
    _, exponent = torch.frexp(largest)
    exponent = torch.where(largest == 0, _E8M0_MIN_EXPONENT, exponent - 1 - _E2M1_MAX_EXPONENT)
    scale = torch.ldexp(torch.ones_like(largest), exponent.clamp(_E8M0_MIN_EXPONENT, _E8M0_MAX_EXPONENT))
    return torch.where(largest.isfinite(), scale, torch.nan)


def mxfp4(x: Tensor, *, stochastic: bool = False) -> Scaled:
    """Round to MXFP4 in blocks of 32 along the last dimension, whose size must be a multiple of that.

    To nearest this is the specification's conversion, where elements above 6 × scale saturate. Stochastic
    rounding multiplies by 3/4 first, so that none does and the mean stays exact, and `scale` takes it back
    (arXiv:2502.20586).
    """
    blocks = x.float().reshape(*x.shape[:-1], -1, MX_BLOCK)
    scale = mx_scale(blocks.abs().amax(-1, keepdim=True))
    shrink = 0.75 if stochastic else 1.0
    values = to_e2m1(blocks * shrink / scale, stochastic=stochastic) * scale
    # Filled there: a number copied from the host would make the host wait for the device.
    return Scaled(values.flatten(-2).bfloat16(), torch.full((), 1 / shrink, device=x.device))


def nvfp4(x: Tensor, *, stochastic: bool = False, square: bool = False) -> Scaled:
    """Round a matrix to NVFP4 in blocks of 16 along the last dimension, or in squares of 16 × 16.

    Sizes must be multiples of 16. The tensor's scale maps its largest magnitude to 448 × 6, the largest that
    a block can hold; a square block, as the recipe has for weights, is the same read along either dimension
    (arXiv:2509.25149, sections 2 and 4.3 and appendix C).
    """
    x = x.float()
    scale = (x.abs().amax() / (_E4M3_MAX * _E2M1_MAX)).clamp(min=_NVFP4_SMALLEST_SCALE)
    rows = NVFP4_BLOCK if square else 1
    blocks = x.reshape(-1, rows, x.shape[-1] // NVFP4_BLOCK, NVFP4_BLOCK)
    decode = nvfp4_block_scale(blocks.abs().amax((1, -1), keepdim=True) / scale)
    values = to_e2m1(blocks / (decode * scale), stochastic=stochastic) * decode
    return Scaled(values.flatten(0, 1).flatten(-2).bfloat16(), scale)


def nvfp4_block_scale(largest: Tensor) -> Tensor:
    """Return a block's E4M3 scale (in FP32) from its largest magnitude, already divided by the tensor's."""
    scale = (largest / _E2M1_MAX).clamp(_E4M3_SMALLEST, _E4M3_MAX)
    return scale.to(torch.float8_e4m3fn).float()
