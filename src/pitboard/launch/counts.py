"""The numbers of ranks that the same runs are made on, and the file that names them: `scale.json`.

Light to import: a login node need not have torch.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pitboard.errors import PitboardError
from pitboard.files import NO_JSON, read_plain, write_atomically

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


def read_counts(folder: Path) -> list[int]:
    """Return the numbers of ranks that a folder names.

    Raises `PitboardError` where it holds no such runs, or its file is damaged.
    """
    path = folder / COUNTS
    try:
        return parse_counts(",".join(msgspec.json.decode(read_plain(path, 1 << 20), type=list[str])))
    except FileNotFoundError as error:
        raise PitboardError(
            f"{folder} holds no runs on several numbers of ranks, as `--scale 1,2` makes them: there is no"
            f" {COUNTS}."
        ) from error
    except (OSError, *NO_JSON, PitboardError) as error:
        raise PitboardError(f"{path} is damaged ({error}); start in a new folder.") from error


def record_counts(folder: Path, counts: Sequence[int]) -> None:
    """Write the numbers of ranks; raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / COUNTS, msgspec.json.encode(list(map(str, counts))))
