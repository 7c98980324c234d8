"""The data of Llama 2 70B LoRA: weights read by the row, the packed GovReport, and `pitboard data`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import save_file
from torch import Tensor

from pitboard.errors import PitboardError
from pitboard.events import read_events
from pitboard.training.benchmarks.llama2_70b_lora import downloads as facts
from pitboard.training.data.llama_weights import LlamaWeights
from pitboard.training.data.packed import read_parquet
from pitboard.training.data.safetensors_folder import SafetensorsFolder
from pitboard.training.data.verify import verify
from support import Command, the_log

SMALL = LlamaWeights(layers=2, width=32, key_width=16, inner=64, vocabulary=300, fused=True)
QKV = "model.layers.0.self_attn.qkv_proj.weight"
LENGTH = 16
RUN = ["run", "llama2_70b_lora", "--preset", "full", "--seed", "1"]


def made_weights(facts: LlamaWeights) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(shape, generator=generator).mul(0.1).bfloat16()
        for name, shape in facts.shapes().items()
    }


def write_model(folder: Path, weights: dict[str, Tensor]) -> Path:
    """Write a model in two files and an index, as `transformers` does."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(weights)
    files = {name: f"model-{1 + place % 2:05d}-of-00002.safetensors" for place, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: weights[name] for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return folder


def unfused(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as Meta publishes them: query, key and value apart."""
    apart = {}
    for name, weight in weights.items():
        if "qkv_proj" not in name:
            apart[name] = weight
            continue
        sizes = [SMALL.width, SMALL.key_width, SMALL.key_width]
        for part, rows in zip("qkv", torch.split(weight, sizes), strict=True):
            apart[name.replace("qkv_proj", f"{part}_proj")] = rows.clone()
    return apart


def write_split(path: Path, count: int, length: int, vocabulary: int = 300) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tokens = np.random.default_rng(count).integers(2, vocabulary, (count, length))
    tokens[:, length // 2] = 1
    labels = np.where(np.arange(length) < 3, -100, tokens)
    parquet.write_table(pa.table({"input_ids": tokens.tolist(), "labels": labels.tolist()}), path)


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole download of a small model and a few sequences."""
    root = tmp_path / "llama2_70b_lora"
    data = root / facts.DATA_FOLDER
    write_split(data / "train-00000-of-00002.parquet", 8, LENGTH)
    write_split(data / "train-00001-of-00002.parquet", 4, LENGTH)
    write_split(data / "validation-00000-of-00001.parquet", 3, LENGTH)
    write_model(root / facts.MODEL_FOLDER, made_weights(SMALL))
    monkeypatch.setattr(facts, "SEQUENCES", {"train": 12, "validation": 3})
    monkeypatch.setattr(facts, "SEQUENCE_LENGTH", LENGTH)
    monkeypatch.setattr(facts, "MODEL", SMALL)
    return root


@pytest.mark.parametrize("apart", [False, True])
def test_any_rows_of_any_weight_are_read_from_two_files(tmp_path: Path, apart: bool) -> None:
    weights = made_weights(SMALL)
    folder = SafetensorsFolder(write_model(tmp_path, unfused(weights) if apart else weights))
    for name, weight in weights.items():
        for first, count in [(0, len(weight)), (3, 7), (20, len(weight) - 20), (len(weight), 0)]:
            read = folder.rows(name, weight.shape, first, count)
            assert torch.equal(read.bfloat16(), weight[first : first + count])
    # Across the borders of query, key and value.
    assert torch.equal(folder.rows(QKV, weights[QKV].shape, 30, 20).bfloat16(), weights[QKV][30:50])


def test_reading_rows_leaves_the_rest_of_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SafetensorsFolder(write_model(tmp_path, made_weights(SMALL)))
    taken: list[object] = []
    opened = folder._open

    def noted(name: str, take: Callable[[Any], Any]) -> Any:
        taken.append(opened(name, take))
        return taken[-1]

    monkeypatch.setattr(folder, "_open", noted)
    folder.rows(QKV, torch.Size([64, 32]), 5, 2)
    assert [piece.shape for piece in taken if isinstance(piece, Tensor)] == [(2, 32)]


def test_what_a_model_folder_lacks_is_said(tmp_path: Path) -> None:
    weights = made_weights(SMALL)
    write_model(tmp_path, weights)
    index = tmp_path / "model.safetensors.index.json"
    whole = json.loads(index.read_text())["weight_map"]
    with pytest.raises(PitboardError, match=r"has shape \(64, 32\), expected \(10240, 8192\)"):
        SafetensorsFolder(tmp_path).rows(QKV, torch.Size([10240, 8192]), 0, 1)
    with pytest.raises(PitboardError, match=r"has no weight 'lm_head\.bias'"):
        SafetensorsFolder(tmp_path).rows("lm_head.bias", torch.Size([1]), 0, 1)
    for file in ("../other/model.safetensors", str(tmp_path / "a.safetensors"), "..", ""):
        index.write_text(json.dumps({"weight_map": whole | {QKV: file}}))
        with pytest.raises(PitboardError, match="not in its folder"):
            SafetensorsFolder(tmp_path)
    index.write_text(json.dumps({"weight_map": whole | {QKV: "absent.safetensors"}}))
    with pytest.raises(PitboardError, match="cannot be read"):
        SafetensorsFolder(tmp_path).rows(QKV, torch.Size([64, 32]), 0, 1)
    for text in ("{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "[" * 100_000):
        index.write_text(text)
        with pytest.raises(PitboardError, match="holds no readable model"):
            SafetensorsFolder(tmp_path)


def test_parquet_is_read_in_the_order_of_its_files(download: Path) -> None:
    files = facts.parquet_files(download / facts.DATA_FOLDER, "train")
    tokens, labels = read_parquet(files, LENGTH, 300)
    assert tokens.shape == labels.shape == (12, LENGTH)
    expected = [row for file in files for row in parquet.read_table(file)["input_ids"].to_pylist()]
    assert tokens.tolist() == expected
    assert (labels[:, :3] == -100).all()
    assert (labels[:, 3:] == tokens[:, 3:]).all()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"input_ids": [[1, 2]], "labels": [[1, 2]]}, "sequences of .* tokens, expected 16"),
        ({"input_ids": [[1] * 16]}, "cannot be read as the packed GovReport"),
        ({"input_ids": [1], "labels": [2]}, "cannot be read as the packed GovReport"),
        ({"input_ids": [["a"] * 16], "labels": [["b"] * 16]}, "cannot be read as the packed GovReport"),
        ({"input_ids": [[1] * 16, None], "labels": [[1] * 16] * 2}, "sequences of .* tokens, expected 16"),
        ({"input_ids": [[1] * 15 + [None]], "labels": [[1] * 16]}, "cannot be read as the packed GovReport"),
        ({"input_ids": [[300] * 16], "labels": [[1] * 16]}, "a token outside the vocabulary of 300"),
        ({"input_ids": [[1] * 16], "labels": [[-1000] * 16]}, "a label outside the vocabulary of 300"),
    ],
)
def test_parquet_of_something_else_is_refused(
    tmp_path: Path, table: dict[str, list[object]], sentence: str
) -> None:
    parquet.write_table(pa.table(table), tmp_path / "train.parquet")
    with pytest.raises(PitboardError, match=sentence):
        read_parquet([tmp_path / "train.parquet"], LENGTH, 300)


