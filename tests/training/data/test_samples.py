"""The order of samples: against an oracle that follows Megatron-core's description step by step."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitboard.errors import PitboardError
from pitboard.training.data import samples
from pitboard.training.data.megatron import IndexedDataset, write_indexed_dataset
from pitboard.training.data.samples import TokenSamples


@contextmanager
def corpus(lengths: list[int], first: int = 0) -> Iterator[tuple[IndexedDataset, list[list[int]]]]:
    """Yield a dataset whose tokens number its positions, so that each token says where it came from."""
    ends = np.cumsum(lengths)
    documents = [range(first + end - length, first + end) for length, end in zip(lengths, ends, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        write_indexed_dataset(Path(folder) / "c", map(list, documents), np.int32)
        yield IndexedDataset(Path(folder) / "c"), [list(document) for document in documents]


def read(token_samples: TokenSamples) -> list[list[int]]:
    return [token_samples[i].tolist() for i in range(len(token_samples))]


def oracle(documents: list[list[int]], length: int, count: int, seed: int) -> list[list[int]]:
    """Build the whole stream as a list: epochs, documents and samples one by one, no arithmetic on arrays."""
    per_epoch = sum(map(len, documents))
    epochs = 1
    while epochs * per_epoch < count * length + 1:
        epochs += 1
    before_final = ((epochs - 1) * per_epoch - 1) // length
    needed_of_final = count - before_final
    separate = epochs > 1 and needed_of_final < int(0.8 * ((per_epoch - 1) // length))
    random = np.random.RandomState(seed)
    order: list[int] = []
    for part in [epochs - 1, 1] if separate else [epochs]:
        drawn = list(range(len(documents))) * part
        random.shuffle(drawn)
        order += drawn
    stream = [token for document in order for token in documents[document]]
    cut = [stream[i : i + length + 1] for i in range(0, len(stream) - length, length)]
    shuffled: list[list[int]] = []
    for group in [cut[:before_final], cut[before_final:]] if separate else [cut]:
        places = list(range(len(group)))
        random.shuffle(places)
        shuffled += [group[place] for place in places]
    return shuffled


lengths = st.lists(st.integers(0, 12), min_size=1, max_size=12).filter(any)


@given(lengths, st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_training_follows_the_description(
    sizes: list[int], length: int, count: int, seed: int, chunk: int
) -> None:
    with corpus(sizes) as (dataset, documents), pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "_CHUNK", chunk)
        found = read(TokenSamples.training([dataset], length, count, seed))
        assert found == oracle(documents, length, count, seed)[:count]


@pytest.mark.parametrize(
    ("datasets", "count", "digest"),
    [
        (1, 300, "aeba6c8921044110c71964ed54fb4cbb123b23e528d84ce31e2ab7e65f37888b"),
        (3, 1000, "6c148cedaa5e44eb74e74766d9e46165f54f3333e19256a003c8b196a2ab57c9"),
    ],
)
def test_training_is_as_megatron_core_has_it(datasets: int, count: int, digest: str) -> None:
    """The digests are of what Megatron-core 0.16.1 reads: `GPTDataset`, seed 1234, equal weights."""
    with ExitStack() as stack:
        sizes = [7 * number % 23 for number in range(60)]
        opened = [stack.enter_context(corpus(sizes, first=1000 * number))[0] for number in range(datasets)]
        found = TokenSamples.training(opened, 8, count, 1234)
        assert hashlib.sha256(b"".join(sample.tobytes() for sample in found)).hexdigest() == digest


@given(st.lists(st.integers(1, 30), min_size=10, max_size=30), st.integers(1, 5), st.integers(0, 99))
def test_an_epoch_has_each_token_once(sizes: list[int], length: int, seed: int) -> None:
    with corpus(sizes) as (dataset, _):
        count = (dataset.token_count - 1) // length
        if count < 10:
            return
        found = read(TokenSamples.training([dataset], length, count, seed))
        inputs = [token for sample in found for token in sample[:-1]]
        assert len(set(inputs)) == len(inputs) == count * length > dataset.token_count - 1 - length


def test_samples_cross_document_borders() -> None:
    with corpus([3] * 20) as (dataset, _):
        for sample in read(TokenSamples.training([dataset], 10, 5, seed=1)):
            borders = [(a, b) for a, b in pairwise(sample) if b != a + 1]
            assert len(borders) >= 3
            assert all(a % 3 == 2 and b % 3 == 0 for a, b in borders)


def test_the_seed_decides_the_order() -> None:
    with corpus([7] * 50) as (dataset, _):
        first, again, other = (read(TokenSamples.training([dataset], 8, 30, seed)) for seed in (1, 1, 2))
        assert first == again != other


def test_datasets_are_blended_in_turn() -> None:
    with corpus([7] * 50) as (one, documents), corpus([7] * 50, first=1000) as (two, _):
        blended = read(TokenSamples.training([one, two], 8, 874, seed=3))
        assert [min(sample) >= 1000 for sample in blended] == [False, True] * 437
        # 437 samples of a dataset are just within ten epochs; 0.5 % more of them make it eleven.
        assert blended[::2] == oracle(documents, 8, 440, seed=3)[:437]


@given(lengths, st.integers(1, 9))
def test_validation_is_in_order(sizes: list[int], length: int) -> None:
    with corpus(sizes) as (dataset, _):
        count = (dataset.token_count - 1) // length
        found = read(TokenSamples.validation(dataset, length, count))
        assert found == [list(range(i * length, i * length + length + 1)) for i in range(count)]
        with pytest.raises(PitboardError, match=f"enough for {count} evaluation sequences of {length}, and"):
            TokenSamples.validation(dataset, length, count + 1)


def test_a_token_outside_the_vocabulary_is_refused() -> None:
    with corpus([20]) as (dataset, _):
        validation = TokenSamples.validation(dataset, 4, 4, vocabulary_size=16)
        assert validation[2].tolist() == [8, 9, 10, 11, 12]
        with pytest.raises(PitboardError, match=r"c\.bin, sample 3: token 16 is outside .* of 16"):
            validation[3]


def test_only_its_samples_can_be_read() -> None:
    with corpus([20]) as (dataset, _):
        validation = TokenSamples.validation(dataset, 4, 3)
        for outside in (-1, 3):
            with pytest.raises(IndexError):
                validation[outside]
        assert len(list(validation)) == len(validation) == 3


def test_tokens_must_be_integers(tmp_path: Path) -> None:
    write_indexed_dataset(tmp_path / "a", [[1.0, 2.0, 3.0]], np.float32)
    dataset = IndexedDataset(tmp_path / "a")
    with pytest.raises(PitboardError, match=r"a\.idx says that the tokens are float32, expected integers"):
        TokenSamples.validation(dataset, 1, 1)
    with pytest.raises(PitboardError, match="float32"):
        TokenSamples.training([dataset], 1, 1, seed=0)


def test_an_empty_dataset_cannot_be_trained_on(tmp_path: Path) -> None:
    write_indexed_dataset(tmp_path / "a", [[], []], np.int32)
    with pytest.raises(PitboardError, match=r"a\.bin holds no tokens"):
        TokenSamples.training([IndexedDataset(tmp_path / "a")], 4, 1, seed=0)


def test_a_large_order_is_built_once_and_mapped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built = []
    shuffled = samples._shuffled

    def building(*given: Any) -> Any:
        built.append(given)
        return shuffled(*given)

    monkeypatch.setattr(samples, "_CACHED_FROM", 1)
    monkeypatch.setattr(samples, "_shuffled", building)
    with corpus([3, 9, 0, 5, 8]) as (dataset, documents):
        expected = oracle(documents, 4, 20, seed=7)[:20]
        orders = [TokenSamples.training([dataset], 4, 20, 7, cache=tmp_path) for _ in range(2)]
        assert [read(order) for order in orders] == [expected, expected]
        assert len(built) == 1
        assert isinstance(orders[0]._orders[0].documents, np.memmap)
        # Each thing that an order depends on makes another; a cut file is written again.
        TokenSamples.training([dataset], 4, 20, 8, cache=tmp_path)
        TokenSamples.training([dataset], 5, 20, 7, cache=tmp_path)
        assert len(built) == 3
        for file in tmp_path.glob("*/shuffle.npy"):
            file.write_bytes(file.read_bytes()[:-1])
        assert read(TokenSamples.training([dataset], 4, 20, 7, cache=tmp_path)) == expected
        os.utime(dataset.index_path, ns=(1, 1))
        TokenSamples.training([dataset], 4, 20, 7, cache=tmp_path)
        assert len(built) == 5
