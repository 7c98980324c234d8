"""DLRM-DCNv2: its size, tables and optimizer, the area under the curve, and that a leak is refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import stand_in
from official import official_messages
from pitboard.errors import PitboardError
from pitboard.events import Run, read_events
from pitboard.training.benchmarks.dlrm_dcnv2 import benchmark as dlrm
from pitboard.training.benchmarks.dlrm_dcnv2.benchmark import DlrmDcnv2, DlrmSettings
from pitboard.training.benchmarks.dlrm_dcnv2.model import Dlrm
from pitboard.training.benchmarks.dlrm_dcnv2.tables import EmbeddingTables, RowAdagrad, row_gradients
from pitboard.training.evaluate import area_under_curve
from pitboard.training.forecast import forecast
from pitboard.training.optimizer import ScheduledOptimizer
from pitboard.training.output import Output
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute, settings_for
from stand_in import ALONE, built, the_plan
from support import the_run


def benchmark(preset: str = "smoke", **overrides: Any) -> DlrmDcnv2:
    settings = settings_for("dlrm_dcnv2", preset, overrides)
    assert isinstance(settings, DlrmSettings)
    return DlrmDcnv2(settings)


def test_full_is_the_official_size_and_stays_on_meta() -> None:
    full = benchmark("full")
    with torch.device("meta"):
        model = full.build()
    assert {p.device.type for p in model.parameters()} == {"meta"}
    tables = list(model.get_submodule("embeddings").parameters())
    assert (len(tables), sum(len(table) for table in tables)) == (26, 204_184_588)
    assert {table.shape[1] for table in tables} == {128}
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    shapes = [(layer.in_features, layer.out_features) for layer in layers]
    bottom = [(13, 512), (512, 256), (256, 128)]
    cross = [(27 * 128, 512)] * 3 + [(512, 27 * 128)] * 3
    top = [(27 * 128, 1024), (1024, 1024), (1024, 512), (512, 256), (256, 1)]
    assert shapes == bottom + cross + top
    assert full.flops_per_sample() == 6 * sum(a * b for a, b in shapes)
    assert sum(full.settings.ids_per_table) == 214


def test_a_forecast_counts_no_gradient_of_whole_tables() -> None:
    memory = forecast("dlrm_dcnv2", benchmark("full").settings, ALONE).memory_per_rank
    tables = 204_184_588 * 128 * 4
    assert tables < memory.optimizer == memory.parameters < 1.001 * tables
    assert memory.gradients < 0.001 * tables


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_tables_learn_as_embedding_bags_with_adagrad(micro_batches: int) -> None:
    """PyTorch's own, over all rows: a row that was not looked up has gradient 0 there, and stays."""
    rows, counts, width = [7, 3, 11], [2, 1, 4], 5
    tables = EmbeddingTables(rows, counts, width)
    bags = nn.ModuleList(nn.EmbeddingBag(count, width, mode="sum") for count in rows)
    for table, bag in zip(tables.tables, bags.children(), strict=True):
        table.data.normal_()
        bag.weight.data.copy_(table.data)  # type: ignore[operator]
    ours = RowAdagrad(tables, 0.1, 1e-8)
    theirs = torch.optim.Adagrad(bags.parameters(), 0.1, eps=1e-8)
    for _ in range(3):
        for _ in range(micro_batches):
            # Of few rows, so that samples share some and a sample names one twice.
            parts = [torch.randint(3, (6, count), dtype=torch.int32) for count in counts]
            weight = torch.randn(6, 3 * width)
            found = tables(torch.cat(parts, dim=1))
            expected = torch.cat([bag(part) for bag, part in zip(bags.children(), parts, strict=True)], dim=1)
            torch.testing.assert_close(found, expected)
            for output in (found, expected):
                (output.square() * weight).sum().backward()
        for optimizer in (ours, theirs):
            optimizer.step()
            optimizer.zero_grad()
        for table, bag in zip(tables.tables, bags.children(), strict=True):
            torch.testing.assert_close(table.data, bag.weight.data)
            assert table.grad is None


def test_a_rank_takes_the_gradients_of_its_rows_only() -> None:
    ids, gradient = torch.tensor([[0, 5], [4, 5], [9, 4]]), torch.eye(3)
    rows, summed = row_gradients(ids - 4, gradient, 2)
    assert rows.tolist() == [0, 1]
    torch.testing.assert_close(summed, torch.tensor([[0.0, 1, 1], [1, 1, 0]]))
    rows, summed = row_gradients(ids - 20, gradient, 5)
    assert (len(rows), summed.shape) == (0, (0, 3))


