"""A small base for the smoke presets that start from one: pre-trained once on the embedded text."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from safetensors.torch import save_file

from pitboard import __version__
from pitboard.events.writer import LogWriter
from pitboard.suite.benchmarks.llama31_8b import LLAMA31_8B
from pitboard.training.benchmarks.llama31_8b.benchmark import Llama31, LlamaSettings, LlamaSizes
from pitboard.training.data import embedded
from pitboard.training.data.cached import cache_key, cached, default_cache
from pitboard.training.device import choose_device
from pitboard.training.distributed import World
from pitboard.training.loop import Race
from pitboard.training.reporting import Silent

_SEED = 20_250_101
# How a base is pre-trained, where that is not as Llama 3.1 8B's smoke preset.
_PRETRAINING: dict[str, object] = {
    "preset": "smoke",
    "compile": False,
    "target": None,
    "evaluation_interval": None,
    "global_batch_size": 8,
    "learning_rate": 3e-3,
    "end_learning_rate": 3e-4,
}
# What a base has in common with the model that starts from it.
_SHARED = (
    *("hidden_size", "intermediate_size", "layers", "attention_heads", "key_value_heads"),
    *("vocabulary_size", "rope_theta", "sequence_length"),
)
# To be raised when what a pre-trained base is changes and Pitboard's version does not.
_FORMAT_VERSION = 2


@dataclass(frozen=True)
class PretrainedBase:
    """A small base: its folder, and the seconds that pre-training it took when it was made."""

    folder: Path
    seconds: float


class StartsFromSmallBase:
    """What benchmarks have in common whose smoke preset starts from a small base; mixed into theirs."""

    settings: Any
    small_base_dataset: ClassVar[str]
    """The embedded dataset that is trained on from such a base."""
    small_base_llama: ClassVar[type[Llama31]] = Llama31
    """How the base computes."""

    @property
    def has_small_base(self) -> bool:
        """Whether these settings start from a small base."""
        return bool(self.settings.dataset == self.small_base_dataset)

    def prepare(self, preparing: Callable[[str], None]) -> None:
        """Pre-train the small base of the smoke preset unless it is in the cache."""
        if self.has_small_base:
            self.small_base = self._pretrained(preparing)

    @cached_property
    def small_base(self) -> PretrainedBase:
        """The base, pre-trained when it is first asked for, unless it is in the cache."""
        return self._pretrained(lambda _: None)

    def small_base_keys(self) -> dict[str, object]:
        """Return what the log says of a small base: the seconds that pre-training it took."""
        return {"pitboard_base_pretraining_seconds": self.small_base.seconds} if self.has_small_base else {}

    def _pretrained(self, preparing: Callable[[str], None]) -> PretrainedBase:
        return base_for(self.settings, self.settings.base_steps, preparing, self.small_base_llama)


def base_for(
    sizes: LlamaSizes, steps: int, preparing: Callable[[str], None], llama: type[Llama31] = Llama31
) -> PretrainedBase:
    """Return the base for a run of these sizes, pre-trained for so many steps in the run's own precision.

    `llama` is how the base computes; see `pretrained_base`, whose errors it raises.
    """
    overrides = {name: getattr(sizes, name) for name in _SHARED} | _PRETRAINING
    overrides |= {"max_steps": steps, "precision": "fp32" if sizes.precision == "fp32" else "bf16"}
    settings = LlamaSettings.build(LLAMA31_8B.preset("smoke").values, overrides)
    device = choose_device(sizes.device, int(os.environ.get("LOCAL_RANK", "0")))
    return pretrained_base(settings, device, preparing, llama)


def pretrained_base(
    settings: LlamaSettings,
    device: torch.device,
    preparing: Callable[[str], None],
    llama: type[Llama31] = Llama31,
) -> PretrainedBase:
    """Return the base that the embedded text pre-trains, from the cache or, the first time, by training it.

    One process of a machine trains, which it tells `preparing`; the others wait and take its weights.
    Raises `PitboardError` if the cache cannot be written.
    """
    text = embedded.key(settings.vocabulary_size)
    versions = __version__, torch.__version__, transformers.__version__, _FORMAT_VERSION
    made = settings.model_dump_json(exclude={"data", "device"}), device.type, llama.__qualname__, _SEED
    facts = *made, text, versions
    key = cache_key(*facts)
    folder = cached(default_cache() / f"base-{key}", partial(_pretrain, llama(settings), device, preparing))
    return PretrainedBase(folder, json.loads((folder / "base.json").read_bytes())["seconds"])


def _pretrain(llama: Llama31, device: torch.device, preparing: Callable[[str], None], folder: Path) -> None:
    """Train a base, and write its weights and how long that took."""
    settings = llama.settings
    preparing(f"pre-training the base for {settings.max_steps} steps, once for this machine")
    started = time.perf_counter()
    alone = World(0, 1, device, None, 0, 1, 1)
    rules = settings.rules(LLAMA31_8B)
    race = Race(llama, rules, alone, LogWriter(None), Silent(), _SEED)
    with torch.enable_grad():  # the caller may have turned gradients off
        race.initialize()
        race.run()
    weights = {
        name.removeprefix("llama."): value.detach().to("cpu", torch.bfloat16)
        for name, value in race.model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "base.json").write_text(json.dumps({"seconds": round(time.perf_counter() - started, 1)}))
