"""OpenImages as the reference's script leaves it: reading it, and finding what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.retinanet import downloads as facts
from pitboard.training.benchmarks.retinanet import verify as verify_retinanet
from pitboard.training.benchmarks.retinanet.backbone import BackboneSizes, read_backbone
from pitboard.training.benchmarks.retinanet.benchmark import RetinaNetBenchmark
from pitboard.training.benchmarks.retinanet.downloads import ANNOTATIONS, BACKBONE, IMAGES, SplitFacts
from pitboard.training.benchmarks.retinanet.openimages import OpenImages
from pitboard.training.data.verify import verify
from pitboard.training.loading import training_batches
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute, settings_for
from stand_in import ALONE
from support import Command, the_run

CLASSES = 5
SMALL = BackboneSizes(16, (1, 1, 1, 1), 8)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def boxes_of(image: int) -> list[dict[str, Any]]:
    """Two boxes, the second of a group that leaves the image on the right; image 3 has none."""
    box = {"image_id": image, "iscrowd": 0, "category_id": image % CLASSES + 1, "bbox": [2, 3, 10.5, 8]}
    wide = {**box, "iscrowd": 1, "category_id": CLASSES, "bbox": [30, 4, 20, 9], "area": 99.0, "id": "any"}
    return [] if image == 3 else [box, wide]


def write_split(folder: Path, images: int) -> None:
    """Write images of 40 × 30 pixels in one colour, listed from the last to the first."""
    (folder / IMAGES).mkdir(parents=True)
    (folder / ANNOTATIONS).parent.mkdir()
    for image in range(images):
        pixels = np.full((30, 40, 3), 20 * image, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / IMAGES / f"{image:04x}.jpg")
    order = list(reversed(range(images)))
    listed = {
        "info": {"year": "2022"},
        "images": [{"id": image, "file_name": f"{image:04x}.jpg", "height": 30} for image in order],
        "categories": [{"id": number + 1, "name": "n"} for number in range(CLASSES)],
        "annotations": [box for image in order for box in boxes_of(image)],
    }
    (folder / ANNOTATIONS).write_text(json.dumps(listed))


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole download, of fewer images, classes and weights than the real one."""
    root = tmp_path / "retinanet"
    write_split(root / "train", 6)
    write_split(root / "validation", 4)
    state = SMALL.build(torch.nn.BatchNorm2d).state_dict()
    torch.save({**state, "fc.weight": torch.zeros(10, 4)}, root / BACKBONE)
    # Image 3 of those to train on has no box.
    splits = {"train": SplitFacts("train", 5), "validation": SplitFacts("validation", 4)}
    monkeypatch.setattr(facts, "SPLITS", splits)
    monkeypatch.setattr(facts, "CLASSES", CLASSES)
    values = {"depths": "1-1-1-1", "planes": 16, "groups": 8}
    preset = type("Preset", (), {"values": values})
    monkeypatch.setattr(
        verify_retinanet, "RETINANET", type("Facts", (), {"preset": staticmethod(lambda _: preset)})
    )
    return root


def statuses(root: Path) -> dict[str, str]:
    return {report.file: report.status for report in verify("retinanet", root)}


def test_a_whole_download_is_ok(download: Path) -> None:
    assert set(statuses(download).values()) == {"ok"}


def test_images_have_their_boxes(download: Path) -> None:
    images = OpenImages(download / "train", CLASSES, to_train=True)
    assert len(images) == 5
    assert [images.file(index).name for index in range(5)] == [f"{n:04x}.jpg" for n in (0, 1, 2, 4, 5)]
    labelled = images[3]
    assert labelled.pixels.shape == (3, 30, 40)
    assert labelled.pixels.float().mean() == pytest.approx(80, abs=3)
    # Cut to the image; groups are trained on, as in the reference.
    assert labelled.boxes.tolist() == [[2, 3, 12.5, 11], [30, 4, 40, 13]]
    assert labelled.labels.tolist() == [4, 4]

    held_out = OpenImages(download / "validation", CLASSES, to_train=False)
    assert len(held_out) == 4
    assert held_out[3].boxes.shape == (0, 4)
    truth = held_out.truth(3)
    assert truth.image.tolist() == [0, 0, 1, 1, 2, 2]
    assert truth.boxes[1].tolist() == [30, 4, 50, 13]
    assert truth.area[:2].tolist() == [84, 99]
    assert truth.group[:2].tolist() == [False, True]
    assert truth.labels.tolist() == [0, 4, 1, 4, 2, 4]


