"""A stand-in for the model and data of a full-size benchmark: settings, loop and log are the real ones."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset

from pitboard import suite
from pitboard.events.writer import LogWriter
from pitboard.training.distributed import World
from pitboard.training.evaluate import mean_loss
from pitboard.training.initialize import materialize
from pitboard.training.log_header import log_header
from pitboard.training.loop import Race
from pitboard.training.output import Plan
from pitboard.training.protocol import EvaluationBatches, TrainableBenchmark
from pitboard.training.reporting import Silent
from pitboard.training.runner import decide
from pitboard.training.settings import Settings

ALONE = World(0, 1, torch.device("cpu"), None, 0, 1, 1)
"""A world of one rank on the CPU."""


def the_plan(benchmark: str, preset: str = "smoke", **overrides: Any) -> Plan:
    """Return the plan of one run, seed 1."""
    texts = {key: str(value) for key, value in overrides.items()}
    return Plan(benchmark=benchmark, preset=preset, overrides=texts, seeds=[1], system="s", submitter="Test")


def built(benchmark: Any, seed: int = 1) -> nn.Module:
    """Return the benchmark's model with its starting values."""
    with torch.device("meta"):
        model: nn.Module = benchmark.build()
    materialize(model, benchmark, ALONE.device, seed)
    return model


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the matrix products of linear layers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return func(*args, **(kwargs or {}))


class Falling(nn.Module):
    """A model whose loss is its one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.Parameter(torch.empty(()))

    def forward(self, number: Tensor) -> Tensor:
        return self.loss.expand(len(number))


class Numbers(Dataset[dict[str, Tensor]]):
    """Samples that say nothing, a batch at a time: some benchmarks have millions of them."""

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Tensor]]:
        return [{"number": torch.tensor(numbers)}]


class StandIn:
    """A benchmark that keeps its settings, hyperparameters and counts, with `Falling` from a first loss."""

    def __init__(
        self, benchmark: TrainableBenchmark[Settings], loss: float, qualities: Iterable[float] | None
    ) -> None:
        self._benchmark = benchmark
        self._loss = loss
        self._qualities = None if qualities is None else iter(qualities)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._benchmark, name)

    def build(self) -> nn.Module:
        return Falling()

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        parameter.fill_(self._loss)

    def is_pretrained(self, name: str) -> bool:
        return False

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        pass

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        return []

    def training_data(self, seed: int) -> Numbers:
        return Numbers()

    def evaluation_data(self, seed: int) -> Numbers:
        return Numbers()

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {"number": torch.cat([sample["number"].reshape(-1) for sample in samples])}

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        return mean_loss(model, batches, world) if self._qualities is None else next(self._qualities)

    def warmup_batch(self, samples: int) -> dict[str, Tensor]:
        return {"number": torch.zeros(samples)}

    def verify(self, model: nn.Module, batch: Mapping[str, Tensor]) -> None:
        pass


def race(
    benchmark: TrainableBenchmark[Settings],
    plan: Plan,
    folder: Path,
    *,
    loss: float,
    qualities: Iterable[float] | None = None,
) -> Path:
    """Race the benchmark's stand-in from this loss on, and return the log.

    Evaluations give the `qualities`, where the benchmark's is no loss.
    """
    stand_in: Any = StandIn(benchmark, loss, qualities)
    # Its model takes no memory worth an estimate of the real one's.
    settings = benchmark.settings.model_copy(update={"activation_checkpointing": "none"})
    stand_in.settings, _ = decide(plan.benchmark, settings, ALONE)
    log = LogWriter(folder / "result_0.txt")
    rules = stand_in.settings.rules(suite.benchmark(plan.benchmark, round=plan.round))
    race = Race(stand_in, rules, ALONE, log, Silent(), 1)
    log.event("cache_clear", True)
    log.start("init_start")
    for key, value in log_header(stand_in, plan, 1, ALONE, "asked for").items():
        log.event(key, value)
    race.initialize()
    log.end("init_stop")
    log.start("run_start")
    outcome = race.run()
    log.close("success" if outcome.reached else "aborted", samples_count=outcome.samples)
    return folder / "result_0.txt"


class Noticing(Silent):
    """A reporter that remembers what it was told as a notice."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, what: str) -> None:
        self.said.append(what)
