"""What a benchmark gives the loop. The loop knows nothing else of it."""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.tensor.parallel import ParallelStyle
from torch.utils.data import Dataset

from pitboard.errors import PitboardError
from pitboard.training.settings import Settings

Batch = dict[str, Tensor]


class Benchmark(Protocol):
    """One benchmark, made from its settings: its model, data, loss and evaluation.

    The quality of all benchmarks raced so far is the mean validation loss, so `quality` is the mean over
    the evaluation samples of what the model's forward returns; lower is better.
    """

    @property
    def settings(self) -> Settings:
        """The settings that it was made from, of the benchmark's own class."""

    @property
    def never_narrow(self) -> tuple[str, ...]:
        """Names of modules within a block whose linear layers stay in BF16 whatever the precision."""

    def build(self) -> nn.Module:
        """Return the model, on the default device (the loop builds on `meta`).

        Its forward takes a batch by keyword and returns each sample's loss, shape (samples,).
        """

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill one full-size parameter in place with its starting value, from the generator only."""

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Give the model's non-parameter state its values after it came off `meta`."""

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the repeated blocks: the units of sharding, compilation and activation checkpointing."""

    def tensor_parallel_plan(self) -> dict[str, ParallelStyle]:
        """Return the tensor-parallel plan of one block, by submodule name."""

    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the training samples in the order of this seed; sample i is the same for any rank count."""

    def evaluation_data(self) -> Dataset[Batch]:
        """Return the evaluation samples, `settings.evaluation_samples` of them, in order."""

    def warmup_batch(self, samples: int) -> Batch:
        """Return a batch of made-up samples: the warm-up must not touch the training data."""

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Look for what would make the quality meaningless (a leak); raise `PitboardError` if found."""

    def hyperparameters(self) -> dict[str, Any]:
        """Return what the benchmark's rules want logged beyond the loop's own keys, by MLLOG key."""

    def flops_per_sample(self) -> float:
        """Return the model FLOPs of forward and backward over one sample, no recomputation counted."""

    def tokens_per_sample(self) -> int:
        """Return how many tokens one sample holds (1 where the benchmark has no tokens)."""


@runtime_checkable
class Drawing(Protocol):
    """A benchmark whose model makes images."""

    def draw(self, model: nn.Module, device: torch.device) -> Tensor:
        """Return a grid of images made by the model, grey levels in [0, 1], shape (height, width)."""


@runtime_checkable
class Pretrained(Protocol):
    """A benchmark whose frozen parameters come from a model trained before."""

    def prepare(self, preparing: Callable[[str], None]) -> None:
        """Find that model, or make it; `preparing` is told what takes long. Part of initialisation."""

    def rows(self, name: str, shape: torch.Size, first: int, count: int) -> Tensor:
        """Return `count` rows, from row `first` on, of a frozen parameter that has this shape."""


def benchmark_class(name: str) -> Any:
    """Return the class that implements a benchmark: `training/benchmarks/<name>.py`'s `BENCHMARK`.

    Raises `PitboardError` for a benchmark that Pitboard lists but cannot race yet.
    """
    try:
        module = import_module(f"pitboard.training.benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"pitboard.training.benchmarks.{name}":
            raise
        raise PitboardError(
            f"Pitboard cannot race '{name}' yet; it can: {', '.join(sorted(raceable()))}."
            f" `pitboard suite {name}` shows its rules."
        ) from error
    return module.BENCHMARK


def raceable() -> Iterator[str]:
    """Yield the names of the benchmarks that can be run."""
    from pkgutil import iter_modules

    from pitboard.training import benchmarks

    return (module.name for module in iter_modules(benchmarks.__path__))
