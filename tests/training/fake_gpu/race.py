"""Races the benchmarks on a GPU that is not there: tensors have a device, a type and a shape, and no data.

    python race.py <library of stand_in.cpp> "<benchmark> <precision>" ...

Prints a line of JSON a case: what it found, or the error. PyTorch's fake tensors refuse operations on mixed
devices and on shapes that a kernel does not take; refused here are products of mixed types, and what would
make a step wait for the GPU: numbers that are read back, and copies that are not asynchronous.
"""
# ruff: noqa: E402 - the stand-in for CUDA comes before torch

import ctypes
import gc
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

ctypes.CDLL(sys.argv[1])  # PyTorch looks for CUDA once

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset

from pitboard import suite
from pitboard.events.writer import LogWriter
from pitboard.training.distributed import World
from pitboard.training.loop import Race
from pitboard.training.precision import emulated, selftest
from pitboard.training.precision.linear import LowPrecisionLinear
from pitboard.training.protocol import Batch, TrainableBenchmark, benchmark_class
from pitboard.training.reporting import Silent
from pitboard.training.runner import settings_for
from pitboard.training.settings import Settings

GPU = torch.device("cuda", 0)
# Has FP8; the narrower formats are emulated. Blackwell's own kernels want Triton, which has no CPU build.
HOPPER = (9, 0)
# One for all cases: constants that the package keeps belong to it.
MODE = FakeTensorMode()
# At full size, for the kernels' limits and what only large models do; fake layers take no memory, but some
# milliseconds an operation.
SIZES: dict[str, dict[str, Any]] = {
    "llama31_8b": {"layers": 1},
    "flux1": {"double_blocks": 1, "single_blocks": 1, "evaluation_samples": 8, "micro_batch_size": 8},
    "llama2_70b_lora": {"layers": 1},
    "llama31_405b": {"layers": 1},
    # One block of each stage, which is all kinds of them.
    "retinanet": {"depths": "1-1-1-1", "micro_batch_size": 1},
    # Features that are read here, not on other ranks, and a layer less.
    "rgat": {"micro_batch_size": 2, "shard_features": False, "fan_out": "15-10"},
    "dlrm_dcnv2": {},
}
NO_EVALUATION_SKIPPED = {"evaluations_skipped": 0, "evaluations_skipped_per_batch_sample": 0}
BATCH = {"flux1": 8}
# DLRM's optimizer has to know how many rows of each table a step names.
MAY_WAIT = {"dlrm_dcnv2"}
READ_WHOLE = {"rgat", "dlrm_dcnv2"}


# A GPU takes one type in each of these, which fake tensors do not look at.
PRODUCTS = {getattr(torch.ops.aten, name).default for name in ("mm", "bmm", "addmm", "baddbmm")}
NONZERO, UNIQUE = torch.ops.aten.nonzero.default, torch.ops.aten.unique_consecutive.default
INDEX = torch.ops.aten.index.Tensor


@dataclass
class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where a copy within a step makes the host wait for the GPU, and for products of two types."""

    in_step: bool = False
    may_wait: bool = False

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if operation in PRODUCTS:
            types = {each.dtype for each in arguments if isinstance(each, Tensor)}
            assert len(types) == 1, f"a product of {types}"
        elif operation in (NONZERO, UNIQUE) or (operation is INDEX and any(map(_is_mask, arguments[1]))):
            assert self.may_wait or not self.in_step, f"a shape is read back within a step, of {operation}"
            return _as_large_as_can_be(operation, arguments)
        elif operation is torch.ops.aten._to_copy.default:
            source, target = arguments[0], named.get("device") or arguments[0].device
            if source.device.type != target.type:
                waits = target.type == "cpu" or not named.get("non_blocking")
                assert not (self.in_step and waits), f"a copy from {source.device} to {target} within a step"
                source.constant = None  # else the mode would copy the real number that it knows
        return operation(*arguments, **named)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let numbers be read, which are 1, but those on the GPU not within a step."""

        def item(number: Tensor) -> float:
            assert number.device.type == "cpu" or not self.in_step, "a number is read back within a step"
            return 1.0

        computing = _Stream()

        def equal(*_: Tensor) -> bool:
            assert not self.in_step, "tensors are compared on the host within a step"
            return True

        def tolist(numbers: Tensor) -> list[float]:
            return [item(number) for number in numbers]

        with (
            patch.object(Tensor, "item", item),
            patch.object(Tensor, "tolist", tolist),
            patch.object(Tensor, "record_stream", lambda *_: None),
            patch.object(torch, "equal", equal),
            patch.multiple(
                torch.cuda,
                Stream=_Stream,
                Event=_Event,
                stream=nullcontext,
                current_stream=lambda _: computing,
            ),
        ):
            yield


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype == torch.bool


