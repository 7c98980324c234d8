"""Ranks are placed by their nodes, and those that do not come or answer are named."""

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from torch._C._distributed_c10d import HashStore, Store, TCPStore

from pitboard.errors import PitboardError
from pitboard.training import roll_call
from pitboard.training.roll_call import Position, RollCall, Word, by_node

SHORT = timedelta(seconds=0.3)
DONE = "step 5 (sample 40) and 3 batches of the evaluation"


@pytest.mark.parametrize(
    ("nodes", "placed"),
    [
        (["a", "a", "b", "b"], [0, 1, 2, 3]),
        (["n1", "n2", "n1", "n2"], [0, 2, 1, 3]),  # dealt in turn
        (["n10", "n10", "n9", "n9", "n2", "n2"], [0, 1, 4, 5, 2, 3]),  # as they happened to arrive
        (["x"] * 3, [0, 1, 2]),
        (["1", "a", "01"], [0, 2, 1]),
    ],
)
def test_the_ranks_of_a_node_are_neighbours(nodes: list[str], placed: list[int]) -> None:
    assert by_node(nodes) == placed


def test_each_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    monkeypatch.setenv("SLURMD_NODENAME", "n7")
    with ThreadPoolExecutor() as pool:
        arrived = pool.map(lambda rank: RollCall(store, rank, 3, SHORT * 50).arrive(), range(3))
    assert list(arrived) == [["n7", "n7", "n7"]] * 3


@pytest.fixture
def store() -> Store:
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))


def test_who_did_not_arrive_is_named(store: Store) -> None:
    calls = [RollCall(roll_call._clone(store), rank, 4, SHORT) for rank in (0, 2)]
    with ThreadPoolExecutor() as pool:
        for arriving in [pool.submit(call.arrive) for call in calls]:
            with pytest.raises(PitboardError, match=r"^Ranks 1, 3 of 4 did not arrive within 0.3 seconds"):
                arriving.result()


@pytest.fixture
def behind() -> Position:
    """Return how far rank 2 has come: as far as the others, where a test's parameter says nothing else."""
    return Position(5, 40, 3)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what the ranks' threads write to: of capfd, reading drops what is written meanwhile."""
    said = io.StringIO()
    monkeypatch.setattr(roll_call, "sys", SimpleNamespace(stderr=said))
    return said


@pytest.fixture
def ranks(
    store: Store, behind: Position, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[RollCall]]:
    """Return four ranks, two a node, that keep in touch; each has done 5 steps, rank 2 what `behind` says."""
    monkeypatch.setattr(roll_call, "_SECONDS_BETWEEN_WORDS", 0.05)
    calls = [RollCall(store, rank, 4, timedelta(seconds=1)) for rank in range(4)]

    def sleep(seconds: float) -> None:
        """Wait until each rank that keeps in touch has spoken, too: on a busy machine it takes longer."""
        before = [(call, call._count) for call in calls]
        time.sleep(seconds)
        # A word is counted just before it is said: the next one's count shows that it was.
        while any(not call._ended.is_set() and call._count < count + 2 for call, count in before):
            time.sleep(0.01)

    monkeypatch.setattr(roll_call, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    for call in calls:
        call.nodes = ["n1", "n1", "n2", "n2"]
        call.follow(lambda: Position(5, 40, 3))
    # Before it speaks: a rank that waits looks once whom for, however late this process gets its turn.
    calls[2].follow(lambda: behind)
    for call in calls:
        call.start()
    yield calls
    for call in calls:
        call.stop()


def test_a_rank_that_has_gone_is_named_by_one_of_those_left(ranks: list[RollCall]) -> None:
    ranks[0].stop()
    ranks[3].stop()
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(RollCall.lost, ranks[1:3])
    assert (
        first.who
        == second.who
        == "rank 0 on n1, rank 3 on n2 after step 5 (sample 40) and 3 batches of the evaluation"
    )
    assert (first.tells, second.tells) == (True, False)


def test_a_rank_that_was_killed_is_named_before_one_that_says_itself_why_it_ends(
    ranks: list[RollCall],
) -> None:
    assert ranks[1].fail("the same reason")
    assert not ranks[2].fail("the same reason"), "told once"
    ranks[3].stop()
    assert ranks[0].lost().who.startswith("rank 3 on n2 after")


@pytest.mark.parametrize(
    ("behind", "done"),
    [
        (Position(4, 32), "step 4 (sample 32)"),
        (Position(5, 40, 2), "step 5 (sample 40) and 2 batches of the evaluation"),
    ],
)
def test_a_rank_that_answers_but_is_behind_is_named(
    ranks: list[RollCall], done: str, said: io.StringIO
) -> None:
    deadline = time.monotonic() + 20
    while not said.getvalue().endswith("\n") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said.getvalue() == (
        f"Rank 0 on n1 has done {DONE} and waited 0.9 seconds for rank 2 on n2, which has done {done}.\n"
    )
    assert ranks[0].lost().who == f"rank 2 on n2, which has done {done}"


class Gone(HashStore):
    """A store whose keeper has ended."""

    def multi_get(self, keys: list[str]) -> list[bytes]:
        raise RuntimeError


def test_where_the_store_has_gone_its_keeper_has() -> None:
    calls = [RollCall(Gone(), rank, 3, SHORT) for rank in (1, 2)]
    for call in calls:
        call.nodes = ["n1", "n2", "n3"]
    assert [(lost.who, lost.tells) for lost in map(RollCall.lost, calls)] == [
        ("rank 0 on n1", True),
        ("rank 0 on n1", False),
    ]


def test_its_keeper_tells_the_others_before_it_ends_because_a_rank_was_lost(
    ranks: list[RollCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks[3].stop()
    assert ranks[0].lost().tells
    monkeypatch.setattr(ranks[1], "_store", Gone())
    assert not ranks[1].lost().tells


def test_the_thread_ends_with_its_rank(ranks: list[RollCall]) -> None:
    for call in ranks:
        call.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "roll call"]
    assert Word.read(str(Word(1, Position(2, 3, 4), True)).encode()) == Word(1, Position(2, 3, 4), True)
