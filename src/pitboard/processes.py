"""What a process asks of the operating system for itself: its node, to end in good order, limits."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pitboard.errors import Stopped

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the one that started it dies; Linux only.

    Give the `parent`'s number where that may be gone before this is reached: then this process ends here.

    A server that is killed takes its workers along. Torchrun gives its ranks sessions of their own: after
    `kill -9` of the launcher they would train on, and write to the log that `--resume` then continues.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent is not None and os.getppid() != parent:
            os._exit(1)


def limit(*, memory_bytes: int, processor_seconds: int, file_bytes: int) -> None:
    """Limit this process for good, let it leave no core, and let others go first."""
    import resource

    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, processor_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    os.nice(5)


def node_name() -> str:
    """Return what this process's node is called: by Slurm where it started this, or else by itself."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def stop_on_signals() -> None:
    """Have SIGTERM and SIGHUP raise `Stopped` in the main thread, so that what is half done is cleared away.

    One that is ignored, as `nohup` has it, stays so.
    """
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


@contextmanager
def held_signals() -> Iterator[None]:
    """Have signals wait while processes are forked: an exception that is raised in there would be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_on_signals() -> None:
    """Undo `stop_on_signals` and `held_signals` in a forked worker, which has nothing to clear away."""
    for number in _ENDING:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _stop(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what clears away is not stopped again
    raise Stopped(number, f"Stopped by {signal.Signals(number).name}; what was written so far is complete.")
