"""What a benchmark gives the loop. The loop knows nothing else of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import ParallelStyle
from torch.utils.data import Dataset

from pitboard.errors import PitboardError
from pitboard.training.settings import Settings

if TYPE_CHECKING:
    from pitboard.training.distributed import World
    from pitboard.training.optimizer import ScheduledOptimizer

S_co = TypeVar("S_co", bound=Settings, covariant=True)

Batch = dict[str, Tensor]
EvaluationBatches = Iterable[tuple[Batch, Tensor]]
"""Batches on the rank's device, and each sample's weight: 0 where it only fills up its batch, else 1."""


class TrainableBenchmark(ABC, Generic[S_co]):
    """One benchmark, made from its settings: model, data, optimizer, evaluation, and what it logs of them.

    Target, direction, metric keys and when it is evaluated come from the suite's `Benchmark`.
    """

    settings_class: ClassVar[type[Settings]]
    quality_name: ClassVar[str] = "validation loss"
    """What `evaluate` returns, in words."""
    keep_bf16: ClassVar[tuple[str, ...]] = ()
    """Names of modules within a block whose linear layers stay in BF16 whatever the precision."""
    keep_fp32: ClassVar[tuple[str, ...]] = ()
    """Names of blocks that compute in FP32 whatever the precision: ranks gather their weights in it, too."""
    keep_evaluation_data: ClassVar[bool] = True
    """Whether evaluation samples, once read, stay in this rank's memory; else each evaluation reads them."""
    optimizer_copies: ClassVar[int] = 2
    """How many numbers the optimizer keeps for each that it trains; AdamW has two moments."""
    row_gradients: ClassVar[tuple[str, ...]] = ()
    """Names of modules, such as embedding tables, whose gradients are kept of a step's rows only."""

    def __init__(self, settings: S_co) -> None:
        self.settings = settings

    # The model.

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the model, on the default device (the loop builds on `meta`).

        In training its forward takes a batch by keyword and returns each sample's loss, shape (samples,), or
        their mean; in evaluation it may return what `evaluate` needs.
        """

    @abstractmethod
    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill one full-size parameter in place with its starting value, from the generator only."""

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Give the model's non-parameter state, if it has any, its values after it came off `meta`."""

    @abstractmethod
    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the repeated blocks: the units of sharding, compilation and activation checkpointing."""

    def tensor_parallel_plan(self) -> dict[str, ParallelStyle]:
        """Return the tensor-parallel plan of one block, by submodule name; empty if it has none."""
        return {}

    def outer_tensor_parallel_plan(self, model: nn.Module) -> dict[str, ParallelStyle]:  # noqa: ARG002
        """Return the tensor-parallel plan of what is outside the blocks, by name within the model."""
        return {}

    def shard_own(self, model: nn.Module, world: "World") -> set[nn.Parameter]:  # noqa: ARG002
        """Shard what FSDP must not, such as embedding tables, over the ranks; return its parameters.

        Called on the model on `meta`, where there are several ranks.
        """
        return set()

    # The data.

    @abstractmethod
    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the training samples in the order of this seed; sample i is the same for any rank count."""

    @abstractmethod
    def evaluation_data(self, seed: int) -> Dataset[Batch]:
        """Return the evaluation samples, `settings.evaluation_samples` of them, in order.

        What is drawn for them, such as noise, is drawn by the run's seed, the same at each evaluation.
        """

    def collate(self, samples: list[Batch]) -> Batch:
        """Return one batch of samples, or of what the data's `__getitems__` gave for them: here, stacked."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    @abstractmethod
    def warmup_batch(self, samples: int) -> Batch:
        """Return a batch of synthetic samples: the warm-up must not touch the training data."""

    # Training and evaluation.

    @abstractmethod
    def optimizer(self, model: nn.Module) -> "ScheduledOptimizer":
        """Return a new optimizer of the model with its schedule; the warm-up has one of its own."""

    @abstractmethod
    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: "World") -> float:
        """Return the model's quality over the evaluation samples of all ranks, the same on each.

        `batches` are this rank's, on its device, equally many on each rank; a request to stop raises out of
        them. The model is in evaluation mode, without gradients, under the precision's autocast.
        """

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Look for what would make the quality meaningless (a leak); raise `PitboardError` if found."""

    # What is counted and logged.

    def epoch(self, samples: int) -> float:
        """Return what an evaluation after so many training samples is logged with as its `epoch_num`.

        A benchmark whose rules count in epochs returns them as a fraction; the others log the samples.
        """
        return samples

    @abstractmethod
    def hyperparameters(self) -> Mapping[str, object]:
        """Return what the rules want logged of optimizer, model and data, by MLLOG key, in order.

        The loop logs the seed, batch, evaluation samples, target and the optimizer's name itself.
        """

    @abstractmethod
    def flops_per_sample(self) -> float:
        """Return the model FLOPs of forward and backward over one sample, no recomputation counted."""

    def tokens_per_sample(self) -> int:
        """Return how many tokens one sample holds; 1 where samples themselves are counted."""
        return 1


@runtime_checkable
class Drawing(Protocol):
    """A benchmark whose model makes images, or finds something in them."""

    def draw(self, model: nn.Module, device: torch.device) -> Tensor:
        """Return a grid of images from the model, levels in [0, 1], (height, width) or (height, width, 3)."""


@runtime_checkable
class Pretrained(Protocol):
    """A benchmark that starts from the weights of a model trained before."""

    def prepare(self, preparing: Callable[[str], None]) -> None:
        """Find that model, or make it; `preparing` is called with what takes long. Part of initialisation."""

    def is_pretrained(self, name: str) -> bool:
        """Whether that model has the parameter's starting value; the others are drawn by `initial`."""

    def rows(self, name: str, shape: torch.Size, first: int, count: int) -> Tensor:
        """Return `count` rows, from row `first` on, of a parameter that has this shape."""


@runtime_checkable
class ContextParallel(Protocol):
    """A benchmark whose ranks can share sequences, each with its part of them."""

    def split_sequences(self, model: nn.Module, ranks: DeviceMesh) -> None:
        """Let the model compute this rank's part of each sequence it is given, and the loss of that part.

        The mean over these ranks of a sample's loss is then what the whole model gives.
        """


@runtime_checkable
class Staged(Protocol):
    """A benchmark whose layers can be spread over the stages of a pipeline."""

    def keep_stage(self, model: nn.Module, stage: int, stages: int) -> None:
        """Leave of a model on `meta`, in place, what stage `stage` of `stages` computes; names stay.

        The forward of a later stage takes what the stage before returns, and then the batch by keyword; all
        but the last return the tensor that goes on.
        """


def benchmark_class(name: str) -> type[TrainableBenchmark[Settings]]:
    """Return the class that implements a benchmark: `BENCHMARK` in `training/benchmarks/<name>/benchmark.py`.

    Raises `PitboardError` for a benchmark that Pitboard lists but cannot race yet.
    """
    package = f"pitboard.training.benchmarks.{name}"
    try:
        module = import_module(f"{package}.benchmark")
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise PitboardError(
            f"Pitboard cannot race '{name}' yet; it can: {', '.join(sorted(raceable()))}."
            f" `pitboard suite {name}` shows its rules."
        ) from error
    found: type[TrainableBenchmark[Settings]] = module.BENCHMARK
    return found


def raceable() -> Iterator[str]:
    """Yield the names of the benchmarks that can be run."""
    from pkgutil import iter_modules

    from pitboard.training import benchmarks

    return (module.name for module in iter_modules(benchmarks.__path__))
