"""RetinaNet's operations on boxes, against what they mean said slowly."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from pitboard.training.benchmarks.retinanet import boxes as ops
from pitboard.training.benchmarks.retinanet.average_precision import Truth, mean_average_precision
from pitboard.training.benchmarks.retinanet.boxes import BACKGROUND, IGNORED
from pitboard.training.benchmarks.retinanet.focal_loss import focal_loss


def random_boxes(count: int, seed: int, size: int = 64) -> Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * size
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1) + 1], dim=1)


def overlap(one: list[float], two: list[float]) -> float:
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("seed", range(20))
def test_suppression_is_what_going_through_the_boxes_one_by_one_gives(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes, labels = random_boxes(120, seed), torch.randint(3, (120,), generator=generator)
    # A few equal scores: the first of them goes first.
    scores = torch.randint(60, (120,), generator=generator) / 60
    kept: list[int] = []
    for number in sorted(range(120), key=lambda each: (-float(scores[each]), each)):
        better = [other for other in kept if labels[other] == labels[number]]
        if all(overlap(boxes[other].tolist(), boxes[number].tolist()) <= 0.3 for other in better):
            kept.append(number)
    assert ops.suppress(boxes, scores, labels, 0.3).tolist() == kept
    assert len(kept) < 110


def test_torchvisions_operator_is_used_where_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    operators = ModuleType("torchvision.ops")
    theirs: Any = object()
    operators.batched_nms = theirs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", operators)
    assert ops.suppression.__wrapped__() is theirs
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    assert ops.suppression.__wrapped__() is ops.suppress


def test_anchors_are_the_references() -> None:
    anchors = ops.anchors(800, (100, 50, 25, 13, 7), 32, torch.device("cpu"))
    assert anchors.shape == (120_087, 4)
    # A half, one and two times as high as wide, of 32, 40 and 50 pixels, at the first place.
    assert anchors[[0, 1, 2, 3, 6]].tolist() == [
        [-23, -11, 23, 11],
        [-28, -14, 28, 14],
        [-35, -18, 35, 18],
        [-16, -16, 16, 16],
        [-11, -23, 11, 23],
    ]
    assert (anchors[9] - anchors[0]).tolist() == [8, 0, 8, 0]
    assert (anchors[900] - anchors[0]).tolist() == [0, 8, 0, 8]
    # 13 places of 61 pixels, not 62: the reference rounds the stride down.
    sixth = 9 * (100**2 + 50**2 + 25**2)
    assert (anchors[sixth + 9] - anchors[sixth]).tolist() == [61, 0, 61, 0]
    assert (anchors[sixth + 3]).tolist() == [-128, -128, 128, 128]


def test_boxes_come_back_from_their_encoding() -> None:
    boxes, anchors = random_boxes(50, 1), random_boxes(50, 2)
    torch.testing.assert_close(ops.decode(ops.encode(boxes, anchors), anchors), boxes, atol=1e-3, rtol=1e-4)
    # One anchor's width to the right, and twice as high.
    moved = ops.decode(torch.tensor([[1.0, 0.0, 0.0, 0.6931472]]), torch.tensor([[0.0, 0.0, 4.0, 2.0]]))
    torch.testing.assert_close(moved, torch.tensor([[4.0, -1.0, 8.0, 3.0]]))


@pytest.mark.parametrize("seed", range(5))
def test_an_anchor_is_matched_with_the_box_it_shall_find(seed: int) -> None:
    boxes, anchors = random_boxes(4, seed), random_boxes(300, seed + 100)
    quality = [[overlap(box, anchor) for anchor in anchors.tolist()] for box in boxes.tolist()]
    expected = []
    for number in range(300):
        of_anchor = [row[number] for row in quality]
        best = max(of_anchor)
        own = any(row[number] == max(row) for row in quality)
        if best >= 0.5 or own:
            expected.append(of_anchor.index(best))
        else:
            expected.append(BACKGROUND if best < 0.4 else IGNORED)
    assert ops.match(boxes, anchors).tolist() == expected
    assert {BACKGROUND, IGNORED} < set(expected)


def test_without_a_box_everything_is_background() -> None:
    assert ops.match(torch.empty(0, 4), random_boxes(5, 1)).tolist() == [BACKGROUND] * 5


def test_the_focal_loss_and_its_gradient_are_those_of_its_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = (4 * torch.randn(3, 40, 5, generator=generator)).requires_grad_()
    targets = torch.randint(IGNORED, 5, (3, 40), generator=generator)
    wanted = one_hot(targets.clamp(min=0), 5) * (targets >= 0)[..., None]
    likely = torch.where(wanted == 1, logits.sigmoid(), 1 - logits.sigmoid())
    share = torch.where(wanted == 1, 0.25, 0.75)
    each = binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none")
    defined = (share * (1 - likely) ** 2 * each * (targets != IGNORED)[..., None]).sum(dim=(1, 2))
    factors = torch.tensor([1.0, 2.0, 3.0])
    (expected,) = torch.autograd.grad((defined * factors).sum(), logits)

    found = focal_loss(logits, targets)
    torch.testing.assert_close(found, defined)
    (gradient,) = torch.autograd.grad((found * factors).sum(), logits)
    torch.testing.assert_close(gradient, expected)


def test_average_precision_is_cocos() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40], [0, 0, 30, 30]])
    truth = Truth(
        images=2,
        classes=3,
        image=torch.tensor([0, 0, 1]).numpy(),
        boxes=boxes.numpy(),
        labels=torch.tensor([0, 1, 1]).numpy(),
        area=torch.tensor([100.0, 400, 900]).numpy(),
        group=torch.tensor([False, False, False]).numpy(),
    )
    sound = torch.cat([boxes, torch.tensor([[0.9, 0], [0.8, 1], [0.7, 1]])], dim=1)
    assert mean_average_precision(truth, [(0, sound[:2]), (1, sound[2:])]) == pytest.approx(1.0)
    # 0.79 of it overlaps: right at the overlaps from 0.5 to 0.75, six of the ten; one of the two classes.
    shifted = sound.clone()
    shifted[0, 2] = 7.9
    assert mean_average_precision(truth, [(0, shifted[:2]), (1, sound[2:])]) == pytest.approx(0.8)
    # A class without a box does not count, a wrong class finds nothing.
    wrong = sound.clone()
    wrong[:, 5] = 2
    assert mean_average_precision(truth, [(0, wrong[:2]), (1, wrong[2:])]) == 0.0
    assert mean_average_precision(truth, []) == 0.0
