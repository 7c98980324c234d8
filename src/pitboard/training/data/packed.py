"""Documents packed into sequences of one length, with where each document begins."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pitboard.errors import PitboardError

IGNORED = -100
"""The label of a token that is not predicted, as PyTorch's cross-entropy takes it."""


def first_tokens(tokens: Tensor, begin_token: int) -> Tensor:
    """Return for each token of a sequence (length,) the index of the first token of its document.

    A document begins at a `begin_token`; what precedes the first one is the end of a document that began in
    an earlier sequence.
    """
    place = torch.arange(len(tokens))
    return torch.where(tokens == begin_token, place, 0).cummax(0).values


class Packed(Dataset[dict[str, Tensor]]):
    """Sequences `tokens`, `labels` and `first`, each (length,), in the order of a seed, epoch after epoch.

    Label i is token i, or `IGNORED`. Without a seed the order is that of the arrays.
    """

    def __init__(
        self, tokens: np.ndarray, labels: np.ndarray, begin_token: int, seed: int | None = None
    ) -> None:
        self._tokens = tokens
        self._labels = labels
        self._begin_token = begin_token
        self._seed = seed
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        epoch, place = divmod(index, len(self._tokens))
        row = place if self._seed is None else int(self._epoch(self._seed, epoch)[place])
        tokens = torch.from_numpy(self._tokens[row].astype(np.int64))
        labels = torch.from_numpy(self._labels[row].astype(np.int64))
        return {"tokens": tokens, "labels": labels, "first": first_tokens(tokens, self._begin_token)}

    def _epoch(self, seed: int, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((seed, epoch)).permutation(len(self._tokens))
        return self._order[1]


def pack(documents: Sequence[tuple[list[int], list[int]]], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Join documents (tokens, labels) and cut them every `length` tokens, as the reference does.

    Returns tokens and labels, each (sequences, length); what does not fill the last sequence is left out.
    """
    tokens = np.array([token for document in documents for token in document[0]], dtype=np.int32)
    labels = np.array([label for document in documents for label in document[1]], dtype=np.int32)
    whole = len(tokens) // length * length
    return tokens[:whole].reshape(-1, length), labels[:whole].reshape(-1, length)


def read_parquet(files: Sequence[Path], length: int, vocabulary_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the packed GovReport's parquet files: columns `input_ids` and `labels`, lists of `length` tokens.

    Raises `PitboardError` for a file that cannot be read, lacks a column, or holds a sequence of another
    length or a token outside the vocabulary.
    """
    columns = [_columns(path, length) for path in files]
    tokens = np.concatenate([c[0] for c in columns])
    labels = np.concatenate([c[1] for c in columns])
    for what, values, least in (("token", tokens, 0), ("label", labels, IGNORED)):
        if values.min() < least or values.max() >= vocabulary_size:
            raise PitboardError(
                f"{files[0].parent} holds a {what} outside the vocabulary of {vocabulary_size}:"
                " the data belongs to another tokenizer; download it again."
            )
    return tokens, labels


def _columns(path: Path, length: int) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["input_ids", "labels"])
        found = []
        for name in ("input_ids", "labels"):
            column = table[name].combine_chunks()
            lengths = set(column.value_lengths().unique().to_pylist())
            if lengths != {length}:
                raise PitboardError(
                    f"{path}: '{name}' holds sequences of {sorted(lengths, key=str)[:3]} tokens, expected"
                    f" {length}; give the GovReport that is packed to that length."
                )
            found.append(column.flatten().to_numpy().astype(np.int32).reshape(-1, length))
    except (OSError, pyarrow.ArrowException, KeyError, AttributeError) as error:
        raise PitboardError(
            f"{path} cannot be read as the packed GovReport ({str(error).splitlines()[0]}); expected Parquet"
            " with the list columns 'input_ids' and 'labels'. Download it again."
        ) from error
    return found[0], found[1]
