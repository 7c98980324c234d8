"""DLRM-DCNv2 recommendation: clicks predicted from embedding tables of 204 million rows.

The reference is mlcommons/training `recommendation_v2/torchrec_dlrm` (rounds 3.0 to 5.1): `torchrec`'s
`DLRM_DCN` on Criteo's click logs with several categories a feature, one epoch in the order of the files,
Adagrad at a constant rate, and the area under the ROC curve over half of the last day.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from mlperf_logging.mllog import constants
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.dlrm_dcnv2.criteo import CriteoDays
from pitboard.training.benchmarks.dlrm_dcnv2.data import Samples, SyntheticSamples
from pitboard.training.benchmarks.dlrm_dcnv2.downloads import EVALUATION_DAY, TRAINING_DAYS
from pitboard.training.benchmarks.dlrm_dcnv2.flights import load_flights
from pitboard.training.benchmarks.dlrm_dcnv2.model import Dlrm
from pitboard.training.benchmarks.dlrm_dcnv2.tables import EmbeddingTables, RowAdagrad
from pitboard.training.data.downloads import required_folder
from pitboard.training.distributed import World
from pitboard.training.evaluate import area_under_curve
from pitboard.training.optimizer import ScheduledOptimizer
from pitboard.training.protocol import Batch, EvaluationBatches, TrainableBenchmark
from pitboard.training.settings import Settings


def _numbers(value: Any) -> Any:
    """Return numbers that a text separates by commas."""
    return value.split(",") if isinstance(value, str) else value


Numbers = Annotated[tuple[Annotated[int, Field(gt=0)], ...], BeforeValidator(_numbers), Field(min_length=1)]


class DlrmSettings(Settings):
    """The settings of a DLRM run: the model's sizes, those of Adagrad, and where the samples come from."""

    dataset: Literal["criteo", "flights", "synthetic"]
    data: Path | None = Field(default=None, description="folder of Criteo's days; $PITBOARD_DATA")
    epoch_samples: int = Field(gt=0, description="training samples of an epoch")
    dense_features: int = Field(gt=0)
    table_rows: Numbers = Field(description="rows of each embedding table")
    ids_per_table: Numbers = Field(description="rows of each table that a sample names")
    largest_table: int | None = Field(default=None, gt=0, description="rows to which tables are cut")
    embedding_width: int = Field(gt=0)
    bottom_widths: Numbers
    top_widths: Numbers
    cross_layers: int = Field(gt=0)
    cross_rank: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    epsilon: float = Field(gt=0)

    @model_validator(mode="after")
    def _possible(self) -> "DlrmSettings":
        if self.replicas > 1:
            raise ValueError("dlrm_dcnv2 spreads its tables over all ranks: replicas must be 1.")
        if len(self.table_rows) != len(self.ids_per_table):
            raise ValueError(
                f"table_rows has {len(self.table_rows)} numbers and ids_per_table {len(self.ids_per_table)}:"
                " give one each for a table."
            )
        if self.bottom_widths[-1] != self.embedding_width:
            raise ValueError("bottom_widths must end with embedding_width.")
        if len(self.top_widths) < 2 or self.top_widths[-1] != 1:
            raise ValueError("top_widths must end with 1, after at least one width more.")
        return self

    @property
    def rows(self) -> list[int]:
        """The rows of each table, cut to `largest_table`."""
        most = self.largest_table or max(self.table_rows)
        return [min(rows, most) for rows in self.table_rows]


