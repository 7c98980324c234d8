"""The relational graph attention network: `torch-geometric`'s layers, with the loss."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
from torch import Tensor, nn

from pitboard.training.benchmarks.rgat.graph import Relation, relations_by_layer

if TYPE_CHECKING:
    from pitboard.training.benchmarks.rgat.benchmark import RgatSettings

Fetch = Callable[[str, Tensor], Tensor]
"""Returns the features of nodes, given their type and their numbers in ascending order."""


class Rgat(nn.Module):
    """Graph attention by relation (arXiv:1904.05811) in layers, and a linear layer for the classes.

    Each relation of a layer has attention of its own; what a node receives by several relations is added up.
    """

    def __init__(self, settings: "RgatSettings", relations: list[Relation], classified: str) -> None:
        super().__init__()
        self.fetch: Fetch | None = None
        """What returns the features where a batch has only the numbers of its nodes."""
        self._classified = classified
        self._dropout = settings.dropout
        self._relations = relations_by_layer(relations, classified, len(settings.neighbours))
        sizes = [settings.feature_size] + [settings.hidden_size] * (len(settings.neighbours) - 1)
        self.layers = nn.ModuleList(
            _layer(size, settings.hidden_size, settings.attention_heads, chosen)
            for size, chosen in zip(sizes, self._relations, strict=True)
        )
        self.classifier = nn.Linear(settings.hidden_size, settings.classes)

    def forward(self, **batch: Tensor) -> Tensor:
        """Return each sample's cross-entropy in training, else the class that it is given, shape (samples,).

        The batch is as `data.batch_of` makes it.
        """
        states = {name.removeprefix("nodes."): x for name, x in batch.items() if name.startswith("nodes.")}
        states = {kind: self._features(kind, x) for kind, x in states.items()}
        for number, (layer, relations) in enumerate(zip(self.layers, self._relations, strict=True)):
            edges = {relation: batch[f"{number}.edges.{'.'.join(relation)}"] for relation in relations}
            kept = {kind: states[kind][batch[f"{number}.kept.{kind}"]] for _, _, kind in relations}
            pairs = {relation: (states[relation[0]], kept[relation[2]]) for relation in relations}
            states = layer(pairs, edges)
            if number < len(self.layers) - 1:
                states = {
                    kind: F.dropout(F.leaky_relu(x), self._dropout, self.training)
                    for kind, x in states.items()
                }
        scores = self.classifier(states[self._classified])[batch["seeds"]]
        if not self.training:
            predicted: Tensor = scores.argmax(dim=1)
            return predicted
        return F.cross_entropy(scores.float(), batch["classes"], reduction="none")

    def _features(self, kind: str, nodes: Tensor) -> Tensor:
        """Return the features of a type's nodes, which the batch has, or their numbers."""
        if not nodes.is_floating_point():
            assert self.fetch is not None
            nodes = self.fetch(kind, nodes)
        return nodes.to(self.classifier.weight.dtype)


def _layer(size: int, hidden: int, heads: int, relations: tuple[Relation, ...]) -> nn.Module:
    # Takes seconds, which a process that only reads the settings need not wait for.
    from torch_geometric.nn import GATConv, HeteroConv

    def attention() -> nn.Module:
        layer: nn.Module = GATConv(size, hidden // heads, heads=heads, add_self_loops=False)
        # PyTorch's own, which every precision knows how to compute.
        layer.lin = nn.Linear(size, hidden, bias=False)
        return layer

    with warnings.catch_warnings():
        # It warns of types that receive nothing: in the last layer those that are not classified.
        warnings.simplefilter("ignore")
        found: nn.Module = HeteroConv({relation: attention() for relation in relations})
    return found
