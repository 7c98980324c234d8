"""The groups of ranks: all of them talk before the clock starts; rows are gathered over them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from pitboard.training import distributed
from pitboard.training.distributed import World, crossing, join_world, prepare
from pitboard.training.initialize import materialize
from pitboard.training.optimizer import clip_gradients
from pitboard.training.precision import autocast, convert
from pitboard.training.precision.gathered import GatheredWeights
from pitboard.training.protocol import benchmark_class
from pitboard.training.roll_call import RollCall
from pitboard.training.runner import settings_for
from stand_in import ALONE


@pytest.fixture
def eight_ranks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand for rank 0 of eight, whose collectives do nothing."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setattr(distributed, "node_count", lambda: 1)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    make_group = dist.new_group
    monkeypatch.setattr(dist, "new_group", lambda **_: make_group(backend="fake"))
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("nodes", "replicas", "spanned"),
    [
        (["n1", "n2"] * 4, 2, 1),  # dealt in turn
        (["n2"] * 4 + ["n1"] * 4, 2, 1),
        (["n1", "n2", "n3", "n4"] * 2, 4, 1),
        (["n1", "n2", "n3", "n4"] * 2, 2, 2),
    ],
)
def test_a_replica_is_sharded_inside_a_node_or_the_run_says_so(
    nodes: list[str], replicas: int, spanned: int, eight_ranks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll = RollCall(HashStore(), 0, 8, timedelta(seconds=1))
    roll.nodes = nodes
    monkeypatch.setattr(RollCall, "here", roll)
    settings = settings_for("llama31_8b", "smoke", {"replicas": replicas})
    world = join_world(settings)
    assert world.mesh is not None
    found = {
        len({roll.placed[rank] for rank in replica})
        for replica in world.mesh.mesh.view(replicas, -1).tolist()
    }
    assert found == {spanned}
    said = crossing(world, settings)
    assert (said is None) == (spanned == 1)
    assert said is None or said.startswith("each of 2 replicas is sharded over 2 nodes")


@pytest.mark.parametrize(
    "spread",
    [
        {},
        {"replicas": 2},
        {"tensor_parallel": 2},
        {"replicas": 2, "tensor_parallel": 2},
        {"replicas": 2, "context_parallel": 4},
        {"context_parallel": 2, "tensor_parallel": 2, "pipeline_parallel": 2},
    ],
)
def test_every_group_that_trains_is_connected_before_the_clock(
    spread: dict[str, int], eight_ranks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for("llama31_8b", "smoke", {"key_value_heads": 2, **spread})
    world = join_world(settings)
    used = set()
    reduce = dist.all_reduce

    def recorded(tensor: torch.Tensor, group: Any = None) -> None:
        used.add(group)
        reduce(tensor, group=group)

    monkeypatch.setattr(dist, "all_reduce", recorded)
    world.connect()
    beside = {world.side_group, world.stop_group}
    assert used == set(dist.distributed_c10d._world.pg_map) - beside


@pytest.mark.parametrize("tensor", [1, 2])
def test_ranks_gather_the_rows_of_different_samples_once(
    tensor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks are threads here; each pair of two that share a layer has the same rows."""
    size = 3 * tensor
    own = {rank: torch.full((3 * (rank // tensor) % 5, 2), float(rank // tensor)) for rank in range(size)}
    rank_of = threading.local()
    together = threading.Barrier(size)
    sent: dict[int, Tensor] = {}

    def all_gather(found: list[Tensor], rows: Tensor) -> None:
        sent[rank_of.number] = rows
        together.wait(timeout=60)
        for rank, place in enumerate(found):
            place.copy_(sent[rank])
        together.wait(timeout=60)

    monkeypatch.setattr(dist, "all_gather", all_gather)
    mesh: Any = SimpleNamespace(mesh_dim_names=("replicate", "shard", "tensor"))

    def gathered(rank: int) -> list[list[float]]:
        rank_of.number = rank
        world = World(rank, size, torch.device("cpu"), mesh, rank // tensor, 3, 1)
        rows: list[list[float]] = world.gather(own[rank]).tolist()
        return rows

    with ThreadPoolExecutor(size) as ranks:
        results = list(ranks.map(gathered, range(size)))
    # None of the first, three of the second, one of the third.
    assert results == [[[1.0, 1.0]] * 3 + [[2.0, 2.0]]] * size


@pytest.mark.parametrize(("in_fp8", "bytes_a_weight"), [(False, 2), (True, 1)])
def test_weights_that_are_computed_in_fp8_can_be_gathered_in_it(
    eight_ranks: None, monkeypatch: pytest.MonkeyPatch, in_fp8: bool, bytes_a_weight: int
) -> None:
    settings = settings_for(
        "llama31_8b",
        "smoke",
        {"precision": "fp8", "fp8_scaling": "tensorwise", "compile": False, "fp8_all_gather": in_fp8}
        | {
            "hidden_size": 32,
            "intermediate_size": 64,
            "layers": 1,
            "attention_heads": 4,
            "key_value_heads": 4,
        }
        | {"sequence_length": 32, "vocabulary_size": 304, "global_batch_size": 8, "device": "cpu"},
    )
    world = join_world(settings)
    benchmark = benchmark_class("llama31_8b")(settings)
    with torch.device("meta"):
        model = benchmark.build()
    convert(benchmark.blocks(model), settings, world.device, benchmark.keep_bf16)
    (block,) = benchmark.blocks(model)
    matrices = sum(each.numel() for each in block.parameters() if each.ndim > 1)
    vectors = sum(each.numel() for each in block.parameters() if each.ndim == 1)
    prepare(model, benchmark, world)
    materialize(model, benchmark, world.device, 7)
    if in_fp8:
        GatheredWeights(model, benchmark.optimizer(model).optimizers)
    sent: list[int] = []
    gather = dist.all_gather_single

    def watched(output: torch.Tensor, input: torch.Tensor, *more: Any, **named: Any) -> Any:
        sent.append(output.nbytes)
        return gather(output, input, *more, **named)

    monkeypatch.setattr(dist, "all_gather_single", watched)
    with torch.no_grad(), autocast(settings, world.device):
        model(**benchmark.warmup_batch(1))

    assert bytes_a_weight * matrices + 2 * vectors in sent


def test_a_block_that_computes_in_fp32_has_its_weights_whole_on_ranks_too(eight_ranks: None) -> None:
    overrides = {"precision": "bf16", "compile": False, "device": "cpu"}
    settings = settings_for("dlrm_dcnv2", "smoke", overrides)
    world = join_world(settings)
    benchmark = benchmark_class("dlrm_dcnv2")(settings)
    with torch.device("meta"):
        model = benchmark.build()
    prepare(model, benchmark, world)
    materialize(model, benchmark, world.device, 7)
    computed: dict[str, torch.dtype] = {}
    for name in ("bottom.0", "last"):
        model.get_submodule(name).register_forward_pre_hook(
            lambda layer, _, name=name: computed.update({name: layer.weight.dtype})
        )
    with torch.no_grad(), autocast(settings, world.device):
        model(**benchmark.warmup_batch(2))
    assert computed == {"bottom.0": torch.bfloat16, "last": torch.float32}


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is launched, once each for the lists that one kernel takes."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Of DTensors what is done with their shards counts.
        if any(issubclass(each, DTensor) for each in types):
            return NotImplemented
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def test_clipping_sharded_gradients_takes_as_many_launches_however_many_they_are(eight_ranks: None) -> None:
    """PyTorch's own clipping of DTensors took one for each: 291 for Llama 3.1 8B, 1,156 for FLUX.1."""
    mesh = init_device_mesh("cpu", (8,))
    counted = []
    for parameters in (2, 20):
        sharded = [
            nn.Parameter(DTensor.from_local(torch.zeros(1, 4), mesh, [Shard(0)])) for _ in range(parameters)
        ]
        for each in sharded:
            each.grad = DTensor.from_local(torch.ones(1, 4), mesh, [Shard(0)])
        with Operations() as taken:  # type: ignore[no-untyped-call]
            clip_gradients(sharded, 1.0)
        counted.append(taken.count)
    assert counted[0] == counted[1] < 30


class Kind(nn.Module):
    """A block unlike the others of its class."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight.sum()


def test_blocks_of_many_kinds_are_all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch compiles 8 kinds of one class; what comes after them runs as it is, and nobody is told."""
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    compiled: list[object] = []

    def noted(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda called, **_: compile(called, backend=noted, dynamic=False))
    blocks = [Kind(width) for width in range(1, 13)]
    settings: Any = settings_for("llama31_8b", "smoke", {"compile": True})
    benchmark: Any = SimpleNamespace(settings=settings, blocks=lambda _: blocks)
    prepare(nn.ModuleList(blocks), benchmark, ALONE)
    for block in blocks:
        block(torch.zeros(3))
    assert len(compiled) == len(blocks)
