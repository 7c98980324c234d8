"""A linear layer whose three matrix products are computed in a low-precision format.

The products of y = x·Wᵀ are the forward one, the input's gradient dy·W and the weight's gradient dyᵀ·x. Each
is rounded along the dimension that it sums over, which is why one tensor is rounded once for each product.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor, nn

from pitboard.training.precision.formats import (
    KERNEL_MULTIPLES,
    NVFP4_BLOCK,
    Scaled,
    mxfp4,
    nvfp4,
)
from pitboard.training.precision.hadamard import random_signs, rotate

Product = Callable[[Tensor, Tensor], Tensor]

# Between 32 and 256 the choice trades variance for time; 64 is the paper's (arXiv:2502.20586).
_MXFP4_ROTATION = 64


class LowPrecisionLinear(nn.Linear):
    """A linear layer whose product x·Wᵀ, with its gradients, is given by a function of (x, weight).

    x has shape (tokens, in_features). Parameters keep their names, shapes and type. `kernels` is how
    `torchao` multiplies, where the format is its FP8: a `LinearMMConfig`.
    """

    use_bf16 = False

    def __init__(self, linear: nn.Linear, product: Product, kernels: Any = None) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight = linear.weight
        self.bias = linear.bias
        self._product = product
        self.kernels = kernels
        self.gathered_in_float8 = False

    def forward(self, input: Tensor) -> Tensor:
        """Return x·Wᵀ + b in BF16, shape (..., out_features)."""
        # Of a weight that was gathered in FP8 this changes only what it says it is of.
        x, weight = input.bfloat16(), self.weight.bfloat16()
        if LowPrecisionLinear.use_bf16:
            if self.gathered_in_float8:
                weight = weight.to_original_precision()  # type: ignore[attr-defined]
            return F.linear(x, weight, None if self.bias is None else self.bias.bfloat16())
        y = self._product(x.flatten(0, -2), weight).reshape(*input.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias.bfloat16()


def padded(product: Product, multiple: int) -> Product:
    """Return the product of factors that zeros lengthen to multiples, and cut to what was asked for.

    For kernels that take only such sizes: zeros change neither a scale nor a sum.
    """

    def whole(x: Tensor, weight: Tensor) -> Tensor:
        inner, tokens, outputs = (-size % multiple for size in (x.shape[1], len(x), len(weight)))
        # Padding by nothing would be a copy, which a weight that was gathered in FP8 has none of.
        longer = F.pad(x, (0, inner, 0, tokens)) if inner or tokens else x
        wider = F.pad(weight, (0, inner, 0, outputs)) if inner or outputs else weight
        return product(longer, wider)[: len(x), : len(weight)]

    return whole


def sparing(product: Product, input_gradient: Product) -> Product:
    """Return a product that computes no gradient of a weight that has none, as a frozen base's.

    `torchao`'s autograd functions compute it whether it is needed or not: a third of the work. The input's
    gradient dy·W is `input_gradient(dy, Wᵀ)`. Compiled code needs none of this: what is not used is dropped.
    """

    def multiplied(x: Tensor, weight: Tensor) -> Tensor:
        if weight.requires_grad or torch.compiler.is_compiling():
            return product(x, weight)
        y: Tensor = _Frozen.apply(x, weight, product, input_gradient)  # type: ignore[no-untyped-call]
        return y

    return multiplied


class _Frozen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, product: Product, input_gradient: Product) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.input_gradient = input_gradient
        return product(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        (dy,) = gradients
        dx: Tensor = ctx.input_gradient(dy.contiguous(), weight.t().contiguous())
        return dx, None, None, None


@contextmanager
def in_bf16() -> Iterator[None]:
    """Compute all low-precision layers in BF16, to look at what a model depends on.

    A scale of a whole tensor makes every number depend, by its rounding, on every other.
    """
    LowPrecisionLinear.use_bf16 = True
    try:
        yield
    finally:
        LowPrecisionLinear.use_bf16 = False


def nvfp4_product(x: Tensor, weight: Tensor) -> Tensor:
    """x·Wᵀ by the NVFP4 recipe (arXiv:2509.25149, section 4).

    All three products in NVFP4; weights in 16 × 16 squares, so that forward and backward see the same;
    gradients rounded stochastically; both factors of the weight's gradient rotated by a 16 × 16 random
    Hadamard transform.
    """
    product: Tensor = _Nvfp4.apply(x, weight)  # type: ignore[no-untyped-call]
    return product


def mxfp4_product(x: Tensor, weight: Tensor) -> Tensor:
    """x·Wᵀ by the MXFP4 recipe (arXiv:2502.20586).

    The forward product stays in BF16; both gradients are in MXFP4, all factors rounded stochastically after a
    random Hadamard transform.
    """
    product: Tensor = _Mxfp4.apply(x, weight)  # type: ignore[no-untyped-call]
    return product


def mxfp8_product(x: Tensor, weight: Tensor, *, emulate: bool = True) -> Tensor:
    """x·Wᵀ by the MXFP8 recipe (arXiv:2506.08027): E4M3 in all three products, scales rounded up.

    `torchao`'s, by its emulation or else its kernels, which only a GPU with the format's arithmetic takes.
    """
    from torchao.prototype.moe_training.mxfp8_linear import _to_mxfp8_then_scaled_mm
    from torchao.prototype.mx_formats.config import ScaleCalculationMode
    from torchao.quantization.quantize_.common.kernel_preference import KernelPreference

    kernels = KernelPreference.EMULATED if emulate else KernelPreference.AUTO
    # The weight's gradient sums over the tokens, which must be whole blocks.
    multiply = partial(
        _to_mxfp8_then_scaled_mm, kernel_preference=kernels, scale_calculation_mode=ScaleCalculationMode.RCEIL
    )
    whole = padded(multiply, KERNEL_MULTIPLES["mxfp8"])
    return sparing(whole, whole)(x, weight)


def _multiply(a: Scaled, b: Scaled) -> Tensor:
    """Return a·bᵀ, both (rows, summed over)."""
    return (torch.mm(a.values, b.values.t()).float() * (a.scale * b.scale)).bfloat16()


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Lengthen the last dimension with zeros, which add nothing to a sum over it."""
    return F.pad(x, (0, -x.shape[-1] % multiple))


class _Nvfp4(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(nvfp4(x), nvfp4(weight, square=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (dy,) = gradients
        dx = dw = None
        if ctx.needs_input_grad[0]:
            squares = nvfp4(weight, square=True)
            dx = _multiply(nvfp4(dy, stochastic=True), Scaled(squares.values.t(), squares.scale))
        if ctx.needs_input_grad[1]:
            signs = random_signs(NVFP4_BLOCK, dy.device)
            left, right = (rotate(_padded(t.t(), NVFP4_BLOCK), signs) for t in (dy, x))
            dw = _multiply(nvfp4(left, stochastic=True), nvfp4(right))
        return dx, dw


class _Mxfp4(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.mm(x, weight.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (dy,) = gradients
        dx = _rotated_mxfp4(dy, weight.t()) if ctx.needs_input_grad[0] else None
        dw = _rotated_mxfp4(dy.t(), x.t()) if ctx.needs_input_grad[1] else None
        return dx, dw


def _rotated_mxfp4(a: Tensor, b: Tensor) -> Tensor:
    """Return a·bᵀ of the rotated factors in MXFP4, an unbiased estimate."""
    signs = random_signs(_MXFP4_ROTATION, a.device)
    left, right = (rotate(_padded(t, _MXFP4_ROTATION), signs) for t in (a, b))
    return _multiply(mxfp4(left, stochastic=True), mxfp4(right, stochastic=True))
