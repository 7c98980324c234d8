"""A checkpoint from elsewhere, or from a bad disk: nothing of it is executed, and damage is told first."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pitboard.errors import PitboardError
from pitboard.training.checkpoint import Checkpoints, TrainingProgress
from stand_in import ALONE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints, after 8 samples and after 16."""
    model = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    kept = Checkpoints(tmp_path, ALONE)
    for step in (1, 2):
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        kept.save(model, [optimizer], TrainingProgress(step, 8 * step))
    kept.wait()
    return tmp_path


def restored(folder: Path) -> tuple[TrainingProgress, list[str]]:
    model = nn.Linear(4, 4)
    told: list[str] = []
    kept = Checkpoints(folder, ALONE)
    return kept.restore(model, [torch.optim.AdamW(model.parameters())], told.append), told


def part(folder: Path, samples: int = 16) -> Path:
    return next((folder / f"samples_{samples:012d}").glob("__0_*"))


class Command:
    """What unpickling it would run."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._mark,)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def unsum(folder: Path) -> None:
    """Take away what was summed up, as in a checkpoint of an earlier version."""
    for summed in folder.glob("samples_*/digests_*.json"):
        summed.unlink()


DAMAGE: dict[str, tuple[Callable[[Path], object], bool, str]] = {
    "flipped": (lambda folder: flip(part(folder)), True, "is not what was written"),
    "cut": (lambda folder: cut(part(folder)), True, "is cut off"),
    "cut, of an earlier version": (lambda folder: cut(part(folder)), False, "is cut off"),
    "empty": (lambda folder: part(folder).write_bytes(b""), False, "is cut off"),
    "missing": (lambda folder: part(folder).unlink(), False, "No such file"),
    "another's": (
        lambda folder: part(folder).write_bytes(part(folder, 8).read_bytes()),
        True,
        "not what was",
    ),
    "metadata flipped": (lambda folder: flip(part(folder).with_name(".metadata")), True, ".metadata"),
    "metadata cut": (
        lambda folder: cut(part(folder).with_name(".metadata")),
        False,
        ".metadata cannot be read",
    ),
    "sums damaged": (
        lambda folder: part(folder).with_name("digests_0.json").write_text("{"),
        True,
        "summed up to cannot",
    ),
    "sums lead out": (
        lambda folder: part(folder).with_name("digests_0.json").write_text(json.dumps({"../x": "0"})),
        True,
        "no part of it",
    ),
}


def test_a_sound_checkpoint_is_taken_with_and_without_its_sums(folder: Path) -> None:
    assert restored(folder) == (TrainingProgress(2, 16), [])
    unsum(folder)
    assert restored(folder) == (TrainingProgress(2, 16), [])


@pytest.mark.parametrize("name", DAMAGE)
def test_of_a_damaged_one_the_one_before_it_is_taken(name: str, folder: Path) -> None:
    harm, summed, why = DAMAGE[name]
    if not summed:
        unsum(folder)
    harm(folder)
    progress, (told,) = restored(folder)
    assert progress == TrainingProgress(1, 8)
    assert why in told
    assert told.endswith("the one before it is taken")


def test_where_all_are_damaged_it_is_said_and_nothing_is_loaded(folder: Path) -> None:
    for samples in (8, 16):
        flip(part(folder, samples))
    with pytest.raises(PitboardError, match="No checkpoint of this run can be used"):
        restored(folder)


def test_a_crafted_metadata_runs_nothing(folder: Path) -> None:
    unsum(folder)
    mark = folder / "ran"
    part(folder).with_name(".metadata").write_bytes(pickle.dumps(Command(mark)))
    progress, (told,) = restored(folder)
    assert progress == TrainingProgress(1, 8)
    assert "which no checkpoint holds" in told
    assert not mark.exists()


def test_a_metadata_that_names_a_file_elsewhere_is_refused(folder: Path) -> None:
    unsum(folder)
    path = part(folder).with_name(".metadata")
    path.write_bytes(
        path.read_bytes().replace(part(folder).name.encode(), b"../../x.distcp"[: len(part(folder).name)])
    )
    progress, (told,) = restored(folder)
    assert progress == TrainingProgress(1, 8)
    assert "a part elsewhere" in told or "cannot be read" in told


def test_a_crafted_value_that_is_no_tensor_runs_nothing(folder: Path) -> None:
    """The optimizer's settings are values; each is a file within the part."""
    import io

    from torch.distributed.checkpoint.filesystem import FileSystemReader

    unsum(folder)
    mark = folder / "ran"
    crafted = io.BytesIO()
    torch.save(Command(mark), crafted)
    path = part(folder).parent
    metadata = FileSystemReader(path).read_metadata()
    _, info = next(
        (index, info)
        for index, info in metadata.storage_data.items()
        if type(metadata.state_dict_metadata[index.fqn]).__name__ == "BytesStorageMetadata"
    )
    file = path / info.relative_path
    info.offset, info.length = file.stat().st_size, len(crafted.getvalue())
    file.write_bytes(file.read_bytes() + crafted.getvalue())
    (path / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(PitboardError, match="cannot be read"):
        restored(folder)
    assert not mark.exists()
