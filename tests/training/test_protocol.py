"""A benchmark unlike those raced so far fits the loop as it is.

Its quality is an accuracy, the higher the better; it counts in epochs; two optimizers share its model, and
none clips gradients; its samples are fetched a batch at a time; its evaluation samples do not stay in memory;
it shards a table by itself.
"""

import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.data import Dataset

from pitboard import suite
from pitboard.errors import Stopped
from pitboard.events import read_events
from pitboard.suite.model import EvaluationSchedule, Preset, fixed, free
from pitboard.suite.presets import with_presets
from pitboard.training.distributed import World, prepare
from pitboard.training.initialize import seeded_generator
from pitboard.training.optimizer import ScheduledOptimizer
from pitboard.training.output import Output, Plan
from pitboard.training.protocol import Batch, EvaluationBatches, TrainableBenchmark
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute
from pitboard.training.settings import Settings
from support import curve, the_log, the_run

HELD_OUT = 6
TRAINED = 1498

FACTS = with_presets(
    suite.Benchmark(
        id="digits",
        name="Digits",
        area="Vision",
        problem="Classification",
        dataset="Handwritten digits",
        split="every sixth held out",
        model="One table",
        model_details="a score for each class",
        reference="none",
        metric="accuracy",
        target=0.9,
        lower_is_better=False,
        evaluation=EvaluationSchedule(words="every {samples:,} images", samples=TRAINED // 4),
        evaluation_samples=299,
        runs=3,
        optimizer="sgd",
        progress_key="epoch_num",
        hyperparameters=(*fixed(momentum=0.9), *free("opt_base_learning_rate")),
    ),
    Preset(
        name="full",
        summary="All of it.",
        values={
            "global_batch_size": 48,
            "micro_batch_size": 16,
            "max_samples": 5 * TRAINED,
            "learning_rate": 0.05,
            "precision": "fp32",
            "compile": False,
        },
    ),
    settings=("momentum",),
)


class DigitSettings(Settings):
    learning_rate: float
    momentum: float


class Digits(Dataset[Batch]):
    """Handwritten digits, in a new order each epoch; with no seed, those held out, in order."""

    def __init__(self, seed: int | None) -> None:
        pixels, names = load_digits(return_X_y=True)
        held_out = torch.arange(len(names)) % HELD_OUT == HELD_OUT - 1
        chosen = held_out if seed is None else ~held_out
        self.pixels = torch.tensor(pixels, dtype=torch.float32)[chosen] / 16
        self.names = torch.tensor(names)[chosen]
        self.seed = seed
        self.order = cache(self._order)

    def _order(self, epoch: int) -> Tensor:
        if self.seed is None:
            return torch.arange(len(self.names))
        generator = seeded_generator(torch.device("cpu"), self.seed, f"epoch {epoch}")
        return torch.randperm(len(self.names), generator=generator)

    def __getitems__(self, numbers: list[int]) -> list[Batch]:
        """Return all of these samples as the one part of a batch, as a sampler of graphs does."""
        rows = [int(self.order(number // len(self.names))[number % len(self.names)]) for number in numbers]
        return [{"pixels": self.pixels[rows], "name": self.names[rows]}]


class Classifier(nn.Module):
    """Gives the mean loss in training, and what it predicts in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.bias = nn.Parameter(torch.empty(64, 10)), nn.Parameter(torch.empty(10))

    def forward(self, pixels: Tensor, name: Tensor) -> Tensor:
        scores = pixels @ self.table + self.bias
        return nn.functional.cross_entropy(scores, name) if self.training else scores.argmax(dim=1)


class DigitBenchmark(TrainableBenchmark[DigitSettings]):
    settings_class = DigitSettings
    quality_name = "accuracy"
    keep_evaluation_data = False
    optimizer_copies = 1

    def build(self) -> nn.Module:
        return Classifier()

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        parameter.zero_()

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        return []

    def shard_own(self, model: nn.Module, world: World) -> set[nn.Parameter]:
        return {model.get_parameter("table")}

    def training_data(self, seed: int) -> Digits:
        return Digits(seed)

    def evaluation_data(self, seed: int) -> Digits:
        return Digits(None)

    def collate(self, samples: list[Batch]) -> Batch:
        (batch,) = samples
        return batch

    def warmup_batch(self, samples: int) -> Batch:
        return {"pixels": torch.zeros(samples, 64), "name": torch.zeros(samples, dtype=torch.long)}

    def optimizer(self, model: nn.Module) -> ScheduledOptimizer:
        rate, momentum = self.settings.learning_rate, self.settings.momentum
        table, bias = (torch.optim.SGD([p], rate, momentum) for p in model.parameters())
        return ScheduledOptimizer(model, table, bias, learning_rate=lambda _: rate)

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        total = torch.zeros(2, dtype=torch.float64)
        for batch, weights in batches:
            right = model(**batch) == batch["name"]
            total += torch.stack([(right * weights).sum(), weights.sum()])
        right, count = world.sum(total).tolist()
        assert count == self.settings.evaluation_samples
        return float(right / count)

    def epoch(self, samples: int) -> float:
        return samples / TRAINED

    def hyperparameters(self) -> dict[str, object]:
        return {"opt_base_learning_rate": self.settings.learning_rate, "momentum": self.settings.momentum}

    def flops_per_sample(self) -> float:
        return 6.0 * 64 * 10


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Let the suite and the folder of benchmarks have this one too."""
    module = ModuleType("benchmark")
    module.BENCHMARK = DigitBenchmark  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pitboard.training.benchmarks.digits.benchmark", module)
    monkeypatch.setattr(suite, "benchmark", lambda *_, **__: FACTS)
    return module


@pytest.fixture
def signals() -> Iterator[None]:
    """Undo that a process that was signalled stays so to its end."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for each, handler in kept.items():
        signal.signal(each, handler)


def race(folder: Path) -> Path:
    plan = Plan(benchmark="digits", preset="full", overrides={}, seeds=[1], system="s", submitter="T")
    plan.checkpoint_interval = 10**6
    execute(Output(folder), plan, 0, Silent())
    return folder


def test_an_accuracy_in_epochs_reaches_its_target(tmp_path: Path) -> None:
    run = the_run(race(tmp_path))
    assert (run.status, run.target) == ("success", 0.9)
    qualities = [evaluation.quality for evaluation in run.evaluations]
    assert max(qualities[:-1]) < 0.9 <= qualities[-1]
    # Every 374 samples, in whole steps of 48.
    assert [e.samples for e in run.evaluations] == [384 * (n + 1) for n in range(len(qualities))]
    assert [e.epoch for e in run.evaluations] == [384 * (n + 1) / TRAINED for n in range(len(qualities))]
    logged = {event.key: event.value for event in read_events(the_log(tmp_path))}
    assert (logged["opt_name"], logged["momentum"]) == ("sgd", 0.9)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_an_evaluation_that_a_signal_ends_is_made_by_the_resumed_run(
    tmp_path: Path, known: ModuleType, signals: None
) -> None:
    whole = curve(race(tmp_path / "whole"))

    class Signalled(DigitBenchmark):
        def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
            for _ in batches:
                os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("the evaluation went on")

    known.BENCHMARK = Signalled  # type: ignore[attr-defined]
    with pytest.raises(Stopped):
        race(tmp_path / "out")
    assert [event.key for event in read_events(the_log(tmp_path / "out"))][-2:] == ["eval_start", "eval_stop"]
    assert curve(tmp_path / "out") == []

    known.BENCHMARK = DigitBenchmark  # type: ignore[attr-defined]
    assert curve(race(tmp_path / "out")) == whole


def test_what_a_benchmark_shards_itself_is_left_alone() -> None:
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    try:
        mesh = init_device_mesh("cpu", (1, 4, 1), mesh_dim_names=("replicate", "shard", "tensor"))
        with torch.device("meta"):
            model = Classifier()
        benchmark = DigitBenchmark(DigitSettings.build({**FACTS.preset("full").values, "preset": "full"}, {}))
        prepare(model, benchmark, World(0, 4, torch.device("cpu"), mesh, 0, 4, 1))
    finally:
        dist.destroy_process_group()
    spread = {name: isinstance(parameter, DTensor) for name, parameter in model.named_parameters()}
    assert spread == {"table": False, "bias": True}
