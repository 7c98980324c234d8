"""Asynchronous checkpoints with PyTorch Distributed Checkpoint, and finding the last whole one."""

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from pitboard.errors import PitboardError, StorageError
from pitboard.training.checkpoint_parts import (
    DamagedCheckpointError,
    PartsPlanner,
    PartsReader,
    damage,
    write_digests,
)
from pitboard.training.distributed import World, lost_contact

_KEPT = 2
_FULL = 2**20
# A frozen base is not written: it is what it was when the run began. The optimizer's state lies by the names
# of parameters: how they are grouped, and which a rank has, may differ where a run is resumed.
_SAVED = StateDictOptions(ignore_frozen_params=True, flatten_optimizer_state_dict=True)
_LOADED = StateDictOptions(ignore_frozen_params=True, flatten_optimizer_state_dict=True, strict=False)
# A run of one rank has no process group, and needs none.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)


@dataclass
class TrainingProgress:
    """How far a run has come: optimizer steps done, and training samples consumed."""

    step: int = 0
    samples: int = 0


class Checkpoints:
    """The checkpoints of one run, in a folder of their own; `samples_000000012288/` is one.

    A checkpoint is whole when Distributed Checkpoint has written its `.metadata`, which it does last and by
    renaming; a folder without it is the trace of a killed run and is never read. The last two are kept.
    The state is independent of the ranks: a run may be resumed on more or fewer, and spread otherwise.
    `saved_samples` says where this process last saved, be it whole yet or not. Once a checkpoint is whole its
    files are summed up, and they are held against that before they are loaded.
    """

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.saved_samples: int | None = None
        self._world = world
        self._pending: Future[Any] | None = None
        self._writing = ThreadPoolExecutor(1, "checkpoint")

    def save(
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], progress: TrainingProgress
    ) -> None:
        """Copy the state and write it while training goes on; waits first for an earlier write.

        Raises `StorageError` when the earlier write failed (a full disk).
        """
        self.wait()
        model_state, optimizer_state = get_state_dict(model, optimizers, options=_SAVED)
        state = {
            "model": _plain(model_state),
            "optimizer": optimizer_state,
            "progress": torch.tensor([progress.step, progress.samples]),
            self._rng_key: _rng_state(self._world.device),
        }
        path = self.folder / f"samples_{progress.samples:012d}"
        if path.exists() and self._world.is_main:
            shutil.rmtree(path)  # the trace of a killed run at the same point
        self._world.barrier()
        with _disk_errors(self.folder):
            pending = async_save(
                state,
                checkpoint_id=path,
                process_group=self._world.side_group,
                no_dist=self._world.mesh is None,
            )
        assert isinstance(pending, Future)
        self._pending = self._writing.submit(self._finish, pending, path)
        self.saved_samples = progress.samples

    def _finish(self, pending: "Future[Any]", path: Path) -> None:
        pending.result()
        write_digests(path, self._world.rank)

    def wait(self) -> None:
        """Wait until the checkpoint being written is whole, then delete those before the last two."""
        if self._pending is None:
            return
        with _disk_errors(self.folder):
            self._pending.result()
        self._pending = None
        if self._world.is_main:
            for old in _whole(self.folder)[:-_KEPT]:
                # Without its metadata first, so that a kill in between leaves no half-deleted checkpoint.
                (old / ".metadata").unlink()
                shutil.rmtree(old)

    def restore(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        notice: Callable[[str], None] = lambda _: None,
    ) -> TrainingProgress:
        """Load the last whole checkpoint into model, optimizers and generators; say how far it had come.

        One that is damaged is told by `notice`, and the one before it is taken. With no whole checkpoint,
        nothing is changed and the run starts from its first sample. Raises `PitboardError` where all are
        damaged.
        """
        path = self._last_sound(notice)
        if path is None:
            return TrainingProgress()
        model_state, optimizer_state = get_state_dict(model, optimizers, options=_SAVED)
        progress = torch.zeros(2, dtype=torch.int64)
        rng = _rng_state(self._world.device)
        # Read in place, into the memory that the model's parameters have.
        state = {"model": _plain(model_state), "optimizer": optimizer_state, "progress": progress}
        reader = PartsReader(path)
        try:
            if self._rng_key in reader.read_metadata().state_dict_metadata:
                state[self._rng_key] = rng
            load(
                state,
                checkpoint_id=path,
                storage_reader=reader,
                planner=PartsPlanner(),
                no_dist=self._world.mesh is None,
            )
        except (OSError, RuntimeError, UnpicklingError, DamagedCheckpointError, CheckpointException) as error:
            raise PitboardError(
                f"The checkpoint {path} cannot be read ({_first_line(error)}); delete that folder to"
                " resume from the one before."
            ) from error
        set_state_dict(
            model,
            optimizers,
            model_state_dict=model_state,
            optim_state_dict=optimizer_state,
            options=_LOADED,
        )
        torch.set_rng_state(rng[: torch.get_rng_state().numel()])
        if self._world.device.type == "cuda":
            torch.cuda.set_rng_state(rng[torch.get_rng_state().numel() :], self._world.device)
        step, samples = progress.tolist()
        return TrainingProgress(step, samples)

    def _last_sound(self, notice: Callable[[str], None]) -> Path | None:
        """Return the last checkpoint whose files are what was written; all ranks look, at a part each."""
        world = self._world
        whole = [self.folder / name for name in world.broadcast([path.name for path in _whole(self.folder)])]
        told = ""
        for path in reversed(whole):
            found = damage(path, world.rank, world.size)
            if not world.any(found is not None):
                return path
            told = f"the checkpoint {path} is damaged ({found or 'another rank found it'})"
            notice(f"{told}: the one before it is taken")
        if told:
            raise PitboardError(
                f"No checkpoint of this run can be used: {told}. Delete {self.folder} to train from the first"
                " sample again, the clock running on."
            )
        return None

    @property
    def _rng_key(self) -> str:
        return f"rng.{self._world.rank}"


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with the tensors that wrappers hold, as FSDP has them that gathers weights in FP8."""
    plain = dict(state)
    for name, value in state.items():
        local = value.to_local() if isinstance(value, DTensor) else None
        if local is not None and is_traceable_wrapper_subclass(local):
            names, _ = local.__tensor_flatten__()
            plain[name] = DTensor.from_local(
                getattr(local, names[0]),
                value.device_mesh,
                value.placements,
                shape=value.shape,
                stride=value.stride(),
            )
    return plain


def _rng_state(device: torch.device) -> Tensor:
    """Return the generators' states of this rank as one byte tensor: the CPU's, then the GPU's."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def kept_samples(folder: Path) -> int | None:
    """Return the samples consumed at the last whole checkpoint in a folder; `None` where there is none."""
    whole = _whole(folder)
    return int(whole[-1].name.removeprefix("samples_")) if whole else None


def _whole(folder: Path) -> list[Path]:
    """Return the whole checkpoints in a folder, oldest first."""
    return sorted(path.parent for path in folder.glob("samples_*/.metadata"))


def _cause(error: BaseException) -> BaseException:
    """Return the first rank's exception where Distributed Checkpoint collected one for each rank."""
    if isinstance(error, CheckpointException):
        return next(iter(error.failures.values()))[0]
    return error


def _first_line(error: BaseException) -> str:
    error = _cause(error)
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _disk_errors:  # noqa: N801 - reads as a statement
    """Turn a failed write into a sentence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | RuntimeError | CheckpointException):
            cause = _cause(error)
            if lost_contact(cause):
                raise cause from None
            raise StorageError(
                f"A checkpoint could not be written to {self._folder} ({self._reason(error)})."
                " Free some space there."
            ) from error

    def _reason(self, error: BaseException) -> str:
        # PyTorch's writer says "unexpected pos 704 vs 598" of a full disk.
        with suppress(OSError):
            if shutil.disk_usage(self._folder).free < _FULL:
                return os.strerror(errno.ENOSPC)
        return _first_line(error)
