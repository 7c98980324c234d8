"""Files: written whole or not at all, read only where they are plain files, and held inside their folder."""

import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

import msgspec

from pitboard.errors import PitboardError
from pitboard.text import file_name, printable

NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What `msgspec` raises of bytes that are not the JSON that was expected."""


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


def open_plain(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a plain file for reading; a pipe is not waited for, and a device is not read.

    It is looked at before it is opened, and what was opened again: by then, the path may name another.
    `follow=False` refuses a link too, which may lead out of a stranger's tree. Raises `OSError`, with a
    sentence as its `strerror`.
    """
    _require_plain(path.stat(follow_symlinks=follow), path)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        _require_plain(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _require_plain(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "expected a file, found a folder, a link, a pipe or a device", str(path))


def read_plain(path: Path, most: int, *, follow: bool = True) -> bytes:
    """Return what a plain file of at most `most` bytes holds. Raises `OSError` as `open_plain` does."""
    with open_plain(path, follow=follow) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {_size(most)}", str(path))
    return content


def _size(most: int) -> str:
    return f"{most >> 20} MiB" if most >= 1 << 20 else f"{most >> 10} KiB"


def read_small(path: Path, most: int) -> str | None:
    """Read a text of at most `most` bytes out of a stranger's tree; bytes that are not UTF-8 are replaced.

    `None` for whatever else is there: a link, which may lead out, a pipe, which would be waited for, nothing.
    """
    try:
        return read_plain(path, most, follow=False).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


def inside(root: Path, *names: str) -> Path:
    """Return the path of `names` under `root`: each is the plain name of one folder or file.

    For names that come out of a file, which may be a stranger's. Raises `PitboardError` for a name that would
    lead elsewhere, and where a link on the way leads out of `root`.
    """
    path = root
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise PitboardError(f"The name '{printable(name[:200])}' leads out of {root}.")
        path = path / name
    try:
        leads_out = not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a link to itself
        leads_out = True
    if leads_out:
        raise PitboardError(f"{path} is a link that leads out of {root}.")
    return path


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """Make an empty folder in `parent`, and remove it with all that it holds at the end.

    Those of processes of this machine that were killed before they could are removed first. Raises `OSError`.
    """
    sweep(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{_host()}-{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path, prefix: str) -> None:
    """Remove the folders of `scratch` whose processes, of this machine and this user, have gone."""
    begin = f"{prefix}{_host()}-"
    with suppress(OSError):
        for folder in [each for each in parent.iterdir() if each.name.startswith(begin)]:
            owner = folder.name.removeprefix(begin).partition("-")[0]
            mine = not folder.is_symlink() and folder.lstat().st_uid == os.getuid()
            if mine and owner.isdecimal() and not _lives(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    # Another machine's processes, on a shared file system, cannot be asked after. No "-": that parts a name.
    return file_name(os.uname().nodename).replace("-", "_")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
