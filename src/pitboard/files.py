"""Files, written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from pitboard.errors import PitboardError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, then a rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise PitboardError(f"Cannot write {path}: {error.strerror}.") from error
