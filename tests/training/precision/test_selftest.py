"""A format whose arithmetic is broken is caught before it is raced."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchao.float8 import float8_scaling_utils

from pitboard.errors import PitboardError
from pitboard.training.precision import convert, linear
from pitboard.training.precision.formats import Scaled, mxfp4, nvfp4
from pitboard.training.precision.linear import (
    LowPrecisionLinear,
    mxfp4_product,
    mxfp8_product,
    nvfp4_product,
    padded,
)
from pitboard.training.precision.selftest import check_numerics
from pitboard.training.runner import settings_for

CPU = torch.device("cpu")
PRODUCTS = {"mxfp8": mxfp8_product, "nvfp4": nvfp4_product, "mxfp4": mxfp4_product}


def test_the_formats_are_sound_whatever_the_draw() -> None:
    for name, product in PRODUCTS.items():
        for seed in range(5):
            torch.manual_seed(seed)
            check_numerics(name, lambda layer, product=product: LowPrecisionLinear(layer, product), CPU)  # type: ignore[misc]


@pytest.mark.parametrize("scaling", ["rowwise", "tensorwise"])
def test_fp8_is_sound_and_caught_when_its_scales_are_twice_what_fits(
    scaling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the rounding and its reversal use the same scale, so that the error is what saturates above it."""
    settings = settings_for("llama31_8b", "smoke", {"precision": "fp8", "fp8_scaling": scaling})
    convert([nn.Sequential(nn.Linear(32, 32))], settings, CPU)
    true = float8_scaling_utils.tensor_to_scale
    monkeypatch.setattr(float8_scaling_utils, "tensor_to_scale", lambda *a, **k: 2 * true(*a, **k))
    with pytest.raises(PitboardError, match="product of a test layer is off by"):
        convert([nn.Sequential(nn.Linear(32, 32))], settings, CPU)


@pytest.mark.parametrize("exponents", [-1, 1])
@pytest.mark.parametrize("name", ["nvfp4", "mxfp4"])
def test_scales_off_by_one_are_caught(name: str, exponents: int, monkeypatch: pytest.MonkeyPatch) -> None:
    true = {"nvfp4": nvfp4, "mxfp4": mxfp4}[name]

    def off(x: torch.Tensor, *, stochastic: bool = False, **square: bool) -> Scaled:
        right = true(x, stochastic=stochastic, **square)
        # Only the gradients' factors: what shows least in a loss, for AdamW does not see a gradient's scale.
        return Scaled(right.values * 2.0**exponents, right.scale) if stochastic else right

    monkeypatch.setattr(linear, name, off)
    with pytest.raises(PitboardError, match="gradient of a test layer is off by"):
        check_numerics(name, lambda layer: LowPrecisionLinear(layer, PRODUCTS[name]), CPU)


def test_a_shifted_scale_of_a_neighbouring_block_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(x: torch.Tensor, **options: bool) -> Scaled:
        x = x * torch.linspace(0.1, 10, x.shape[-1] // 16).repeat_interleave(16)
        right = nvfp4(x, **options)
        return Scaled(right.values.roll(16, -1), right.scale)

    monkeypatch.setattr(linear, "nvfp4", shifted)
    with pytest.raises(PitboardError, match="forward product"):
        check_numerics("nvfp4", lambda layer: LowPrecisionLinear(layer, nvfp4_product), CPU)


def test_a_product_that_is_not_finite_is_caught() -> None:
    with pytest.raises(PitboardError, match="nan"):
        check_numerics("mxfp8", _Nan, CPU)


class _Nan(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = layer.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.t() * float("nan")


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (ValueError("requires M, K, N all divisible by 128"), r"requires M, K, N"),
        (AssertionError(), "AssertionError"),  # as `torchao` has them
        (ImportError("cannot import name 'triton_kernel'\nmore"), r"cannot import name 'triton_kernel'\)"),
    ],
)
def test_kernels_that_refuse_are_one_sentence(refusal: Exception, told: str) -> None:
    def refuse(x: Tensor, weight: Tensor) -> Tensor:
        raise refusal

    with pytest.raises(PitboardError, match=rf"does not work on this device \({told}"):
        check_numerics("nvfp4", partial(LowPrecisionLinear, product=refuse), CPU)


@given(sizes=st.tuples(*[st.integers(1, 40)] * 3), multiple=st.sampled_from([1, 16, 32]))
def test_padding_changes_no_product_and_no_gradient(sizes: tuple[int, int, int], multiple: int) -> None:
    tokens, inputs, outputs = sizes
    x, weight = (
        torch.randn(tokens, inputs, requires_grad=True),
        torch.randn(outputs, inputs, requires_grad=True),
    )
    dy = torch.randn(tokens, outputs)
    plain = x @ weight.t()
    lengthened = padded(lambda a, b: a @ b.t(), multiple)(x, weight)
    torch.testing.assert_close(lengthened, plain)
    for mine, theirs in zip(
        torch.autograd.grad(lengthened, (x, weight), dy),
        torch.autograd.grad(plain, (x, weight), dy),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
