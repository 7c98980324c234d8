"""The bytes of a log, plain or compressed, a bounded piece at a time."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pitboard.errors import PitboardError
from pitboard.files import open_plain

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 1 << 20
MAX_LOG_BYTES = 4 << 30
"""How much text one log may hold once unpacked; the largest of a published round holds 2.4 MB."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class DamagedSourceError(Exception):
    """The bytes cannot be read to their end; what came before is good."""


def read_pieces(path: Path) -> Iterator[bytes]:
    """Yield a log's bytes in pieces of at most `PIECE`, unpacked if gzip or zstd (told by their content).

    Raises `PitboardError` for what cannot be opened, `DamagedSourceError` for what cannot be read to its end.
    """
    try:
        with open_plain(path) as raw, _unpack(raw) as stream:
            yield from _pieces(stream)
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise DamagedSourceError(str(error)) from error
        raise PitboardError(f"Cannot read the log {path}: {error.strerror or error}.") from error
    except ValueError as error:  # a file name with a NUL in it
        raise PitboardError(f"Cannot read the log {path!s:.200}: {error}.") from error


def _unpack(raw: BinaryIO) -> BinaryIO:
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if magic == _ZSTD:
        return cast(BinaryIO, zstd.ZstdFile(raw))
    return raw


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    total = 0
    while True:
        try:
            piece = stream.read(PIECE)
        except (EOFError, zlib.error, zstd.ZstdError) as error:
            raise DamagedSourceError(f"the compressed file is damaged or cut off ({error})") from error
        if not piece:
            return
        total += len(piece)
        if total > MAX_LOG_BYTES:
            raise DamagedSourceError(f"it unpacks to more than {MAX_LOG_BYTES >> 30} GiB")
        yield piece
