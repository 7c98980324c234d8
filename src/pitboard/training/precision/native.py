"""NVFP4 on `torchao`'s Triton kernels, for GPUs of the Blackwell generation."""

import torch
from torch import Tensor
from torchao.prototype.moe_training.nvfp4_training.nvfp4_linear import nvfp4_linear
from torchao.quantization.quantize_.common.kernel_preference import KernelPreference

# Fixed for the run, as in the recipe (arXiv:2509.25149, appendix E): drawing it again gained nothing.
_SIGNS = (1, 1, 1, -1, 1, -1, -1, -1, -1, -1, -1, 1, -1, 1, -1, -1)


def nvfp4_kernels(x: Tensor, weight: Tensor) -> Tensor:
    """x·Wᵀ by the NVFP4 recipe, as `precision.linear.nvfp4_product`, in the GPU's own arithmetic."""
    seed = torch.randint(2**62, (1,), dtype=torch.int64, device=x.device)
    product: Tensor = nvfp4_linear(
        x, weight, None, kernel_preference=KernelPreference.TRITON, sr_seed=seed, sign_vector=_SIGNS
    )
    return product
