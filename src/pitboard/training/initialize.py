"""Give a model that was built on `meta` its starting values, the same for any number of ranks."""

import zlib

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from pitboard.training.protocol import Pretrained, TrainableBenchmark
from pitboard.training.settings import Settings


def seeded_generator(device: torch.device, seed: int, purpose: str) -> torch.Generator:
    """Return a generator whose stream depends on the run's seed and on what it is for.

    The CPU's generator takes only the low 32 bits of its seed, so the two are hashed into as many.
    """
    return torch.Generator(device).manual_seed(zlib.crc32(f"{seed}:{purpose}".encode()))


def materialize(
    model: nn.Module, benchmark: TrainableBenchmark[Settings], device: torch.device, seed: int
) -> None:
    """Allocate a `meta` model's parameters and buffers on the device and fill them.

    Each parameter is drawn whole from a generator of its own, seeded by the run's seed and the parameter's
    name, and each rank keeps its shard: the values depend on neither the rank count nor the sharding, and
    at most one whole parameter is held at a time. Of a parameter of a model trained before, each rank reads
    the rows of its shard.
    """
    model.to_empty(device=device)
    with torch.no_grad():
        for wrapped_name, parameter in model.named_parameters():
            name = wrapped_name.replace("_checkpoint_wrapped_module.", "")
            if isinstance(benchmark, Pretrained) and benchmark.is_pretrained(name):
                _read(name, parameter, benchmark)
                continue
            generator = seeded_generator(device, seed, name)
            if not isinstance(parameter, DTensor):
                benchmark.initial(name, parameter, generator)
                continue
            whole = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            benchmark.initial(name, whole, generator)
            shard = distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
            parameter.to_local().copy_(shard.to_local())
    benchmark.fill_buffers(model, device)


def _read(name: str, parameter: nn.Parameter, benchmark: Pretrained) -> None:
    local, offsets = parameter.data, (0,) * parameter.ndim
    if isinstance(parameter, DTensor):
        _, offsets = compute_local_shape_and_global_offset(
            parameter.shape, parameter.device_mesh, parameter.placements
        )
        local = parameter.to_local()
    rows = benchmark.rows(name, parameter.shape, offsets[0], local.shape[0])
    # Tensor parallelism splits some weights by columns.
    for dimension in range(1, parameter.ndim):
        rows = rows.narrow(dimension, offsets[dimension], local.shape[dimension])
    local.copy_(rows)
