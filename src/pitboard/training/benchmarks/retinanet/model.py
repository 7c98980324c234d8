"""RetinaNet over ResNeXt-50 (32 × 4d): arXiv:1708.02002, arXiv:1611.05431, feature pyramid arXiv:1612.03144.

Parameters of the backbone are named as in torchvision's classifier, whose published weights it starts from.
Its batch norm is frozen: constants, folded into the convolution before it.
"""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from pitboard.training.benchmarks.retinanet import boxes as ops
from pitboard.training.benchmarks.retinanet.focal_loss import focal_loss

if TYPE_CHECKING:
    from pitboard.training.benchmarks.retinanet.benchmark import RetinaNetSettings

ANCHORS = 9
"""Anchors at each place of a level."""
DETECTION = 6
"""Numbers of a detection: its box, score and class."""
NO_DETECTION = -1.0
"""What fills up an image's detections to as many as it may have."""

_EXPANSION = 4
# Less likely than this is nothing, as in the reference.
_LEAST_SCORE = 0.05
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(images: Tensor) -> Tensor:
    """Return images in [0, 1] less ImageNet's mean, over its deviation, channels last in memory."""
    mean, deviation = _statistics(images.device)
    return ((images - mean) / deviation).contiguous(memory_format=torch.channels_last)


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ImageNet's mean and deviation, (3, 1, 1), on the device: copied there once."""
    mean, deviation = (torch.tensor(each, device=device).view(3, 1, 1) for each in (_MEAN, _DEVIATION))
    return mean, deviation


class FrozenBatchNorm(nn.Module):
    """Batch norm by constants; it is applied by `convolved`."""

    epsilon = 1e-5

    def __init__(self, width: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(width))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return what the convolution before it is multiplied by, and what is added."""
        values = [self.get_buffer(name) for name in ("weight", "bias", "running_mean", "running_var")]
        weight, bias, mean, variance = values
        scale = weight * (variance + self.epsilon).rsqrt()
        return scale, bias - mean * scale


def convolved(x: Tensor, convolution: nn.Conv2d, norm: nn.Module) -> Tensor:
    """Return the convolution of x with its batch norm."""
    if not isinstance(norm, FrozenBatchNorm):
        normed: Tensor = norm(convolution(x))
        return normed
    scale, shift = norm.scale_and_shift()
    weight = convolution.weight * scale[:, None, None, None]
    return nn.functional.conv2d(
        x, weight, shift.to(weight.dtype), convolution.stride, convolution.padding, groups=convolution.groups
    )


class Bottleneck(nn.Module):
    """A residual block: 1 × 1, grouped 3 × 3 and 1 × 1 convolutions."""

    def __init__(self, inputs: int, planes: int, stride: int, groups: int, norm: type[nn.Module]) -> None:
        super().__init__()
        # Twice the planes: 32 groups of 4 channels where a ResNet has 64 channels.
        width, outputs = 2 * planes, _EXPANSION * planes
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = norm(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's feature map."""
        y = relu(convolved(x, self.conv1, self.bn1))
        y = relu(convolved(y, self.conv2, self.bn2))
        y = convolved(y, self.conv3, self.bn3)
        if self.downsample is not None:
            convolution, norm = self.downsample
            assert isinstance(convolution, nn.Conv2d)
            x = convolved(x, convolution, norm)
        return relu(x + y)


class ResNeXt(nn.Module):
    """The backbone: the feature maps of its last three stages."""

    def __init__(
        self, planes: int, depths: Sequence[int], groups: int, norm: type[nn.Module] = FrozenBatchNorm
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, planes, 7, 2, 3, bias=False)
        self.bn1 = norm(planes)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = planes
        for number, depth in enumerate(depths):
            stage, of_stage = [], planes << number
            for block in range(depth):
                stride = 2 if number > 0 and block == 0 else 1
                stage.append(Bottleneck(inputs, of_stage, stride, groups, norm))
                inputs = _EXPANSION * of_stage
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))

    def frozen_part(self, x: Tensor) -> Tensor:
        """Return the feature map of the first stage."""
        x = self.maxpool(relu(convolved(x, self.conv1, self.bn1)))
        first: Tensor = self.get_submodule("layer1")(x)
        return first

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps of the second, third and fourth stage."""
        maps = [self.frozen_part(x)]
        for stage in ("layer2", "layer3", "layer4"):
            maps.append(self.get_submodule(stage)(maps[-1]))
        return maps[1:]


class FeaturePyramid(nn.Module):
    """Five feature maps of one width, each half as large as the one before."""

    def __init__(self, inputs: Sequence[int], width: int) -> None:
        super().__init__()
        self.inner = nn.ModuleList(nn.Conv2d(each, width, 1) for each in inputs)
        self.outer = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in inputs)
        self.p6 = nn.Conv2d(width, width, 3, 2, 1)
        self.p7 = nn.Conv2d(width, width, 3, 2, 1)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the maps of levels 3 to 7."""
        inner = [layer(each) for layer, each in zip(self.inner, maps, strict=True)]
        for level in reversed(range(len(inner) - 1)):
            size = inner[level].shape[-2:]
            inner[level] = inner[level] + interpolate(inner[level + 1], size=size, mode="nearest")
        found = [layer(each) for layer, each in zip(self.outer, inner, strict=True)]
        sixth = self.p6(found[-1])
        return [*found, sixth, self.p7(relu(sixth))]


