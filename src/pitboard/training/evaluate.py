"""Measures of a model's quality that several benchmarks share."""

import math

import torch
from torch import Tensor, nn

from pitboard.errors import PitboardError
from pitboard.training.distributed import World
from pitboard.training.protocol import EvaluationBatches


def mean_loss(model: nn.Module, batches: EvaluationBatches, world: World) -> float:
    """Return the mean over all ranks' evaluation samples of the loss that the model's forward returns."""
    total = torch.zeros(2, dtype=torch.float64, device=world.device)
    for batch, weights in batches:
        losses = model(**batch)
        total += torch.stack([(losses * weights).sum(), weights.sum()])
    loss, count = world.sum(total).tolist()
    return float(loss / count)


def area_under_curve(scores: Tensor, positive: Tensor) -> float:
    """Return the area under the ROC curve, exactly: the share of pairs that the scores have in order.

    A pair is a positive and a negative sample; one of equal scores counts half. Returns NaN if a score is not
    a number. Raises `PitboardError` where all samples are positive, or none is.
    """
    if scores.isnan().any():
        return math.nan
    scores, order = scores.sort()
    positive = positive[order]
    _, group, total = torch.unique_consecutive(scores, return_inverse=True, return_counts=True)
    ours = torch.zeros_like(total).index_add_(0, group, positive.to(total.dtype))
    others = total - ours
    all_ours, all_others = int(ours.sum()), int(others.sum())
    if not all_ours or not all_others:
        raise PitboardError(
            f"{all_ours:,} of {len(positive):,} evaluation samples are positive: the area under the curve"
            " needs both kinds. Raise evaluation_samples."
        )
    # Twice the pairs in order, as whole numbers.
    below = others.cumsum(0) - others
    return int((ours * (2 * below + others)).sum()) / (2 * all_ours * all_others)
