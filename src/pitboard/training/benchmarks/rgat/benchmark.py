"""R-GAT node classification: graph attention by relation over sampled neighbourhoods.

The reference is mlcommons/training `graph_neural_network` (round v5.1; later among its retired benchmarks):
`torch-geometric`'s `HeteroConv` of a `GATConv` for each relation, messages added up over relations, a leaky
ReLU and dropout between layers, Adam at a constant rate, and the accuracy on half a percent of the labelled
papers, which a seeded permutation chooses.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from mlperf_logging.mllog import constants
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.rgat import igbh, verses
from pitboard.training.benchmarks.rgat.data import Samples, Source, split, split_sizes, synthetic
from pitboard.training.benchmarks.rgat.downloads import ABOUT_MESSAGES, EDGES, LABELLED, NODES
from pitboard.training.benchmarks.rgat.features import SharedFeatures
from pitboard.training.benchmarks.rgat.graph import Integers, Relation
from pitboard.training.benchmarks.rgat.model import Rgat
from pitboard.training.data.downloads import required_folder
from pitboard.training.distributed import World
from pitboard.training.optimizer import ScheduledOptimizer
from pitboard.training.protocol import Batch, EvaluationBatches, TrainableBenchmark
from pitboard.training.settings import Settings

_WARMUP_NODES, _WARMUP_EDGES = 4096, 8


class RgatSettings(Settings):
    """The settings of an R-GAT run: the model's size, the sampling, and where the graph comes from."""

    dataset: Literal["igbh-full", "verses", "synthetic"]
    data: Path | None = Field(default=None, description="folder of the reference's files; $PITBOARD_DATA")
    shard_features: bool = Field(default=False, description="each rank reads a part, and they exchange rows")
    synthetic_papers: int = Field(default=0, ge=0, description="papers of the made-up graph")
    feature_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    attention_heads: int = Field(gt=0)
    classes: int = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    fan_out: str = Field(pattern=r"^[1-9]\d*(-[1-9]\d*)*$", description="neighbours, nearest first: 15-10-5")
    learning_rate: float = Field(gt=0)

    @model_validator(mode="after")
    def _possible(self) -> "RgatSettings":
        if self.hidden_size % self.attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of attention_heads"
                f" {self.attention_heads}."
            )
        if self.dataset == "synthetic" and not self.synthetic_papers:
            raise ValueError("the synthetic dataset needs synthetic_papers.")
        return self

    @property
    def neighbours(self) -> tuple[int, ...]:
        """How many neighbours a node draws by each relation, nearest first: one number a layer."""
        return tuple(map(int, self.fan_out.split("-")))

    @property
    def labelled(self) -> int:
        """How many nodes have a class."""
        counts = {"igbh-full": LABELLED, "verses": verses.VERSES, "synthetic": self.synthetic_papers}
        return counts[self.dataset]

    @property
    def split_sizes(self) -> tuple[int, int]:
        """How many nodes are trained on and how many may be evaluated on."""
        return split_sizes(self.labelled, self.held_out)

    @property
    def held_out(self) -> float:
        """The part of the classified nodes that is evaluated on."""
        return verses.HELD_OUT if self.dataset == "verses" else igbh.HELD_OUT


