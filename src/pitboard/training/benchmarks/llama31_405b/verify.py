"""Check the tokenised C4, the tokenizer and the weights of Llama 3.1 405B against what is known of them."""

from collections.abc import Iterator
from pathlib import Path

from pitboard.training.benchmarks.llama31_8b.verify import dataset_reports, tokenizer_reports
from pitboard.training.benchmarks.llama31_405b import downloads as facts
from pitboard.training.data.safetensors_folder import model_reports
from pitboard.training.data.verify import FileReport


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for each file of the benchmark's data and weights under `root`.

    The datasets and the tokenizer are checked as those of Llama 3.1 8B, the validation set's tokens counted
    too. Of the weights, each must be there and have its shape.
    """
    for dataset in (*facts.TRAIN, facts.VALIDATION):
        yield from dataset_reports(root, dataset, facts.SEQUENCE_LENGTH, facts.TOKENIZER_VOCABULARY)
    yield from tokenizer_reports(
        root / facts.TOKENIZER_FOLDER, facts.TOKENIZER_VOCABULARY, "Mixtral 8x22B (v0.1)"
    )
    yield from model_reports(root, facts.MODEL_FOLDER, facts.MODEL.shapes())
