"""The text that the smoke preset of `llama2_70b_lora` is tuned on: the help topics that Python carries.

`pydoc_data.topics` of the standard library (PSF licence) is what `help("if")` prints: prose and code, unlike
the base's text. As in the reference, a document is an instruction and its answer, the answer alone counts in
the evaluation, documents are joined, and cut into sequences.
"""

import re
from pathlib import Path

import numpy as np

from pitboard.training.data.embedded import BEGIN_OF_TEXT, END_OF_TEXT
from pitboard.training.data.packed import IGNORED, pack

# A document's answer: whole paragraphs of a topic, up to the first end of one after 300 characters.
_PART = re.compile(r".{300,1200}?\n\n|.{1,1200}", re.DOTALL)
_HELD_OUT_EVERY = 8


def documents() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (instruction, answer) pairs to train on and to evaluate; every eighth is held out."""
    from pydoc_data.topics import topics

    pairs = [
        (f"Explain {name}:\n", part.strip())
        for name, text in sorted(topics.items())
        for part in _PART.findall(text)
        if part.strip()
    ]
    held_out = pairs[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
    del pairs[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
    return pairs, held_out


def sequences(tokenizer_file: Path, length: int, *, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return packed tokens and labels, each (sequences, length); training predicts the instruction too."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    made = []
    for instruction, answer in documents()[held_out]:
        head = tokenizer.encode(BEGIN_OF_TEXT + instruction).ids
        tail = tokenizer.encode(answer + END_OF_TEXT).ids
        hidden = head if held_out else head[:1]
        labels = [IGNORED] * len(hidden) + (head + tail)[len(hidden) :]
        made.append((head + tail, labels))
    return pack(made, length)
