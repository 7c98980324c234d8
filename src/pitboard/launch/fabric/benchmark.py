"""The messages that training a benchmark would send."""

from typing import TYPE_CHECKING

import torch

from pitboard.launch.fabric.record import Operation
from pitboard.training.precision import choose_precision
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import settings_for

if TYPE_CHECKING:
    from pitboard.launch.fabric.measure import Wanted


def message_sizes(wanted: "Wanted", ranks: int, device: torch.device) -> list[tuple[Operation, int]]:
    """Return the operations and their bytes: each of FSDP's units is gathered, its gradients reduced.

    Parameters travel in BF16, or FP32 where the precision is that, gradients in FP32, as
    `distributed.prepare` has it. Units of one size are named once, the largest first. Raises `PitboardError`
    for an unknown benchmark, preset or setting, and settings that do not divide the ranks.
    """
    assert wanted.benchmark is not None
    from pitboard.training.distributed import require_divisible

    settings = settings_for(wanted.benchmark, wanted.preset, wanted.overrides or {})
    require_divisible(ranks, settings)
    precision = choose_precision(device).precision if settings.precision == "auto" else settings.precision
    width = 4 if precision == "fp32" else 2
    benchmark = benchmark_class(wanted.benchmark)(settings.model_copy(update={"compile": False}))
    with torch.device("meta"):
        model = benchmark.build()
    by_rows = {p for name in benchmark.row_gradients for p in model.get_submodule(name).parameters()}
    seen = set(by_rows)
    gathered, reduced = set(), set()
    for unit in (*benchmark.blocks(model), model):
        own = [p for p in dict.fromkeys(unit.parameters()) if p not in seen]
        seen.update(own)
        gathered.add(width * sum(p.numel() for p in own) // settings.tensor_parallel)
        reduced.add(4 * sum(p.numel() for p in own if p.requires_grad) // settings.tensor_parallel)
    found: list[tuple[Operation, int]] = [
        ("all_gather", size) for size in sorted(gathered - {0}, reverse=True)
    ]
    found += [("reduce_scatter", size) for size in sorted(reduced - {0}, reverse=True)]
    if settings.replicas > 1:
        shards = ranks // (settings.replicas * settings.tensor_parallel * settings.pipeline_parallel)
        found += [("all_reduce", size // shards) for size in sorted(reduced - {0}, reverse=True)]
    return found