class Head(nn.Module):
    """Some convolutions and a last one, the same at every level; so many `values` for each anchor."""

    def __init__(self, width: int, layers: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(layers))
        self.last = nn.Conv2d(width, ANCHORS * values, 3, padding=1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return the values of all anchors of all levels, shape (images, anchors, values)."""
        return torch.cat([self._level(each) for each in maps], dim=1)

    def _level(self, x: Tensor) -> Tensor:
        for layer in self.conv:
            x = relu(layer(x))
        # Of a channels-last map a view: (images, rows, columns, anchors × values).
        values: Tensor = self.last(x)
        return values.permute(0, 2, 3, 1).reshape(len(x), -1, self.values)


class RetinaNet(nn.Module):
    """The detector with its loss.

    Images are in [0, 1], shape (images, 3, size, size). In training it returns each image's loss; in
    evaluation its detections, shape (images, most, 6): box in pixels of the image as it came, score, class;
    the best first, filled up with `NO_DETECTION`.
    """

    def __init__(self, settings: "RetinaNetSettings") -> None:
        super().__init__()
        self.settings = settings
        planes, width = settings.planes, settings.pyramid_width
        self.body = ResNeXt(planes, settings.stages, settings.groups)
        self.fpn = FeaturePyramid([_EXPANSION * planes << stage for stage in (1, 2, 3)], width)
        self.classification_head = Head(width, settings.head_layers, settings.classes)
        self.regression_head = Head(width, settings.head_layers, 4)
        for part in (self.body.conv1, self.body.get_submodule("layer1")):
            part.requires_grad_(False)

    def forward(self, images: Tensor, boxes: Tensor, labels: Tensor, size: Tensor, **_: Tensor) -> Tensor:
        """Return losses or detections. Boxes whose label is −1 fill up; `size` is the images' own."""
        maps = self.features(images)
        logits, shifts = self.classification_head(maps), self.regression_head(maps)
        grids = tuple(each.shape[-1] for each in maps)
        edge = self.settings.image_size
        anchors = ops.anchors(edge, grids, self.settings.smallest_anchor, images.device)
        if self.training:
            return self.losses(logits, shifts, anchors, boxes, labels)
        levels = [ANCHORS * grid**2 for grid in grids]
        found = torch.stack(
            [self.detect(*each, anchors, levels) for each in zip(logits, shifts, strict=True)]
        )
        found[..., :4] *= (size.flip(1) / edge).repeat(1, 2)[:, None]
        return found

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the pyramid's maps of images in [0, 1]."""
        maps: list[Tensor] = self.fpn(self.body(normalised(images)))
        return maps

    def losses(
        self, logits: Tensor, shifts: Tensor, anchors: Tensor, boxes: Tensor, labels: Tensor
    ) -> Tensor:
        """Return focal loss and L1 loss of each image, each over the anchors that shall find something.

        All anchors are computed with: how many were found is not read back from a GPU.
        """
        targets, regression, counts = [], [], []
        for predicted, of_image, names in zip(shifts, boxes, labels, strict=True):
            matched = ops.match(of_image, anchors, names >= 0)
            found, which = matched >= 0, matched.clamp(min=0)
            targets.append(names[which].where(found, matched))
            wanted = ops.encode(of_image[which], anchors)
            off = (predicted.float() - wanted).abs().sum(dim=1)
            regression.append(off.where(found, 0.0).sum())
            counts.append(found.sum().clamp(min=1))
        return (focal_loss(logits, torch.stack(targets)) + torch.stack(regression)) / torch.stack(counts)

    def detect(self, logits: Tensor, shifts: Tensor, anchors: Tensor, levels: list[int]) -> Tensor:
        """Return one image's detections; its anchors are those of the levels one after the other."""
        settings = self.settings
        places, names, scores = [], [], []
        for first, of_level in zip(accumulate(levels, initial=0), torch.split(logits, levels), strict=False):
            likely = of_level.float().sigmoid().flatten()
            best, number = likely.topk(min(settings.candidates, len(likely)))
            number, best = number[best > _LEAST_SCORE], best[best > _LEAST_SCORE]
            places.append(first + number // settings.classes)
            names.append(number % settings.classes)
            scores.append(best)
        place, name, score = torch.cat(places), torch.cat(names), torch.cat(scores)
        found = ops.decode(shifts[place].float(), anchors[place]).clamp(0, settings.image_size)
        kept = ops.suppression()(found, score, name, settings.suppression_overlap)[: settings.detections]
        detected = torch.cat([found, score[:, None], name[:, None].float()], dim=1)[kept]
        filled = detected.new_full((settings.detections - len(detected), DETECTION), NO_DETECTION)
        return torch.cat([detected, filled])
