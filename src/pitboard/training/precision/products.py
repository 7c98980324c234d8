"""How fast a device multiplies in FP32 and in BF16, and what follows: precision `auto`, and BF16 emulated.

Most CPUs have no BF16 units. PyTorch multiplies BF16 there all the same, 50 to 80 times as slowly as FP32,
so a run in BF16 would be a run in slow motion. What a device can do is measured, not read from its flags.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.library import Library, get_kernel

from pitboard.suite.formats import FORMATS, FormatName
from pitboard.training.precision.kernels import COLUMNS, INNER, ROWS, on_one_thread, put_before
from pitboard.training.precision.onednn import use_onednn

_TAKES = 5
# In seconds: what takes this long is no BF16 unit's product, and one take says it all.
_SLOW = 0.01
# Beyond this BF16 is emulated: a product in FP32 and two conversions take less than the CPU's own product.
_EMULATED_FROM = 3.0


@dataclass(frozen=True)
class ProductTimes:
    """The seconds that one matrix product takes on this CPU in either precision, the best of several."""

    fp32: float
    bf16: float

    @property
    def slowdown(self) -> float:
        """How many times as long a BF16 product takes; below 1 where BF16 is the faster one."""
        return self.bf16 / self.fp32


@dataclass(frozen=True)
class Choice:
    """The precision that `auto` stands for on a device, and why, as a sentence without its end."""

    precision: FormatName
    reason: str


@cache
def time_products() -> ProductTimes:
    """Time one matrix product on this CPU in FP32 and in BF16, once a process; takes some 50 ms.

    In FP32 by the library that a run would use.
    """
    use_onednn()
    with on_one_thread():
        return ProductTimes(_time_product(torch.float32), _time_product(torch.bfloat16))


def _time_product(dtype: torch.dtype) -> float:
    left, right = torch.ones(ROWS, INNER, dtype=dtype), torch.ones(INNER, COLUMNS, dtype=dtype)
    torch.mm(left[:8], right)  # the first product loads the library's kernels
    best = float("inf")
    for _ in range(_TAKES):
        began = time.thread_time()
        torch.mm(left, right)
        best = min(best, time.thread_time() - began)
        if best > _SLOW:
            break
    return best


def choose_precision(device: torch.device) -> Choice:
    """Return what precision `auto` means on this device: BF16 where the device is fast at it, else FP32."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if bf16_is_native(device):
            return Choice("bf16", f"{name} multiplies BF16 natively")
        return Choice("fp32", f"{name} has no BF16 arithmetic")
    slowdown = time_products().slowdown
    if slowdown < 1:
        return Choice("bf16", f"BF16 products are {1 / slowdown:.1f} × as fast as FP32's on this CPU")
    return Choice("fp32", f"BF16 products are {_times(slowdown)} × slower than FP32's on this CPU")


def bf16_is_native(device: torch.device) -> bool:
    """Say whether the device's own BF16 products are used: on a CPU unless they are far slower than FP32's.

    On a GPU the table of formats tells.
    """
    if device.type == "cuda":
        return gpu_has("bf16", device)
    return time_products().slowdown < _EMULATED_FROM


def gpu_has(precision: str, device: torch.device) -> bool:
    """Say whether a GPU has a format's arithmetic (`suite.formats`)."""
    wanted = FORMATS[precision]
    if torch.version.hip:
        return torch.cuda.get_device_properties(device).gcnArchName.startswith(wanted.amd)
    return wanted.capability is not None and torch.cuda.get_device_capability(device) >= wanted.capability


def cost_of_bf16(device: torch.device) -> str | None:
    """Return what an explicit BF16 costs on a device that is slow at it, as a sentence; `None` on others."""
    if device.type == "cuda":
        return None if bf16_is_native(device) else "this GPU has no BF16 arithmetic; expect it to be slow"
    slowdown = time_products().slowdown
    if slowdown < 1:
        return None
    if bf16_is_native(device):
        return f"BF16 products are {_times(slowdown)} × slower than FP32's on this CPU; fp32 would be faster"
    return (
        f"BF16 products are {_times(slowdown)} × slower than FP32's on this CPU, so they are emulated:"
        " computed in FP32 and rounded, slower than fp32, and the time says nothing of BF16"
    )


