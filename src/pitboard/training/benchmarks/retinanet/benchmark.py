"""RetinaNet: a single-stage detector over a pre-trained ResNeXt-50 (32 × 4d), on OpenImages.

The reference is mlcommons/training `single_stage_detector`, which takes model, loss and detection from
torchvision: images scaled to 800 × 800, batch norm and the backbone's first two stages frozen, Adam with a
linear warm-up over the first epoch, and COCO's mean average precision after each.
"""

import math
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from mlperf_logging.mllog import constants
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.retinanet import downloads
from pitboard.training.benchmarks.retinanet.average_precision import Truth, mean_average_precision, truth_of
from pitboard.training.benchmarks.retinanet.backbone import (
    BackboneSizes,
    PretrainedBackbone,
    pretrained_backbone,
    read_backbone,
    weight,
)
from pitboard.training.benchmarks.retinanet.canvases import Canvases
from pitboard.training.benchmarks.retinanet.data import Samples, Source, SyntheticImages, collated
from pitboard.training.benchmarks.retinanet.model import FrozenBatchNorm, RetinaNet
from pitboard.training.benchmarks.retinanet.openimages import OpenImages
from pitboard.training.benchmarks.retinanet.picture import drawn
from pitboard.training.data.downloads import required_folder
from pitboard.training.device import choose_device
from pitboard.training.distributed import World
from pitboard.training.initialize import seeded_generator
from pitboard.training.loading import to_device
from pitboard.training.optimizer import ScheduledOptimizer
from pitboard.training.protocol import Batch, EvaluationBatches, TrainableBenchmark
from pitboard.training.settings import Settings

_BODY = "body."
_HEAD_DEVIATION, _AT_WIDTH = 0.01, 256
_PRIOR = 0.01
_DRAWN, _COLUMNS = 12, 4


