"""What a process asks of the operating system for itself: an end with its parent, and limits."""

import os
import signal
import sys

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
