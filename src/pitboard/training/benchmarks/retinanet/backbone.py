"""The backbone's weights: torchvision's file, or the small one that the smoke preset pre-trains."""

import json
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pitboard import __version__
from pitboard.errors import PitboardError
from pitboard.training.benchmarks.retinanet.canvases import CLASSES, digits_alone
from pitboard.training.benchmarks.retinanet.model import ResNeXt, normalised
from pitboard.training.data.cached import cache_key, cached, default_cache
from pitboard.training.device import tune_cpu
from pitboard.training.initialize import seeded_generator

Weights = dict[str, Tensor]

_SEED = 20_250_101
_STEPS, _BATCH, _LEARNING_RATE = 120, 64, 1e-2
_EDGE = 32
# To be raised when what a pre-trained backbone is changes and Pitboard's version does not.
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class BackboneSizes:
    """Channels of the first stage, blocks of each stage, and groups of the 3 × 3 convolutions."""

    planes: int
    stages: tuple[int, ...]
    groups: int

    def build(self, norm: type[nn.Module]) -> ResNeXt:
        """Return the backbone, on the default device."""
        return ResNeXt(self.planes, self.stages, self.groups, norm)


def read_backbone(path: Path) -> Weights:
    """Return the weights of a classifier's file, `.safetensors` or as `torch.save` writes tensors.

    Nothing in it is executed. Raises `PitboardError` if it cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PitboardError(
            f"The backbone's weights {path} cannot be read ({reason}): `pitboard data retinanet` says what to"
            " download."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise PitboardError(f"{path} holds no weights by name: expected torchvision's ResNeXt-50 (32 × 4d).")
    return found


def weight(weights: Weights, name: str, shape: torch.Size, source: Path) -> Tensor:
    """Return one weight. Raises `PitboardError` if it is not there or has another shape."""
    found = weights.get(name)
    if found is None or found.shape != shape:
        what = "no" if found is None else f"{tuple(found.shape)} as"
        raise PitboardError(
            f"{source} has {what} weight '{name}' of shape {tuple(shape)}: it is not the backbone of this"
            " preset."
        )
    return found


@dataclass(frozen=True)
class PretrainedBackbone:
    """The smoke preset's backbone: its file, how many held-out digits it tells apart, and its seconds."""

    file: Path
    accuracy: float
    seconds: float


def pretrained_backbone(
    sizes: BackboneSizes, device: torch.device, preparing: Callable[[str], None]
) -> PretrainedBackbone:
    """Return a backbone that tells single digits apart, from the cache or, the first time, by training it.

    One process of a machine trains, which it tells `preparing`; the others wait and take its weights.
    Raises `PitboardError` if the cache cannot be written.
    """
    recipe = _STEPS, _BATCH, _LEARNING_RATE, _EDGE, _FORMAT_VERSION
    facts = sizes, recipe, device.type, __version__, torch.__version__, _SEED
    key = cache_key(*facts)
    folder = cached(default_cache() / f"digits-{key}", partial(_pretrain, sizes, device, preparing))
    facts_of = json.loads((folder / "backbone.json").read_bytes())
    return PretrainedBackbone(folder / "model.safetensors", **facts_of)


class _Classifier(nn.Module):
    """The backbone with what ImageNet's classifier has on top of it."""

    def __init__(self, sizes: BackboneSizes) -> None:
        super().__init__()
        self.body = sizes.build(nn.BatchNorm2d)
        self.fc = nn.Linear(4 * sizes.planes << 3, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.body(images)[-1].mean(dim=(2, 3)))
        return scores


def _pretrain(
    sizes: BackboneSizes, device: torch.device, preparing: Callable[[str], None], folder: Path
) -> None:
    """Train a classifier of single digits, and write the weights of its backbone and what they came to."""
    preparing(f"pre-training the backbone for {_STEPS} steps, once for this machine")
    started = time.perf_counter()
    if device.type == "cpu":
        tune_cpu()
    generator = seeded_generator(torch.device("cpu"), _SEED, "backbone")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():  # the caller may have turned gradients off
        torch.manual_seed(_SEED)
        model = _Classifier(sizes).to(device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_STEPS)
        for _ in range(_STEPS):
            images, labels = digits_alone(_BATCH, _EDGE, generator, held_out=False)
            scores = model(normalised(images).to(device))
            nn.functional.cross_entropy(scores, labels.to(device)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        images, labels = digits_alone(8 * _BATCH, _EDGE, generator, held_out=True)
        with torch.no_grad():
            right = model.eval()(normalised(images).to(device)).argmax(dim=1).cpu() == labels
    weights = {
        name: value.cpu().contiguous()
        for name, value in model.body.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(weights, folder / "model.safetensors")
    facts = {"accuracy": right.float().mean().item(), "seconds": round(time.perf_counter() - started, 1)}
    (folder / "backbone.json").write_text(json.dumps(facts))