def test_verifying_finds_what_is_wrong(download: Path) -> None:
    def statuses() -> list[str]:
        return [report.status for report in verify("llama2_70b_lora", download)]

    assert statuses() == ["ok"] * 5
    second = download / facts.DATA_FOLDER / "train-00001-of-00002.parquet"
    second.unlink()
    assert statuses() == ["wrong", "ok", "ok", "ok"]
    second.write_bytes(b"PAR1")
    write_model(download / facts.MODEL_FOLDER, made_weights(LlamaWeights(1, 32, 16, 64, 300, fused=True)))
    assert statuses() == ["wrong", "wrong", "ok", "wrong"]
    for file in (download / facts.MODEL_FOLDER).iterdir():
        file.unlink()
    assert statuses() == ["wrong", "wrong", "ok", "missing"]


def test_the_official_model_has_its_weights() -> None:
    shapes = facts.MODEL.shapes().values()
    assert sum(int(np.prod(shape)) for shape in shapes) == 68_976_648_192


def test_the_command_says_what_to_download_and_what_is_missing(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("data", "llama2_70b_lora")
    assert (done.returncode, done.stderr) == (0, "")
    assert "scrolls-gov-report-8k.uri" in done.stdout
    assert "llama-2-70b-fused-qkv-mlperf.uri" in done.stdout
    done = pitboard("data", "llama2_70b_lora", "--path", tmp_path, "--format", "json")
    assert done.returncode == 1
    assert [file["status"] for file in json.loads(done.stdout)["files"]] == ["missing"] * 3


@pytest.mark.slow
def test_full_trains_from_a_folder_of_weights_and_parquet(
    download: Path, pitboard: Command, tmp_path: Path
) -> None:
    """The preset `full` but for its sizes, on two ranks, each reading its shard."""
    sizes = {"layers": 2, "hidden_size": 32, "intermediate_size": 64, "attention_heads": 4}
    sizes |= {"key_value_heads": 2, "vocabulary_size": 300, "sequence_length": LENGTH}
    sizes |= {"evaluation_samples": 3, "evaluation_interval": 8, "evaluations_skipped": 0}
    sizes |= {"evaluations_skipped_per_batch_sample": 0, "max_samples": 16}
    words = [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    words += ["--set", f"data={download / facts.DATA_FOLDER}", "--set", "compile=false"]
    words += ["--set", f"model={download / facts.MODEL_FOLDER}", "--nproc", "2"]
    done = pitboard(*RUN, *words, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    events = list(read_events(the_log(tmp_path / "out")))
    assert sum(event.key == "eval_accuracy" for event in events) == 2

    write_model(download / facts.MODEL_FOLDER, made_weights(LlamaWeights(2, 32, 16, 96, 300, fused=True)))
    done = pitboard(*RUN, *words, "--output", tmp_path / "wrong")
    assert done.returncode == 2
    assert "it is not the model of this preset" in done.stderr
    assert "Traceback" not in done.stderr


def test_full_without_weights_says_how_to_get_them(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard(*RUN, "--output", tmp_path / "out")
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(
        "Error: The full preset reads the packed GovReport: give the folder with --set data=DIR"
    )
    assert "pitboard data llama2_70b_lora" in line
