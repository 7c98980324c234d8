"""Hold downloaded data against what is known about it: presence, structure, counts, checksums, tokenizer."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pitboard.errors import PitboardError
from pitboard.training.data import llama31_8b
from pitboard.training.data.llama31_8b import DatasetFacts
from pitboard.training.data.megatron import DatasetIndex, IndexedDataset
from pitboard.training.data.samples import TokenSamples

Status = Literal["ok", "missing", "wrong", "unchecked"]
Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes read of it so far, and its size."""

_SUMS = re.compile(r".*\.(md5|sha256)|(md5|sha256)sums?(\.txt)?", re.IGNORECASE)
_SUM_LINE = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.+?)\s*")
_SUMS_SIZE = 1 << 20
_BLOCK = 1 << 24


@dataclass(frozen=True)
class FileReport:
    """What verifying found for one file, named relative to the root; `detail` says it in words."""

    file: str
    status: Status
    detail: str


def verify(root: Path, *, checksums: bool = True, progress: Progress | None = None) -> list[FileReport]:
    """Verify the data of the Llama 3.1 8B benchmark under `root`, one report a file.

    The index of each dataset is read in full and its counts held against the known ones; the `.bin` must have
    the size that follows; the sequences that must be there are read, and their tokens must be in the
    vocabulary; the tokenizer must have as many tokens as the model. With `checksums`, each file that a
    checksum file beside it lists (`*.md5`, `*.sha256`, `md5sums.txt`, …) is read and compared. A file is
    "unchecked" where another one that is missing or wrong leaves nothing to hold it against.

    Raises `PitboardError` if `root` is not a folder or cannot be searched; what is wrong with a file is
    reported, not raised.
    """
    if root.exists() and not root.is_dir():
        raise PitboardError(f"{root} is not a folder. Give the folder that the data was downloaded to.")
    try:
        return _reports(root, checksums, progress)
    except OSError as error:
        raise PitboardError(f"Cannot read {error.filename or root}: {error.strerror}.") from error


def _reports(root: Path, checksums: bool, progress: Progress | None) -> list[FileReport]:
    reports = [
        *_dataset(root, llama31_8b.TRAIN),
        *_dataset(root, llama31_8b.VALIDATION),
        *_tokenizer(root),
    ]
    if not checksums:
        return reports
    return [checked(root, report, progress) if report.status == "ok" else report for report in reports]


def _dataset(root: Path, facts: DatasetFacts) -> Iterator[FileReport]:
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
    if not data_path.is_file():
        yield FileReport(data_name, "missing", f"expected in {root}")
    elif index is None:
        yield FileReport(data_name, "unchecked", "cannot be judged without its index")
    else:
        yield _tokens(data_name, root / facts.prefix, facts)


def _counted(name: str, index: DatasetIndex, facts: DatasetFacts) -> FileReport:
    counts = f"{index.document_count:,} documents, {index.token_count:,} tokens of {index.dtype.name}"
    if facts.documents is not None and index.document_count != facts.documents:
        return FileReport(name, "wrong", f"{counts}; expected {facts.documents:,} documents")
    return FileReport(name, "ok", counts)


def _tokens(name: str, prefix: Path, facts: DatasetFacts) -> FileReport:
    """Open the data and read the sequences that must be there, each checked against the vocabulary."""
    try:
        dataset = IndexedDataset(prefix)
        samples = TokenSamples.validation(
            dataset, llama31_8b.SEQUENCE_LENGTH, facts.sequences, llama31_8b.VOCABULARY_SIZE
        )
        for sample in range(len(samples)):
            samples[sample]
    except PitboardError as error:
        return FileReport(name, "wrong", str(error))
    return FileReport(name, "ok", f"{dataset.data_path.stat().st_size:,} bytes, as the index says")


def _tokenizer(root: Path) -> Iterator[FileReport]:
    for name, judge in (("tokenizer.json", _vocabulary), ("tokenizer_config.json", _settings)):
        file = f"{llama31_8b.TOKENIZER_FOLDER}/{name}"
        path = root / file
        if path.is_file():
            yield FileReport(file, *judge(path))
        else:
            yield FileReport(file, "missing", f"expected in {root}")


def _vocabulary(path: Path) -> tuple[Status, str]:
    from tokenizers import Tokenizer

    try:
        size = Tokenizer.from_file(str(path)).get_vocab_size()
    except Exception as error:  # `tokenizers` raises nothing narrower
        return "wrong", f"cannot be loaded: {error}"
    expected = llama31_8b.VOCABULARY_SIZE
    if size != expected:
        return "wrong", f"has {size:,} tokens, expected {expected:,}; take the tokenizer of Llama 3.1 8B"
    return "ok", f"{size:,} tokens"


def _settings(path: Path) -> tuple[Status, str]:
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return "wrong", f"cannot be read as JSON: {error}"
    if not isinstance(settings, dict):
        return "wrong", "holds no JSON object"
    return "ok", "a JSON object"


def checked(root: Path, report: FileReport, progress: Progress | None) -> FileReport:
    """Hold a file that is "ok" so far against a checksum listed beside it or in the root, if there is one."""
    path = root / report.file
    listed = _listed_sum(root, path)
    if listed is None:
        return replace(report, detail=f"{report.detail}; no checksum listed")
    source, expected = listed
    algorithm = "md5" if len(expected) == 32 else "sha256"
    try:
        found = _digest(path, algorithm, lambda done, size: progress and progress(report.file, done, size))
    except OSError as error:
        return replace(report, status="wrong", detail=f"cannot be read: {error.strerror}")
    if found != expected:
        what = f"has {algorithm.upper()} {found}, expected {expected} from {source}; download it again"
        return replace(report, status="wrong", detail=what)
    return replace(report, detail=f"{report.detail}; {algorithm.upper()} matches {source}")


def _listed_sum(root: Path, path: Path) -> tuple[str, str] | None:
    """Find a file's checksum beside it or in the root: the list's name, and the sum in lower case."""
    for folder in dict.fromkeys((path.parent, root)):
        name = path.relative_to(folder).as_posix()
        for sums in sorted(folder.iterdir()):
            if _SUMS.fullmatch(sums.name) and sums.is_file() and sums.stat().st_size <= _SUMS_SIZE:
                for line in sums.read_text(errors="replace").splitlines():
                    match = _SUM_LINE.fullmatch(line)
                    if match and match[2] == name:
                        return sums.name, match[1].lower()
    return None


def _digest(path: Path, algorithm: str, progress: Callable[[int, int], object]) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size, done = path.stat().st_size, 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress(done, size)
    return digest.hexdigest()
