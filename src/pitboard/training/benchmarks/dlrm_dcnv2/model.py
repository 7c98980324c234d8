"""DLRM-DCNv2 with its loss: two perceptrons, embedding tables, and low-rank cross layers between them.

As `torchrec`'s `DLRM_DCN`, which the reference trains (arXiv:1906.00091, arXiv:2008.13535).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from pitboard.training.benchmarks.dlrm_dcnv2.tables import EmbeddingTables

if TYPE_CHECKING:
    from pitboard.training.benchmarks.dlrm_dcnv2.benchmark import DlrmSettings


class Dlrm(nn.Module):
    """DLRM-DCNv2: gives each sample's loss in training, and its logit in evaluation, both (samples,)."""

    def __init__(self, settings: "DlrmSettings") -> None:
        super().__init__()
        width = settings.embedding_width * (len(settings.table_rows) + 1)
        self.embeddings = EmbeddingTables(settings.rows, settings.ids_per_table, settings.embedding_width)
        self.bottom = perceptron(settings.dense_features, settings.bottom_widths)
        self.cross = CrossNetwork(width, settings.cross_layers, settings.cross_rank)
        self.top = perceptron(width, settings.top_widths[:-1])
        self.last = Logit(settings.top_widths[-2])

    def forward(self, dense: Tensor, ids: Tensor, label: Tensor) -> Tensor:
        """Return the losses, in nats, or in evaluation the logits, whatever the labels are."""
        features = torch.cat([self.bottom(dense), self.embeddings(ids)], dim=1)
        logits: Tensor = self.last(self.top(self.cross(features)))
        if not self.training:
            return logits
        return functional.binary_cross_entropy_with_logits(logits, label.float(), reduction="none")


class CrossNetwork(nn.Module):
    """Layers that multiply the input by a linear function of what the layer before returned.

    That function's matrix has a low rank: `shrink`, then `grow`.
    """

    def __init__(self, width: int, layers: int, rank: int) -> None:
        super().__init__()
        self.shrink = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(layers))
        self.grow = nn.ModuleList(nn.Linear(rank, width) for _ in range(layers))

    def forward(self, first: Tensor) -> Tensor:
        """Return the features crossed with themselves once more by each layer."""
        crossed = first
        for shrink, grow in zip(self.shrink, self.grow, strict=True):
            crossed = first * grow(shrink(crossed)) + crossed
        return crossed


class Logit(nn.Linear):
    """The last layer, in FP32 whatever the precision: BF16's logits would tie samples that are ranked."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return one number a sample."""
        with torch.autocast(hidden.device.type, enabled=False):
            return functional.linear(hidden.float(), self.weight.float(), self.bias.float()).squeeze(1)


def perceptron(inputs: int, widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers of these widths, each with a ReLU behind it."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers)
