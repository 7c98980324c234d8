"""Being asked to end by a signal: a run stops between two steps, at the same step on every rank."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pitboard.errors import Stopped
from pitboard.training.distributed import World

# A lost connection to the terminal (SIGHUP) stops a run as Ctrl-C does, unless `nohup` had it ignored.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# `timeout`, Slurm and container runtimes signal a process and then its group: that is one request to stop.
_ONE_REQUEST_SECONDS = 1.0
_SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """Receives SIGTERM, SIGINT and SIGHUP while it is entered as a context manager, on the main thread.

    The first signal raises `Stopped` where the process is, or within `deferred()` only sets `received`, for
    the loop to look at between two steps. A second one ends the process at once; a rank leaves that to its
    launcher, which passes on signals that the rank may have got by itself already. After a signal that stays
    so when the context is left: the process is about to end, with the exit code of the first signal.
    """

    def __init__(self, *, launched: bool = False) -> None:
        self.received = 0
        self._launched = launched
        self._deferring = False
        self._at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for each in _SIGNALS:
                if signal.getsignal(each) is not signal.SIG_IGN:
                    self._before[each] = signal.signal(each, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self.received:
            return
        for each, before in self._before.items():
            signal.signal(each, before)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only remember a signal, so that what is in here ends in good order."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.received:
            self.received, self._at = number, now
            if not self._deferring:
                raise Stopped(number)
        elif not self._launched and now - self._at > _ONE_REQUEST_SECONDS:
            # Not by an exception: libraries catch those, and threads that still write would be waited for.
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), _SHOW_CURSOR)
            os._exit(128 + number)


class SharedStop:
    """Tells every rank, at the same step, that one of them was signalled.

    Several ranks combine what they received on a process group of its own, beside the step that follows: the
    outcome is read one step later, so nobody waits for it. One rank combines nothing.
    """

    def __init__(self, signals: StopSignals, world: World) -> None:
        self._signals = signals
        self._group = world.stop_group
        self._combining: tuple[dist.Work, Tensor] | None = None

    def requested(self) -> int:
        """Return the signal on which all ranks stop after this step, or 0; call it once a step on each."""
        if self._group is None:
            return self._signals.received
        number = self._combined()
        flag = torch.tensor(self._signals.received, dtype=torch.int32)
        work = dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._group, async_op=True)
        assert work is not None
        self._combining = (work, flag)
        return number

    def finish(self) -> None:
        """Wait for what is still being combined, before the ranks part."""
        self._combined()

    def _combined(self) -> int:
        if self._combining is None:
            return 0
        work, flag = self._combining
        self._combining = None
        work.wait()
        return int(flag.item())
