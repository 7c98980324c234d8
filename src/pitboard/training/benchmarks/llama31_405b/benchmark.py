"""Llama 3.1 405B pretraining: Llama 3.1 8B's benchmark in other sizes, continued from given weights.

The reference is mlcommons/training `large_language_model_pretraining/nemo`. It starts from Meta's weights,
but reads text in the tokens of Mixtral 8x22B: of the 128,256 rows of the embedding and the head it keeps the
first, one for each of its own tokens, and the model learns anew what they mean. That is why its loss falls
from 7.7 where Meta's model stands near 2. All weights are trained.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from pitboard.suite.benchmarks.llama31_405b import closed_schedule
from pitboard.training.benchmarks.llama31_8b.base_weights import StartsFromSmallBase
from pitboard.training.benchmarks.llama31_8b.benchmark import Llama31, LlamaSettings
from pitboard.training.benchmarks.llama31_405b.downloads import MODEL_FOLDER, TRAIN, VALIDATION
from pitboard.training.benchmarks.llama31_405b.python_text import python_shards
from pitboard.training.data.cached import default_cache
from pitboard.training.data.downloads import required_folder
from pitboard.training.data.safetensors_folder import SafetensorsFolder
from pitboard.training.protocol import TrainableBenchmark
from pitboard.training.settings import Settings

_BY_TOKEN = ("embed_tokens.weight", "lm_head.weight")


class Llama405BSettings(LlamaSettings):
    """The settings of Llama 3.1 8B's benchmark, and where the weights come from that it starts from."""

    dataset: Literal["c4", "python", "synthetic"]  # type: ignore[assignment]
    model: Path | None = Field(default=None, description="folder of the safetensors; $PITBOARD_DATA")
    base_steps: int | None = Field(default=None, gt=0, description="smoke: steps that pre-train the base")

    @classmethod
    def build(cls, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> Self:
        """Validate a preset's values with the user's overrides on top, as every `Settings`.

        In the closed division learning rate, warm-up and schedule follow the global batch, as the rules
        demand, unless they are given too. The rate at the schedule's end is the same for every batch.
        """
        followed: dict[str, Any] = {"end_learning_rate": values["end_learning_rate"]}
        settings = super().build(values, followed | {**overrides})
        if settings.division == "closed" and "global_batch_size" in overrides:
            followed |= closed_schedule(settings.global_batch_size)
            settings = super().build(values, followed | {**overrides})
        return settings


class Llama405B(StartsFromSmallBase, Llama31):
    """The benchmark `llama31_405b` for the loop."""

    settings_class: ClassVar[type[Settings]] = Llama405BSettings
    settings: Llama405BSettings
    small_base_dataset = "python"

    def is_pretrained(self, name: str) -> bool:  # noqa: ARG002 - all or none
        """Whether there are weights to start from: not where throughput alone is measured."""
        return self.settings.dataset != "synthetic"

    def rows(self, name: str, shape: torch.Size, first: int, count: int) -> Tensor:
        """Return rows of the weights to start from, in BF16's values, from their safetensors folder."""
        stored = name.removeprefix("llama.")
        rows = self._weights.rows(stored, shape, first, count, cut=stored.endswith(_BY_TOKEN))
        return rows.to(torch.bfloat16)

    def hyperparameters(self) -> dict[str, object]:
        """Return what the rules of llama31_405b want logged, and what pre-training a small base cost."""
        return super().hyperparameters() | self.small_base_keys()

    @cached_property
    def _weights(self) -> SafetensorsFolder:
        if self.has_small_base:
            return SafetensorsFolder(self.small_base.folder)
        return SafetensorsFolder(
            required_folder(
                "llama31_405b",
                "the weights of Llama 3.1 405B",
                self.settings.model,
                setting="model",
                inside=MODEL_FOLDER,
            )
        )

    def _prefixes(self) -> tuple[list[Path], Path]:
        if self.settings.dataset == "python":
            made = python_shards(default_cache(), self.settings.vocabulary_size)
            return list(made.train), made.validation
        root = required_folder("llama31_405b", "the preprocessed C4", self.settings.data)
        return [root / facts.prefix for facts in TRAIN], root / VALIDATION.prefix


BENCHMARK: type[TrainableBenchmark[LlamaSettings]] = Llama405B
