"""The bytes of a log, plain or compressed, a bounded piece at a time."""

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pitboard.errors import PitboardError
from pitboard.files import open_plain
from pitboard.text import printable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 1 << 20
MAX_LOG_BYTES = 4 << 30
"""How much text one log may hold once unpacked; the largest of a published round holds 2.4 MB."""

PACKED_AS = (".gz", ".zst", ".xz", ".bz2")
"""What the name of a packed file ends in; what it is, is told from its first bytes."""

HEAD = 6
"""How many first bytes tell in what a file is packed."""

_GZIP, _ZSTD, _XZ, _BZIP2 = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"
_FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x9d": "packed with compress",
    b"\x04\x22\x4d\x18": "packed with LZ4",
    b"LZIP": "packed with lzip",
}

DAMAGES = (EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError)
"""What unpacking raises, beside `OSError` and `ValueError`, where a packed file is damaged or cut off."""


class DamagedSourceError(Exception):
    """The bytes cannot be read to their end; what came before is good."""


def read_pieces(path: Path) -> Iterator[bytes]:
    """Yield a log's bytes in pieces of at most `PIECE`, unpacked if gzip, zstd, xz or bzip2 (by content).

    Raises `PitboardError` for what cannot be opened or is packed in another way, `DamagedSourceError` for
    what cannot be read to its end.
    """
    try:
        with open_plain(path) as raw, unpacked(raw, str(path)) as stream:
            yield from _pieces(stream)
    except OSError as error:
        if error.errno is None:  # of what unpacks, not of the system
            raise DamagedSourceError(f"the compressed file is damaged or cut off ({error})") from error
        raise PitboardError(f"Cannot read the log {path}: {error.strerror or error}.") from error
    except ValueError as error:  # a file name with a NUL in it
        raise PitboardError(f"Cannot read the log {path!s:.200}: {error}.") from error


def unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    """Return the stream of what a file holds: itself, or what its packing unpacks to, by its first bytes.

    Raises `PitboardError`, with the file's `name`, for a packing that Pitboard knows and does not read.
    """
    head = raw.read(HEAD)
    raw.seek(0)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise PitboardError(
                f"{printable(name)} is {what}, which Pitboard does not read: give the files themselves, or a "
                "tar (plain or packed with gzip, zstd, xz or bzip2) or zip archive of them."
            )
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if head.startswith(_ZSTD):
        return cast(BinaryIO, zstd.ZstdFile(raw))
    if head.startswith(_XZ):
        return cast(BinaryIO, lzma.LZMAFile(raw))
    if head.startswith(_BZIP2):
        return cast(BinaryIO, bz2.BZ2File(raw))
    return raw


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    total = 0
    while True:
        try:
            piece = stream.read(PIECE)
        except DAMAGES as error:
            raise DamagedSourceError(f"the compressed file is damaged or cut off ({error})") from error
        if not piece:
            return
        total += len(piece)
        if total > MAX_LOG_BYTES:
            raise DamagedSourceError(f"it unpacks to more than {MAX_LOG_BYTES >> 30} GiB")
        yield piece
