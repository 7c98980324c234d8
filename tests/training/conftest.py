"""A small folder that passes for a download of the Llama 3.1 8B data."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from pitboard.training.benchmarks.llama31_8b import downloads
from pitboard.training.data.megatron import write_indexed_dataset


def write_sums(folder: Path, name: str) -> None:
    """Write a checksum file as MLCommons' downloader leaves it."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != name)
    lines = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  ./{path.name}\n" for path in files]
    (folder / name).write_text("".join(lines))


@pytest.fixture(scope="session")
def whole_download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 91,205 documents of 93 tokens: the true count, and enough tokens for 1,024 sequences of 8,192."""
    root = tmp_path_factory.mktemp("whole") / "llama31_8b"
    (root / "tokenizer").mkdir(parents=True)
    document = np.arange(93, dtype=np.uint8)
    write_indexed_dataset(root / downloads.VALIDATION.prefix, [document] * 91_205, np.uint8)
    write_indexed_dataset(root / downloads.TRAIN.prefix, [document] * 100, np.uint8)
    vocabulary = {f"t{number}": number for number in range(128_256)}
    Tokenizer(models.WordLevel(vocabulary, unk_token="t0")).save(str(root / "tokenizer" / "tokenizer.json"))
    (root / "tokenizer" / "tokenizer_config.json").write_text('{"model_max_length": 131072}')
    write_sums(root, "llama-3-1-8b-preprocessed-c4-dataset.md5")
    write_sums(root / "tokenizer", "llama-3-1-8b-tokenizer.md5")
    return root


@pytest.fixture
def download(whole_download: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(whole_download, tmp_path / "llama31_8b")