def _as_large_as_can_be(operation: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what an operation gives whose shape follows from numbers, if all are true or different."""
    given = arguments[0]
    if operation is NONZERO:
        return torch.empty(given.numel(), given.ndim, dtype=torch.long, device=given.device)
    if operation is UNIQUE:
        counted = [torch.empty(given.numel(), dtype=torch.long, device=given.device) for _ in range(2)]
        return torch.empty_like(given), *counted
    places: list[Tensor | None] = []
    for index in arguments[1]:
        if index is None or not _is_mask(index):
            places.append(index)
        else:
            count = index.numel()
            places += [torch.empty(count, dtype=torch.long, device=index.device) for _ in index.shape]
    return INDEX(given, places)


class _Stream:
    """A stream that is not there: what is copied on it has arrived."""

    def __init__(self, *_: Any) -> None:
        pass

    def record_event(self) -> object:
        return object()

    def wait_event(self, event: object) -> None:
        pass


class _Event:
    """An event that is not there: it is passed at once, and cannot be waited for."""

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.at = 0

    def record(self, stream: _Stream) -> None:
        _Event.last += 1
        self.at = _Event.last

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: "_Event") -> float:
        assert self.at < end.at
        return float(end.at - self.at)

    last = 0


class Samples(Dataset[Batch]):
    """The same synthetic sample again and again."""

    def __init__(self, batch: Batch) -> None:
        self.sample = {name: rows[0] for name, rows in batch.items()}

    def __getitem__(self, index: int) -> Batch:
        return self.sample


class Batches(Dataset[Batch]):
    """The same synthetic batch again and again, for what is read a batch at a time."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __getitems__(self, indices: list[int]) -> list[Batch]:
        return [self.batch]


class Watched(Race):
    """Tells when a step begins and ends."""

    waits: Waits

    def _step(self, batches: Iterator[Batch]) -> None:
        self.waits.in_step = True
        super()._step(batches)
        self.waits.in_step = False


def main() -> None:
    gc.disable()  # a fifth of the time, for tensors without data
    for case in sys.argv[2:]:
        try:
            with pretended(HOPPER):
                found = refused() if case == "refused" else race(*case.split())
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"case": case} | found), flush=True)


@contextmanager
def pretended(capability: tuple[int, int]) -> Iterator[None]:
    """Let `torch.cuda` answer for the GPU, and what fake tensors lack be done without."""
    torch._C._set_only_lift_cpu_tensors(True)
    answers = {
        "is_available": True,
        "_lazy_init": None,
        "device_count": 1,
        "current_device": 0,
        "is_bf16_supported": True,
        "synchronize": None,
        "get_device_name": "NVIDIA H100",
        "get_device_capability": capability,
        "get_device_properties": SimpleNamespace(major=capability[0], minor=capability[1]),
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, lambda *_, answer=answer, **__: answer))
        stack.enter_context(patch.object(nn.Module, "to_empty", to_empty))
        stack.enter_context(patch.object(Tensor, "pin_memory", lambda tensor, *_: tensor))
        stack.enter_context(patch.object(torch.__config__, "show", str))
        # What compares numbers compares where they are.
        stack.enter_context(patch.object(torch, "allclose", lambda a, b, **_: (a - b).device == GPU))
        stack.enter_context(
            patch.object(selftest, "_error", lambda a, b: 0.0 if (a - b).device == GPU else 1)
        )
        yield


