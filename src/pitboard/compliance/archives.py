"""Archives and streams as trees: unpacked into a folder, and refused unless plainly a submission's files.

Nothing is trusted: not the archive's names, not its declared sizes, not its order. Every refusal is one
sentence of a `PitboardError`. Archives within an archive stay packed.
"""

import io
import shutil
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from stat import S_IFMT, S_ISDIR, S_ISFIFO, S_ISREG
from typing import BinaryIO, NamedTuple

from pitboard.compliance.inventory import MAX_DEPTH
from pitboard.errors import PitboardError
from pitboard.events.source import DAMAGES, HEAD, PACKED_AS, unpacked
from pitboard.files import open_plain, scratch
from pitboard.text import file_name, printable

_PIECE = 1 << 20
_MAX_NAME_BYTES = 255
_TAR_MAGIC = (257, b"ustar")
_SHELVES = ("results", "systems")
_ZIP = (b"PK\3\4", b"PK\5\6")
_STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0")
_DAMAGE = (
    *DAMAGES,
    OSError,
    ValueError,
    LookupError,
    NotImplementedError,
    struct.error,
    RuntimeError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


class Limits(NamedTuple):
    """How much an archive or a stream may unpack to: bytes in all, and files and folders in all."""

    bytes: int = 1 << 30
    files: int = 20_000


@contextmanager
def tree(path: Path) -> Iterator[Path]:
    """Give what a user named as what can be read: a file or a folder as it is, all else unpacked for a while.

    An archive (tar or zip, told by its content) and what comes through standard input (`-`, `/dev/stdin`) or
    a pipe are unpacked into a folder that is removed afterwards, within the same `Limits` as an upload; its
    name does not appear in a `PitboardError`. Raises `PitboardError` for what `unpack` refuses.
    """
    stream = str(path) in _STANDARD_INPUT or _is_pipe(path)
    if not stream and not is_archive(path):
        yield path
        return
    with scratch(Path(tempfile.gettempdir()), "pitboard-tree-") as temporary:
        # Its name is that of a submission which the archive holds without a folder around it, and of the
        # system of a result that it holds so.
        name = "standard-input" if stream else _stem(path.name)
        place = Path(temporary, name, name)
        place.mkdir(parents=True)
        try:
            if stream:
                with tempfile.TemporaryFile(dir=temporary) as copy:
                    _spool(path, copy)
                    root = unpack(copy, place.name, place)
            else:
                with open_plain(path) as file:
                    root = unpack(file, path.name, place)
            yield root
        except PitboardError as error:
            said = str(error).replace(str(place.resolve()), str(path)).replace(str(place), str(path))
            raise type(error)(said) from error


def _stem(name: str) -> str:
    """Return an archive's name without its endings, as a folder's name."""
    for ending in (*PACKED_AS, ".tgz", ".tar", ".zip"):
        name = name.removesuffix(ending)
    return file_name(name).strip(".") or "archive"


def refuse_too_large(log: Path) -> None:
    """Raise `PitboardError` for a packed log that holds more than an archive may; a damaged one passes."""
    budget = _Budget(Limits())
    with suppress(*_DAMAGE), open_plain(log) as file, unpacked(file, str(log)) as stream:
        while piece := stream.read(_PIECE):
            budget.spend(len(piece))


def is_archive(path: Path) -> bool:
    """Tell whether a file is an archive of files, packed or not; what is none, or cannot be read, is not.

    Raises `PitboardError` for an archive of a kind that Pitboard does not read.
    """
    try:
        with open_plain(path) as file:
            if file.read(4).startswith(_ZIP):
                return True
            file.seek(0)
            offset, magic = _TAR_MAGIC
            with unpacked(file, str(path)) as stream:
                return stream.read(offset + len(magic))[offset:] == magic
    except _DAMAGE:
        return False


def _is_pipe(path: Path) -> bool:
    """Tell a pipe that a shell made for the command, `<(...)`; others are told of, and not waited for."""
    try:
        return str(path).startswith("/dev/fd/") and S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


def _spool(path: Path, copy: BinaryIO) -> None:
    """Copy a stream into a file, up to the limit of what it may hold."""
    left = Limits().bytes
    with sys.stdin.buffer if str(path) in _STANDARD_INPUT else path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise PitboardError(
                    f"What comes through {path} holds more than {Limits().bytes >> 20:,} MiB: give a file."
                )
            copy.write(piece)


def unpack(upload: BinaryIO, name: str, target: Path, limits: Limits | None = None) -> Path:
    """Unpack `upload` (seekable, called `name` by its sender) into the empty folder `target`.

    Gives what to check: the log itself, or the folder that holds the results. What the upload is, is told
    from its first bytes: zip, tar, one of gzip, zstd, xz and bzip2 around a tar or a log, or a plain log.
    Raises `PitboardError` for a hostile, damaged or too large upload; `target` may then be half full.
    """
    try:
        return _unpack(upload, name, target, _Budget(limits or Limits()))
    except MemoryError as error:
        raise PitboardError("Unpacking this takes more memory than it may.") from error
    except _DAMAGE as error:
        reason = printable(str(error) or type(error).__name__)[:200]
        raise PitboardError(
            f"{printable(name)[:200]} is damaged or cut off and cannot be unpacked: {reason}."
        ) from error


class _Budget:
    """Counts what is written, and stops at the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits
        self._names: dict[str, str] = {}

    def declare(self, size: int) -> None:
        """Refuse at once what says of itself that it is too large."""
        if size > self._limits.bytes:
            raise self._too_large()

    def spend(self, size: int) -> None:
        """Count bytes that were really unpacked."""
        self._left = self._left._replace(bytes=self._left.bytes - size)
        if self._left.bytes < 0:
            raise self._too_large()

    def enter(self, name: str, kind: str) -> PurePosixPath:
        """Take a member's name into the tree, once; only folders may come again."""
        path = _safe(name)
        for folder in list(path.parents)[:-1]:
            self._take(folder, "folder", name)
        self._take(path, kind, name)
        return path

    def _take(self, path: PurePosixPath, kind: str, name: str) -> None:
        before = self._names.get(str(path))
        if before is not None and not before == kind == "folder":
            raise PitboardError(
                f"The archive holds '{printable(name)[:200]}' twice, or as a folder and a file."
            )
        self._names[str(path)] = kind
        if len(self._names) > self._limits.files:
            raise PitboardError(
                f"The archive holds more than {self._limits.files:,} files and folders: unpack it, and give "
                "the folder."
            )

    def _too_large(self) -> PitboardError:
        size = self._limits.bytes
        shown = f"{size >> 20:,} MiB" if size >= 1 << 20 else f"{size:,} bytes"
        return PitboardError(
            f"This unpacks to more than {shown}, which is more than it may: unpack it, and give the folder."
        )


def _safe(name: str) -> PurePosixPath:
    """Read a member's name as a path within the tree, or refuse it."""
    shown = printable(name)[:200]
    if not name.isprintable() or not _encodes(name):
        raise PitboardError(f"The name '{shown}' in the archive holds control characters.")
    path = PurePosixPath(name)
    if "\\" in name or path.is_absolute() or ".." in path.parts or name[1:2] == ":":
        raise PitboardError(f"The name '{shown}' in the archive leads out of it.")
    if len(path.parts) > MAX_DEPTH or any(len(part.encode()) > _MAX_NAME_BYTES for part in path.parts):
        raise PitboardError(f"The name '{shown}' in the archive is too long or too deep.")
    if not path.parts:
        raise PitboardError("The archive holds a file without a name.")
    return path


def _encodes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unpack(upload: BinaryIO, name: str, target: Path, budget: _Budget) -> Path:
    upload.seek(0)
    head = upload.read(HEAD)
    upload.seek(0)
    if head.startswith(_ZIP):
        _unzip(upload, target, budget)
        return _content(target)
    stream = unpacked(upload, name)
    # A pipe can be looked into, and then read from its start, without unpacking it twice.
    with io.BufferedReader(_Counted(stream, budget), _PIECE) as pipe:
        offset, magic = _TAR_MAGIC
        if pipe.peek(512)[offset:].startswith(magic):
            _untar(pipe, target, budget)
            return _content(target)
        log = target / _log_name(name)
        with log.open("xb") as out:
            shutil.copyfileobj(pipe, out, _PIECE)
        return log


def _log_name(name: str) -> str:
    last = plain_name(name)
    for ending in PACKED_AS:
        last = last.removesuffix(ending)
    return last or "log.txt"


def plain_name(name: str) -> str:
    """Return what a file is called by its sender, where that is a plain name, or `log.txt`."""
    try:
        return _safe(PurePosixPath(name.replace("\\", "/")).name).name
    except PitboardError:
        return "log.txt"


class _Counted(io.RawIOBase):
    """A stream that counts against the budget as it is read: a packed bomb stops at the limit."""

    def __init__(self, stream: BinaryIO, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read at most as many bytes as `buffer` holds."""
        piece = self._stream.read(len(buffer))
        self._budget.spend(len(piece))
        buffer[: len(piece)] = piece
        return len(piece)


def _untar(stream: BinaryIO, target: Path, budget: _Budget) -> None:
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            _untar_member(tar, member, target, budget)


def _untar_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, budget: _Budget) -> None:
    shown = printable(member.name)[:200]
    if member.issym() or member.islnk():
        raise PitboardError(f"'{shown}' in the archive is a link; pack the file itself (tar --dereference).")
    if member.isdir():
        if PurePosixPath(member.name).parts:  # "./" is the archive's own folder
            (target / budget.enter(member.name, "folder")).mkdir(parents=True, exist_ok=True)
        return
    if not member.isreg() or member.issparse():
        raise PitboardError(f"'{shown}' in the archive is a device, a pipe or sparse, not a plain file.")
    budget.declare(member.size)
    path = target / budget.enter(member.name, "file")
    tarfile.data_filter(member, str(target))
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None
    with path.open("xb") as out:
        shutil.copyfileobj(source, out, _PIECE)
    if path.stat().st_size != member.size:
        raise EOFError(f"'{shown}' breaks off")


def _unzip(upload: BinaryIO, target: Path, budget: _Budget) -> None:
    with zipfile.ZipFile(upload) as archive:
        members = archive.infolist()
        budget.declare(sum(member.file_size for member in members))
        for member in members:
            _unzip_member(archive, member, target, budget)


def _unzip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, budget: _Budget) -> None:
    shown = printable(member.orig_filename)[:200]
    if member.flag_bits & 1:
        raise PitboardError(f"'{shown}' in the archive is encrypted; pack it without a password.")
    mode = member.external_attr >> 16
    if S_IFMT(mode) and not (S_ISREG(mode) or S_ISDIR(mode)):
        raise PitboardError(f"'{shown}' in the archive is a link or a device, not a plain file.")
    if member.orig_filename.endswith("/"):
        (target / budget.enter(member.orig_filename, "folder")).mkdir(parents=True, exist_ok=True)
        return
    path = target / budget.enter(member.orig_filename, "file")
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, path.open("xb") as out:
        while piece := source.read(_PIECE):
            budget.spend(len(piece))
            out.write(piece)


def _content(target: Path) -> Path:
    """Step into folders that hold nothing but one folder, as packing a folder makes them."""
    place = target
    while True:
        inside = list(place.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].name in _SHELVES:
            return place
        place = inside[0]
