"""What the smoke preset of `llama31_405b` continues on: two texts that every Python carries, a shard each.

The help topics of `pydoc_data.topics` (what `help("if")` prints) and the source of modules of the standard
library, both under the PSF licence, both unlike the base's text and unlike each other. Half of the validation
set is from each, so that a run that leaves out a shard is found out.
"""

import hashlib
import sysconfig
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.training.data import embedded
from pitboard.training.data.cached import cache_key, cached

# Large ones that change little from one Python to the next: 0.7 million characters.
_MODULES = ("_pydecimal", "argparse", "datetime", "inspect", "tarfile", "turtle")
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class PythonShards:
    """The tokenised texts: prefixes of Megatron datasets, two to train on and one to evaluate."""

    train: tuple[Path, Path]
    validation: Path


def python_shards(cache: Path, vocabulary_size: int) -> PythonShards:
    """Return the two texts as Megatron datasets, in the tokens of the embedded text.

    They are built in `cache` unless they are there. Raises `PitboardError` if a text is missing, or the cache
    cannot be written.
    """
    texts = load_texts()
    facts = embedded.key(vocabulary_size), *(hashlib.sha256(t.encode()).hexdigest() for t in texts)
    key = cache_key(*facts, _FORMAT_VERSION)
    folder = cached(cache / f"python-{key}", partial(_build, texts, cache, vocabulary_size))
    return PythonShards((folder / "topics", folder / "source"), folder / "validation")


def load_texts() -> tuple[str, str]:
    """Return the help topics, and the source of the modules. Raises `PitboardError` if one is missing."""
    library = Path(sysconfig.get_path("stdlib"))
    try:
        from pydoc_data.topics import topics

        source = "\n".join((library / f"{name}.py").read_text("utf-8") for name in _MODULES)
    except (ImportError, OSError) as error:
        raise PitboardError(
            f"The smoke preset trains on the help topics and the source that Python carries, and {library}"
            f" lacks them ({error}). Install the whole standard library."
        ) from error
    return "\n".join(topics[name] for name in sorted(topics)), source


def _build(texts: tuple[str, str], cache: Path, vocabulary_size: int, folder: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(embedded.smoke_dataset(cache, vocabulary_size).tokenizer))
    held_out = []
    for name, text in zip(("topics", "source"), texts, strict=True):
        train, validation = embedded.split_documents(text)
        embedded.write_documents(folder / name, train, tokenizer)
        held_out.append(validation)
    # In turn, so that the first sequences, which are evaluated, hold as many documents of each.
    alternating = list(chain.from_iterable(zip(*held_out, strict=False)))
    embedded.write_documents(folder / "validation", alternating, tokenizer)
