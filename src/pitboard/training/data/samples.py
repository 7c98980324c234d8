"""The order in which tokens are trained on and evaluated on, as Megatron-core's GPTDataset has it.

Documents are laid end to end in a shuffled order, over as many epochs as the samples need. Sample `i` of that
stream is its tokens from `i * sequence_length` on, one more than `sequence_length` of them, so that inputs
and next-token labels both have that length; it crosses the borders of documents. The samples are shuffled
too. All epochs are shuffled together; only a final epoch of which less than 80 % is needed is shuffled by
itself, so that its documents do not displace others. Both shuffles draw, in this order, from one
`numpy.random.RandomState(seed)`, whose stream numpy keeps from release to release.
Described in Megatron-LM's `megatron/core/datasets/readme.md`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from pitboard.errors import PitboardError
from pitboard.training.data.cached import cached
from pitboard.training.data.megatron import IndexedDataset

_FINAL_EPOCH_THRESHOLD = 0.80
_BLEND_SURPLUS = 1.005
# Bounds what building holds in memory beside its result: 4 Mi documents.
_CHUNK = 1 << 22

# Below, building takes a fraction of a second.
_CACHED_FROM = 1 << 20
_ORDER_VERSION = 1
_ARRAYS = ("documents", "start_positions", "start_offsets", "shuffle")

Samples = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Order:
    """One dataset's samples: which documents follow each other, and where each sample starts among them."""

    dataset: IndexedDataset
    documents: npt.NDArray[np.int32]
    start_positions: npt.NDArray[np.int64]
    start_offsets: npt.NDArray[np.int32]
    shuffle: npt.NDArray[np.uint32] | None = None

    def read(self, sample: int, token_count: int) -> Samples:
        if self.shuffle is not None:
            sample = int(self.shuffle[sample])
        position, offset = int(self.start_positions[sample]), int(self.start_offsets[sample])
        tokens = np.empty(token_count, dtype=np.int64)
        filled = 0
        while filled < token_count:
            part = self.dataset.tokens(int(self.documents[position]), offset, token_count - filled)
            tokens[filled : filled + len(part)] = part
            filled += len(part)
            position, offset = position + 1, 0
        return tokens


