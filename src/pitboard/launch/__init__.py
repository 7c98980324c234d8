"""Start the processes of a run; the training itself is the training room's."""

import ctypes
import json
import os
import signal
from pathlib import Path


def launched_by_torchrun() -> bool:
    """Whether this process is one of torchrun's ranks rather than a user's command."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def leave_for_launcher(message: str) -> bool:
    """Leave a failed rank's sentence where torchrun looks for it; `False` when it gave no such place."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return False
    report = {"message": {"message": message, "extraInfo": {"timestamp": "0", "py_callstack": ""}}}
    Path(path).write_text(json.dumps(report), encoding="utf-8")
    return True


def end_with_launcher() -> None:
    """Have the kernel kill this rank when the process that launched it dies (Linux).

    Torchrun gives its ranks sessions of their own: after `kill -9` of the launcher they would train on, and
    write to the log that `--resume` then continues.
    """
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
