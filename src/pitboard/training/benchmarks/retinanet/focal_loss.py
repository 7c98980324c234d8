"""The focal loss of RetinaNet (arXiv:1708.02002), with its gradient in closed form.

The logits are by far the largest tensor of the benchmark, 31.7 million an image: only they are kept for the
backward pass, in their own precision, and the loss is computed an image at a time.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pitboard.training.benchmarks.retinanet.boxes import IGNORED

_FOREGROUND_SHARE = 0.25


class _FocalLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(logits, targets)
        return torch.stack([_loss(*image) for image in zip(logits, targets, strict=True)])

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        logits, targets = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for place, image, target, factor in zip(gradient, logits, targets, *outer, strict=True):
            place.copy_(_gradient(image, target) * factor)
        return gradient, None


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return each image's loss in FP32, summed over its anchors and classes, shape (images,).

    `logits` has shape (images, anchors, classes); `targets`, (images, anchors), the class at an anchor, or
    `BACKGROUND` or `IGNORED`.
    """
    # Under autocast the operations within would choose precisions of their own.
    with torch.autocast(logits.device.type, enabled=False):
        loss: Tensor = _FocalLoss.apply(logits, targets)  # type: ignore[no-untyped-call]
    return loss


def _loss(logits: Tensor, target: Tensor) -> Tensor:
    x = logits.float()
    # As if there were background everywhere …
    each = (1 - _FOREGROUND_SHARE) * x.sigmoid().square() * softplus(x)
    total = (each.sum(dim=1) * (target != IGNORED)).sum()
    # … but at the anchors that shall find something. Nothing is picked by a mask: a GPU would be waited for.
    place = target.clamp(min=0)[:, None]
    x = x.gather(1, place)
    right = _FOREGROUND_SHARE * (-x).sigmoid().square() * softplus(-x)
    return total + (right - each.gather(1, place)).where(target[:, None] >= 0, 0.0).sum()


def _gradient(logits: Tensor, target: Tensor) -> Tensor:
    x = logits.float()
    p = x.sigmoid()
    gradient = (1 - _FOREGROUND_SHARE) * p.square() * (2 * (1 - p) * softplus(x) + p)
    gradient *= (target != IGNORED)[:, None]
    place = target.clamp(min=0)[:, None]
    x, p = x.gather(1, place), p.gather(1, place)
    right = -_FOREGROUND_SHARE * (1 - p).square() * (2 * p * softplus(-x) + (1 - p))
    return gradient.scatter_(1, place, right.where(target[:, None] >= 0, gradient.gather(1, place)))
