"""The small frozen base of the smoke preset: pre-trained on the embedded text once, and cached."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from pitboard import __version__
from pitboard.events.writer import LogWriter
from pitboard.suite.benchmarks.llama31_8b import LLAMA31_8B
from pitboard.training.benchmarks.llama31_8b import Llama31, LlamaSettings
from pitboard.training.data import embedded
from pitboard.training.data.cached import cached, default_cache
from pitboard.training.distributed import World
from pitboard.training.loop import Race
from pitboard.training.protocol import Benchmark
from pitboard.training.reporting import Silent

_SEED = 20_250_101
# To be raised when what a pre-trained base is changes and Pitboard's version does not.
_FORMAT_VERSION = 2


class _SmallBase(Llama31):
    """Llama 2's rotary frequencies instead of Llama 3.1's; else the pre-training benchmark as it is."""

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:
        """Compute the rotary frequencies."""
        rope = {"rope_theta": self.settings.rope_theta, "rope_type": "default"}
        model.llama.config.rope_parameters = rope  # type: ignore[union-attr]
        super().fill_buffers(model, device)


@dataclass(frozen=True)
class PretrainedBase:
    """A small base: its folder, and the seconds that pre-training it took when it was made."""

    folder: Path
    seconds: float


def pretrained_base(
    settings: LlamaSettings, device: torch.device, preparing: Callable[[str], None]
) -> PretrainedBase:
    """Return the base that the embedded text pre-trains, from the cache or, the first time, by training it.

    One process of a machine trains, which it tells `preparing`; the others wait and take its weights.
    Raises `PitboardError` if the cache cannot be written.
    """
    text = embedded.key(settings.vocabulary_size)
    versions = __version__, torch.__version__, transformers.__version__, _FORMAT_VERSION
    facts = settings.model_dump_json(exclude={"data", "device"}), device.type, text, versions, _SEED
    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    folder = cached(default_cache() / f"base-{key}", partial(_pretrain, settings, device, preparing))
    return PretrainedBase(folder, json.loads((folder / "base.json").read_bytes())["seconds"])


def _pretrain(
    settings: LlamaSettings, device: torch.device, preparing: Callable[[str], None], folder: Path
) -> None:
    """Train a base, and write its weights and how long that took."""
    preparing(f"pre-training the base for {settings.max_steps} steps, once for this machine")
    started = time.perf_counter()
    alone = World(0, 1, device, None, 0, 1, 1)
    rules = settings.rules(LLAMA31_8B)
    race = Race(cast("Benchmark", _SmallBase(settings)), rules, alone, LogWriter(None), Silent(), _SEED)
    with torch.enable_grad():  # whoever asks may be filling a model
        race.initialize()
        race.run()
    weights = {
        name.removeprefix("llama."): value.detach().to("cpu", torch.bfloat16)
        for name, value in race.model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "base.json").write_text(json.dumps({"seconds": round(time.perf_counter() - started, 1)}))
