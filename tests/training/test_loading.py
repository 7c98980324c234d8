"""When evaluation samples are read and how batches get to a device, a GPU's streams stood in for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, default_collate

import stand_in
from pitboard.errors import PitboardError
from pitboard.events import read_events
from pitboard.training import loading
from pitboard.training.loading import KeptBatches, evaluation_batches, on_device
from pitboard.training.output import Plan
from pitboard.training.protocol import Batch, benchmark_class
from pitboard.training.runner import settings_for
from pitboard.training.settings import Settings
from stand_in import ALONE


class Recorded(Dataset[Batch]):
    """Numbers; each reading is a line with its time in a file, whichever process reads."""

    def __init__(self, file: Path, broken: int | None = None) -> None:
        self._file, self._broken = file, broken

    def __getitem__(self, index: int) -> Batch:
        if index == self._broken:
            raise PitboardError("Sample 5 cannot be read.")
        with self._file.open("a") as file:
            file.write(f"{time.time_ns()}\n")
        return {"number": torch.tensor(index)}


class Waiting(Dataset[Batch]):
    """Numbers, of which the third and later ones come only when all evaluation samples have been read."""

    def __init__(self, file: Path, lines: int) -> None:
        self._file, self._lines = file, lines

    def __getitem__(self, index: int) -> Batch:
        for _ in range(1000) if index > 1 else ():
            if self._file.is_file() and len(self._file.read_text().splitlines()) >= self._lines:
                break
            time.sleep(0.05)
        else:
            assert index <= 1, "the evaluation samples were not read while training went on"
        return {"number": torch.tensor(index)}


def test_evaluation_samples_are_read_once_after_the_clock_starts_and_beside_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {"data_workers": 1, "evaluation_samples": 6, "evaluation_interval": 8, "max_samples": 16}
    overrides |= {"global_batch_size": 2, "micro_batch_size": 2}
    file = tmp_path / "read"
    monkeypatch.setattr(stand_in.StandIn, "evaluation_data", lambda *_: Recorded(file))
    monkeypatch.setattr(stand_in.StandIn, "training_data", lambda *_: Waiting(file, 6))
    benchmark = benchmark_class("llama31_8b")(settings_for("llama31_8b", "smoke", overrides))
    plan = Plan(
        benchmark="llama31_8b", preset="smoke", overrides=overrides, seeds=[1], system="s", submitter="Test"
    )

    log = stand_in.race(benchmark, plan, tmp_path, loss=9.0)

    events = list(read_events(log))
    assert [event.metadata["samples_count"] for event in events if event.key == "eval_stop"] == [8, 16]
    (start,) = [event.time_ms for event in events if event.key == "run_start"]
    times = [int(line) // 1_000_000 for line in file.read_text().split()]
    assert len(times) == 6
    assert min(times) >= start


def kept(file: Path, workers: int, broken: int | None = None) -> KeptBatches:
    settings = Settings(
        preset="p", max_steps=1, global_batch_size=2, evaluation_samples=7, data_workers=workers
    )
    batches = evaluation_batches(Recorded(file, broken), settings, ALONE, default_collate, keep=True)
    assert isinstance(batches, KeptBatches)
    batches.read_ahead()
    return batches


def numbers(batches: KeptBatches) -> list[int]:
    return [int(number) for batch, _ in batches for number in batch["number"]]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluation_that_was_broken_off_is_taken_up_by_the_next(workers: int, tmp_path: Path) -> None:
    batches = kept(tmp_path / "read", workers)
    first = iter(batches)
    assert next(first)[0]["number"].tolist() == [0, 1]
    assert numbers(batches) == numbers(batches) == [0, 1, 2, 3, 4, 5, 6, 0]
    assert len((tmp_path / "read").read_text().splitlines()) == 8


@pytest.mark.parametrize("workers", [0, 1])
def test_what_fails_in_the_background_is_raised_where_the_sample_is_asked_for(
    workers: int, tmp_path: Path
) -> None:
    batches = iter(kept(tmp_path / "read", workers, broken=5))
    assert [batch["number"].tolist() for batch, _ in (next(batches), next(batches))] == [[0, 1], [2, 3]]
    with pytest.raises(PitboardError, match=r"^Sample 5 cannot be read\.$"):
        next(batches)


class Stream:
    """A GPU's stream, which only notes what is put on it."""

    current: "Stream"

    def __init__(self, *_: object, name: str = "copying") -> None:
        self.name, self.noted = name, NOTED

    def record_event(self) -> str:
        return f"arrived {len(NOTED)}"

    def wait_event(self, event: str) -> None:
        NOTED.append((self.name, "waits", event))


NOTED: list[tuple[str, str, str]] = []


class OnGpu:
    """A tensor that only notes that it is copied, and where it is used."""

    def __init__(self, name: str) -> None:
        self.name = name

    def to(self, device: torch.device, *, non_blocking: bool) -> "OnGpu":
        assert (device.type, non_blocking) == ("cuda", True)
        NOTED.append((Stream.current.name, "copies", self.name))
        return self

    def record_stream(self, stream: Stream) -> None:
        NOTED.append((stream.name, "keeps", self.name))


def test_a_batch_is_copied_on_a_stream_of_its_own_while_the_one_before_is_computed_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computing = Stream(name="computing")
    Stream.current = computing

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        before, Stream.current = Stream.current, stream
        yield
        Stream.current = before

    NOTED.clear()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: computing)
    loading._copies_to.cache_clear()
    batches: Any = ({"x": OnGpu(name)} for name in "abc")
    for batch in on_device(batches, torch.device("cuda", 0)):
        NOTED.append(("computing", "uses", batch["x"].name))  # type: ignore[attr-defined]
    loading._copies_to.cache_clear()

    # Each waits for its own copy only: the event of the later one is recorded after it.
    assert NOTED == [
        ("copying", "copies", "a"),
        ("copying", "copies", "b"),
        ("computing", "waits", "arrived 1"),
        ("computing", "keeps", "a"),
        ("computing", "uses", "a"),
        ("copying", "copies", "c"),
        ("computing", "waits", "arrived 2"),
        ("computing", "keeps", "b"),
        ("computing", "uses", "b"),
        ("computing", "waits", "arrived 6"),
        ("computing", "keeps", "c"),
        ("computing", "uses", "c"),
    ]


def test_on_the_cpu_nothing_is_copied_or_read_ahead() -> None:
    taken: list[int] = []

    def batches() -> Iterator[Batch]:
        for number in range(3):
            taken.append(number)
            yield {"x": torch.tensor(number)}

    for used, batch in enumerate(on_device(batches(), torch.device("cpu"))):
        assert (int(batch["x"]), taken[-1]) == (used, used)
    assert taken == [0, 1, 2]