def to_empty(self: nn.Module, *, device: torch.device, recurse: bool = True) -> nn.Module:
    """Do what PyTorch's does, whose way of replacing parameters knows no fake tensors."""
    for module in self.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                module._parameters[name] = nn.Parameter(empty, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
    return self


def race(name: str, precision: str) -> dict[str, Any]:
    """Initialise a benchmark, train a step (of most two micro-batches), and evaluate."""
    batch = BATCH.get(name, 2)
    skipped = NO_EVALUATION_SKIPPED if "llama" in name else {}
    changes: dict[str, Any] = {"evaluation_samples": 1, **skipped, **SIZES[name], "precision": precision}
    changes |= {"global_batch_size": batch, "max_samples": batch, "evaluation_interval": batch}
    changes |= {"compile": False, "device": "cuda", "data_workers": 0, "activation_checkpointing": "full"}
    if precision == "nvfp4" and "layers" in changes:
        changes["layers"] = 2  # of which the last stays in BF16
    settings = settings_for(name, "full", changes)
    benchmark = benchmark_class(name)(settings)
    real = benchmark.warmup_batch(batch)
    waits = Waits(may_wait=name in MAY_WAIT)
    with MODE, waits, waits.reading():
        without_data(name, benchmark, {key: MODE.from_tensor(value) for key, value in real.items()})
        rules = settings.rules(suite.benchmark(name))
        raced = Watched(benchmark, rules, World(0, 1, GPU, None, 0, 1, 1), LogWriter(None), Silent(), seed=1)
        raced.waits = waits
        raced.initialize()
        outcome = raced.run()
    parameters = list(raced.model.parameters())
    states = [t for o in raced.optimizer.optimizers for s in o.state.values() for t in s.values()]
    # Adagrad counts its steps on the host.
    states = [state for state in states if state.ndim or state.device.type != "cpu"]
    return {
        "evaluated": [samples for samples, _ in outcome.evaluations],
        "devices": sorted({str(t.device) for t in [*parameters, *raced.model.buffers(), *states]}),
        "trained": sorted({str(p.dtype) for p in parameters if p.requires_grad}),
        "optimizer": sorted({str(state.dtype) for state in states}),
        "low": any(isinstance(module, LowPrecisionLinear) for module in raced.model.modules()),
        "emulated": emulated(precision, GPU),
    }


def refused() -> dict[str, Any]:
    """Return what became of mistakes within a step, by what each is."""
    waits = Waits(in_step=True)
    host, there = torch.empty, partial(torch.empty, device=GPU)
    mistakes: dict[str, Callable[[], object]] = {
        "read back": lambda: there(()).item(),
        "branch": lambda: bool(there(()) > 0),
        "copy to the host": lambda: there(4).cpu(),
        "copy that waits": lambda: host(4).to(GPU),
        "two devices": lambda: host(4) + there(4),
        "two types": lambda: there(4, 4) @ there(4, 4, dtype=torch.bfloat16),
        "mask": lambda: there(4)[there(4) > 0],
        "count": lambda: there(4).nonzero(),
        "asynchronous copy": lambda: host(4).to(GPU, non_blocking=True),
    }
    found = {}
    with MODE, waits, waits.reading():
        for name, mistake in mistakes.items():
            try:
                mistake()
                found[name] = "taken"
            except (AssertionError, RuntimeError):
                found[name] = "refused"
    return found


def without_data(name: str, benchmark: TrainableBenchmark[Settings], batch: Batch) -> None:
    """Give a benchmark synthetic samples, no weights to read, and a model of plain meta tensors."""
    made: Any = benchmark
    build: Callable[[], nn.Module] = made.build

    def built() -> nn.Module:
        with unset_fake_temporarily():  # its parameters are replaced on the way, which fake ones cannot be
            return build()

    def rows(_name: str, shape: torch.Size, first: int, count: int) -> Tensor:
        return torch.empty(count, *shape[1:], dtype=torch.bfloat16)

    made.build, made.rows = built, rows
    whole = name in READ_WHOLE
    made.training_data = made.evaluation_data = lambda _: Batches(batch) if whole else Samples(batch)
    made.warmup_batch = lambda samples: (
        batch if whole else {name: rows[:samples] for name, rows in batch.items()}
    )
    # RetinaNet's frozen norms, and what judges numbers that are there.
    made._weight = lambda _, shape: torch.empty(shape)
    made._judged = lambda _: 1.0
    if name == "dlrm_dcnv2":
        made_in: Any = sys.modules[type(made).__module__]
        made_in.area_under_curve = lambda scores, truth: float((scores > truth).device == GPU)


if __name__ == "__main__":
    main()
