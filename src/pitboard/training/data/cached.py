"""Folders of the cache: built once, checked by their checksums when used, built again if damaged."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pitboard.errors import PitboardError

_MANIFEST = "manifest.json"
_State = Callable[[Path], str]


def cache_key(*facts: object) -> str:
    """Return what a folder of the cache is called after: it changes with any of the facts it depends on."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def default_cache() -> Path:
    """Return `$XDG_CACHE_HOME/pitboard`, or `~/.cache/pitboard` where that is not set."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "pitboard"


def cached(folder: Path, build: Callable[[Path], None], *, large: bool = False) -> Path:
    """Return a folder of the cache, which `build` fills beside its place unless it is there and whole.

    Processes that ask at the same time wait for the one that builds. A folder whose files do not have the
    checksums that it was written with (`large`: the sizes, since reading gigabytes takes as long as building
    them) is built again; its name must say everything that it depends on.

    Raises `PitboardError` if the cache cannot be written, and what `build` raises.
    """
    state = _size if large else _checksum
    if _intact(folder, state):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("a") as lock:
            # The system releases the lock of a process that dies.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _intact(folder, state):
                _build(folder, build, state)
    except OSError as error:
        raise PitboardError(
            f"Cannot write the cache {folder.parent}: {error.strerror or error}."
            " Free space there or set XDG_CACHE_HOME to another folder."
        ) from error
    return folder


def _build(folder: Path, build: Callable[[Path], None], state: _State) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    _remove(partial)
    partial.mkdir()
    build(partial)
    (partial / _MANIFEST).write_text(json.dumps(_states(partial, state), indent=1))
    _remove(folder)
    partial.rename(folder)


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _size(file: Path) -> str:
    return str(file.stat().st_size)


def _states(folder: Path, state: _State) -> dict[str, str]:
    """Return the state of each file of an entry but its manifest."""
    return {path.name: state(path) for path in sorted(folder.iterdir()) if path.name != _MANIFEST}


def _intact(folder: Path, state: _State) -> bool:
    try:
        return bool(json.loads((folder / _MANIFEST).read_bytes()) == _states(folder, state))
    except (OSError, ValueError):
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
