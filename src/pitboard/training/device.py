"""The device a rank computes on: which one, its published peak, and its memory."""

import ctypes
import os
import resource
import shutil
import time
from typing import NamedTuple

import psutil
import torch

from pitboard.errors import PitboardError


class Peak(NamedTuple):
    """A device's dense matrix peaks in TFLOP/s, without sparsity; `None` for a format that it has not."""

    bf16: float
    fp8: float | None


# From the makers' data sheets, where NVIDIA prints most figures with sparsity, twice the dense ones. What
# counts is the first name whose words are all in the device's own.
_PUBLISHED = {
    # NVIDIA Blackwell Ultra and Blackwell data sheets: GB300 and GB200 NVL72 per GPU, HGX B300 and B200.
    "GB300": Peak(2500.0, 5000.0),
    "B300": Peak(2250.0, 4500.0),
    "GB200": Peak(2500.0, 5000.0),
    "B200": Peak(2250.0, 4500.0),
    # NVIDIA GH200, H200 and H100 Tensor Core GPU data sheets; the names of SXM boards do not say so.
    "GH200": Peak(989.4, 1978.9),
    "H200 NVL": Peak(835.5, 1671.0),
    "H200": Peak(989.4, 1978.9),
    "H100 PCIE": Peak(756.0, 1513.0),
    "H100 NVL": Peak(835.5, 1671.0),
    "H100": Peak(989.4, 1978.9),
    # NVIDIA A100 and L40S data sheets.
    "A100": Peak(312.0, None),
    "L40S": Peak(362.0, 733.0),
    # AMD Instinct data sheets; FP8 is OCP's on the MI350 series, FNUZ before.
    "MI355X": Peak(2516.6, 5033.2),
    "MI350X": Peak(2306.9, 4613.7),
    "MI325X": Peak(1307.4, 2614.9),
    "MI300X": Peak(1307.4, 2614.9),
}


def choose_device(wanted: str, local_rank: int) -> torch.device:
    """Return the device of this rank: `cpu`, `cuda`, or with `auto` a GPU where there is one.

    Raises `PitboardError` when a GPU is asked for and none, or too few, can be used.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and count == 0):
        return torch.device("cpu")
    if count == 0:
        built = torch.version.cuda or torch.version.hip or "a CPU-only build"
        raise PitboardError(
            f"No GPU can be used here (PyTorch {torch.__version__}, {built}): check the driver with"
            " nvidia-smi or rocm-smi, or run with --set device=cpu."
        )
    if local_rank >= count:
        raise PitboardError(
            f"Local rank {local_rank} has no GPU: this node shows {count}. Start at most {count} ranks here."
        )
    return torch.device("cuda", local_rank)


def device_name(device: torch.device) -> str:
    """Return the maker's name of the device, or the processor's for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    from pitboard.training.system import processor_model

    return processor_model()


def published_peak_tflops(name: str, precision: str = "bf16") -> float | None:
    """Return a device's published dense peak in BF16, FP8 or MXFP8 in TFLOP/s; `None` where we know none."""
    upper = name.upper()
    for known, peak in _PUBLISHED.items():
        if all(word in upper for word in known.split()):
            return {"bf16": peak.bf16, "fp8": peak.fp8, "mxfp8": peak.fp8}.get(precision)
    return None


def measured_peak_tflops(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the matrix-multiply rate in TFLOP/s, the best of five, for devices without a data sheet.

    On a CPU by the smallest of three sizes that takes 2 ms: the largest, in a format that it only emulates,
    takes seconds.
    """
    if device.type == "cuda":
        size, seconds = 8192, _product_seconds(8192, device, dtype)
    else:
        for size in (256, 512, 1024):
            seconds = _product_seconds(size, device, dtype)
            if seconds >= 2e-3:
                break
    return 2 * size**3 / seconds / 1e12


def _product_seconds(size: int, device: torch.device, dtype: torch.dtype) -> float:
    """Return the seconds that a product of two square matrices takes, the best of five."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        synchronize(device)
        began = time.perf_counter()
        torch.mm(left, right)
        synchronize(device)
        best = min(best, time.perf_counter() - began)
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Return this rank's peak memory in bytes: allocated on the GPU, or resident for the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_of_rank(device: torch.device, ranks: int) -> int:
    """Return the bytes of memory that a rank can have: its GPU's, or its part of the host's for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return int(psutil.virtual_memory().total) // ranks


def can_compile(device: torch.device) -> bool:
    """Say whether torch.compile can build code here: Triton on a GPU, a C++ compiler for the CPU."""
    if device.type == "cuda":
        from torch.utils import _triton

        return _triton.has_triton()
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "c++", "clang++"))


def tune_cpu() -> None:
    """Make CPU training steady: keep freed tensors in the process, and treat denormals as zero.

    glibc hands every large block back to the kernel on free and faults it in again at the next step, which
    costs a few per cent of a step; denormals in the optimizer's moments are slow on x86.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # not glibc
        pass
    else:
        mallopt(m_mmap_threshold, 1 << 30)
        mallopt(m_trim_threshold, (1 << 31) - 1)
    torch.set_flush_denormal(True)
