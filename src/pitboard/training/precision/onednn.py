"""FP32 matrix products on a CPU by oneDNN, where that is faster than the library that PyTorch asks for them.

PyTorch computes FP32 products by MKL, which on AMD's CPUs with AVX-512 multiplies at the rate of AVX2, half
of what they can. oneDNN, which PyTorch has too, multiplies at their full rate. Which is faster is measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.library import Library, get_kernel

from pitboard.training.precision.kernels import COLUMNS, INNER, ROWS, on_one_thread, put_before

_TAKES = 8
# From so many times as fast on: nearer to 1 the copies and calls beside a product cost what it gains, and two
# runs on one machine, or a run and the one that resumes it, could measure and so round differently.
_FASTER = 1.4
# Multiplications below which the calls cost more than is gained, and the least length of each side.
_LEAST, _LEAST_SIDE = 1 << 22, 32

Own = Callable[..., Tensor]
"""PyTorch's own kernel."""


@dataclass(frozen=True)
class Gains:
    """How many times as fast oneDNN is as PyTorch's own choice in one product on this CPU.

    `transposed` is where the left matrix lies transposed in memory, as in the gradient of a weight: oneDNN
    is given a copy.
    """

    plain: float
    transposed: float


def use_onednn() -> None:
    """Let oneDNN compute this process's FP32 products on the CPU wherever it is the faster.

    Results differ from those before by rounding only. Where nothing is gained, nothing is changed.
    """
    if torch.backends.mkldnn.is_available() and measured_gains().plain >= _FASTER:  # type: ignore[no-untyped-call]
        _take_over()


@cache
def measured_gains() -> Gains:
    """Measure what oneDNN gains on this CPU, once a process; takes some 30 ms."""
    with on_one_thread():
        left, right = torch.ones(ROWS, INNER), torch.ones(INNER, COLUMNS)
        return Gains(_gain(left, right), _gain(torch.ones(INNER, ROWS).t(), right))


def _gain(left: Tensor, right: Tensor) -> float:
    own = _own("mm")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    ways: tuple[Callable[[], Tensor], ...] = (
        lambda: own(keys, left, right),
        lambda: _product(left, right),
    )
    best = [float("inf"), float("inf")]
    for _ in range(_TAKES):  # by turns: what slows one slows the other
        for which, product in enumerate(ways):
            began = time.thread_time()
            product()
            best[which] = min(best[which], time.thread_time() - began)
    return best[0] / best[1]


def _product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `left` @ `right` + `bias` by oneDNN: as a linear layer, since PyTorch has no plain product."""
    # Where rows lie apart, as in a part of a wider matrix, oneDNN 3.12 is a hundred times as slow as else.
    if not (right.is_contiguous() or right.t().is_contiguous()):
        right = right.contiguous()
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(left, right.t(), bias, "none", [], "")
    return product


@cache
def _take_over() -> Library:
    """Put kernels before PyTorch's own for the CPU; they are kept while the process lives."""
    kernels: dict[str, Callable[..., Tensor]] = {
        "mm": _mm,
        "mm.out": _mm_out,
        "addmm": _addmm,
        "addmm.out": _addmm_out,
        "bmm": _bmm,
        "bmm.out": _bmm_out,
        "baddbmm_": _baddbmm_,
    }
    return put_before({name: partial(kernel, _own(name)) for name, kernel in kernels.items()})


@cache
def _own(name: str) -> Own:
    """Return the kernel that was there before these, also once they are there."""
    kernel: Any = get_kernel(f"aten::{name}", "CPU")
    own: Own = kernel.call_boxed
    return own


def _is_gain(left: Tensor, right: Tensor) -> bool:
    """Say whether oneDNN is the faster for these, (…, rows, inner) and (…, inner, columns)."""
    rows, inner = left.shape[-2:]
    columns = right.shape[-1]
    if left.dtype is not torch.float32 or right.dtype is not torch.float32:
        return False
    if rows * inner * columns < _LEAST or min(rows, inner, columns) < _LEAST_SIDE:
        return False
    gains = measured_gains()
    return (gains.plain if left.stride(-1) == 1 else gains.transposed) >= _FASTER


def _mm(own: Own, keys: Any, left: Tensor, right: Tensor) -> Tensor:
    return _product(left, right) if _is_gain(left, right) else own(keys, left, right)


def _mm_out(own: Own, keys: Any, left: Tensor, right: Tensor, *, out: Tensor) -> Tensor:
    if _is_gain(left, right) and out.shape == (len(left), right.shape[1]):
        return out.copy_(_product(left, right))
    own(keys, left, right, out=out)
    return out


def _is_bias(added: Tensor, right: Tensor, scales: dict[str, Any]) -> bool:
    """Say whether what is added to a product is one value for each of its columns, and all are unscaled."""
    unscaled = all(scale == 1 for scale in scales.values())
    return unscaled and added.shape == right.shape[1:] and added.dtype is torch.float32


def _addmm(own: Own, keys: Any, added: Tensor, left: Tensor, right: Tensor, **scales: Any) -> Tensor:
    if _is_gain(left, right) and _is_bias(added, right, scales):
        return _product(left, right, added.contiguous())
    return own(keys, added, left, right, **scales)


def _addmm_out(
    own: Own, keys: Any, added: Tensor, left: Tensor, right: Tensor, *, out: Tensor, **scales: Any
) -> Tensor:
    whole = out.shape == (len(left), right.shape[1])
    if whole and _is_gain(left, right) and _is_bias(added, right, scales):
        return out.copy_(_product(left, right, added.contiguous()))
    own(keys, added, left, right, out=out, **scales)
    return out


def _bmm(own: Own, keys: Any, left: Tensor, right: Tensor) -> Tensor:
    if not _is_gain(left, right):
        return own(keys, left, right)
    return torch.stack([_product(*pair) for pair in zip(left, right, strict=True)])


def _bmm_out(own: Own, keys: Any, left: Tensor, right: Tensor, *, out: Tensor) -> Tensor:
    if _is_gain(left, right) and out.shape == (*left.shape[:2], right.shape[2]):
        for into, *pair in zip(out, left, right, strict=True):
            into.copy_(_product(*pair))
    else:
        own(keys, left, right, out=out)
    return out


def _baddbmm_(
    own: Own, keys: Any, added: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    if alpha != 1 or beta not in (0, 1) or not _is_gain(left, right):
        own(keys, added, left, right, beta=beta, alpha=alpha)
        return added
    for into, *pair in zip(added, left, right, strict=True):
        if beta:
            into.add_(_product(*pair))
        else:
            into.copy_(_product(*pair))
    return added
