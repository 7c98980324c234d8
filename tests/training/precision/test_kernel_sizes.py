"""The sizes that a format's kernels take: our table held against the checks of PyTorch and `torchao`."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

import pytest
import torch
from torch import Tensor

from pitboard.training.precision import recipes
from pitboard.training.precision.formats import KERNEL_MULTIPLES
from pitboard.training.precision.linear import Product, padded
from pitboard.training.runner import settings_for


class ReachedError(Exception):
    """A kernel would now be started: the sizes have been checked."""


def fp8(scaling: str) -> Callable[[pytest.MonkeyPatch], tuple[Product, str]]:
    def product(patch: pytest.MonkeyPatch) -> tuple[Product, str]:
        """As on a GPU; tensors on `meta` are checked as those on one."""
        patch.setattr(recipes, "emulated", lambda *_: False)
        patch.setattr(recipes, "padded", lambda product, _: product)
        settings = settings_for("llama31_8b", "smoke", {"precision": "fp8", "fp8_scaling": scaling})
        return recipes._float8(settings, torch.device("cuda"))[0], "meta"

    return product


def mxfp8(_: pytest.MonkeyPatch) -> tuple[Product, str]:
    """`torchao`'s emulation, whose blocks are those of its kernels."""
    module = import_module("torchao.prototype.moe_training.mxfp8_linear")
    preference = import_module("torchao.quantization.quantize_.common.kernel_preference").KernelPreference
    mode = import_module("torchao.prototype.mx_formats.config").ScaleCalculationMode.RCEIL
    multiply = module._to_mxfp8_then_scaled_mm
    return partial(multiply, kernel_preference=preference.EMULATED, scale_calculation_mode=mode), "cpu"


def nvfp4(patch: pytest.MonkeyPatch) -> tuple[Product, str]:
    native = pytest.importorskip("pitboard.training.precision.native")
    kernels = import_module("torchao.prototype.moe_training.nvfp4_training.nvfp4_linear")

    def reached(*_: object, **__: object) -> None:
        raise ReachedError

    # The first thing that runs on the GPU, after torchao's own check of the sizes.
    patch.setattr(kernels, "triton_rht_amax", reached)
    return native.nvfp4_kernels, "cpu"


FORMATS = {
    "fp8, a scale a row": ("fp8", fp8("rowwise")),
    "fp8, a scale a tensor": ("fp8", fp8("tensorwise")),
    "mxfp8": ("mxfp8", mxfp8),
    "nvfp4": ("nvfp4", nvfp4),
}


def works(product: Product, device: str, tokens: int, inputs: int, outputs: int) -> bool:
    """Whether all three products of a layer of these sizes pass the checks."""
    x, weight = (
        torch.zeros(rows, inputs, device=device, dtype=torch.bfloat16, requires_grad=True)
        for rows in (tokens, outputs)
    )
    try:
        y: Tensor = product(x, weight)
        y.sum().backward()  # type: ignore[no-untyped-call]
    except ReachedError:
        return True
    except (AssertionError, RuntimeError, ValueError) as refused:
        if "divisible by" not in str(refused):
            raise
        return False
    assert (y.shape, x.grad is None, weight.grad is None) == ((tokens, outputs), False, False)
    return True


@pytest.mark.parametrize("case", FORMATS)
def test_the_kernels_take_the_multiples_of_the_table_and_no_smaller_ones(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make = FORMATS[case]
    product, device = make(monkeypatch)
    multiple = KERNEL_MULTIPLES[name]
    assert works(product, device, multiple, 3 * multiple, 2 * multiple)
    for changed in range(3):
        sizes = [2 * multiple] * 3
        sizes[changed] -= multiple // 2
        assert not works(product, device, *sizes), f"{sizes} need not be padded"
        # What every recipe pads by: the layers of the smoke presets are no multiples of 128.
        assert works(padded(product, multiple), device, *sizes)
