"""Which linear layers a precision converts, and whether the device has the format's arithmetic.

Only linear layers of the repeated blocks are converted: the published recipes keep embeddings, normalisation,
attention products and the output head in BF16 or wider.

FP8     `torchao.float8` (formats: arXiv:2209.05433): all three products of every such layer; with one scale a
        row all in E4M3, with one a tensor gradients in E5M2.
MXFP8   arXiv:2506.08027: all three products of every such layer in E4M3.
NVFP4   arXiv:2509.25149, section 4: all three products, with the first and the last blocks left in BF16.
MXFP4   arXiv:2502.20586: only the gradients' products; the forward one stays in BF16.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pitboard.errors import PitboardError
from pitboard.training.precision.formats import MX_BLOCK
from pitboard.training.precision.linear import (
    NarrowLinear,
    Product,
    mxfp4_product,
    mxfp8_product,
    nvfp4_product,
)
from pitboard.training.precision.products import bf16_is_native
from pitboard.training.precision.selftest import require_sound
from pitboard.training.settings import Settings

_COMPUTE_ADA, _COMPUTE_BLACKWELL = (8, 9), (10, 0)
_PRODUCTS = {"mxfp8": mxfp8_product, "nvfp4": nvfp4_product, "mxfp4": mxfp4_product}
# Of 62 blocks the 12B run of arXiv:2509.25149 (section 4.1) kept the first 2 and the last 8 in BF16.
_NVFP4_FIRST, _NVFP4_LAST = 2 / 62, 8 / 62


@dataclass(frozen=True)
class Converted:
    """How many of the blocks' linear layers now compute in the narrow format."""

    narrow: int
    linears: int


def emulated(precision: str, device: torch.device) -> bool:
    """Say whether a precision is only emulated on this device: right numbers, meaningless time.

    BF16 is emulated on a CPU that is far slower at it than at FP32 (`precision.products`). FP8 needs compute
    capability 8.9 (Ada, Hopper) or an AMD GPU of the CDNA 3 generation, MXFP8 and NVFP4 10.0 (Blackwell). For
    MXFP4 with stochastic rounding `torchao` has no kernel.
    """
    if precision == "fp32":
        return False
    if precision == "bf16":
        return device.type == "cpu" and not bf16_is_native(device)
    if device.type != "cuda" or precision == "mxfp4":
        return True
    if torch.version.hip:
        architecture = torch.cuda.get_device_properties(device).gcnArchName
        return precision != "fp8" or not architecture.startswith(("gfx94", "gfx95"))
    needed = _COMPUTE_ADA if precision == "fp8" else _COMPUTE_BLACKWELL
    return torch.cuda.get_device_capability(device) < needed


def convert(
    blocks: Sequence[nn.Module], settings: Settings, device: torch.device, never: Collection[str] = ()
) -> Converted:
    """Convert the linear layers of a model's blocks, in place, to the settings' precision.

    A layer stays in BF16 in a module that `never` names (`Benchmark.never_narrow`), and where either of its
    sizes is no multiple of 32, the larger block of the formats.
    Raises `PitboardError` when no layer can be converted, `torchao` is not installed, or the format's
    arithmetic fails its test.
    """
    linears = sum(isinstance(module, nn.Linear) for block in blocks for module in block.modules())
    if settings.precision in ("fp32", "bf16"):
        return Converted(0, linears)
    change = _changer(settings, device)
    require_sound(settings.precision, change, device)
    narrow = sum(_convert_block(block, change, never) for block in _chosen(blocks, settings.precision))
    if not narrow:
        raise PitboardError(
            f"No linear layer can be computed in {settings.precision}: it takes input and output sizes that"
            f" are multiples of {MX_BLOCK}. Choose such sizes, or --precision bf16."
        )
    return Converted(narrow, linears)


def _chosen(blocks: Sequence[nn.Module], precision: str) -> Sequence[nn.Module]:
    if precision != "nvfp4":
        return blocks
    first = round(len(blocks) * _NVFP4_FIRST)
    last = max(1, round(len(blocks) * _NVFP4_LAST))
    return blocks[first : len(blocks) - last]


def _convert_block(block: nn.Module, change: Callable[[nn.Linear], nn.Linear], never: Collection[str]) -> int:
    count = 0
    for name, layer in list(block.named_modules()):
        if type(layer) is not nn.Linear or not set(name.split(".")).isdisjoint(never):
            continue
        if layer.in_features % MX_BLOCK == 0 == layer.out_features % MX_BLOCK:
            block.set_submodule(name, change(layer))
            count += 1
    return count


def _changer(settings: Settings, device: torch.device) -> Callable[[nn.Linear], nn.Linear]:
    """Return what turns a linear layer into the precision's."""
    try:
        if settings.precision == "fp8":
            return partial(NarrowLinear, product=_float8(settings, device))
        product = _PRODUCTS[settings.precision]
        if settings.precision == "mxfp8":
            import torchao  # noqa: F401 - its absence is told before the run, not in its first step
        elif settings.precision == "nvfp4" and not emulated("nvfp4", device):
            from pitboard.training.precision.native import nvfp4_kernels as product
    except ModuleNotFoundError as error:
        raise PitboardError(
            f"--precision {settings.precision} needs torchao: install pitboard[train]."
        ) from error
    return partial(NarrowLinear, product=product)


def _float8(settings: Settings, device: torch.device) -> Product:
    """`torchao`'s float8 product, without its layer, which knows no autocast on the CPU."""
    from dataclasses import replace

    from torchao.float8 import Float8LinearConfig
    from torchao.float8.float8_linear import Float8Linear, matmul_with_hp_or_float8_args

    config = Float8LinearConfig.from_recipe_name(settings.fp8_scaling)
    config = replace(config, emulate=emulated("fp8", device))
    products = Float8Linear(1, 1, bias=False, config=config, device="meta").linear_mm_config

    def product(x: Tensor, weight: Tensor) -> Tensor:
        multiplied: Tensor = matmul_with_hp_or_float8_args.apply(x, weight.t(), products, config)
        return multiplied

    return product
