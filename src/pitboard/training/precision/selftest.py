"""A test of a precision's arithmetic on the run's own device, before the clock starts.

A kernel that reads scales from the wrong place, or off by one exponent, often still trains, only worse: hours
later it looks like a format that does not converge. Checking its products exposes it immediately.
"""

from collections.abc import Callable
from itertools import starmap

import torch
from torch import Tensor, nn

from pitboard.errors import PitboardError

# Relative errors of products of normal tensors, half as much again as measured over ten seeds on the CPU
# (FP8: with either scaling). A scale off by one exponent makes 0.5 or more.
_MOST = {"fp8": 0.09, "mxfp8": 0.06, "nvfp4": 0.23, "mxfp4": 0.36}
# Sizes that a layer may have, and none that a kernel likes: a number of tokens is anything.
_TOKENS, _INPUTS, _OUTPUTS = 88, 96, 160
_PRODUCTS = ("forward product", "input's gradient", "weight's gradient")


def check_numerics(precision: str, change: Callable[[nn.Linear], nn.Module], device: torch.device) -> None:
    """Compare a converted layer's products with FP32's. Raises `PitboardError` where one is off."""
    generator = torch.Generator("cpu").manual_seed(0)
    shapes = (_TOKENS, _INPUTS), (_TOKENS, _OUTPUTS), (_OUTPUTS, _INPUTS)
    x, dy, weight = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    exact = nn.Linear(_INPUTS, _OUTPUTS, bias=False, device=device)
    exact.weight.data.copy_(weight)
    wanted = (x @ weight.t(), dy @ weight, dy.t() @ x)
    try:
        found = _products(change(exact), x, dy)
    except Exception as refusal:  # whatever a kernel, or what compiles it, refuses with
        why = (str(refusal).splitlines() or [type(refusal).__name__])[0]
        raise PitboardError(
            f"The {precision} arithmetic does not work on this device ({why})."
            " Choose another precision, or another version of torchao."
        ) from refusal
    errors = starmap(_error, zip(found, wanted, strict=True))
    for product, error in zip(_PRODUCTS, errors, strict=True):
        if not error <= _MOST[precision]:
            raise PitboardError(
                f"The {precision} arithmetic on this device is wrong: the {product} of a test layer is off by"
                f" {error:.0%}, where the format's rounding explains at most {_MOST[precision]:.0%}."
                " Choose another precision, or another version of torchao."
            )


def _products(layer: nn.Module, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast(x.device.type, torch.bfloat16):
        y = layer(x)
    (weight,) = layer.parameters()
    dx, dw = torch.autograd.grad(y, (x, weight), dy.to(y.dtype))
    return y.detach(), dx, dw


def _error(got: Tensor, wanted: Tensor) -> float:
    return float((got.float() - wanted).norm() / wanted.norm())