def test_full_trains_on_them(download: Path, tmp_path: Path) -> None:
    small = {"planes": 16, "depths": "1-1-1-1", "groups": 8, "pyramid_width": 16, "classes": CLASSES}
    short = {"image_size": 64, "global_batch_size": 2, "max_samples": 4, "evaluation_interval": 4}
    short |= {"training_images": 5, "evaluation_samples": 4, "compile": False, "data_workers": 0}
    given = {"data": download, "precision": "fp32"}
    overrides = {key: str(value) for key, value in (small | short | given).items()}
    plan = Plan(
        benchmark="retinanet", preset="full", overrides=overrides, seeds=[1], system="s", submitter="Test"
    )
    execute(Output(tmp_path / "out"), plan, 0, Silent())
    (evaluation,) = the_run(tmp_path / "out").evaluations
    assert (evaluation.samples, evaluation.epoch) == (4, 4 / 6)


def test_a_broken_image_is_one_sentence_also_from_a_loader_process(download: Path) -> None:
    for image in (download / "train" / IMAGES).iterdir():
        image.write_bytes(b"no image")
    given = {"data": download, "classes": CLASSES, "training_images": 5}
    settings = settings_for("retinanet", "full", given | {"data_workers": 1, "global_batch_size": 2})
    benchmark = RetinaNetBenchmark(settings)  # type: ignore[arg-type]
    data = benchmark.training_data(1)
    with pytest.raises(PitboardError, match=r"^The image [^\n]* cannot be read [^\n]*$"):
        next(training_batches(data, settings, ALONE, benchmark.collate, 0, 1))


def test_what_is_wrong_is_found(download: Path) -> None:
    (download / "train" / IMAGES / "0002.jpg").unlink()
    (download / "validation" / ANNOTATIONS).write_text('{"images": []}')
    (download / BACKBONE).write_bytes(b"PK not a file of weights")
    found = {report.file: report for report in verify("retinanet", download)}
    assert found[f"train/{ANNOTATIONS}"].status == "ok"
    assert "0002.jpg" in found[f"train/{IMAGES}"].detail
    assert found[f"validation/{ANNOTATIONS}"].status == "wrong"
    assert found[f"validation/{IMAGES}"].status == "unchecked"
    assert found[BACKBONE].status == "wrong"
    (download / "train" / IMAGES / "0002.jpg").write_bytes(b"")
    (download / "train" / IMAGES / "0005.jpg").write_bytes(b"no image")
    (download / BACKBONE).unlink()
    found = {report.file: report for report in verify("retinanet", download)}
    assert "0005.jpg cannot be read" in found[f"train/{IMAGES}"].detail
    assert found[BACKBONE].status == "missing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda listed: listed["annotations"][0].update(image_id=77), "a box of image 77"),
        (lambda listed: listed["annotations"][0].update(category_id=9), "a box of category 9"),
        (lambda listed: listed["images"][0].update(file_name="../../x.jpg"), "no file's name alone"),
        (lambda listed: listed["categories"].pop(0), "category 1"),
        (lambda listed: listed["categories"].append({"id": 99}), "6 categories, expected 5"),
        (lambda listed: listed.pop("categories"), "no boxes in COCO's format"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(download: Path, change: Any, said: str) -> None:
    path = download / "train" / ANNOTATIONS
    listed = json.loads(path.read_text())
    change(listed)
    path.write_text(json.dumps(listed))
    with pytest.raises(PitboardError) as error:
        OpenImages(download / "train", CLASSES, to_train=True)
    assert said in str(error.value)


def test_a_backbone_of_another_model_is_refused(download: Path) -> None:
    weights = read_backbone(download / BACKBONE)
    del weights["layer3.0.bn2.running_mean"]
    torch.save(weights, download / BACKBONE)
    (report,) = (report for report in verify("retinanet", download) if report.status != "ok")
    assert "no weight 'layer3.0.bn2.running_mean'" in report.detail


class Malicious:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("/tmp/pitboard-was-here"),))


def test_pickles_are_never_executed(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Malicious()}, tmp_path / "weights.pth")
    with pytest.raises(PitboardError, match="cannot be read"):
        read_backbone(tmp_path / "weights.pth")
    assert not Path("/tmp/pitboard-was-here").exists()


def test_the_command_says_what_to_download_and_what_is_missing(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("data", "retinanet", "--path", tmp_path / "my data")
    assert done.returncode == 1
    assert f"./download_openimages_mlperf.sh -d '{tmp_path}/my data'" in done.stdout
    assert done.stdout.count("  missing  ") == 3
