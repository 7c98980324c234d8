"""The data of Llama 3.1 405B: two equally weighted shards, `pitboard data`, and `full` from folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from pitboard.errors import PitboardError
from pitboard.events import read_events
from pitboard.training.benchmarks.llama31_8b.downloads import DatasetFacts
from pitboard.training.benchmarks.llama31_405b import downloads as facts
from pitboard.training.benchmarks.llama31_405b.python_text import load_texts, python_shards
from pitboard.training.data.llama_weights import LlamaWeights
from pitboard.training.data.megatron import IndexedDataset, write_indexed_dataset
from pitboard.training.data.verify import verify
from support import Command, the_log

SHAPES = {"model.embed_tokens.weight": (12, 4), "model.norm.weight": (4,)}


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole download of a small model, a few documents and a tokenizer."""
    root = tmp_path / "llama31_405b"
    for folder in (facts.TOKENIZER_FOLDER, facts.MODEL_FOLDER):
        (root / folder).mkdir(parents=True)
    document = np.arange(9, dtype=np.uint16)
    for shard in facts.TRAIN:
        write_indexed_dataset(root / shard.prefix, [document] * 4, np.uint16)
    write_indexed_dataset(root / facts.VALIDATION.prefix, [document] * 5, np.uint16)
    vocabulary = {f"t{number}": number for number in range(10)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="t0"))
    tokenizer.save(str(root / facts.TOKENIZER_FOLDER / "tokenizer.json"))
    (root / facts.TOKENIZER_FOLDER / "tokenizer_config.json").write_text("{}")
    weights = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    save_file(weights, root / facts.MODEL_FOLDER / "model.safetensors")
    known = DatasetFacts(facts.VALIDATION.prefix, documents=5, tokens=45, sequences=5)
    monkeypatch.setattr(facts, "VALIDATION", known)
    monkeypatch.setattr(facts, "SEQUENCE_LENGTH", 8)
    monkeypatch.setattr(facts, "TOKENIZER_VOCABULARY", 10)
    monkeypatch.setattr(LlamaWeights, "shapes", lambda _: SHAPES)
    return root


def test_verifying_finds_what_is_wrong(download: Path) -> None:
    def problems() -> dict[str, str]:
        return {r.file: r.detail for r in verify("llama31_405b", download) if r.status != "ok"}

    assert len(verify("llama31_405b", download)) == 9
    assert problems() == {}
    shard, validation = facts.TRAIN[1].prefix, facts.VALIDATION.prefix
    write_indexed_dataset(download / validation, [np.arange(9, dtype=np.uint16)] * 4 + [[1]], np.uint16)
    (download / f"{shard}.bin").unlink()
    save_file({"model.norm.weight": torch.zeros(4)}, download / facts.MODEL_FOLDER / "model.safetensors")
    found = problems()
    assert found.keys() == {f"{shard}.bin", f"{validation}.idx", f"{validation}.bin", facts.MODEL_FOLDER}
    assert found[f"{validation}.idx"].endswith("expected 45 tokens")
    assert "has no weight 'model.embed_tokens.weight'" in found[facts.MODEL_FOLDER]


def test_the_official_model_has_its_weights() -> None:
    assert sum(int(np.prod(shape)) for shape in facts.MODEL.shapes().values()) == 405_853_388_800
    # As many tokens as 5,760 sequences take, and less than one more.
    assert facts.VALIDATION.tokens is not None
    assert (facts.VALIDATION.tokens - 1) // facts.SEQUENCE_LENGTH == facts.VALIDATION.sequences


def test_the_command_says_what_to_download(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("data", "llama31_405b", "--path", tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "mixtral-8x22b-preprocessed-c4-dataset.uri" in done.stdout
    hub = "hf download meta-llama/Llama-3.1-405B --include '*.safetensors*' --local-dir"
    assert f"  {hub} {tmp_path}/model\n" in done.stdout
    assert done.stdout.count("  missing    ") == 9


def test_the_smoke_texts_are_two_and_half_of_the_validation_is_each(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, source = load_texts()
    assert 'The "if" statement' in topics
    assert "class ArgumentParser" in source
    made = python_shards(cache, 300)
    lengths = IndexedDataset(made.validation).sequence_lengths
    # The 64 sequences that are evaluated lie within it, whatever the tokens.
    assert lengths.sum() > 64 * 256
    first, second = lengths[::2].sum(), lengths[1::2].sum()
    assert 0.5 < first / second < 2
    assert python_shards(cache, 300) == made
    trained = [IndexedDataset(prefix).token_count for prefix in made.train]
    assert min(trained) > 64 * 8 // 2 * 256, "within the smoke run no document is read twice"
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(PitboardError, match=r"lacks them .*_pydecimal"):
        load_texts()


@pytest.mark.slow
def test_full_trains_from_a_folder_of_weights_and_two_shards(pitboard: Command, tmp_path: Path) -> None:
    """The preset `full` but for its sizes, in Megatron's files, from shards of safetensors."""
    document = np.arange(200, dtype=np.uint16)
    for prefix in (*facts.TRAIN, facts.VALIDATION):
        write_indexed_dataset(tmp_path / prefix.prefix, [document] * 9, np.uint16)
    layer = {"input_layernorm": (8,), "post_attention_layernorm": (8,), "self_attn.q_proj": (8, 8)}
    layer |= {"self_attn.k_proj": (4, 8), "self_attn.v_proj": (4, 8), "self_attn.o_proj": (8, 8)}
    layer |= {"mlp.gate_proj": (16, 8), "mlp.up_proj": (16, 8), "mlp.down_proj": (8, 16)}
    shapes = {f"model.layers.0.{name}.weight": shape for name, shape in layer.items()}
    shapes |= {"model.embed_tokens.weight": (400, 8), "lm_head.weight": (400, 8), "model.norm.weight": (8,)}
    weights = {name: torch.randn(shape).bfloat16() for name, shape in shapes.items()}
    names = sorted(weights)
    for number in (0, 1):
        save_file({name: weights[name] for name in names[number::2]}, tmp_path / f"m{number}.safetensors")
    files = {name: f"m{place % 2}.safetensors" for place, name in enumerate(names)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    sizes = {"layers": 1, "hidden_size": 8, "intermediate_size": 16, "attention_heads": 2}
    sizes |= {"key_value_heads": 1, "vocabulary_size": 300, "sequence_length": 32, "global_batch_size": 8}
    sizes |= {"evaluation_samples": 3, "evaluation_interval": 8, "evaluations_skipped": 0}
    sizes |= {"evaluations_skipped_per_batch_sample": 0, "max_samples": 16}
    words = [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    words += ["--set", f"data={tmp_path}", "--set", f"model={tmp_path}", "--set", "compile=false"]
    run = ["run", "llama31_405b", "--preset", "full", "--seed", "1"]
    done = pitboard(*run, *words, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    events = list(read_events(the_log(tmp_path / "out")))
    assert sum(event.key == "eval_accuracy" for event in events) == 2

    done = pitboard(*run, "--output", tmp_path / "none")
    assert done.returncode == 2
    assert "Error: The full preset reads the preprocessed C4: give the folder" in done.stderr
    done = pitboard(*run, *words, "--set", "hidden_size=16", "--output", tmp_path / "wrong")
    assert done.returncode == 2
    assert "it is not the model of this preset" in done.stderr
