"""Which linear layers a precision converts, and whether the device has the format's arithmetic.

Only linear layers of the repeated blocks are converted. Whose recipe that is, where a format is native and
what stays wider stands in the table of `suite.formats`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pitboard.errors import PitboardError
from pitboard.suite.formats import FORMATS
from pitboard.training.precision.formats import KERNEL_MULTIPLES, MX_BLOCK
from pitboard.training.precision.linear import (
    LowPrecisionLinear,
    Product,
    mxfp4_product,
    mxfp8_product,
    nvfp4_product,
    padded,
    sparing,
)
from pitboard.training.precision.products import bf16_is_native, gpu_has
from pitboard.training.precision.selftest import check_numerics
from pitboard.training.settings import Settings

_PRODUCTS = {"mxfp8": mxfp8_product, "nvfp4": nvfp4_product, "mxfp4": mxfp4_product}


@dataclass(frozen=True)
class Converted:
    """How many of the blocks' linear layers now compute in the low-precision format."""

    low_precision: int
    linears: int


def emulated(precision: str, device: torch.device) -> bool:
    """Say whether a precision is only emulated on this device: right numbers, meaningless time.

    BF16 is emulated on a CPU that is far slower at it than at FP32 (`precision.products`); the low-precision
    formats everywhere but on the GPUs that have them.
    """
    if FORMATS[precision].low:
        return device.type != "cuda" or not gpu_has(precision, device)
    return precision == "bf16" and device.type == "cpu" and not bf16_is_native(device)


def convert(
    blocks: Sequence[nn.Module], settings: Settings, device: torch.device, keep_bf16: Collection[str] = ()
) -> Converted:
    """Convert the linear layers of a model's blocks, in place, to the settings' precision.

    A layer stays in BF16 in a module that `keep_bf16` names, and where either of its sizes is no multiple of
    32, the larger block of the formats.
    Raises `PitboardError` when no layer can be converted, `torchao` is not installed, or the format's
    arithmetic fails its test.
    """
    linears = sum(isinstance(module, nn.Linear) for block in blocks for module in block.modules())
    if not FORMATS[settings.precision].low:
        return Converted(0, linears)
    if not linears:
        raise PitboardError(
            f"The blocks of this model have no linear layers, which are what precision {settings.precision}"
            " rounds: convolutions stay in BF16. Choose --precision bf16 or fp32."
        )
    change = _changer(settings, device)
    check_numerics(settings.precision, change, device)
    converted = sum(_convert_block(block, change, keep_bf16) for block in _chosen(blocks, settings.precision))
    if not converted:
        raise PitboardError(
            f"No linear layer can be computed in {settings.precision}: it takes input and output sizes that"
            f" are multiples of {MX_BLOCK}. Choose such sizes, or --precision bf16."
        )
    return Converted(converted, linears)


def _chosen(blocks: Sequence[nn.Module], precision: str) -> Sequence[nn.Module]:
    first, last = (len(blocks) * fraction for fraction in FORMATS[precision].wider_blocks)
    # However few blocks there are, one stays wide at the end where the recipe keeps any there.
    return blocks[round(first) : len(blocks) - (max(1, round(last)) if last else 0)]


def _convert_block(
    block: nn.Module, change: Callable[[nn.Linear], nn.Linear], keep_bf16: Collection[str]
) -> int:
    count = 0
    for name, layer in list(block.named_modules()):
        if type(layer) is not nn.Linear or not set(name.split(".")).isdisjoint(keep_bf16):
            continue
        if layer.in_features % MX_BLOCK == 0 == layer.out_features % MX_BLOCK:
            block.set_submodule(name, change(layer))
            count += 1
    return count


def _changer(settings: Settings, device: torch.device) -> Callable[[nn.Linear], nn.Linear]:
    """Return what turns a linear layer into the precision's."""
    try:
        if settings.precision == "fp8":
            multiplied, kernels = _float8(settings, device)
            return partial(LowPrecisionLinear, product=multiplied, kernels=kernels)
        product: Product = _PRODUCTS[settings.precision]
        if settings.precision == "mxfp8":
            import torchao  # noqa: F401 - if it is absent, say so before the run, not in its first step

            product = partial(mxfp8_product, emulate=emulated("mxfp8", device))
        elif settings.precision == "nvfp4" and not emulated("nvfp4", device):
            from pitboard.training.precision.native import nvfp4_kernels

            product = padded(nvfp4_kernels, KERNEL_MULTIPLES["nvfp4"])
    except ModuleNotFoundError as error:
        raise PitboardError(
            f"--precision {settings.precision} needs torchao: install pitboard[train]."
        ) from error
    return partial(LowPrecisionLinear, product=product)


def _float8(settings: Settings, device: torch.device) -> tuple[Product, Any]:
    """`torchao`'s float8 product and its kernels, without its layer, which knows no autocast on the CPU."""
    from dataclasses import replace

    from torchao.float8 import Float8LinearConfig
    from torchao.float8.float8_linear import Float8Linear, matmul_with_hp_or_float8_args

    def kernels_of(config: Float8LinearConfig) -> Any:
        return Float8Linear(1, 1, bias=False, config=config, device="meta").linear_mm_config

    def product_of(config: Float8LinearConfig) -> Product:
        kernels = kernels_of(config)

        def product(x: Tensor, weight: Tensor) -> Tensor:
            multiplied: Tensor = matmul_with_hp_or_float8_args.apply(x, weight.t(), kernels, config)
            return multiplied

        return padded(product, KERNEL_MULTIPLES["fp8"])

    config = Float8LinearConfig.from_recipe_name(settings.fp8_scaling)
    config = replace(config, emulate=emulated("fp8", device))
    # As a product of its own, dy·W rounds its factors as the backward pass does.
    of_gradients = replace(
        config,
        cast_config_input=config.cast_config_grad_output,
        cast_config_weight=config.cast_config_weight_for_grad_input,
        gemm_config_output=config.gemm_config_grad_input,
        cast_config_input_for_grad_weight=None,
        cast_config_weight_for_grad_input=None,
        cast_config_grad_output_for_grad_weight=None,
    )
    return sparing(product_of(config), product_of(of_gradients)), kernels_of(config)