class DlrmDcnv2(TrainableBenchmark[DlrmSettings]):
    """The benchmark `dlrm_dcnv2` for the loop."""

    settings_class = DlrmSettings
    quality_name = "AUC"
    keep_fp32 = ("last",)
    # 89 million samples would fill a rank's memory.
    keep_evaluation_data = False
    optimizer_copies = 1
    row_gradients = ("embeddings",)

    def build(self) -> nn.Module:
        """Return the model with its loss, on the default device."""
        return Dlrm(self.settings)

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill a parameter as `torchrec` does."""
        if name.startswith("embeddings."):
            bound = 1 / math.sqrt(parameter.shape[0])
            parameter.uniform_(-bound, bound, generator=generator)
        elif name.startswith("cross."):
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                parameter.normal_(0.0, math.sqrt(2 / sum(parameter.shape)), generator=generator)
        else:
            # PyTorch's own for a linear layer; a bias's bound follows from the layer's inputs too.
            bound = 1 / math.sqrt(parameter.shape[1] if parameter.ndim > 1 else self._inputs(name))
            parameter.uniform_(-bound, bound, generator=generator)

    def _inputs(self, name: str) -> int:
        """Return the inputs of the layer that a bias of a perceptron belongs to."""
        part, *place = name.split(".")
        s = self.settings
        if part == "last":
            return s.top_widths[-2]
        first = s.dense_features if part == "bottom" else s.embedding_width * (len(s.rows) + 1)
        widths = s.bottom_widths if part == "bottom" else s.top_widths
        # Layers are the even ones; a ReLU follows each.
        return (first, *widths)[int(place[0]) // 2]

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the two perceptrons, the cross network and the last layer."""
        return [model.get_submodule(name) for name in ("bottom", "cross", "top", "last")]

    def shard_own(self, model: nn.Module, world: World) -> set[nn.Parameter]:
        """Spread the rows of the tables over the ranks."""
        return _tables(model).shard(world)

    def optimizer(self, model: nn.Module) -> ScheduledOptimizer:
        """Return Adagrad at a constant rate: over the looked-up rows of the tables, and over all else."""
        rate, epsilon = self.settings.learning_rate, self.settings.epsilon
        tables = _tables(model)
        own = set(tables.parameters())
        rest = [parameter for parameter in model.parameters() if parameter not in own]
        return ScheduledOptimizer(
            model,
            RowAdagrad(tables, rate, epsilon),
            torch.optim.Adagrad(rest, rate, eps=epsilon),
            learning_rate=lambda _: rate,
        )

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        """Return the area under the ROC curve of all ranks' samples."""
        logits, labels = [], []
        for batch, weights in batches:
            # A sample that only fills up its batch is marked, since ranks have to gather equally many.
            labels.append(torch.where(weights > 0, batch["label"], -1).to(torch.int8))
            logits.append(model(**batch))
        scores, truth = world.gather(torch.cat(logits)), world.gather(torch.cat(labels))
        counted = truth >= 0
        return area_under_curve(scores[counted], truth[counted] > 0)

    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the samples: those of Criteo in the order of its days, the others in one by the seed."""
        settings = self.settings
        if settings.dataset == "synthetic":
            return self._synthetic(settings.sample_limit, seed)
        if settings.dataset == "flights":
            return Samples(load_flights()[0], settings.sample_limit, seed)
        return Samples(self._days(TRAINING_DAYS), settings.sample_limit)

    def evaluation_data(self, seed: int) -> Dataset[Batch]:  # noqa: ARG002
        """Return the samples held out: the first half of Criteo's last day, the flights of the last weeks."""
        settings, count = self.settings, self.settings.evaluation_samples
        if settings.dataset == "synthetic":
            return self._synthetic(count, -1)
        source = load_flights()[1] if settings.dataset == "flights" else self._days((EVALUATION_DAY,))
        if len(source) < count:
            raise PitboardError(
                f"The samples held out are {len(source):,} and evaluation_samples is {count:,}: lower it, or"
                " complete the data (`pitboard data dlrm_dcnv2`)."
            )
        return Samples(source, count)

    def collate(self, samples: list[Batch]) -> Batch:
        """Return the batch, which the samples were read as."""
        (batch,) = samples
        return batch

    def warmup_batch(self, samples: int) -> Batch:
        """Return random samples."""
        return self.collate(self._synthetic(samples, 0).__getitems__(list(range(samples))))

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Check that what the model says of a sample does not depend on its label.

        Raises `PitboardError` if it does: the AUC of such a model says nothing.
        """
        said, then = (model(**{**batch, "label": label}) for label in (batch["label"], 1 - batch["label"]))
        if not torch.allclose(said, then):
            raise PitboardError(
                "The model's logits depend on the labels that it must predict: its AUC says nothing. Fix the"
                " model."
            )

    def epoch(self, samples: int) -> float:
        """Return the fraction of an epoch."""
        return samples / self.settings.epoch_samples

    def hyperparameters(self) -> dict[str, object]:
        """Return what the rules of dlrm_dcnv2 want logged."""
        return {
            constants.OPT_BASE_LR: self.settings.learning_rate,
            constants.OPT_ADAGRAD_LR_DECAY: 0.0,
            constants.OPT_ADAGRAD_INITIAL_ACCUMULATOR_VALUE: 0.0,
            constants.OPT_ADAGRAD_EPSILON: self.settings.epsilon,
            constants.OPT_WEIGHT_DECAY: 0.0,
            constants.OPT_LR_WARMUP_STEPS: 0,
            constants.OPT_LR_DECAY_START_STEP: 0,
            constants.OPT_LR_DECAY_STEPS: 0,
        }

    def flops_per_sample(self) -> float:
        """Return forward and backward FLOPs of one sample: 6 a weight of a layer; a look-up costs none."""
        s = self.settings
        width = s.embedding_width * (len(s.rows) + 1)
        weights = 2 * s.cross_layers * s.cross_rank * width
        for first, widths in ((s.dense_features, s.bottom_widths), (width, s.top_widths)):
            weights += sum(a * b for a, b in zip((first, *widths), widths, strict=False))
        return 6.0 * weights

    def _synthetic(self, count: int, seed: int) -> SyntheticSamples:
        s = self.settings
        rows = torch.tensor(s.rows, dtype=torch.int32).repeat_interleave(torch.tensor(s.ids_per_table))
        return SyntheticSamples(rows, s.dense_features, count, seed)

    def _days(self, days: Sequence[int]) -> CriteoDays:
        root = required_folder("dlrm_dcnv2", "the multi-hot Criteo days", self.settings.data)
        s = self.settings
        return CriteoDays(root, days, s.dense_features, s.ids_per_table, s.rows)


def _tables(model: nn.Module) -> EmbeddingTables:
    found = model.get_submodule("embeddings")
    assert isinstance(found, EmbeddingTables)
    return found


BENCHMARK: type[TrainableBenchmark[DlrmSettings]] = DlrmDcnv2