class TokenSamples:
    """A sequence of samples, each an int64 array of `sequence_length + 1` tokens, read when asked for."""

    def __init__(
        self, orders: Sequence[_Order], sequence_length: int, sample_count: int, vocabulary_size: int | None
    ) -> None:
        self._orders = orders
        self._token_count = sequence_length + 1
        self._sample_count = sample_count
        self._vocabulary_size = vocabulary_size

    @classmethod
    def training(
        cls,
        datasets: Sequence[IndexedDataset],
        sequence_length: int,
        sample_count: int,
        seed: int,
        vocabulary_size: int | None = None,
        cache: Path | None = None,
    ) -> Self:
        """Shuffle the datasets' documents and samples, and blend the datasets with equal weights.

        Equal weights are what the Llama 3.1 8B reference has for its eight shards; Megatron-core then takes a
        sample from each dataset in turn, and for more than one prepares 0.5 % beyond what it needs. The order
        is Megatron-core 0.16.1's, sample by sample. `seed` is 0 to 2**32 - 1.

        With `vocabulary_size`, reading a sample checks its tokens. With `cache`, a folder, an order of more
        than a million documents is written there once and mapped into memory by every rank and later run.
        Raises `PitboardError` if a dataset holds no tokens, or tokens that are not integers.
        """
        needed = ceil(sample_count / len(datasets))
        if len(datasets) > 1:
            needed = ceil(needed * _BLEND_SURPLUS)
        orders = [_order(_integers(dataset), sequence_length, needed, seed, cache) for dataset in datasets]
        return cls(orders, sequence_length, sample_count, vocabulary_size)

    @classmethod
    def validation(
        cls,
        dataset: IndexedDataset,
        sequence_length: int,
        sample_count: int,
        vocabulary_size: int | None = None,
    ) -> Self:
        """Take the first `sample_count` sequences as they stand; the reference does not shuffle evaluation.

        Raises `PitboardError` if the dataset holds fewer, or tokens that are not integers.
        """
        available = max(_integers(dataset).token_count - 1, 0) // sequence_length
        if available < sample_count:
            raise PitboardError(
                f"{dataset.data_path} holds {dataset.token_count} tokens, enough for {available} evaluation"
                f" sequences of {sequence_length}, and {sample_count} are asked for."
                " Ask for fewer evaluation samples or use the full validation set."
            )
        documents = np.arange(len(dataset.sequence_lengths), dtype=np.int32)
        starts = _sample_starts(dataset.sequence_lengths, documents, sequence_length, sample_count)
        return cls([_Order(dataset, documents, *starts)], sequence_length, sample_count, vocabulary_size)

    def __len__(self) -> int:
        return self._sample_count

    def __iter__(self) -> Iterator[Samples]:
        return (self[sample] for sample in range(len(self)))

    def __getitem__(self, sample: int) -> Samples:
        if not 0 <= sample < self._sample_count:
            raise IndexError(f"sample {sample} of {self._sample_count}")
        order = self._orders[sample % len(self._orders)]
        tokens = order.read(sample // len(self._orders), self._token_count)
        if self._vocabulary_size is not None:
            check_vocabulary(tokens, self._vocabulary_size, f"{order.dataset.data_path}, sample {sample}")
        return tokens


def check_vocabulary(tokens: Samples, vocabulary_size: int, where: str) -> None:
    """Raise `PitboardError` if a token is not in 0 to `vocabulary_size - 1`; `where` starts the sentence."""
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocabulary_size:
        raise PitboardError(
            f"{where}: token {low if low < 0 else high} is outside the model's vocabulary of"
            f" {vocabulary_size}. Use the dataset that was preprocessed with the model's own tokenizer."
        )


def _integers(dataset: IndexedDataset) -> IndexedDataset:
    if dataset.dtype.kind not in "iu":
        raise PitboardError(
            f"{dataset.index_path} says that the tokens are {dataset.dtype.name}, expected integers."
            " Preprocess the text again with its tokenizer."
        )
    return dataset


def _order(
    dataset: IndexedDataset, sequence_length: int, sample_count: int, seed: int, cache: Path | None
) -> _Order:
    """Return the order of a dataset's samples: mapped from the cache if it is large, else in memory."""
    if dataset.token_count == 0:
        raise PitboardError(f"{dataset.data_path} holds no tokens. Download or preprocess the dataset again.")
    epochs = -(-(sample_count * sequence_length + 1) // dataset.token_count)
    if cache is None or epochs * len(dataset.sequence_lengths) < _CACHED_FROM:
        return _shuffled(dataset, sequence_length, sample_count, epochs, seed)
    index = dataset.index_path.resolve()
    state = index.stat()
    facts = _ORDER_VERSION, str(index), state.st_size, state.st_mtime_ns, sequence_length, sample_count, seed

    def build(folder: Path) -> None:
        order = _shuffled(dataset, sequence_length, sample_count, epochs, seed)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(order, name), allow_pickle=False)

    name = f"order-{hashlib.sha256(repr(facts).encode()).hexdigest()[:20]}"
    folder = cached(cache / name, build, large=True)
    return _Order(
        dataset, *(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS)
    )


def _shuffled(
    dataset: IndexedDataset, sequence_length: int, sample_count: int, epochs: int, seed: int
) -> _Order:
    total = (epochs * dataset.token_count - 1) // sequence_length
    before_final = ((epochs - 1) * dataset.token_count - 1) // sequence_length
    per_epoch = (dataset.token_count - 1) // sequence_length
    separate = epochs > 1 and sample_count - before_final < int(_FINAL_EPOCH_THRESHOLD * per_epoch)

    random = np.random.RandomState(seed)
    documents = _repeat_shuffled(len(dataset.sequence_lengths), epochs, separate, random)
    # The mapped lengths are not aligned in the file; gathering from them would copy all of them each time.
    starts = _sample_starts(dataset.sequence_lengths.copy(), documents, sequence_length, total)
    shuffle = np.arange(total, dtype=np.uint32)
    border = before_final if separate else total
    random.shuffle(shuffle[:border])
    if border < total:
        random.shuffle(shuffle[border:])
    return _Order(dataset, documents, *starts, shuffle)


def _repeat_shuffled(
    count: int, epochs: int, separate: bool, random: np.random.RandomState
) -> npt.NDArray[np.int32]:
    documents = np.tile(np.arange(count, dtype=np.int32), epochs)
    border = (epochs - 1) * count if separate else epochs * count
    random.shuffle(documents[:border])
    if separate:
        random.shuffle(documents[border:])
    return documents


def _sample_starts(
    lengths: npt.NDArray[np.int32],
    documents: npt.NDArray[np.int32],
    sequence_length: int,
    sample_count: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return where each sample starts: the position in `documents`, and the token within that document."""
    positions = np.empty(sample_count, dtype=np.int64)
    offsets = np.empty(sample_count, dtype=np.int32)
    done = tokens = 0
    for begin in range(0, len(documents), _CHUNK):
        sizes = lengths[documents[begin : begin + _CHUNK]]
        ends = tokens + np.cumsum(sizes, dtype=np.int64)
        tokens = int(ends[-1])
        stop = min(sample_count, -(-tokens // sequence_length))
        starts = np.arange(done, stop, dtype=np.int64) * sequence_length
        found = np.searchsorted(ends, starts, side="right")
        positions[done:stop] = begin + found
        offsets[done:stop] = starts - (ends[found] - sizes[found])
        done = stop
        if done == sample_count:
            break
    return positions, offsets
