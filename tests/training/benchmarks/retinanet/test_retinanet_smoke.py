"""RetinaNet's smoke preset, end to end: it reaches its target; what is broken does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from official import messages_as_closed, official_messages
from pitboard import suite
from pitboard.training.benchmarks.retinanet import benchmark as retinanet
from pitboard.training.benchmarks.retinanet.boxes import IGNORED
from pitboard.training.benchmarks.retinanet.model import RetinaNet
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute
from support import Command, number, the_log, the_run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("retinanet")]

# The quickest of the twenty reference convergence points (`suite/reference`).
SEED = 13
TARGET = number(suite.benchmark("retinanet").preset("smoke").values, "target")


@pytest.fixture(scope="module")
def smoke(pitboard: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the smoke preset to its target once; return its output folder, with `found.png` beside it."""
    folder = tmp_path_factory.mktemp("retinanet") / "out"
    picture = folder.parent / "found.png"
    done = pitboard(
        "run", "retinanet", "--seed", SEED, "--output", folder, "--samples-grid", picture, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return folder


def test_it_reaches_the_target(smoke: Path) -> None:
    run = the_run(smoke)
    assert run.status == "success"
    assert run.evaluations[-1].quality >= TARGET > run.evaluations[-2].quality
    assert [evaluation.epoch for evaluation in run.evaluations] == list(range(1, len(run.evaluations) + 1))


def test_what_it_finds_is_drawn(smoke: Path) -> None:
    """Frames of boxes in bright colours: what it looked at has none."""
    picture = np.asarray(Image.open(smoke.parent / "found.png").convert("HSV")).astype(int)
    assert picture.shape == (3 * 256, 4 * 256, 3)
    frames = (picture[..., 2] == 255) & (abs(picture[..., 1] - 0.6 * 255) < 3)
    tiles = frames.reshape(3, 256, 4, 256).sum(axis=(1, 3))
    assert (tiles > 100).sum() >= 4


def test_the_official_checker_names_exactly_the_scaled_values(smoke: Path, tmp_path: Path) -> None:
    """As open nothing: the open ruleset has no bound. As closed the target, which is lower here."""
    assert official_messages(the_log(smoke)) == set()
    quality = the_run(smoke).evaluations[-1].quality
    expected = {"Failed checks for eval_accuracy : v['value'] >= 0.340 and v['value'] < 1.0"}
    assert messages_as_closed(the_log(smoke), tmp_path) == (expected if quality < 0.34 else set())


class Shifted(RetinaNet):
    """A detector that is shown each digit a stride of its finest map away from where it is."""

    def losses(
        self, logits: Tensor, shifts: Tensor, anchors: Tensor, boxes: Tensor, labels: Tensor
    ) -> Tensor:
        return super().losses(logits, shifts, anchors, boxes + 8, labels)


class Groundless(RetinaNet):
    """A detector that is not taught where nothing is."""

    def losses(
        self, logits: Tensor, shifts: Tensor, anchors: Tensor, boxes: Tensor, labels: Tensor
    ) -> Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pitboard.training.benchmarks.retinanet.boxes.BACKGROUND", IGNORED)
            return super().losses(logits, shifts, anchors, boxes, labels)


@pytest.mark.parametrize(("broken", "samples", "most"), [(Shifted, 1024, 0.05), (Groundless, 1536, 0.19)])
def test_a_broken_detector_falls_behind(
    broken: type[RetinaNet],
    samples: int,
    most: float,
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
) -> None:
    """Twenty sound runs stand above 0.12 after 1,024 samples and at the target, 0.25, after 1,536."""
    monkeypatch.setattr(retinanet, "RetinaNet", broken)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    short: dict[str, Any] = {"max_samples": samples, "evaluation_interval": samples, "precision": "fp32"}
    plan = Plan(
        benchmark="retinanet",
        preset="smoke",
        overrides={key: str(value) for key, value in short.items()},
        seeds=[1],
        system="s",
        submitter="Test",
    )
    execute(Output(tmp_path), plan, 0, Silent())
    assert the_run(tmp_path).evaluations[-1].quality < most
