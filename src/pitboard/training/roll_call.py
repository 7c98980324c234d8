"""Which ranks a run has, on which nodes, and which of them no longer answer.

Each rank says in the store that all of them share where it is, and from then on every second how far it has
come. A collective that fails or waits too long does not tell whom it waited for; what the ranks said does.
"""

import hashlib
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, NamedTuple

import torch.distributed as dist
from torch._C._distributed_c10d import Store

from pitboard.errors import PitboardError
from pitboard.processes import node_name

# One store serves all ranks: of very many, each speaks less often.
_SECONDS_BETWEEN_WORDS = 1.0
_RANKS_A_SECOND = 64
# Whoever has said nothing new for so many of these intervals has gone.
_INTERVALS = 2.5
_NAMED = 8
_LOST = "pitboard/lost"
# A part of the time after which a collective fails: NCCL then ends the process, which can say nothing more.
_WAITED_LONG = 0.9


class Position(NamedTuple):
    """How far a rank has come: steps, their samples, and the batches of the evaluation after them."""

    step: int
    samples: int
    evaluated: int = 0

    def __str__(self) -> str:
        several = "es" if self.evaluated > 1 else ""
        batches = f" and {self.evaluated:,} batch{several} of the evaluation" if self.evaluated else ""
        return f"step {self.step} (sample {self.samples:,}){batches}"


@dataclass(frozen=True)
class Word:
    """What a rank said last: how often it has spoken, how far it had come, and whether it was ending."""

    count: int
    position: Position
    ending: bool = False

    @classmethod
    def read(cls, text: bytes) -> "Word":
        """Return what `str` of a word wrote."""
        count, step, samples, evaluated, ending = map(int, text.split())
        return cls(count, Position(step, samples, evaluated), bool(ending))

    def __str__(self) -> str:
        step, samples, evaluated = self.position
        return f"{self.count} {step} {samples} {evaluated} {int(self.ending)}"


