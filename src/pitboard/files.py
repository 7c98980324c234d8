"""Files, written whole or not at all; and small ones of a stranger's tree."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pitboard.errors import PitboardError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, then a rename."""
    # Of another node's process with the same number, too, where the file system is shared.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise PitboardError(f"Cannot write {path}: {error.strerror}.") from error


def read_small(path: Path, most: int) -> str | None:
    """Read a text of at most `most` bytes out of a stranger's tree; bytes that are not UTF-8 are replaced.

    `None` for whatever else is there: a link, which may lead out, a pipe, which would be waited for, nothing.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > most:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
