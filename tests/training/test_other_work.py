"""What other programs take of the processors is told, and a run leaves them what they use."""

import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pitboard.cli.progress import _others
from pitboard.events import read_events
from pitboard.training import runner
from pitboard.training.other_work import OtherWork, WorkReading, other_work, read_work
from pitboard.training.output import Output, Plan
from pitboard.training.runner import execute
from stand_in import Noticing
from support import the_log, tiny

Pair = tuple[WorkReading, WorkReading]
BEGAN = 100.0


def rank(busy: float, own: float, *cpus: int) -> Pair:
    """Return the readings of a rank around ten seconds."""
    return (
        WorkReading(BEGAN, 1000.0, 50.0, frozenset(cpus)),
        WorkReading(BEGAN + 10, 1000.0 + busy, 50.0 + own, frozenset(cpus)),
    )


@pytest.mark.parametrize(
    ("ranks", "processors", "busy", "threads"),
    [
        ([rank(19.0, 19.0, 0, 1)], 2, 0.0, 2),
        ([rank(12.0, 10.0, 0, 1)], 2, 0.2, 2),
        ([rank(18.0, 10.0, 0, 1)], 2, 0.8, 1),
        ([rank(20.0, 1.0, 0, 1)], 2, 1.9, 1),
        ([rank(70.0, 20.0, *range(8))], 8, 5.0, 3),
        # Two ranks that share their processors both read what those did; each knows only what it did itself.
        ([rank(20.0, 9.0, 0, 1), rank(20.0, 8.0, 0, 1)], 2, 0.3, 2),
        # Bound to one each, they read different ones.
        ([rank(10.0, 9.0, 0), rank(9.0, 8.0, 1)], 2, 0.2, 2),
        # The kernel counts in hundredths of a second: less than nothing is nothing.
        ([rank(9.98, 10.0, 0)], 1, 0.0, 1),
    ],
)
def test_what_is_not_the_ranks_own_is_others(
    ranks: list[Pair], processors: int, busy: float, threads: int
) -> None:
    found = other_work(ranks)
    assert (found.cpus, found.threads) == (processors, threads)
    assert found.busy == pytest.approx(busy)


def spin(until: float) -> None:
    while time.monotonic() < until:
        pass


def test_a_program_beside_this_one_is_seen_and_a_child_of_it_is_its_own() -> None:
    began = [read_work(), read_work(with_children=True)]
    child = multiprocessing.get_context("fork").Process(target=spin, args=[time.monotonic() + 1.0])
    child.start()
    time.sleep(0.8)
    alone, whole = read_work(), read_work(with_children=True)
    child.kill()
    child.join()
    # The child had at least a part of a processor, however busy the machine is.
    assert alone.busy - began[0].busy > 0.1
    assert whole.own - began[1].own > alone.own - began[0].own + 0.1


@pytest.mark.parametrize(("given", "threads"), [(None, 1), ("2", 2)])
def test_a_run_leaves_processors_that_others_use_unless_it_was_told_how_many_threads(
    given: str | None, threads: int, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(runner, "other_work", lambda _: OtherWork(2, 1.1))
    words = [word.partition("=") for word in tiny("llama31_8b")[3::2]]
    overrides = {key: value for key, _, value in words} | {"max_samples": "16", "precision": "fp32"}
    plan = Plan(
        benchmark="llama31_8b",
        preset="smoke",
        overrides=overrides,
        seeds=[1],
        system="s",
        submitter="Test",
    )
    reporter, before = Noticing(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        summary = execute(Output(tmp_path), plan, 0, reporter)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    said = [what for what in reporter.said if "threads" in what]
    assert [what.partition(":")[0] for what in said] == ([] if given else ["computing on 1 of 2 threads"])
    (event,) = [event for event in read_events(the_log(tmp_path)) if event.key == "pitboard_other_work"]
    assert summary is not None
    assert summary.other_work is not None
    assert event.value["busy"] == pytest.approx(summary.other_work.busy, abs=0.01)
    assert 0 <= event.value["busy"] <= event.value["processors"] == summary.other_work.cpus


@pytest.mark.parametrize(
    ("work", "told"), [(OtherWork(2, 0.05), ""), (OtherWork(2, 1.14), "1.1 of 2 processors"), (None, "")]
)
def test_the_end_of_a_run_tells_it_where_it_matters(work: OtherWork | None, told: str) -> None:
    lines = _others(SimpleNamespace(other_work=work))  # type: ignore[arg-type]
    assert [name for name, _ in lines] == (["Other programs"] if told else [])
    assert all(told in text for _, text in lines)