class RelationalGat(TrainableBenchmark[RgatSettings]):
    """The benchmark `rgat` for the loop."""

    settings_class = RgatSettings
    quality_name = "validation accuracy"
    # The surroundings of a million nodes do not fit into memory.
    keep_evaluation_data = False

    def build(self) -> nn.Module:
        """Return the model with its loss, on the default device."""
        model = Rgat(self.settings, self._relations, self._classified)
        if self.settings.shard_features:
            model.fetch = SharedFeatures(lambda: self._source, 1)
        return model

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill a parameter as `torch-geometric` does: Glorot for attention, PyTorch's for the classifier."""
        if name.startswith("classifier."):
            bound = 1 / math.sqrt(self.settings.hidden_size)
            parameter.uniform_(-bound, bound, generator=generator)
        elif name.endswith(".bias"):
            parameter.zero_()
        else:
            bound = math.sqrt(6 / (parameter.shape[-1] + parameter.shape[-2]))
            parameter.uniform_(-bound, bound, generator=generator)

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the layers."""
        return list(model.get_submodule("layers").children())

    def shard_own(self, model: nn.Module, world: World) -> set[nn.Parameter]:
        """Spread the features, which are no parameters, over the ranks."""
        if self.settings.shard_features:
            assert isinstance(model, Rgat)
            model.fetch = SharedFeatures(lambda: self._source, world.size)
        return set()

    def optimizer(self, model: nn.Module) -> ScheduledOptimizer:
        """Return Adam at a constant rate."""
        rate = self.settings.learning_rate
        parameters = [p for p in model.parameters() if p.requires_grad]
        adam = torch.optim.Adam(parameters, lr=rate, fused=True)
        return ScheduledOptimizer(model, adam, learning_rate=lambda _: rate)

    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the nodes to train on, in a new order each epoch."""
        trained, _ = self._split
        return self._samples(trained, seed, shuffled=True)

    def evaluation_data(self, seed: int) -> Dataset[Batch]:
        """Return the nodes to evaluate on."""
        _, evaluated = self._split
        count = self.settings.evaluation_samples
        if len(evaluated) < count:
            raise PitboardError(
                f"{len(evaluated):,} nodes are there to evaluate on and evaluation_samples is {count:,}:"
                " lower it."
            )
        return self._samples(evaluated[:count], seed, shuffled=False)

    def collate(self, samples: list[Batch]) -> Batch:
        """Return the one batch that the samples were fetched as."""
        (batch,) = samples
        return batch

    def warmup_batch(self, samples: int) -> Batch:
        """Return made-up nodes with made-up surroundings."""
        s = self.settings
        nodes = dict.fromkeys({kind for a, _, b in self._relations for kind in (a, b)}, _WARMUP_NODES)
        edges = dict.fromkeys(self._relations, _WARMUP_NODES * _WARMUP_EDGES)
        made = synthetic(nodes, edges, self._classified, s.feature_size, s.classes)
        chosen = split(_WARMUP_NODES, igbh.HELD_OUT)[0]
        data = Samples(made, chosen, s.neighbours, 0, samples, shuffled=True)
        return self.collate(data.__getitems__(list(range(samples))))

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        """Return the accuracy over the evaluation samples of all ranks."""
        total = torch.zeros(2, dtype=torch.float64, device=world.device)
        for batch, weights in batches:
            right = model(**batch) == batch["classes"]
            total += torch.stack([(right * weights).sum(), weights.sum()])
        right, count = world.sum(total).tolist()
        return float(right / count)

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Check that what the model predicts does not depend on the classes; raise `PitboardError` if so."""
        other = {**batch, "classes": (batch["classes"] + 1) % self.settings.classes}
        if not torch.equal(model(**batch), model(**other)):
            raise PitboardError(
                "What the model predicts depends on the classes that it must predict: the accuracy says"
                " nothing. Fix the model's forward."
            )

    def epoch(self, samples: int) -> float:
        """Return the epochs to two places, as the reference logs them: 0.05, 0.1, …"""
        return round(samples / self.settings.split_sizes[0], 2)

    def hyperparameters(self) -> dict[str, object]:
        """Return what the rules of rgat want logged."""
        return {constants.OPT_BASE_LR: self.settings.learning_rate}

    def flops_per_sample(self) -> float:
        """Return forward and backward FLOPs of one node: 6 per weight and node that a relation projects.

        How many these are depends on the graph, so the surroundings of the first samples are counted, as many
        as a micro-batch has; the first layer's features need no gradient. A message is two operations a
        number.
        """
        s = self.settings
        count = s.micro_batch_size or min(s.global_batch_size, 1024)
        trained, _ = self._split
        sampled = self._samples(trained, 0, shuffled=False).sampled(range(count))
        total = 6.0 * s.hidden_size * s.classes * count
        given = {kind: len(numbers) for kind, numbers in sampled.nodes.items()}
        for number, layer in enumerate(sampled.layers):
            size, factor = (s.hidden_size, 6) if number else (s.feature_size, 4)
            for (sender, _, receiver), edges in layer.edges.items():
                projected = given[sender] + len(layer.kept[receiver])
                total += s.hidden_size * (factor * size * projected + 6 * edges.shape[1])
            given = {kind: len(kept) for kind, kept in layer.kept.items()}
        return total / count

    @property
    def _relations(self) -> list[Relation]:
        return list(verses.RELATIONS if self.settings.dataset == "verses" else EDGES)

    @property
    def _classified(self) -> str:
        return verses.VERSE if self.settings.dataset == "verses" else "paper"

    @cached_property
    def _source(self) -> Source:
        s = self.settings
        if s.dataset == "verses":
            return verses.load_source(s.feature_size)
        if s.dataset == "igbh-full":
            return igbh.open_source(required_folder("rgat", "IGBH-Full", s.data))
        scale = s.synthetic_papers / NODES["paper"]
        nodes = {kind: max(1, round(count * scale)) for kind, count in NODES.items()}
        edges = {each: round(nodes[each[2]] * ABOUT_MESSAGES[each]) for each in EDGES}
        return synthetic(nodes, edges, self._classified, s.feature_size, s.classes)

    @cached_property
    def _split(self) -> tuple[Integers, Integers]:
        # First, since to split IGBH-Full takes long: a folder that is missing is named at once.
        _ = self._source
        return split(self.settings.labelled, self.settings.held_out)

    def _samples(self, chosen: Integers, seed: int, *, shuffled: bool) -> Samples:
        s = self.settings
        return Samples(
            self._source,
            chosen,
            s.neighbours,
            seed,
            s.global_batch_size,
            shuffled=shuffled,
            with_features=not s.shard_features,
        )


BENCHMARK: type[TrainableBenchmark[RgatSettings]] = RelationalGat
