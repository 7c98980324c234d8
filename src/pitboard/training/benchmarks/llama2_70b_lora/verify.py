"""Check the packed GovReport and the weights of Llama 2 70B against what is known about them."""

from collections.abc import Iterator
from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.llama2_70b_lora import downloads as facts
from pitboard.training.data.packed import read_parquet
from pitboard.training.data.safetensors_folder import model_reports
from pitboard.training.data.verify import FileReport


def reports(root: Path) -> Iterator[FileReport]:
    """Yield a report for each file of the benchmark's data and base model under `root`.

    Each split is read in full: its sequences must be as many as the rules say, of 8,192 tokens, all in the
    vocabulary. Of the model, every weight must be there and have its shape.
    """
    for split in facts.SEQUENCES:
        yield from _split(root, split)
    yield from model_reports(root, facts.MODEL_FOLDER, facts.MODEL.shapes())


def _split(root: Path, split: str) -> Iterator[FileReport]:
    expected = facts.SEQUENCES[split]
    try:
        files = facts.parquet_files(root / facts.DATA_FOLDER, split)
    except PitboardError:
        name = f"{facts.DATA_FOLDER}/{split}*.parquet"
        yield FileReport(name, "missing", f"expected in {root}")
        return
    names = [path.relative_to(root).as_posix() for path in files]
    try:
        counts = [
            len(read_parquet([path], facts.SEQUENCE_LENGTH, facts.MODEL.vocabulary)[0]) for path in files
        ]
    except PitboardError as error:
        yield from (FileReport(name, "wrong", str(error)) for name in names)
        return
    total = sum(counts)
    for name, count in zip(names, counts, strict=True):
        if total == expected:
            yield FileReport(name, "ok", f"{count:,} of {expected:,} sequences")
        else:
            yield FileReport(name, "wrong", f"the split has {total:,} sequences; expected {expected:,}")