def prepare_products(device: torch.device, precision: str) -> None:
    """Let the products of this process be fast and right on a CPU; do nothing on a GPU.

    Those in FP32 are computed by the faster library. Where the CPU is slow at BF16, each product of BF16
    matrices and each convolution is emulated: computed in FP32 and rounded to BF16, which is what BF16 units
    do: exact products, summed in FP32, rounded once. Where it is fast, the one gradient is computed so that
    its own kernel gets wrong.
    """
    if device.type != "cpu":
        return
    use_onednn()
    if precision == "fp32":
        return
    _convolution("convolution_backward")
    if not bf16_is_native(device):
        _emulate()


@cache
def _emulate() -> Library:
    """Put kernels that widen BF16 before PyTorch's own for the CPU; they are kept while the process lives."""
    for name in ("convolution", "convolution_backward"):
        _convolution(name)
    products = ("mm", "bmm", "addmm", "baddbmm")
    into = {f"{name}.out": _widened_into(f"{name}.out") for name in products}
    return put_before({name: _widened(name) for name in products} | into)


@cache
def _convolution(name: str) -> Library:
    """Put a kernel before PyTorch's own that widens where BF16 is emulated, or the own one would be wrong."""
    return put_before({name: _widened_convolution(name)})


def _widened(name: str) -> Callable[..., Tensor]:
    kernel: Any = get_kernel(f"aten::{name}", "CPU")

    def product(keys: Any, *matrices: Tensor, **scales: Any) -> Tensor:
        result: Tensor
        if matrices[-1].dtype is not torch.bfloat16:
            result = kernel.call_boxed(keys, *matrices, **scales)
        else:
            result = kernel.call_boxed(keys, *(matrix.float() for matrix in matrices), **scales)
            result = result.bfloat16()
        return result

    return product


def _widened_convolution(name: str) -> Callable[..., Any]:
    kernel: Any = get_kernel(f"aten::{name}", "CPU")

    def convolution(keys: Any, *arguments: Any) -> Any:
        narrow = arguments[0].dtype is torch.bfloat16
        if not narrow or (bf16_is_native(arguments[0].device) and not _misread(name, *arguments)):
            return kernel.call_boxed(keys, *arguments)
        wide = [each.float() if isinstance(each, Tensor) else each for each in arguments]
        results = kernel.call_boxed(keys, *wide)
        if isinstance(results, Tensor):
            return results.bfloat16()
        return tuple(None if each is None else each.bfloat16() for each in results)

    return convolution


def _misread(name: str, *arguments: Any) -> bool:
    """Say whether oneDNN's BF16 kernel for AVX-512 reads memory that nobody has written: it finds inf or NaN.

    It does for the gradient of the weights where the input is narrower than the stride, seen with 3.12, such
    as that of RetinaNet's last level over a map of one place.
    """
    return name == "convolution_backward" and bool(arguments[1].shape[-1] < arguments[4][-1])


def _widened_into(name: str) -> Callable[..., Tensor]:
    kernel: Any = get_kernel(f"aten::{name}", "CPU")

    def product(keys: Any, *matrices: Tensor, out: Tensor, **scales: Any) -> Tensor:
        if matrices[-1].dtype is not torch.bfloat16:
            kernel.call_boxed(keys, *matrices, out=out, **scales)
            return out
        wide = torch.empty(out.shape, dtype=torch.float32)
        kernel.call_boxed(keys, *(matrix.float() for matrix in matrices), out=wide, **scales)
        return out.copy_(wide)

    return product


def _times(slowdown: float) -> str:
    return f"{slowdown:.0f}" if slowdown >= 10 else f"{slowdown:.1f}"
