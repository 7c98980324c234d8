"""The output folder of `pitboard precision`: in it the output of a `pitboard run` for each format.

DIR/ladder.json        the formats in order, written when each has its plan
DIR/<format>/          as `training.output` says
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pitboard.errors import PitboardError
from pitboard.files import write_atomically
from pitboard.training.output import Output, Plan
from pitboard.training.settings import Precision

_ORDER = "ladder.json"


def record(folder: Path, precisions: Sequence[str]) -> None:
    """Write down which formats are raced, in order, once all their plans are written."""
    write_atomically(folder / _ORDER, msgspec.json.encode(precisions))


def is_recorded(folder: Path) -> bool:
    """Whether a ladder was begun in the folder."""
    return (folder / _ORDER).exists()


def recorded(folder: Path) -> Iterator[tuple[str, Output, Plan]]:
    """Yield each format with its output and plan. Raises `PitboardError` where there is none, or damage."""
    path = folder / _ORDER
    try:
        precisions = msgspec.json.decode(path.read_bytes(), type=list[Precision])
    except OSError as error:
        raise PitboardError(
            f"Nothing to resume in {folder}: it has no readable {_ORDER}, which `pitboard precision --output`"
            " writes."
        ) from error
    except msgspec.MsgspecError as error:
        raise PitboardError(f"{path} is damaged ({error}); start the ladder in a new folder.") from error
    for precision in precisions:
        output = Output(folder / precision)
        yield precision, output, output.plan()
