"""RetinaNet: its size, starting values, schedule, samples and log, and that what cheats is refused."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import stand_in
from official import official_messages
from pitboard.errors import PitboardError
from pitboard.events import Run, read_events
from pitboard.training.benchmarks.retinanet import backbone as small_backbone
from pitboard.training.benchmarks.retinanet import benchmark as retinanet
from pitboard.training.benchmarks.retinanet.backbone import BackboneSizes
from pitboard.training.benchmarks.retinanet.benchmark import RetinaNetBenchmark, RetinaNetSettings
from pitboard.training.benchmarks.retinanet.canvases import Canvases, enlarged
from pitboard.training.benchmarks.retinanet.model import DETECTION, FrozenBatchNorm, RetinaNet
from pitboard.training.data.scans import load_scans
from pitboard.training.output import Output
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute, settings_for
from stand_in import ALONE, built, the_plan
from support import Command, the_run


@pytest.fixture(autouse=True)
def quick_backbone(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Pre-train the small backbone for two steps: no test here asks how well it tells digits apart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(small_backbone, "_STEPS", 2)


def detector(preset: str = "smoke", **overrides: Any) -> RetinaNetBenchmark:
    settings = settings_for("retinanet", preset, overrides)
    assert isinstance(settings, RetinaNetSettings)
    return RetinaNetBenchmark(settings)


def count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


# What torchvision publishes of its models (`num_params` of their weights), and what a classifier has on top.
RESNEXT50, RESNET50, RETINANET_RESNET50_COCO = 25_028_904, 25_557_032, 34_014_999
CLASSIFIER, RESNET50_NORMS = 2048 * 1000 + 1000, 53_120


def test_full_is_the_official_size_and_stays_on_meta() -> None:
    with torch.device("meta"):
        body = BackboneSizes(64, (3, 4, 6, 3), 32).build(nn.BatchNorm2d)
        coco = detector("full", classes=91).build()
        model = detector("full").build()
    assert count(body.parameters()) == RESNEXT50 - CLASSIFIER
    # Beside a backbone, whose frozen norms are no parameters, pyramid and heads are the same over a ResNet.
    beside = count(coco.parameters()) - count(coco.get_submodule("body").parameters())
    assert beside == RETINANET_RESNET50_COCO - (RESNET50 - CLASSIFIER - RESNET50_NORMS)
    # 173 classes more, each a 3 × 3 filter and a bias for each of the nine anchors.
    assert count(model.parameters()) - count(coco.parameters()) == 173 * 9 * (9 * 256 + 1)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_the_backbone_is_named_as_torchvisions() -> None:
    with torch.device("meta"):
        state = BackboneSizes(64, (3, 4, 6, 3), 32).build(FrozenBatchNorm).state_dict()
    expected = {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.running_mean": (256,),
        "layer2.0.conv2.weight": (256, 8, 3, 3),
        "layer3.5.bn1.bias": (512,),
        "layer4.2.conv3.weight": (2048, 1024, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected


def test_the_last_three_stages_are_trained_and_nothing_before_them() -> None:
    with torch.device("meta"):
        model = detector("full").build()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {n for n, _ in model.named_parameters() if n.startswith(("body.conv1.", "body.layer1."))}
    assert frozen


def test_a_frozen_norm_is_batch_norm_in_evaluation() -> None:
    sizes = BackboneSizes(8, (1, 1, 2, 1), 4)
    usual, ours = sizes.build(nn.BatchNorm2d).eval(), sizes.build(FrozenBatchNorm)
    for name, values in usual.state_dict().items():
        if "running" in name or "bn" in name:
            nn.init.uniform_(values, 0.5, 1.5) if values.is_floating_point() else None
    ours.load_state_dict({k: v for k, v in usual.state_dict().items() if "num_batches" not in k})
    images = torch.randn(2, 3, 64, 64)
    assert_close(ours(images), usual(images), rtol=1e-4, atol=1e-5)


def test_starting_values_are_the_references() -> None:
    benchmark = detector(head_layers=2, pyramid_width=64)
    model = built(benchmark)
    parameters = dict(model.named_parameters())
    bias = parameters["classification_head.last.bias"]
    assert_close(bias.sigmoid(), torch.full_like(bias, 0.01))
    assert not parameters["regression_head.last.bias"].any()
    # A deviation of 0.01 at a width of 256.
    for name in ("classification_head.conv.1.weight", "regression_head.last.weight"):
        assert parameters[name].std().item() == pytest.approx(0.02, rel=0.03)
    bound = math.sqrt(3 / (64 * 9))
    assert 0.98 * bound < parameters["fpn.outer.1.weight"].abs().max() <= bound
    weights = benchmark._weights
    assert_close(parameters["body.layer3.0.conv2.weight"].data, weights["layer3.0.conv2.weight"])
    assert_close(model.get_buffer("body.layer3.0.bn2.running_var"), weights["layer3.0.bn2.running_var"])


def test_the_rate_rises_linearly_over_the_first_epoch() -> None:
    benchmark = detector("full")
    steps = benchmark.settings.steps_per_epoch
    assert steps == 4572  # as in published logs at this batch
    rate = benchmark.optimizer(nn.Linear(1, 1)).learning_rate
    assert rate(0) == pytest.approx(1e-7)
    assert rate(steps // 2) == pytest.approx(1e-4 * (0.0005 + 0.5))
    assert rate(steps) == rate(10 * steps) == pytest.approx(1e-4)
    assert [benchmark.epoch(n * steps * 256) for n in (1, 2, 3)] == [1, 2, 3]


def test_training_samples_follow_the_seed_and_a_mirrored_image_takes_its_boxes_along() -> None:
    plain, mirrored = (detector(mirrored=share).training_data(1) for share in (0, 1))
    other, again = detector(mirrored=0).training_data(2), detector(mirrored=0).training_data(1)
    assert torch.equal(plain[3]["images"], again[3]["images"])
    assert not torch.equal(plain[3]["images"], other[3]["images"])
    assert torch.equal(plain[3]["images"].flip(2), mirrored[3]["images"])
    for (left, top, right, bottom), box in zip(plain[3]["boxes"], mirrored[3]["boxes"], strict=True):
        assert box.tolist() == [64 - right, top, 64 - left, bottom]
    half = detector(mirrored=0.5).training_data(1)
    unchanged = sum(torch.equal(half[index]["images"], plain[index]["images"]) for index in range(200))
    assert 70 < unchanged < 130
    images = detector().settings.training_images
    numbers = [plain._order.place(index) for index in range(images)]  # type: ignore[attr-defined]
    assert sorted(numbers) == list(range(images))


def test_a_canvas_has_exactly_the_boxes_of_its_digits() -> None:
    source = Canvases(40, 64, held_out=True)
    for canvas in (source[index] for index in range(40)):
        ground = canvas.pixels.clone()
        for left, top, right, bottom in canvas.boxes.int().tolist():
            inside = ground[:, top:bottom, left:right]
            assert inside.amax() > 120
            inside.zero_()
        # Outside of the boxes there is noise only.
        assert (ground > 0.75 * 255).float().mean() < 0.001
    # What is pasted ends where the ink does.
    for scan in load_scans()[1].images:
        ink = enlarged(scan, 30)
        assert len(ink) == 30
        assert all(edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))


def test_two_batches_of_boxes_and_none_have_their_losses() -> None:
    """The L1 loss counts the anchors that shall find something; an image without boxes is all background."""
    benchmark = detector()
    model = built(benchmark)
    data = benchmark.training_data(1)
    batch = benchmark.collate([data[0], data[1]])
    alone = [model(**benchmark.collate([data[index]])) for index in (0, 1)]
    assert_close(model(**batch), torch.cat(alone), rtol=1e-4, atol=1e-5)
    empty = model(**{**batch, "labels": torch.full_like(batch["labels"], -1)})
    # 774 anchors of ten classes at a prior of 0.01.
    expected = 774 * 10 * 0.75 * 0.01**2 * -math.log(0.99)
    assert_close(empty, torch.full((2,), expected), rtol=0.2, atol=0)


def test_perfect_predictions_have_a_precision_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = detector(evaluation_samples=20)
    held_out = benchmark._held_out

    class Oracle(nn.Module):
        def forward(self, number: Tensor, **_: Tensor) -> Tensor:
            found = torch.full((len(number), 30, DETECTION), -1.0)
            for rows, index in zip(found, number.tolist(), strict=True):
                labelled = held_out[index]
                rows[: len(labelled.labels), :4] = labelled.boxes
                rows[: len(labelled.labels), 4] = 0.9
                rows[: len(labelled.labels), 5] = labelled.labels
            return found

    numbers = [torch.arange(12), torch.tensor([*range(12, 20), 0, 0, 0, 0])]
    weights = [torch.ones(12), torch.tensor([1.0] * 8 + [0.0] * 4)]
    batches = [({"number": each}, weight) for each, weight in zip(numbers, weights, strict=True)]
    assert benchmark.evaluate(Oracle(), batches, ALONE) == pytest.approx(1.0)
    # A filled-up image is not counted twice, and one that is not looked at is missed.
    assert benchmark.evaluate(Oracle(), batches[:1], ALONE) < 0.8


def test_detections_are_in_pixels_of_the_image_as_it_came() -> None:
    benchmark = detector()
    model = built(benchmark).eval()
    with torch.no_grad():
        model.get_parameter("classification_head.last.bias").fill_(1.0)
        batch = benchmark.warmup_batch(1)
        square = model(**batch)
        wide = model(**{**batch, "size": torch.tensor([[32, 640]])})
    assert (square[0, :, 4] > 0.5).all()
    assert square[..., :4].amax() <= 64
    scale = torch.tensor([10, 0.5, 10, 0.5])
    assert_close(wide[..., :4], square[..., :4] * scale)
    assert torch.equal(wide[..., 4:], square[..., 4:])


class Peeking(RetinaNet):
    """A model that is told the classes of what it must find."""

    def forward(self, images: Tensor, boxes: Tensor, labels: Tensor, size: Tensor, **_: Tensor) -> Tensor:
        told = images + 0.01 * labels.sum(dim=1).view(-1, 1, 1, 1)
        return super().forward(told, boxes, labels, size)


def test_a_model_that_sees_what_it_shall_find_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(retinanet, "RetinaNet", Peeking)
    with pytest.raises(PitboardError, match="depend on the boxes"):
        execute(Output(tmp_path), the_plan("retinanet", precision="fp32"), 0, Silent())


def test_settings_that_cannot_be_are_explained(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="must divide 32"):
        detector(groups=5)
    with pytest.raises(PitboardError, match="FSDP only"):
        detector(tensor_parallel=2)
    with pytest.raises(PitboardError, match="'depths' is '3-4'"):
        detector(depths="3-4")
    with pytest.raises(PitboardError, match="no linear layers"):
        execute(Output(tmp_path), the_plan("retinanet", precision="mxfp8"), 0, Silent())


def test_full_without_its_data_says_how_to_get_it(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("run", "retinanet", "--preset", "full", "--output", tmp_path / "out")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert "`pitboard data retinanet` says what to download" in sentence
    assert the_run(tmp_path / "out").status == "aborted"


def test_the_work_of_an_image_is_that_of_its_convolutions() -> None:
    # torchvision counts 151.5 billion products in its RetinaNet over a ResNet-50 at 800 × 800, 91 classes.
    flops = detector("full", classes=91).flops_per_sample()
    assert 0.85 < flops / (6 * 151.5e9) < 1.05


def test_the_log_of_full_is_valid_closed(tmp_path: Path) -> None:
    """As after the second epoch, each of ten steps here: a real one takes 4,572."""
    short = {"evaluation_interval": 2560, "training_images": 2560, "data_workers": 0}
    full = detector("full", **short)
    log = stand_in.race(
        full, the_plan("retinanet", "full", **short), tmp_path, loss=1.0, qualities=[0.2, 0.345]
    )
    assert official_messages(log) == set()
    run = Run.from_events(read_events(log))
    assert (run.division, run.status, run.target) == ("closed", "success", 0.34)
    assert [(e.samples, e.epoch) for e in run.evaluations] == [(2560, 1), (5120, 2)]
    assert run.settings["opt_weight_decay"] == 0
