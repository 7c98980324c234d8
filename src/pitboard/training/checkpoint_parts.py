"""The files of a checkpoint: what each held when it was written, and reading them without executing anything.

Distributed Checkpoint unpickles its `.metadata` and whatever is no tensor, and a pickle can run commands: a
checkpoint that comes from elsewhere is read here by what its own kinds of objects are, and nothing else.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import ReadItem

from pitboard.files import NO_JSON, write_atomically

_DIGESTS = "digests_{rank}.json"
_CHUNK = 1 << 24
_CHECKPOINT = "torch.distributed.checkpoint."
_KNOWN = {
    (_CHECKPOINT + "metadata", name)
    for name in (
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    )
} | {
    (_CHECKPOINT + "filesystem", "_StorageInfo"),
    ("torch", "Size"),
    # Where the checkpoint was written to; the module's name is that of Python 3.13, too.
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
    ("torch.serialization", "_get_layout"),
}


class DamagedCheckpointError(Exception):
    """A checkpoint is not what was written; the message says in which file."""


class _Objects(pickle.Unpickler):
    """Unpickles the kinds of objects that a `.metadata` is made of."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that is known; raise `UnpicklingError` for any other."""
        if (module, name) in _KNOWN:
            return super().find_class(module, name)
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no checkpoint holds")


class PartsReader(FileSystemReader):
    """Reads a checkpoint's files, and unpickles nothing but what a checkpoint is made of."""

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        """Return what the checkpoint holds. Raises `DamagedCheckpointError` where it cannot be read so."""
        path = Path(self.path) / ".metadata"
        try:
            metadata = _Objects(io.BytesIO(path.read_bytes())).load()
            if not isinstance(metadata, Metadata):
                raise pickle.UnpicklingError(f"it holds a {type(metadata).__name__}")
            parts = [info.relative_path for info in metadata.storage_data.values()]
        except Exception as error:  # a damaged pickle can raise anything
            raise DamagedCheckpointError(f"{path.name} cannot be read: {error}") from error
        for part in parts:
            if not isinstance(part, str) or Path(part).name != part:
                raise DamagedCheckpointError(f"{path.name} names a part elsewhere: {part!r}")
        return metadata


class PartsPlanner(DefaultLoadPlanner):
    """Loads what is no tensor by PyTorch's restricted unpickler too."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Load one value. Raises `UnpicklingError` for what is more than plain data."""
        plain = io.BytesIO()
        torch.save(torch.load(value, weights_only=True), plain)
        plain.seek(0)
        super().load_bytes(read_item, plain)


def write_digests(checkpoint: Path, rank: int) -> None:
    """Write what a rank's files of a whole checkpoint hold, those of rank 0 with the `.metadata`.

    Raises `PitboardError` where that cannot be written.
    """
    parts = sorted(checkpoint.glob(f"__{rank}_*"))
    parts += [checkpoint / ".metadata"] if rank == 0 else []
    digests = {part.name: _digest(part) for part in parts}
    write_atomically(checkpoint / _DIGESTS.format(rank=rank), msgspec.json.encode(digests))


def damage(checkpoint: Path, rank: int, ranks: int) -> str | None:
    """Return what is wrong with those files of a checkpoint that fall to a rank, `None` where nothing is.

    Every file is looked at by one of the ranks. A checkpoint that was never summed up, since it is of an
    earlier version or its run was killed just then, is held to be what it should, its parts to be there.
    """
    try:
        known: dict[str, str] = {}
        for summed in sorted(checkpoint.glob(_DIGESTS.format(rank="*"))):
            known |= msgspec.json.decode(summed.read_bytes(), type=dict[str, str])
        if rank == 0:
            _require_parts(checkpoint)
        for name in sorted(known)[rank::ranks]:
            if Path(name).name != name:
                return f"{name!r} is no part of it"
            if _digest(checkpoint / name) != known[name]:
                return f"{name} is not what was written"
    except DamagedCheckpointError as error:
        return str(error)
    except NO_JSON as error:
        return f"what it was summed up to cannot be read: {error}"
    except OSError as error:
        return f"{Path(error.filename or checkpoint).name}: {error.strerror or error}"
    return None


def _require_parts(checkpoint: Path) -> None:
    metadata = PartsReader(checkpoint).read_metadata()
    for info in metadata.storage_data.values():
        if (checkpoint / info.relative_path).stat().st_size < info.offset + info.length:
            raise DamagedCheckpointError(f"{info.relative_path} is cut off")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
