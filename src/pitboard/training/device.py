"""The device a rank computes on: which one, its published peak, and its memory."""

import ctypes
import os
import resource
import shutil
import time

import torch

from pitboard.errors import PitboardError

# Dense BF16 matrix peak in TFLOP/s, without sparsity, from the makers' data sheets; the first name found
# in the device's own name counts.
_PUBLISHED_BF16_TFLOPS = {
    "GB300": 2500.0,
    "B300": 2250.0,
    "GB200": 2500.0,
    "B200": 2250.0,
    "GH200": 989.4,
    "H200": 989.4,
    "H100 PCIE": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.4,
    "A100": 312.0,
    "L40S": 362.0,
    "MI355X": 2516.6,
    "MI350X": 2306.9,
    "MI325X": 1307.4,
    "MI300X": 1307.4,
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


def published_peak_tflops(name: str) -> float | None:
    """Return a device's published dense BF16 peak in TFLOP/s, or `None` where we know none."""
    upper = name.upper()
    for known, peak in _PUBLISHED_BF16_TFLOPS.items():
        if all(word in upper for word in known.split()):
            return peak
    return None


def measured_peak_tflops(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the matrix-multiply rate in TFLOP/s, the best of five, for devices without a data sheet.

    On a device so slow that one takes half a second, the first one counts.
    """
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        synchronize(device)
        began = time.perf_counter()
        torch.mm(left, right)
        synchronize(device)
        best = min(best, time.perf_counter() - began)
        if best > 0.5:
            break
    return 2 * size**3 / best / 1e12


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Return this rank's peak memory in bytes: allocated on the GPU, or resident for the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def can_compile(device: torch.device) -> bool:
    """Say whether torch.compile can build code here: Triton on a GPU, a C++ compiler for the CPU."""
    if device.type == "cuda":
        return torch.utils._triton.has_triton()
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