def test_starting_values_are_those_of_torchrec() -> None:
    made = benchmark(table_rows="400,100", ids_per_table="2,1", cross_rank=64)
    parameters = dict(built(made).named_parameters())
    width = 16 * 3
    for name, bound in (
        ("embeddings.tables.0", 400**-0.5),
        ("embeddings.tables.1", 100**-0.5),
        ("bottom.2.weight", 64**-0.5),
        ("bottom.2.bias", 64**-0.5),
        ("top.0.bias", width**-0.5),
        ("last.weight", 32**-0.5),
    ):
        assert 0.8 * bound < parameters[name].abs().max() <= bound, name
    # Xavier's normal distribution.
    assert parameters["cross.grow.1.weight"].std().item() == pytest.approx(
        math.sqrt(2 / (width + 64)), rel=0.1
    )
    assert not parameters["cross.grow.0.bias"].any()


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_area_is_exact_with_equal_scores_too(levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    scores = torch.randint(levels, (500,), generator=generator) / levels
    positive = torch.rand(500, generator=generator) < 0.2 + 0.3 * scores
    expected = roc_auc_score(positive.numpy(), scores.numpy())
    assert area_under_curve(scores, positive) == pytest.approx(expected, abs=1e-12)


def test_the_area_of_what_is_no_number_or_of_one_kind_is_not_made_up() -> None:
    assert math.isnan(area_under_curve(torch.tensor([0.1, math.nan]), torch.tensor([True, False])))
    with pytest.raises(PitboardError, match="0 of 2 evaluation samples are positive"):
        area_under_curve(torch.tensor([0.1, 0.2]), torch.tensor([False, False]))


def test_samples_that_fill_up_a_batch_do_not_count() -> None:
    made = benchmark(dataset="synthetic", table_rows="4,5", ids_per_table="2,1")
    model = built(made).eval()
    batch = made.warmup_batch(40)
    with torch.no_grad():
        logits = model(**batch)
        weights = (torch.arange(40) < 25).float()
        found = made.evaluate(model, [(batch, weights)], ALONE)
    assert found == pytest.approx(roc_auc_score(batch["label"][:25].numpy(), logits[:25].numpy()))


class Peeking(Dlrm):
    """A model that reads the label from the batch that it is evaluated on."""

    def forward(self, dense: Tensor, ids: Tensor, label: Tensor) -> Tensor:
        said = super().forward(dense, ids, label)
        return said if self.training else said + label


def test_a_model_that_sees_the_label_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dlrm, "Dlrm", Peeking)
    with pytest.raises(PitboardError, match="depend on the labels"):
        execute(
            Output(tmp_path),
            the_plan("dlrm_dcnv2", dataset="synthetic", compile=False, precision="fp32"),
            0,
            Silent(),
        )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"replicas": 2}, "must be 1"),
        ({"ids_per_table": "1,2"}, "one each for a table"),
        ({"bottom_widths": "64,8"}, "end with embedding_width"),
        ({"top_widths": "1"}, "end with 1"),
        ({"table_rows": "4,x"}, "integer"),
        ({"table_rows": "4,0"}, "greater than 0"),
    ],
)
def test_settings_that_cannot_be_are_explained(overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(PitboardError, match=said):
        benchmark(**overrides)


def test_full_without_its_data_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PITBOARD_DATA", raising=False)
    with pytest.raises(PitboardError, match="`pitboard data dlrm_dcnv2` says what to download"):
        execute(
            Output(tmp_path), the_plan("dlrm_dcnv2", "full", precision="fp32", compile=False), 0, Silent()
        )
    assert the_run(tmp_path).status == "aborted"


def test_the_log_of_full_is_valid_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sooner than the rules have it, whose schedule `test_rounds.py` holds.
    full = benchmark("full", evaluation_interval=2 * 65_536)

    def plain(model: nn.Module) -> ScheduledOptimizer:
        return ScheduledOptimizer(
            model, torch.optim.SGD(model.parameters(), 0.1), learning_rate=lambda _: 0.1
        )

    monkeypatch.setattr(full, "optimizer", plain)
    log = stand_in.race(full, the_plan("dlrm_dcnv2", "full"), tmp_path, loss=0.1, qualities=[0.8028])
    assert official_messages(log) == set()
    run = Run.from_events(read_events(log))
    assert (run.division, run.status) == ("closed", "success")
    assert [e.epoch for e in run.evaluations] == [2 * 65_536 / 4_195_197_692]
    assert run.settings["opt_adagrad_epsilon"] == 1e-8


def test_flights_know_nothing_of_what_comes_later() -> None:
    """A delay at departure changes no feature of the flight itself, nor of those before it."""
    import pyarrow as pa
    from pyarrow import compute

    from pitboard.training.benchmarks.dlrm_dcnv2 import flights

    table = flights.table("flights.csv.zip")
    table = table.filter(compute.and_(compute.is_valid(table["dep_delay"]), compute.equal(table["month"], 1)))
    planes = flights.table("planes.csv")
    whole = flights.samples(table, planes)
    noon = compute.and_(compute.equal(table["day"], 9), compute.greater_equal(table["hour"], 12))
    later = compute.or_(compute.greater(table["day"], 9), noon)
    delay = compute.if_else(later, pa.scalar(999), table["dep_delay"])
    place = table.schema.get_field_index("dep_delay")
    changed = flights.samples(table.set_column(place, "dep_delay", delay), planes)
    # Also those of the first minutes after noon, whose own delays were changed: they know of what had
    # departed by eleven and a few minutes, and no flight leaves that early.
    minute = whole.dense[:, 1]
    same = (whole.day < 8) | ((whole.day == 8) & (minute <= 12 * 60 + 15))
    assert (same & (whole.day == 8) & (minute >= 12 * 60)).sum() > 10
    assert np.array_equal(whole.dense[same], changed.dense[same])
    assert np.array_equal(whole.ids[same], changed.ids[same])
    assert not np.array_equal(whole.dense, changed.dense)
    # Of most aircraft an earlier departure is known.
    assert (whole.ids >= 0).all()
    assert (whole.ids[:, -1] < 3).mean() > 0.7


def test_a_flight_is_paired_with_its_aircraft_and_with_another_of_its_airline_and_day() -> None:
    """Neither the flight nor the aircraft tells which of the two flew it."""
    from pyarrow import compute

    from pitboard.training.benchmarks.dlrm_dcnv2 import flights

    table = flights.table("flights.csv.zip")
    table = table.filter(compute.and_(compute.is_valid(table["dep_delay"]), compute.equal(table["month"], 1)))
    made = flights.samples(table, flights.table("planes.csv"))
    its, other = made.ids[made.label == 1], made.ids[made.label == 0]
    aircraft = list(flights.TABLES).index("aircraft")
    assert made.label.tolist() == [1, 0] * len(its)
    assert np.array_equal(its[:, :aircraft], other[:, :aircraft])
    assert (its[:, aircraft] != other[:, aircraft]).all()
    flew, drawn = (
        set(zip(made.day[::2].tolist(), ids[:, 0].tolist(), ids[:, aircraft].tolist(), strict=True))
        for ids in (its, other)
    )
    assert drawn <= flew
    # An aircraft is drawn about as often as it flies: its number alone is worth little.
    often = [np.bincount(ids[:, aircraft], minlength=4043) for ids in (its, other)]
    assert np.abs(often[0] - often[1]).sum() < 0.4 * len(its)


def test_the_last_three_weeks_are_held_out_and_fit_the_tables(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pitboard.training.benchmarks.dlrm_dcnv2.flights import DENSE, TABLES, load_flights

    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    train, held_out = load_flights()
    assert (len(train), len(held_out)) == (619_284, 36_644)
    assert train.day.max() < held_out.day.min() == 344
    settings = benchmark().settings
    assert (
        dict(zip(TABLES, zip(settings.table_rows, settings.ids_per_table, strict=True), strict=True))
        == TABLES
    )
    assert (settings.dense_features, settings.epoch_samples) == (len(DENSE), len(train))
    most = np.repeat(settings.table_rows, settings.ids_per_table)
    for part in (train, held_out):
        assert (part.ids < most).all()
        assert np.isfinite(part.dense).all()
    assert np.abs(train.dense.mean(axis=0)).max() < 1e-3
    assert train.label.mean() == held_out.label.mean() == 0.5
