"""Measures of a model's quality that several benchmarks share."""

import torch
from torch import nn

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
