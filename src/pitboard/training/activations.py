"""How much of a block's activations can stay in memory: activation checkpointing `auto`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from pitboard.training.distributed import World, is_kept
from pitboard.training.forecast import fullest_memory
from pitboard.training.loading import micro_batch
from pitboard.training.protocol import TrainableBenchmark, benchmark_class
from pitboard.training.settings import Checkpointing, Settings

# What is not counted takes the rest: the head's logits, the optimizer's temporaries, NCCL, fragments.
_USABLE = 0.85


@dataclass(frozen=True)
class Choice:
    """What activation checkpointing `auto` stands for, and why, as a sentence without its end."""

    checkpointing: Checkpointing
    reason: str


@dataclass
class _Kept:
    """Bytes of one sample that a block keeps for its backward pass under each checkpointing."""

    none: int = 0
    selective: int = 0
    full: int = 0


@dataclass
class _Blocks:
    """What each block keeps, in the order in which they are called."""

    kept: list[_Kept] = field(default_factory=list)

    def bytes(self, checkpointing: Checkpointing) -> int:
        """Return what all blocks keep, and what the one being computed again needs beside that."""
        total: int = sum(getattr(each, checkpointing) for each in self.kept)
        return total + (0 if checkpointing == "none" else max(each.none for each in self.kept))


def choose_checkpointing(name: str, settings: Settings, world: World, memory: int) -> Choice:
    """Return the least recomputation whose estimate fits a device of so many bytes.

    The estimate is of the training state, of the layers that FSDP gathers, and of what the blocks keep, as
    they do without compilation, which keeps less. Raises `PitboardError` when the global batch cannot be
    divided over the ranks.
    """
    micro, _ = micro_batch(settings, world)
    settings = settings.model_copy(update={"compile": False})
    benchmark = benchmark_class(name)(settings)
    with torch.device("meta"):
        model = benchmark.build()
    try:
        blocks = _measure(model, benchmark)
    except RuntimeError:
        # What depends on the data itself, as a graph's neighbours, has no shape on `meta`.
        return Choice("full", "what this model's blocks keep cannot be estimated")
    if not blocks.kept:
        return Choice("none", "this model has no blocks")
    state = fullest_memory(benchmark, world).total + _gathered(model, benchmark, world)
    # A pipeline's first stage keeps as many micro-batches as it has stages, of its own blocks each.
    shared = settings.tensor_parallel * settings.context_parallel
    usable = int(memory * _USABLE)
    choices: tuple[Checkpointing, ...] = ("none", "selective", "full")
    needed = {each: state + blocks.bytes(each) * micro // shared for each in choices}
    chosen = next((each for each in choices if needed[each] <= usable), None)
    if chosen is None:
        least = f"even full recomputation is estimated at {_gib(needed['full'])}"
        return Choice("full", f"{least} of {_gib(memory)}: it may not fit")
    reason = f"estimated at {_gib(needed[chosen])} of {_gib(memory)}"
    if chosen != "none":
        before = choices[choices.index(chosen) - 1]
        reason += f", and {before} at {_gib(needed[before])}"
    return Choice(chosen, reason)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _gathered(model: nn.Module, benchmark: TrainableBenchmark[Settings], world: World) -> int:
    """Return the bytes of what FSDP gathers: what is outside the blocks, and two blocks with a gradient."""
    settings = benchmark.settings
    if world.size == 1:
        return 0
    width = 4 if settings.precision == "fp32" else 2
    sizes = [sum(p.numel() for p in block.parameters()) for block in benchmark.blocks(model)]
    outside = sum(p.numel() for p in model.parameters()) - sum(sizes)
    trained = [
        sum(p.numel() for p in block.parameters() if p.requires_grad) for block in benchmark.blocks(model)
    ]
    # A gradient is there in the parameters' type, and in FP32 while it is reduced.
    gathered = width * (outside + 2 * max(sizes)) + (width + 4) * max(trained)
    return gathered // settings.tensor_parallel


def _measure(model: nn.Module, benchmark: TrainableBenchmark[Settings]) -> _Blocks:
    """Return what the blocks keep of one sample, from a forward pass on `meta`: nothing is computed."""
    dtype = torch.float32 if benchmark.settings.precision == "fp32" else torch.bfloat16
    # In the type that autocast computes in: it knows no `meta`.
    model.to(dtype)
    blocks = benchmark.blocks(model)
    found = _Blocks()
    known: dict[object, tuple[_Kept, Any]] = {}
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        block.forward = _measured(block, dtype, found, known, last=last)
    batch = {name: value.to("meta") for name, value in benchmark.warmup_batch(1).items()}
    try:
        with _Fused():
            model(**_in(dtype, batch))
    except _AfterBlocks:
        pass
    return found


class _AfterBlocks(Exception):  # noqa: N818 - no error: it ends a forward pass that has shown enough
    """The last block has been called."""


def _measured(
    block: nn.Module,
    dtype: torch.dtype,
    found: _Blocks,
    known: dict[object, tuple[_Kept, Any]],
    *,
    last: bool,
) -> Callable[..., Any]:
    """Return a forward of the block that notes what it keeps; blocks that are alike are computed once."""
    forward = block.forward

    def measured(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _in(dtype, args), _in(dtype, kwargs)
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        key = (type(block), *((each.shape, each.dtype) for each in given))
        if key not in known:
            for each in given:
                if each.is_floating_point():
                    each.requires_grad_()
            inputs = sum(each.nbytes for each in given if each.is_floating_point() and each.ndim > 2)
            keeping = _Keeping(block)
            with keeping, saved_tensors_hooks(keeping.pack, lambda tensor: tensor):
                output = forward(*args, **kwargs)
            kept = _Kept(keeping.saved, inputs + keeping.products, inputs)
            known[key] = (
                kept,
                tree_map(lambda each: each.detach() if isinstance(each, Tensor) else each, output),
            )
        kept, output = known[key]
        found.kept.append(kept)
        if last:
            raise _AfterBlocks
        return output

    return measured


def _in(dtype: torch.dtype, values: Any) -> Any:
    """Return the values with FP32 tensors in another type, apart from any graph."""

    def cast(each: Any) -> Any:
        if not isinstance(each, Tensor):
            return each
        return each.detach().to(dtype) if each.dtype == torch.float32 else each.detach()

    return tree_map(cast, values)


class _Keeping(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what autograd keeps of a block's forward, and what of its results are worth their memory."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.saved = self.products = 0
        self._seen: dict[int, Any] = {}
        self._own = {each.untyped_storage()._cdata for each in (*block.parameters(), *block.buffers())}

    def pack(self, tensor: Tensor) -> Tensor:
        """Count a tensor's memory, once however many views of it are kept."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own and storage._cdata not in self._seen:
            self._seen[storage._cdata] = storage  # alive, so that its address is nobody else's
            self.saved += storage.nbytes()
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if is_kept(func):
            self.products += sum(each.nbytes for each in tree_leaves(result) if isinstance(each, Tensor))
        return result


class _Fused(TorchFunctionMode):
    """Computes attention as a GPU's fused kernels, which keep no scores; on `meta` PyTorch has none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = args[:3]
        fused = torch.ops.aten._scaled_dot_product_flash_attention
        return fused(query, key, value, is_causal=kwargs.get("is_causal", False), scale=kwargs.get("scale"))[
            0
        ]