class RetinaNetSettings(Settings):
    """The settings of a RetinaNet run: those of every run, the model's size, the optimizer, and the data."""

    dataset: Literal["openimages", "digits", "synthetic"]
    data: Path | None = Field(default=None, description="folder of OpenImages; $PITBOARD_DATA")
    model: Path | None = Field(default=None, description="file of the backbone's weights; beside the data")
    training_images: int = Field(gt=0, description="images of an epoch")
    mirrored: float = Field(ge=0, le=1, description="the share of training images that are mirrored")
    image_size: int = Field(gt=0, description="height and width that images are scaled to")
    classes: int = Field(gt=0)
    planes: int = Field(gt=0, description="channels after the first convolution")
    depths: str = Field(pattern=r"\d+(-\d+){3}", description="blocks of each stage, as 3-4-6-3")
    groups: int = Field(gt=0, description="groups of the backbone's 3 × 3 convolutions")
    pyramid_width: int = Field(gt=0, description="channels of the feature pyramid and the heads")
    head_layers: int = Field(gt=0, description="convolutions of a head before its last")
    smallest_anchor: int = Field(gt=0)
    candidates: int = Field(gt=0, description="detections of a level that go on to suppression")
    detections: int = Field(gt=0, description="detections of an image after it")
    suppression_overlap: float = Field(gt=0, lt=1)
    learning_rate: float = Field(gt=0)
    warmup_epochs: float = Field(ge=0)
    warmup_factor: float = Field(ge=0, le=1, description="of the learning rate at the first step")

    @model_validator(mode="after")
    def _possible(self) -> "RetinaNetSettings":
        if (2 * self.planes) % self.groups:
            raise ValueError(f"groups {self.groups} must divide {2 * self.planes}, twice the planes.")
        return self

    @property
    def stages(self) -> tuple[int, ...]:
        """Blocks of each stage of the backbone."""
        return tuple(map(int, self.depths.split("-")))

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see each training image once."""
        return -(-self.training_images // self.global_batch_size)


class RetinaNetBenchmark(TrainableBenchmark[RetinaNetSettings]):
    """The benchmark `retinanet` for the loop."""

    settings_class = RetinaNetSettings
    quality_name = "mean average precision"
    # The images to evaluate on take 190 GB as the model gets them.
    keep_evaluation_data = False

    def build(self) -> nn.Module:
        """Return the model with its loss, on the default device."""
        return RetinaNet(self.settings)

    def initial(self, name: str, parameter: Tensor, generator: torch.Generator) -> None:
        """Fill a parameter of pyramid or heads as the reference does; of a body from nothing as torchvision.

        The heads' deviation is the reference's at its width of 256; narrower heads pass on as much.
        """
        if name.startswith(_BODY):
            nn.init.kaiming_normal_(parameter, mode="fan_out", generator=generator)
        elif name == "classification_head.last.bias":
            parameter.fill_(-math.log((1 - _PRIOR) / _PRIOR))
        elif parameter.ndim == 1:
            parameter.zero_()
        elif name.startswith("fpn."):
            nn.init.kaiming_uniform_(parameter, a=1, generator=generator)
        else:
            deviation = _HEAD_DEVIATION * math.sqrt(_AT_WIDTH / parameter.shape[1])
            parameter.normal_(0.0, deviation, generator=generator)

    def prepare(self, preparing: Callable[[str], None]) -> None:
        """Pre-train the small backbone of the smoke preset unless it is in the cache."""
        if self.settings.dataset == "digits" and self.settings.model is None:
            self._small_backbone = self._pretrained(preparing)

    def is_pretrained(self, name: str) -> bool:
        """Whether the backbone has the parameter; the one of synthetic images is not trained before."""
        return name.startswith(_BODY) and self._body_is_given

    def rows(self, name: str, shape: torch.Size, first: int, count: int) -> Tensor:
        """Return rows of a parameter of the backbone."""
        return self._weight(name, shape)[first : first + count]

    def fill_buffers(self, model: nn.Module, device: torch.device) -> None:  # noqa: ARG002 - they are there
        """Give the frozen batch norm its constants: those of the backbone."""
        for module_name, module in model.named_modules():
            if isinstance(module, FrozenBatchNorm):
                plain = module_name.replace("_checkpoint_wrapped_module.", "")
                for name, buffer in module.named_buffers():
                    if self._body_is_given:
                        buffer.copy_(self._weight(f"{plain}.{name}", buffer.shape))
                    else:
                        buffer.fill_(name in ("weight", "running_var"))

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the residual blocks of the backbone, and the two heads."""
        stages = [f"body.layer{number}" for number in (1, 2, 3, 4)]
        heads = ("classification_head", "regression_head")
        blocks = [block for stage in stages for block in model.get_submodule(stage).children()]
        return [*blocks, *(model.get_submodule(name) for name in heads)]

    def optimizer(self, model: nn.Module) -> ScheduledOptimizer:
        """Return Adam without weight decay, its rate warmed up linearly."""
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        adam = torch.optim.Adam(trained, self.settings.learning_rate, fused=True)
        return ScheduledOptimizer(model, adam, learning_rate=self._learning_rate)

    def _learning_rate(self, step: int) -> float:
        settings = self.settings
        warmed = min(1.0, step / max(1.0, settings.warmup_epochs * settings.steps_per_epoch))
        return settings.learning_rate * (settings.warmup_factor * (1 - warmed) + warmed)

    def training_data(self, seed: int) -> Dataset[Batch]:
        """Return the images to train on, in a new order each epoch, some of them mirrored."""
        return Samples(
            self._source("train", self.settings.training_images),
            self.settings.sample_limit,
            self.settings.image_size,
            seed=seed,
            mirrored=self.settings.mirrored,
        )

    def evaluation_data(self, seed: int) -> Dataset[Batch]:  # noqa: ARG002 - nothing is drawn
        """Return the images held out, in order."""
        return Samples(self._held_out, self.settings.evaluation_samples, self.settings.image_size)

    def collate(self, samples: list[Batch]) -> Batch:
        """Return one batch, boxes and labels filled up to the most of one image."""
        return collated(samples)

    def warmup_batch(self, samples: int) -> Batch:
        """Return noise with a box in the middle."""
        size = self.settings.image_size
        generator = seeded_generator(torch.device("cpu"), 0, "warm-up")
        return {
            "images": torch.rand(samples, 3, size, size, generator=generator),
            "boxes": torch.tensor([0.25, 0.25, 0.75, 0.75]).mul(size).repeat(samples, 1, 1),
            "labels": torch.zeros(samples, 1, dtype=torch.long),
            "size": torch.full((samples, 2), size),
            "number": torch.arange(samples),
        }

    def evaluate(self, model: nn.Module, batches: EvaluationBatches, world: World) -> float:
        """Return the mean average precision of all ranks' detections together."""
        rows = [torch.empty(0, 7, device=world.device)]
        for batch, weights in batches:
            found = model(**batch)
            numbers = batch["number"].to(found.dtype)[:, None, None].expand(*found.shape[:2], 1)
            counted = (found[..., 4] > 0) & (weights > 0)[:, None]
            rows.append(torch.cat([numbers, found], dim=2)[counted])
        everything = world.gather(torch.cat(rows))
        return world.broadcast(self._judged(everything.cpu()) if world.is_main else 0.0)

    def _judged(self, rows: Tensor) -> float:
        """Return the quality of detections, the number of its image before each."""
        order = rows[:, 0].argsort(stable=True)
        numbers, counts = torch.unique(rows[:, 0].int(), return_counts=True)
        images = torch.split(rows[order, 1:], counts.tolist())
        return mean_average_precision(self._truth, zip(numbers.tolist(), images, strict=True))

    def verify(self, model: nn.Module, batch: Batch) -> None:
        """Check that detections do not depend on the boxes that they are judged by.

        Raises `PitboardError` when they do: the precision of such a model says nothing.
        """
        other = {
            **batch,
            "boxes": batch["boxes"] / 2,
            "labels": (batch["labels"] + 1) % self.settings.classes,
        }
        # Without a seen box the model of a first step detects nothing: its predictions are looked at.
        before, after = (_predictions(model, each) for each in (batch, other))
        if not all(torch.allclose(one, two) for one, two in zip(before, after, strict=True)):
            raise PitboardError(
                "The model's predictions depend on the boxes that it must find: its average precision says"
                " nothing. Keep them from the model in evaluation."
            )

    def draw(self, model: nn.Module, device: torch.device) -> Tensor:
        """Return the first held-out images with what the model finds in them."""
        samples = Samples(self._held_out, _DRAWN, self.settings.image_size)
        batch = to_device(collated([samples[index] for index in range(_DRAWN)]), device)
        return drawn(batch["images"], model(**batch), _COLUMNS, self.settings.classes)

    def epoch(self, samples: int) -> float:
        """Return the epochs that so many samples are; one is the whole steps that see each image."""
        return samples / (self.settings.steps_per_epoch * self.settings.global_batch_size)

    def hyperparameters(self) -> dict[str, object]:
        """Return what the rules want logged, and what pre-training the smoke preset's backbone came to."""
        settings = self.settings
        keys: dict[str, object] = {
            constants.OPT_BASE_LR: settings.learning_rate,
            constants.OPT_WEIGHT_DECAY: 0.0,
            constants.OPT_LR_WARMUP_EPOCHS: settings.warmup_epochs,
            constants.OPT_LR_WARMUP_FACTOR: settings.warmup_factor,
        }
        if settings.dataset == "digits" and settings.model is None:
            keys["pitboard_backbone_accuracy"] = self._small_backbone.accuracy
            keys["pitboard_backbone_pretraining_seconds"] = self._small_backbone.seconds
        return keys

    def flops_per_sample(self) -> float:
        """Return forward and backward FLOPs of an image: the forward ones three times, of frozen stages once.

        They are counted on the `meta` device, where nothing is computed.
        """
        with torch.device("meta"):
            model = RetinaNet(self.settings)
            image = torch.empty(1, 3, self.settings.image_size, self.settings.image_size)
        frozen = _forward_flops(lambda: model.body.frozen_part(image))
        everything = _forward_flops(lambda: _heads(model, model.features(image)))
        return float(3 * everything - 2 * frozen)

    @cached_property
    def _held_out(self) -> Source:
        return self._source("validation", self.settings.evaluation_samples)

    @cached_property
    def _truth(self) -> Truth:
        """The boxes of the images to evaluate on."""
        source = self._held_out
        if isinstance(source, OpenImages):
            return source.truth(self.settings.evaluation_samples)
        drawn = [source[index] for index in range(self.settings.evaluation_samples)]
        return truth_of(drawn, self.settings.classes)

    def _source(self, split: Literal["train", "validation"], count: int) -> Source:
        settings = self.settings
        if settings.dataset == "digits":
            return Canvases(count, settings.image_size, held_out=split == "validation")
        if settings.dataset == "synthetic":
            return SyntheticImages(count, settings.image_size, settings.classes)
        folder = required_folder("retinanet", "OpenImages", settings.data)
        images = OpenImages(
            folder / downloads.SPLITS[split].folder, settings.classes, to_train=split == "train"
        )
        if len(images) < count:
            raise PitboardError(
                f"The {split} set in {folder} has {len(images):,} images, expected {count:,}: complete it"
                " (`pitboard data retinanet`)."
            )
        return images

    def _weight(self, name: str, shape: torch.Size) -> Tensor:
        return weight(self._weights, name.removeprefix(_BODY), shape, self._weights_file)

    @property
    def _body_is_given(self) -> bool:
        return self.settings.dataset != "synthetic" or self.settings.model is not None

    @cached_property
    def _weights(self) -> dict[str, Tensor]:
        return read_backbone(self._weights_file)

    @cached_property
    def _weights_file(self) -> Path:
        settings = self.settings
        if settings.dataset == "digits" and settings.model is None:
            return self._small_backbone.file
        beside = settings.data / downloads.BACKBONE if settings.data is not None else None
        return required_folder(
            "retinanet",
            "the backbone's weights",
            settings.model or beside,
            setting="model",
            inside=downloads.BACKBONE,
        )

    @cached_property
    def _small_backbone(self) -> PretrainedBackbone:
        return self._pretrained(lambda _: None)

    def _pretrained(self, preparing: Callable[[str], None]) -> PretrainedBackbone:
        settings = self.settings
        sizes = BackboneSizes(settings.planes, settings.stages, settings.groups)
        device = choose_device(settings.device, int(os.environ.get("LOCAL_RANK", "0")))
        return pretrained_backbone(sizes, device, preparing)


def _predictions(model: nn.Module, batch: Batch) -> list[Tensor]:
    """Return what the heads say in a forward pass."""
    said: list[Tensor] = []
    heads = [model.get_submodule(name) for name in ("classification_head", "regression_head")]
    hooks = [head.register_forward_hook(lambda *found: said.append(found[-1])) for head in heads]
    try:
        model(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    return said


def _heads(model: RetinaNet, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    return model.classification_head(maps), model.regression_head(maps)


def _forward_flops(compute: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())


BENCHMARK: type[TrainableBenchmark[RetinaNetSettings]] = RetinaNetBenchmark
