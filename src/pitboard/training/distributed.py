"""The ranks of a run: process group, device mesh, and how the model is spread over it."""

import json
import os
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor.parallel import parallelize_module

from pitboard.errors import PitboardError
from pitboard.training.device import choose_device
from pitboard.training.protocol import TrainableBenchmark
from pitboard.training.settings import Settings
from pitboard.training.system import node_count

T = TypeVar("T")

_TIMEOUT = timedelta(minutes=30)
_SECONDS_BETWEEN_LOOKS = 0.05


@dataclass(frozen=True)
class World:
    """The ranks of this run. `mesh` has the dimensions replicate × shard × tensor; `None` for one rank.

    `data_rank` of `data_size` says which samples of each global batch this rank computes: ranks that share a
    layer (tensor parallel) see the same samples. `side_group` and `stop_group` are further gloo groups of all
    ranks, for what talks beside the training (checkpoints, requests to stop): threads must not share one.
    """

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh | None
    data_rank: int
    data_size: int
    nodes: int
    side_group: dist.ProcessGroup | None = None
    stop_group: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this rank writes the log and the display."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the element-wise sum of a small tensor over the ranks that hold different samples."""
        if self.mesh is None:
            return values
        dist.all_reduce(values)
        return values / self.mesh["tensor"].size()

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.mesh is not None:
            dist.barrier()

    def connect(self) -> None:
        """Use each group of ranks once: NCCL connects a group at its first collective, in seconds."""
        if self.mesh is None:
            return
        whole = dist.group.WORLD
        # In one order on all ranks, or they would wait for each other for ever.
        for group in dict.fromkeys([whole, *self.mesh.get_all_groups(), *self._flattened()]):
            dist.all_reduce(torch.zeros(1, device=self.device), group=group)
        self.broadcast(None)

    def _flattened(self) -> list[dist.ProcessGroup]:
        """Return the group that reduces a gradient norm over shards and tensor-parallel ranks at once."""
        assert self.mesh is not None
        return [self.mesh["shard_tensor"].get_group()] if self.mesh["tensor"].size() > 1 else []

    def broadcast(self, value: T) -> T:
        """Return rank 0's value on every rank."""
        if self.mesh is None:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        return cast("T", box[0])


def is_main_rank() -> bool:
    """Whether this process is rank 0, also before the ranks have joined."""
    return os.environ.get("RANK", "0") == "0"


def join_world(settings: Settings) -> World:
    """Join the process group that torchrun's environment describes; without one, a world of one rank.

    Raises `PitboardError` when the ranks cannot be divided as the settings ask, or a GPU is missing.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(settings.device, int(os.environ.get("LOCAL_RANK", "0")))
    require_divisible(size, settings)
    tensor, replicas = settings.tensor_parallel, settings.replicas
    if size == 1:
        return World(0, 1, device, None, 0, 1, 1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=_store(), rank=rank, world_size=size, timeout=_TIMEOUT)
    shape = (replicas, size // (tensor * replicas), tensor)
    mesh = init_device_mesh(device.type, shape, mesh_dim_names=("replicate", "shard", "tensor"))
    if tensor > 1:
        # Lets one reduction over all shards of a gradient norm replace one for each dimension.
        mesh["shard", "tensor"]._flatten("shard_tensor")
    side_group, stop_group = dist.new_group(backend="gloo"), dist.new_group(backend="gloo")
    return World(
        rank, size, device, mesh, rank // tensor, size // tensor, node_count(), side_group, stop_group
    )


def require_divisible(size: int, settings: Settings) -> None:
    """Raise `PitboardError` when so many ranks cannot be divided as the settings ask."""
    tensor, replicas = settings.tensor_parallel, settings.replicas
    if size % (tensor * replicas):
        raise PitboardError(
            f"{size} ranks cannot be divided into {replicas} replicas × tensor_parallel {tensor}:"
            f" choose settings whose product divides {size}."
        )


def _store() -> Store:
    """Return the store in which the ranks of this start find each other.

    Torchrun's restarted ranks get the store of those before them, in which they would find the addresses of
    dead ranks and wait for them; its own count of restarts differs between nodes. So rank 0 numbers its
    start, the others take the number that comes with their own mark, and it replaces torchrun's count, which
    `launch.torchrun.restarted` reads.
    """
    store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
    if os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0":
        return cast("Store", store)
    mark = uuid.uuid4().hex
    store.set(f"pitboard/mark/{rank}", mark)
    if rank == 0:
        start = store.add("pitboard/starts", 1)
        taken = [f"pitboard/taken/{start}/{other}" for other in range(1, size)]
        while True:
            marks = [store.get(f"pitboard/mark/{each}").decode() for each in range(size)]
            store.set("pitboard/start", json.dumps([start, marks]))
            if store.check(taken):
                break
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    else:
        while True:
            start, marks = json.loads(store.get("pitboard/start"))
            if mark in marks:
                break
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        store.set(f"pitboard/taken/{start}/{rank}", "")
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(start - 1)
    return PrefixStore(f"pitboard/{start}", store)


def lost_contact(error: BaseException) -> bool:
    """Whether an error says that another rank has gone: its process has ended or cannot be reached."""
    # Gloo's errors have no class of their own, but name their source file.
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/" in str(error))


def leave_world() -> None:
    """Leave the process group, if one was joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


def prepare(model: nn.Module, benchmark: TrainableBenchmark[Settings], world: World) -> None:
    """Make a model built on `meta` ready for its ranks, in place, in the order that composes.

    Tensor parallel within a block, activation checkpointing around it, compilation of it, and FSDP2 over all.
    """
    settings = benchmark.settings
    if settings.tensor_parallel > 1:
        assert world.mesh is not None
        for block in benchmark.blocks(model):
            parallelize_module(block, world.mesh["tensor"], benchmark.tensor_parallel_plan())
        parallelize_module(model, world.mesh["tensor"], benchmark.outer_tensor_parallel_plan())
    if settings.activation_checkpointing:
        chosen = set(benchmark.blocks(model))
        apply_activation_checkpointing(
            model, checkpoint_wrapper_fn=checkpoint_wrapper, check_fn=lambda module: module in chosen
        )
    if settings.compile:
        for block in benchmark.blocks(model):
            block.compile(dynamic=False)
    if world.mesh is not None:
        _shard(model, benchmark, world, world.mesh)


def _shard(model: nn.Module, benchmark: TrainableBenchmark[Settings], world: World, mesh: DeviceMesh) -> None:
    """Apply FSDP2 block by block, but for what the benchmark shards itself.

    But for FP32, parameters are gathered in BF16 and gradients reduced in FP32; inputs are left to autocast,
    as on one rank, since FSDP would round what must stay in FP32 too (latents, noise, rotary tables). With
    more than one replica the mesh is two-dimensional: sharded within a replica, replicated across (hybrid
    sharding).
    """
    settings = benchmark.settings
    policy = MixedPrecisionPolicy()
    if settings.precision != "fp32":
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    own = benchmark.shard_own(model, world)
    data_mesh = mesh["replicate", "shard"] if settings.replicas > 1 else mesh["shard"]
    for unit in (*benchmark.blocks(model), model):
        fully_shard(unit, mesh=data_mesh, mp_policy=policy, ignored_params=own)
