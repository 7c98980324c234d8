"""FLUX.1's encoded images: reading what the reference writes, and finding what is wrong with it."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.flux1 import verify as verify_flux1
from pitboard.training.benchmarks.flux1.benchmark import Flux1
from pitboard.training.benchmarks.flux1.downloads import COLUMNS, EMPTY, TRAIN, VALIDATION, SplitFacts
from pitboard.training.benchmarks.flux1.encoded_images import EncodedImages
from pitboard.training.data.verify import verify
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute, settings_for
from support import Command, the_run

# Not in turn: the reference's ranks wrote the set side by side.
TIMES = [3, 0, 7, 1, 6, 2, 5, 4]


def saved(values: torch.Tensor) -> bytes:
    """BF16 as the reference saves it: `.npy` of the bits."""
    buffer = io.BytesIO()
    np.save(buffer, values.bfloat16().view(torch.uint16).numpy())
    return buffer.getvalue()


def write_images(folder: Path, per_file: list[int], times: list[int] | None = None) -> None:
    """Write images whose arrays hold their own number; those of validation with their time steps."""
    folder.mkdir(parents=True)
    number = 0
    for file, count in enumerate(per_file):
        rows: list[dict[str, object]] = []
        for _ in range(count):
            rows.append({name: saved(torch.full(shape, float(number))) for name, shape in COLUMNS.items()})
            rows[-1] |= {} if times is None else {"timestep": times[number]}
            number += 1
        table = pa.Table.from_pylist([{"__key__": "k", **row} for row in rows])
        path = folder / f"data-{file:05d}-of-{len(per_file):05d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole download, of fewer images than the real one."""
    root = tmp_path / "flux1"
    write_images(root / TRAIN.folder, [3, 2])
    write_images(root / VALIDATION.folder, [5, 3], TIMES)
    for name, shape in EMPTY.items():
        (root / name).parent.mkdir(exist_ok=True)
        np.save(root / name, np.zeros((1, *shape), dtype=np.float16))
    monkeypatch.setattr(verify_flux1, "TRAIN", SplitFacts(TRAIN.folder, 5))
    monkeypatch.setattr(verify_flux1, "VALIDATION", SplitFacts(VALIDATION.folder, 8))
    return root


def statuses(root: Path) -> dict[str, str]:
    return {report.file: report.status for report in verify("flux1", root)}


def test_images_are_numbered_across_files(download: Path) -> None:
    images = EncodedImages(download / TRAIN.folder)
    assert len(images) == 5
    for number in range(5):
        for values, shape in zip(images[number], COLUMNS.values(), strict=True):
            assert (values.dtype, values.shape) == (torch.bfloat16, shape)
            assert (values == number).all()


def test_a_whole_download_is_ok(download: Path) -> None:
    assert set(statuses(download).values()) == {"ok"}


def test_an_image_is_evaluated_at_the_time_step_that_the_set_pairs_it_with(download: Path) -> None:
    settings = settings_for("flux1", "full", {"data": download, "evaluation_samples": 8})
    samples, other = (Flux1(settings).evaluation_data(seed) for seed in (1, 2))  # type: ignore[arg-type]
    assert not torch.equal(samples[0]["noise"], other[0]["noise"])
    assert [float(samples[index]["time"]) for index in range(8)] == [time / 8 for time in TIMES]


def test_captions_stay_as_they_are_stored_and_are_computed_with_as_in_fp32(download: Path) -> None:
    small = {"double_blocks": 1, "single_blocks": 1, "attention_heads": 1, "head_size": 32, "compile": False}
    settings = settings_for("flux1", "full", {**small, "data": download, "evaluation_samples": 8})
    benchmark = Flux1(settings)  # type: ignore[arg-type]
    training, evaluation = benchmark.training_data(1), benchmark.evaluation_data(1)
    # Captions are dropped for the empty one now and then.
    batches = [benchmark.collate([data[i] for i in range(8)]) for data in (training, evaluation)]
    model = benchmark.build()
    for batch in batches:
        types = {name: tensor.dtype for name, tensor in batch.items()}
        assert types == {name: tensor.dtype for name, tensor in benchmark.warmup_batch(1).items()}
        assert types["text"] == types["pooled"] == torch.bfloat16
        wide = {name: tensor.float() for name, tensor in batch.items()}
        with torch.no_grad():
            for bf16 in (False, True):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                    assert torch.equal(model(**batch), model(**wide))


@pytest.mark.parametrize(
    ("times", "said"), [([0] * 8, "as many at each"), ([8] * 8, "timestep 8"), (None, "None")]
)
def test_wrong_time_steps_are_found(download: Path, times: list[int] | None, said: str) -> None:
    shutil.rmtree(download / VALIDATION.folder)
    write_images(download / VALIDATION.folder, [8], times)
    (report,) = (report for report in verify("flux1", download) if report.status != "ok")
    assert report.file == VALIDATION.folder
    assert said in report.detail


def test_full_trains_on_them(download: Path, tmp_path: Path) -> None:
    small = {"double_blocks": 1, "single_blocks": 1, "attention_heads": 1, "head_size": 32, "compile": False}
    short = {"global_batch_size": 2, "max_samples": 4, "evaluation_interval": 4, "evaluation_samples": 8}
    overrides = {key: str(value) for key, value in (small | short | {"data": download}).items()}
    plan = Plan(
        benchmark="flux1", preset="full", overrides=overrides, seeds=[1], system="s", submitter="Test"
    )
    execute(Output(tmp_path / "out"), plan, 0, Silent())
    (evaluation,) = the_run(tmp_path / "out").evaluations
    assert evaluation.samples == 4


def test_what_is_wrong_is_found(download: Path) -> None:
    second = sorted((download / TRAIN.folder).glob("*.arrow"))[1]
    second.write_bytes(second.read_bytes()[:5000])
    np.save(download / next(iter(EMPTY)), np.zeros(3))
    for file in (download / VALIDATION.folder).glob("*.arrow"):
        file.unlink()
    found = statuses(download)
    assert found[TRAIN.folder] == "wrong"
    assert found[VALIDATION.folder] == "missing"
    assert found[next(iter(EMPTY))] == "wrong"
    second.unlink()
    (report,) = (r for r in verify("flux1", download) if r.file == TRAIN.folder)
    assert report.detail == "3 images; expected 5"


def test_a_listed_checksum_that_differs_is_found(download: Path) -> None:
    file = next((download / VALIDATION.folder).glob("*.arrow"))
    (download / "coco.md5").write_text(f"{'0' * 32}  {VALIDATION.folder}/{file.name}\n")
    assert statuses(download)[f"{VALIDATION.folder}/{file.name}"] == "wrong"


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}]), allow_pickle=True)
    table = pa.table({name: [buffer.getvalue()] for name in COLUMNS})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(PitboardError, match="cannot be read"):
        EncodedImages(tmp_path)[0]


def test_the_command_says_what_to_download_and_what_is_missing(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("data", "flux1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "flux-1-cc12m-preprocessed.uri" in done.stdout
    done = pitboard("data", "flux1", "--path", tmp_path, "--format", "json")
    assert done.returncode == 1
    assert {file["status"] for file in json.loads(done.stdout)["files"]} == {"missing"}
