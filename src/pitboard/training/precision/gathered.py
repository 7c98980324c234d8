"""Weights that FSDP gathers in FP8: a quarter of the bytes of FP32, half of those of BF16.

`torchao`'s wrapping of a shard (`WeightWithDynamicFloat8CastTensor`) rounds it by the scale of the whole
weight before it is gathered. One reduction after each step of the optimizer gives all weights their scales;
without it every layer would ask for its own before it is gathered.
"""

import math
import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torchao.float8.float8_utils import EPS
from torchao.float8.fsdp_utils import WeightWithDynamicFloat8CastTensor

from pitboard.training.precision.linear import LowPrecisionLinear

# Compiled code is not kept for the next process, which is all that this says.
warnings.filterwarnings("ignore", message="Float8TrainingTensor does not implement _stable_hash_for_caching")


def gather_in_float8(blocks: Iterable[nn.Module]) -> None:
    """Have FSDP gather in FP8 the weights that are computed in it and trained; before it shards them."""
    for block in blocks:
        for layer in block.modules():
            if isinstance(layer, LowPrecisionLinear) and layer.weight.requires_grad:
                wrapped = WeightWithDynamicFloat8CastTensor(
                    layer.weight.data, layer.kernels, torch.float8_e4m3fn
                )
                layer.weight = nn.Parameter(wrapped)
                layer.gathered_in_float8 = True


class GatheredWeights:
    """The weights that FSDP gathers in FP8, by scales that are renewed after each step of the optimizers."""

    def __init__(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        wrapped = WeightWithDynamicFloat8CastTensor
        shards = [each for each in model.parameters() if isinstance(each, DTensor)]
        self._weights: list[Tensor] = [each for each in shards if isinstance(each._local_tensor, wrapped)]
        self.scale()
        optimizers[-1].register_step_post_hook(lambda *_: self.scale())

    @torch.no_grad()
    def scale(self) -> None:
        """Give each weight the scale of what it holds now; all ranks call it."""
        if not self._weights:
            return
        # The infinity norm of a shard is its largest magnitude; the clamp reduces all over the ranks at once.
        largest = torch.stack(torch._foreach_norm(self._weights, ord=math.inf)).clamp(EPS)
        # In FP64, as `torchao` takes a scale from a tensor.
        scales = torch.finfo(torch.float8_e4m3fn).max / largest.to(torch.float64)
        assert isinstance(scales, DTensor)
        for weight, scale in zip(self._weights, scales.to_local().float(), strict=True):
            weight._local_tensor._precomputed_scale = scale  # type: ignore[attr-defined]
