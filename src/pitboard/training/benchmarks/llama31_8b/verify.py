"""Check the tokenised C4 and the tokenizer of Llama 3.1 8B against what is known about them."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.llama31_8b.downloads import (
    SEQUENCE_LENGTH,
    TOKENIZER_FOLDER,
    TRAIN,
    VALIDATION,
    VOCABULARY_SIZE,
    DatasetFacts,
)
from pitboard.training.data.megatron import DatasetIndex, IndexedDataset
from pitboard.training.data.samples import TokenSamples
from pitboard.training.data.verify import FileReport, Status, checked_report


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for each file of the benchmark's data under `root`.

    The index of each dataset is read in full and its counts compared with the known ones; the `.bin` must
    have the size that follows; the sequences that must be there are read, and their tokens must be in the
    vocabulary; the tokenizer must have as many tokens as the model.
    """
    for facts in (TRAIN, VALIDATION):
        yield from dataset_reports(root, facts, SEQUENCE_LENGTH, VOCABULARY_SIZE)
    yield from tokenizer_reports(root / TOKENIZER_FOLDER, VOCABULARY_SIZE, "Llama 3.1 8B")


def dataset_reports(
    root: Path, facts: DatasetFacts, sequence_length: int, vocabulary_size: int
) -> Iterator[FileReport]:
    """Yield a report for the index and one for the tokens of a dataset under `root`."""
    index_name, data_name = f"{facts.prefix}.idx", f"{facts.prefix}.bin"
    index_path, data_path = root / index_name, root / data_name
    index: DatasetIndex | None = None
    if not index_path.is_file():
        yield FileReport(index_name, "missing", f"expected in {root}")
    else:
        try:
            index = DatasetIndex(index_path)
        except PitboardError as error:
            yield FileReport(index_name, "wrong", str(error))
        else:
            yield _counted(index_name, index, facts)
    if data_path.is_file() and index is None:
        yield FileReport(data_name, "unchecked", "cannot be judged without its index")
    else:
        of = root / facts.prefix, facts.sequences, sequence_length, vocabulary_size
        yield checked_report(root, data_name, partial(_tokens, *of))


def _counted(name: str, index: DatasetIndex, facts: DatasetFacts) -> FileReport:
    counts = f"{index.document_count:,} documents, {index.token_count:,} tokens of {index.dtype.name}"
    if facts.documents is not None and index.document_count != facts.documents:
        return FileReport(name, "wrong", f"{counts}; expected {facts.documents:,} documents")
    if facts.tokens is not None and index.token_count != facts.tokens:
        return FileReport(name, "wrong", f"{counts}; expected {facts.tokens:,} tokens")
    return FileReport(name, "ok", counts)


def _tokens(prefix: Path, sequences: int, sequence_length: int, vocabulary_size: int) -> str:
    """Open the data and read the sequences that must be there, each checked against the vocabulary."""
    dataset = IndexedDataset(prefix)
    samples = TokenSamples.validation(dataset, sequence_length, sequences, vocabulary_size)
    for sample in range(len(samples)):
        samples[sample]
    return f"{dataset.data_path.stat().st_size:,} bytes, as the index says"


def tokenizer_reports(folder: Path, vocabulary_size: int, model: str) -> Iterator[FileReport]:
    """Yield a report for each file of a tokenizer, which must have so many tokens; `model` is whose it is."""
    judges = {
        "tokenizer.json": lambda path: _vocabulary(path, vocabulary_size, model),
        "tokenizer_config.json": _settings,
    }
    for name, judge in judges.items():
        path, file = folder / name, f"{folder.name}/{name}"
        if path.is_file():
            yield FileReport(file, *judge(path))
        else:
            yield FileReport(file, "missing", f"expected in {folder.parent}")


def _vocabulary(path: Path, expected: int, model: str) -> tuple[Status, str]:
    from tokenizers import Tokenizer

    try:
        size = Tokenizer.from_file(str(path)).get_vocab_size()
    except Exception as error:  # `tokenizers` raises nothing narrower
        return "wrong", f"cannot be loaded: {error}"
    if size != expected:
        return "wrong", f"has {size:,} tokens, expected {expected:,}; take the tokenizer of {model}"
    return "ok", f"{size:,} tokens"


def _settings(path: Path) -> tuple[Status, str]:
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return "wrong", f"cannot be read as JSON: {error}"
    if not isinstance(settings, dict):
        return "wrong", "holds no JSON object"
    return "ok", "a JSON object"
