"""The numbers of ranks that the same runs are made on, and the file that names them: `scale.json`.

Light to import: a login node need not have torch.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pitboard.errors import PitboardError
from pitboard.files import write_atomically

COUNTS = "scale.json"
"""What the file is called in the folder that has one folder of each number's runs."""


def parse_counts(text: str) -> list[int]:
    """Return the numbers that `--scale 1,2,4` names, the fewest first.

    Raises `PitboardError` for anything but different whole numbers above 0.
    """
    words = [word.strip() for word in text.split(",")]
    counts = sorted({int(word) for word in words if word.isascii() and word.isdecimal() and len(word) < 7})
    if len(counts) != len(words) or counts[0] < 1:
        raise PitboardError(
            f"--scale {text:.60}: expected numbers of ranks or nodes such as 1,2,4, each once."
        )
    return counts


def is_scale(folder: Path) -> bool:
    """Whether a folder holds the runs on several numbers of ranks."""
    return (folder / COUNTS).is_file()


def require_no_scale(folder: Path) -> None:
    """Raise `PitboardError` where a folder holds such runs already."""
    if is_scale(folder):
        raise PitboardError(
            f"The output folder {folder} holds an earlier --scale: continue that with `pitboard run"
            f" --resume {shlex.quote(str(folder))}`, or choose another folder with --output."
        )


def record_counts(folder: Path, counts: Sequence[int]) -> None:
    """Write the numbers of ranks; raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / COUNTS, msgspec.json.encode(list(map(str, counts))))
