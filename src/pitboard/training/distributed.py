"""The ranks of a run: process group, device mesh, and how the model is spread over it."""

import json
import math
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.parallel import parallelize_module
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

from pitboard.errors import PitboardError
from pitboard.processes import node_name
from pitboard.training.device import choose_device
from pitboard.training.protocol import ContextParallel, Staged, TrainableBenchmark
from pitboard.training.roll_call import RollCall, by_node
from pitboard.training.settings import Settings
from pitboard.training.system import node_count

T = TypeVar("T")

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others, to come or in a collective, unless the user says otherwise."""

_SECONDS_BETWEEN_LOOKS = 0.05
_COMPILED_KINDS = 64
_PRODUCTS = frozenset(
    {"aten::mm", "aten::addmm", "aten::bmm", "aten::_scaled_mm", "aten::_scaled_mm_v2", "flex_attention"}
)


@dataclass(frozen=True)
class World:
    """The ranks of this run, numbered node by node, so that the neighbours in the mesh are on one node.

    `mesh` has the dimensions replicate × shard × tensor, with a first one, pipeline, where there are stages;
    it is `None` for one rank. `context` are the ranks that share this one's sequences, neighbours along
    shard; `None` where it has them whole.
    `data_rank` of `data_size` says which samples of each global batch this rank computes: ranks that share
    layers, sequences or the pipeline see the same samples. `side_group` and `stop_group` are further gloo
    groups of all ranks, for what talks beside the training (checkpoints, requests to stop): threads must not
    share one. `roll` knows the ranks by the launcher's numbers and their nodes; `None` for one rank.
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
    context: DeviceMesh | None = None
    roll: RollCall | None = None

    @property
    def is_main(self) -> bool:
        """Whether this rank writes the log and the display."""
        return self.rank == 0

    @property
    def stages(self) -> DeviceMesh | None:
        """The ranks that have the stages of this one's pipeline, in order; `None` without a pipeline."""
        if self.mesh is None or "pipeline" not in (self.mesh.mesh_dim_names or ()):
            return None
        return self.mesh["pipeline"]

    def sum(self, values: Tensor) -> Tensor:
        """Return the element-wise sum of a small tensor over the ranks that hold different samples.

        Of ranks that share their samples, the mean counts: each may have its part of the value.
        """
        if self.mesh is None:
            return values
        dist.all_reduce(values)
        return values / (self.size // self.data_size)

    def any(self, found: bool) -> bool:
        """Return on all ranks whether one of them found something."""
        if self.mesh is None:
            return found
        return bool(self.sum(torch.tensor([float(found)], device=self.device)) > 0)

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all ranks that hold different samples, in the ranks' order, the same on each."""
        if self.mesh is None:
            return rows
        counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
        most = int(torch.cat(counts).max())
        filled = rows.new_zeros(most, *rows.shape[1:])
        filled[: len(rows)] = rows
        found = [torch.empty_like(filled) for _ in counts]
        dist.all_gather(found, filled)
        # Neighbours that share a layer or a sequence have the same rows, as have a pipeline's stages.
        stages = 1 if self.stages is None else self.stages.size()
        alone = slice(0, self.size // stages, self.size // (stages * self.data_size))
        return torch.cat([part[:count] for part, count in zip(found[alone], counts[alone], strict=True)])

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
        context = [] if self.context is None else [self.context.get_group()]
        for group in dict.fromkeys([whole, *self.mesh.get_all_groups(), *self._flattened(), *context]):
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

    def everyones(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order, on every rank."""
        if self.mesh is None:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return cast("list[T]", values)


def is_main_rank() -> bool:
    """Whether this process is rank 0, also before the ranks have joined."""
    return os.environ.get("RANK", "0") == "0"


def join_world(settings: Settings, timeout: timedelta = TIMEOUT) -> World:
    """Join the process group that the launcher's environment describes; without one, a world of one rank.

    Raises `PitboardError` when the ranks cannot be divided as the settings ask, a GPU is missing, or a rank
    does not come within `timeout`, which is also how long collectives wait.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(settings.device, int(os.environ.get("LOCAL_RANK", "0")))
    require_divisible(size, settings)
    if size == 1:
        return World(0, 1, device, None, 0, 1, 1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        connect(rank, size, device, timeout).start()
    rank = dist.get_rank()
    mesh, context = make_meshes(size, device, settings)
    side_group, stop_group = (dist.new_group(backend="gloo", timeout=timeout) for _ in range(2))
    data_size = data_ranks(size, settings)
    neighbours = settings.tensor_parallel * settings.context_parallel
    data_rank = rank // neighbours % data_size
    return World(
        rank,
        size,
        device,
        mesh,
        data_rank,
        data_size,
        node_count(),
        side_group,
        stop_group,
        context,
        RollCall.here,
    )


def connect(rank: int, size: int, device: torch.device, timeout: timedelta) -> RollCall:
    """Join the process group of all ranks, numbered node by node, and return the roll call, not yet started.

    `rank` is the launcher's number. Raises `PitboardError` when a rank does not come within `timeout`.
    """
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store = _store(rank, size, timeout)
    roll = RollCall(store, rank, size, timeout)
    place = by_node(roll.arrive()).index(rank)
    dist.init_process_group(backend, store=store, rank=place, world_size=size, timeout=timeout)
    return roll


def make_meshes(size: int, device: torch.device, settings: Settings) -> tuple[DeviceMesh, DeviceMesh | None]:
    """Return `mesh` and `context` of a `World` of so many ranks, whose process group has been joined."""
    stages, tensor, replicas = settings.pipeline_parallel, settings.tensor_parallel, settings.replicas
    shape = {"replicate": replicas, "shard": shard_ranks(size, settings), "tensor": tensor}
    if stages > 1:
        shape = {"pipeline": stages, **shape}
    mesh = init_device_mesh(device.type, tuple(shape.values()), mesh_dim_names=tuple(shape))
    if tensor > 1:
        # Lets one reduction over all shards of a gradient norm replace one for each dimension.
        mesh["shard", "tensor"]._flatten("shard_tensor")
    if settings.context_parallel == 1:
        return mesh, None
    # Of the ranks among which FSDP shards, neighbours share sequences: parameters are spread over all.
    ranks = torch.arange(size).view(-1, settings.context_parallel, tensor).transpose(1, 2)
    groups = ranks.reshape(-1, settings.context_parallel).tolist()
    group, _ = dist.new_subgroups_by_enumeration(groups)  # type: ignore[no-untyped-call]
    return mesh, DeviceMesh.from_group(group, device.type, mesh_dim_names=("context",))


def shard_ranks(size: int, settings: Settings) -> int:
    """Return over how many ranks FSDP shards what each of a layer's parts is."""
    return size // (settings.pipeline_parallel * settings.replicas * settings.tensor_parallel)


def data_ranks(size: int, settings: Settings) -> int:
    """Return over how many ranks, or groups of ranks that share their samples, a batch is divided."""
    return size // (settings.tensor_parallel * settings.context_parallel * settings.pipeline_parallel)


def require_divisible(size: int, settings: Settings) -> None:
    """Raise `PitboardError` when so many ranks cannot be divided as the settings ask."""
    names = ("tensor_parallel", "context_parallel", "pipeline_parallel")
    degrees = {name: getattr(settings, name) for name in names if getattr(settings, name) > 1}
    if size % (settings.replicas * math.prod(degrees.values())):
        product = " × ".join(
            [f"{settings.replicas} replicas", *(f"{name} {degree}" for name, degree in degrees.items())]
        )
        raise PitboardError(
            f"{size} ranks cannot be divided into {product}: choose settings whose product divides {size}."
        )


def _store(rank: int, size: int, timeout: timedelta) -> Store:
    """Return the store in which the ranks of this start find each other.

    Torchrun's restarted ranks get the store of those before them, in which they would find the addresses of
    dead ranks and wait for them; its own count of restarts differs between nodes. So rank 0 numbers its
    start, the others take the number that comes with their own mark, and it replaces torchrun's count, which
    `launch.torchrun.restarted` reads. Raises `PitboardError` where the store cannot be reached or made.
    """
    store: Store = _connected(rank, timeout)
    if os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0":
        return store
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


def _connected(rank: int, timeout: timedelta) -> TCPStore:
    """Return the store of torchrun's agent, or of rank 0; it waits for no other rank, as `RollCall` does."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    from_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    makes_it = rank == 0 and not from_agent
    try:
        return TCPStore(
            address,
            port,
            is_master=makes_it,
            timeout=timeout,
            wait_for_workers=False,
            multi_tenant=not from_agent,
        )
    except RuntimeError as error:
        if makes_it:
            why = "is in use" if "in use" in str(error) else "cannot be opened"
            raise PitboardError(f"Port {port} of {address} {why}: name another as MASTER_PORT.") from error
        raise PitboardError(
            f"Rank {rank} on {node_name()} did not reach {address}, port {port}, within"
            f" {timeout.total_seconds():g} seconds: see whether rank 0 was started there and can be reached."
        ) from error


def lost_contact(error: BaseException) -> bool:
    """Whether an error says that another rank has gone: its process has ended or cannot be reached."""
    # Gloo's errors have no class of their own, but name their source file.
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/" in str(error))


def waiting_time(seconds: int | None) -> timedelta:
    """Return how long ranks wait for each other, where a user said so many seconds or, `None`, nothing."""
    return TIMEOUT if seconds is None else timedelta(seconds=seconds)


def crossing(world: World, settings: Settings) -> str | None:
    """Return what to say where hybrid sharding shards over nodes, which it is there to avoid."""
    nodes = [] if world.roll is None else world.roll.placed
    if settings.replicas == 1 or len(set(nodes)) == 1:
        return None
    each = world.size // (settings.replicas * settings.pipeline_parallel)
    most = max((len(set(nodes[first : first + each])) for first in range(0, len(nodes), each)), default=1)
    if most == 1:
        return None
    return (
        f"each of {settings.replicas} replicas is sharded over {most} nodes; with replicas a multiple of the"
        f" {len(set(nodes))} nodes it would be sharded inside one"
    )


def leave_world() -> None:
    """Leave the process group, if one was joined."""
    if RollCall.here is not None:
        RollCall.here.stop()
    if dist.is_initialized():
        dist.destroy_process_group()


def prepare(model: nn.Module, benchmark: TrainableBenchmark[Settings], world: World) -> None:
    """Make a model built on `meta` ready for its ranks, in place, in the order that composes.

    The stage of a pipeline, parts of sequences, tensor parallel within a block, activation checkpointing
    around it, compilation of it, and FSDP2 over all.
    """
    settings = benchmark.settings
    if world.stages is not None:
        assert isinstance(benchmark, Staged)
        benchmark.keep_stage(model, world.stages.get_local_rank(), world.stages.size())
    if world.context is not None:
        assert isinstance(benchmark, ContextParallel)
        benchmark.split_sequences(model, world.context)
    if settings.tensor_parallel > 1:
        assert world.mesh is not None
        for block in benchmark.blocks(model):
            parallelize_module(block, world.mesh["tensor"], benchmark.tensor_parallel_plan())
        parallelize_module(model, world.mesh["tensor"], benchmark.outer_tensor_parallel_plan(model))
    if settings.activation_checkpointing != "none":
        _checkpoint_activations(model, benchmark)
    if settings.compile:
        # Blocks of a class share what is compiled, and beyond this many kinds the rest silently is not: by
        # stride, width, what is frozen, and evaluation, the detector's backbone has more than the usual 8.
        config = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, _COMPILED_KINDS)
        for block in benchmark.blocks(model):
            block.compile(dynamic=False)
    if world.mesh is not None:
        if settings.fp8_all_gather:
            from pitboard.training.precision.gathered import gather_in_float8

            gather_in_float8(benchmark.blocks(model))
        _shard(model, benchmark, world, world.mesh)


def _checkpoint_activations(model: nn.Module, benchmark: TrainableBenchmark[Settings]) -> None:
    """Let each block keep its input, and with `selective` the results worth their memory; not the rest."""
    wrapper: Callable[[nn.Module], nn.Module] = checkpoint_wrapper
    if benchmark.settings.activation_checkpointing == "selective":
        contexts = partial(create_selective_checkpoint_contexts, _keep_or_recompute)
        wrapper = partial(checkpoint_wrapper, context_fn=contexts)
    chosen = set(benchmark.blocks(model))
    apply_activation_checkpointing(
        model, checkpoint_wrapper_fn=wrapper, check_fn=lambda module: module in chosen
    )


def is_kept(operation: Any) -> bool:
    """Whether selective checkpointing keeps what an operation returns: matrix products and attention.

    They take most of a forward's time. Other overloads, as those with `out=`, are computed again.
    """
    name: str = operation.name()
    return name in _PRODUCTS or name.startswith("aten::_scaled_dot_product_")


def _keep_or_recompute(
    _context: SelectiveCheckpointContext, operation: Any, *_arguments: Any, **_named: Any
) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if is_kept(operation) else CheckpointPolicy.PREFER_RECOMPUTE


def _shard(model: nn.Module, benchmark: TrainableBenchmark[Settings], world: World, mesh: DeviceMesh) -> None:
    """Apply FSDP2 block by block, but for what the benchmark shards itself.

    But for FP32, parameters are gathered in BF16, except those of blocks that compute in FP32 all the same,
    and gradients reduced in FP32; inputs are left to autocast, as on one rank, since FSDP would round what
    must stay in FP32 too (latents, noise, rotary tables). With more than one replica the mesh is
    two-dimensional: sharded within a replica, replicated across (hybrid sharding).
    """
    settings = benchmark.settings
    policy = MixedPrecisionPolicy()
    if settings.precision != "fp32":
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    own = benchmark.shard_own(model, world)
    data_mesh = mesh["replicate", "shard"] if settings.replicas > 1 else mesh["shard"]
    # The micro-batches of a pipeline follow each other: its stage would be gathered for each of them.
    reshard = None if settings.pipeline_parallel == 1 else False
    whole = [model.get_submodule(name) for name in benchmark.keep_fp32]
    for unit in (*benchmark.blocks(model), model):
        fully_shard(
            unit,
            mesh=data_mesh,
            mp_policy=MixedPrecisionPolicy() if unit in whole else policy,
            ignored_params=own,
            reshard_after_forward=reshard,
        )