def by_node(nodes: Sequence[str]) -> list[int]:
    """Return the ranks, whose nodes are given, node by node: those of one node are neighbours.

    Rank 0 stays the first. The nodes follow in the order of their names, n2 before n10: a launcher may number
    them as they happened to arrive (torchrun's c10d), or deal ranks over them in turn (`srun -m cyclic`).
    """
    return sorted(
        range(len(nodes)),
        key=lambda rank: (nodes[rank] != nodes[0], _natural(nodes[rank]), nodes[rank], rank),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


class RollCall:
    """Keeps in touch with the other ranks of a run, beside its collectives.

    `rank` is the launcher's number. As there is one process group a process, there is one of these: `here`.
    """

    here: "ClassVar[RollCall | None]" = None

    def __init__(self, store: Store, rank: int, size: int, timeout: timedelta) -> None:
        self.rank = rank
        self.nodes: list[str] = []
        self._store = store
        self._size = size
        self._timeout = timeout
        self._interval = max(_SECONDS_BETWEEN_WORDS, size / _RANKS_A_SECOND)
        self._progress: Callable[[], Position] = lambda: Position(0, 0)
        self._count = 0
        self._knows = False  # that a rank was lost, and another tells it
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def placed(self) -> list[str]:
        """The nodes in the order of the ranks' places in the process group."""
        return [self.nodes[rank] for rank in by_node(self.nodes)]

    @property
    def me(self) -> str:
        """This rank and its node: `rank 3 on n2`."""
        return self._named([self.rank])

    def arrive(self) -> list[str]:
        """Wait for all ranks and return the name of each one's node, in the ranks' order.

        Raises `PitboardError` when some do not arrive in time; it names them.
        """
        self._store.set(_place(self.rank), node_name())
        places = [_place(rank) for rank in range(self._size)]
        try:
            self._store.wait(places, self._timeout)
        except dist.DistStoreError:
            missing = [rank for rank, place in enumerate(places) if not self._store.check([place])]
            raise PitboardError(
                f"{_ranks(missing)} of {self._size} did not arrive within {_seconds(self._timeout)}: see why"
                " they were not started or cannot reach this node, or give a longer --timeout."
            ) from None
        self.nodes = [self._store.get(place).decode() for place in places]
        return self.nodes

    def start(self) -> None:
        """Tell the others from now on how far this rank has come, beside all that it does."""
        RollCall.here = self
        self._speak(self._store)
        # Not a daemon: a thread that is inside PyTorch when the interpreter ends would abort the process.
        self._thread = threading.Thread(
            target=self._keep_speaking, args=(_clone(self._store),), name="roll call"
        )
        self._thread.start()

    def follow(self, progress: Callable[[], Position]) -> None:
        """Take how far this rank has come from a function, which another thread calls."""
        self._progress = progress

    def stop(self) -> None:
        """Say no more."""
        RollCall.here = None
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def fail(self, reason: str) -> bool:
        """Tell the others that this rank ends, and return whether it is the first to end for that reason."""
        self.stop()
        mark = hashlib.sha256(reason.encode()).hexdigest()
        try:
            self._speak(self._store, ending=True)
            return self._store.add(f"pitboard/failed/{mark}", 1) == 1
        except RuntimeError:  # whoever keeps the store has gone
            return True

    def lost(self) -> "Lost":
        """Return which ranks have gone, once a collective has failed: takes a few seconds."""
        try:
            before = self._words(self._store)
            time.sleep(_INTERVALS * self._interval)
            lost = self._compared(before, self._words(self._store))
            if lost.tells:
                self._store.set(_LOST, lost.who)
            if self.rank == 0:
                # The others notice when this rank ends, and with it the store: they shall know why by then.
                time.sleep(_INTERVALS * self._interval)
            return lost
        except RuntimeError:  # rank 0 keeps the store, or torchrun's agent on its node
            who = f"{self._named([0])}{_after(self._progress())}"
            return Lost(who, self.rank == 1 and not self._knows)
        finally:
            self.stop()

    def _compared(self, before: Sequence[Word], words: Sequence[Word]) -> "Lost":
        """Return who has said nothing new, or is ending; of ranks that are all there, who is behind."""
        others = [rank for rank in range(self._size) if rank != self.rank]
        gone = [rank for rank in others if words[rank].ending or words[rank].count == before[rank].count]
        speaker = self.rank == min({self.rank, *others} - set(gone))
        # Of ranks that have ended, one that ended by itself says why; one that was killed cannot.
        silent = [rank for rank in gone if not words[rank].ending]
        if gone:
            return Lost(f"{self._named(silent or gone)}{_after(self._progress())}", speaker)
        return Lost(self._described(self._behind(words), words), speaker)

    def _behind(self, words: Sequence[Word]) -> list[int]:
        """Return the ranks that have not come as far as another."""
        furthest = max(word.position for word in words)
        return [rank for rank, word in enumerate(words) if word.position < furthest]

    def _described(self, ranks: list[int], words: Sequence[Word]) -> str:
        if not ranks:
            return "another rank"
        return f"{self._named(ranks)}, which has done {words[ranks[0]].position}"

    def _named(self, ranks: Sequence[int]) -> str:
        named = [f"rank {rank} on {self.nodes[rank]}" for rank in ranks[:_NAMED]]
        more = len(ranks) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")

    def _speak(self, store: Store, *, ending: bool = False) -> None:
        self._count += 1
        store.set(_said(self.rank), str(Word(self._count, self._progress(), ending)))

    def _words(self, store: Store) -> list[Word]:
        texts = store.multi_get([_said(rank) for rank in range(self._size)])
        return [Word.read(text) for text in texts]

    def _keep_speaking(self, store: Store) -> None:
        since, position, warned = time.monotonic(), Position(-1, 0), False
        try:
            while not self._ended.wait(self._interval) and threading.main_thread().is_alive():
                self._speak(store)
                self._knows = store.check([_LOST])
                if self._progress() != position:
                    since, position, warned = time.monotonic(), self._progress(), False
                elif not warned and time.monotonic() - since > _WAITED_LONG * self._timeout.total_seconds():
                    warned = True
                    self._warn(store, position)
        except RuntimeError:  # whoever keeps the store has gone; the collectives will fail, and say so
            return

    def _warn(self, store: Store, position: Position) -> None:
        """Say whom a long wait is for, if for anyone: the lowest of the ranks that wait says it."""
        words = self._words(store)
        behind = self._behind(words)
        if behind and self.rank == min(set(range(self._size)) - set(behind)):
            waited = _seconds(self._timeout * _WAITED_LONG)
            print(
                f"{self.me[:1].upper() + self.me[1:]} has done {position} and waited {waited} for"
                f" {self._described(behind, words)}.",
                file=sys.stderr,
                flush=True,
            )


@dataclass(frozen=True)
class Lost:
    """Which ranks have gone, in words, and whether this rank shall tell it for all that are left."""

    who: str
    tells: bool


def _clone(store: Store) -> Store:
    clone: Callable[[], Store] = store.clone  # type: ignore[attr-defined]
    return clone()


def _after(position: Position) -> str:
    return f" after {position}" if position.step else ""


def _place(rank: int) -> str:
    return f"pitboard/node/{rank}"


def _said(rank: int) -> str:
    return f"pitboard/said/{rank}"


def _ranks(ranks: Sequence[int]) -> str:
    numbers = ", ".join(map(str, ranks[:_NAMED]))
    more = f" and {len(ranks) - _NAMED} more" if len(ranks) > _NAMED else ""
    return f"{'Rank' if len(ranks) == 1 else 'Ranks'} {numbers}{more}"


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():g} seconds"
