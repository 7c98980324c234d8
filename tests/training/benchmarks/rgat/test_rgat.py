"""R-GAT: its size, its layers, its features over ranks, and that a model which cheats is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import HeteroConv

import stand_in
from official import official_messages
from pitboard.errors import PitboardError
from pitboard.events import Run, read_events
from pitboard.training.benchmarks.rgat import benchmark as rgat
from pitboard.training.benchmarks.rgat import verses
from pitboard.training.benchmarks.rgat.benchmark import RelationalGat, RgatSettings
from pitboard.training.benchmarks.rgat.data import Source, batch_of
from pitboard.training.benchmarks.rgat.features import SharedFeatures
from pitboard.training.benchmarks.rgat.graph import Graph, neighbourhood
from pitboard.training.benchmarks.rgat.model import Rgat
from pitboard.training.benchmarks.rgat.verses import in_columns
from pitboard.training.output import Output
from pitboard.training.precision import convert
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute, settings_for
from stand_in import built, the_plan
from support import Command, the_run

TINY: dict[str, Any] = {"feature_size": 16, "hidden_size": 8, "fan_out": "3-2", "precision": "fp32"}


def gat(preset: str = "smoke", **overrides: Any) -> RelationalGat:
    settings = settings_for("rgat", preset, overrides)
    assert isinstance(settings, RgatSettings)
    return RelationalGat(settings)


def test_full_has_the_references_layers_and_stays_on_meta() -> None:
    benchmark = gat("full")
    with torch.device("meta"):
        model = benchmark.build()
    assert {p.device.type for p in model.parameters()} == {"meta"}
    first, other = (size * 512 + 3 * 512 for size in (1024, 512))
    # The reference has 11 relations in each layer, of which a paper sees all, ten and five.
    relations = 11 * first + (10 + 5) * other
    assert sum(p.numel() for p in model.parameters()) == relations + 512 * 2983 + 2983
    assert benchmark.settings.neighbours == (15, 10, 5)
    assert len(benchmark.blocks(model)) == 3


@pytest.mark.parametrize("sharded", [False, True])
def test_a_batch_computes_what_the_layers_compute_on_the_whole_graph(sharded: bool) -> None:
    """With room for all neighbours, by `torch-geometric`'s own forward over all nodes of a small graph."""
    benchmark = gat(**TINY, attention_heads=2)
    model = built(benchmark)
    assert isinstance(model, Rgat)
    random = np.random.default_rng(0)
    nodes = {"verse": 30, "chapter": 4, "word": 12}
    edges = {
        relation: np.unique(
            np.stack(
                [random.integers(nodes[relation[0]], size=60), random.integers(nodes[relation[2]], size=60)]
            ),
            axis=1,
        )
        for relation in verses.RELATIONS
    }
    features = {kind: random.standard_normal((count, 16)).astype(np.float16) for kind, count in nodes.items()}
    graph = Graph(
        nodes, {relation: in_columns(each, nodes[relation[2]]) for relation, each in edges.items()}, "verse"
    )
    seeds = np.array([7, 2, 29])
    sampled = neighbourhood(graph, seeds, [100, 100], "key")
    batch = batch_of(sampled, None if sharded else features, np.array([1, 2, 3]))
    model.fetch = SharedFeatures(lambda: Source(graph, features, np.zeros(30)), 1)
    losses = model(**batch)

    x = {kind: torch.from_numpy(values).float() for kind, values in features.items()}
    whole = {relation: torch.from_numpy(each) for relation, each in edges.items()}
    model.eval()
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, HeteroConv)
        x = layer(x, whole)
        x = {kind: nn.functional.leaky_relu(v) for kind, v in x.items()} if number == 0 else x
    scores = model.classifier(x["verse"])[torch.from_numpy(seeds)]
    assert torch.equal(model(**batch), scores.argmax(dim=1))
    without = gat(**TINY, attention_heads=2, dropout=0)
    exact = without.build()
    exact.load_state_dict(model.state_dict())
    assert isinstance(exact, Rgat)
    exact.fetch = model.fetch
    expected = nn.functional.cross_entropy(scores, batch["classes"], reduction="none")
    torch.testing.assert_close(exact(**batch), expected)
    assert not torch.allclose(losses, expected), "dropout does nothing"


def test_starting_values_are_those_of_torch_geometric() -> None:
    parameters = dict(built(gat()).named_parameters())
    bounds = {"lin.weight": (6 / (64 + 64)) ** 0.5, "att_src": (6 / (16 + 4)) ** 0.5}
    for end, bound in bounds.items():
        values = parameters[f"layers.1.convs.<verse___has___word>.{end}"]
        assert 0.8 * bound < values.abs().max() <= bound
    assert not any(p.any() for name, p in parameters.items() if name.endswith("bias") and "layers" in name)


def test_low_precision_takes_every_relations_projection() -> None:
    benchmark = gat(precision="fp8")
    with torch.device("meta"):
        model = benchmark.build()
    converted = convert(benchmark.blocks(model), benchmark.settings, torch.device("cpu"))
    assert converted.low_precision == converted.linears == 5 + 5 + 3


class Told(Rgat):
    """A model that is told the classes."""

    def forward(self, **batch: Tensor) -> Tensor:
        return super().forward(**batch) if self.training else batch["classes"]


def test_a_model_that_is_told_the_classes_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rgat, "Rgat", Told)
    with pytest.raises(PitboardError, match="depends on the classes"):
        execute(Output(tmp_path), the_plan("rgat", **TINY), 0, Silent())


def test_settings_that_cannot_be_are_explained() -> None:
    with pytest.raises(PitboardError, match="multiple of attention_heads"):
        gat(hidden_size=63)
    with pytest.raises(PitboardError, match="FSDP only"):
        gat(tensor_parallel=2)
    with pytest.raises(PitboardError, match="fan_out"):
        gat(fan_out="15,10")


def test_full_without_its_data_says_how_to_get_it(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("run", "rgat", "--preset", "full", "--output", tmp_path / "out")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert "`pitboard data rgat` says what to download" in sentence
    assert the_run(tmp_path / "out").status == "aborted"


def test_sanity_counts_the_work_of_a_made_up_graph(tmp_path: Path) -> None:
    small = {"synthetic_papers": 20_000, "micro_batch_size": 4, "max_steps": 2, "precision": "fp32"}
    size = {"hidden_size": 16, "feature_size": 16, "fan_out": "4-3-2"}
    summary = execute(Output(tmp_path), the_plan("rgat", "sanity", **small, **size), 0, Silent())
    assert summary is not None
    assert (summary.samples, summary.quality) == (8, None)
    assert 0 < summary.utilisation < 1
    wide = gat("sanity", **{**small, **size, "hidden_size": 32}).flops_per_sample()
    narrow = gat("sanity", **small, **size).flops_per_sample()
    assert 2 * narrow < wide < 4 * narrow


def test_the_log_of_full_is_valid_closed(tmp_path: Path) -> None:
    benchmark = gat("full")
    # Its one weight falls by the learning rate in each of 1,155 steps, to an accuracy above the target.
    log = stand_in.race(benchmark, the_plan("rgat", "full"), tmp_path, loss=0.73 + 1.155)
    assert official_messages(log) == set()
    run = Run.from_events(read_events(log))
    assert (run.division, run.status) == ("closed", "success")
    # As real logs have it, 0.05.
    assert [(e.samples, e.epoch) for e in run.evaluations] == [(4_730_880, 0.05)]
