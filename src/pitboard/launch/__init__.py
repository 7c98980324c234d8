"""Start the processes of a run; the training itself is the training room's."""

import ctypes
import json
import os
import signal
import time
from pathlib import Path

from pitboard.errors import LostContactError, PitboardError
from pitboard.text import file_name


def launched_by_torchrun() -> bool:
    """Whether this process is one of torchrun's ranks rather than a user's command."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def restarted() -> bool:
    """Whether torchrun (`--max-restarts`) or Slurm (a requeue) has started this same command before."""
    counts = (os.environ.get(name, "") for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))
    return any(count.isdecimal() and int(count) > 0 for count in counts)


def restart_name() -> str | None:
    """Return what names the default output folder alike in every start of a job; `None`: the time of day.

    Raises `PitboardError` where there must be such a name and none is known.
    """
    maximum, run = (os.environ.get(f"TORCHELASTIC_{name}", "") for name in ("MAX_RESTARTS", "RUN_ID"))
    if launched_by_torchrun() and maximum not in ("", "0"):
        # "none" is what every torchrun without --standalone or --rdzv-id calls its job.
        if run not in ("", "none"):
            return file_name(run)
    elif not restarted():
        return None
    raise PitboardError(
        "A job that is started again must find the folder that it wrote before: name it with --output."
    )


def leave_for_launcher(error: PitboardError) -> bool:
    """Leave a failed rank's sentence where torchrun looks for it; `False` when it gave no such place.

    Torchrun shows what was left with the earliest time: that another rank has gone is never the reason.
    """
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return False
    at = int(time.time()) if isinstance(error, LostContactError) else 0
    text = str(error)
    report = {"message": {"message": text, "extraInfo": {"timestamp": str(at), "py_callstack": text}}}
    Path(path).write_text(json.dumps(report), encoding="utf-8")
    return True


def end_with_launcher() -> None:
    """Have the kernel kill this rank when the process that launched it dies (Linux).

    Torchrun gives its ranks sessions of their own: after `kill -9` of the launcher they would train on, and
    write to the log that `--resume` then continues.
    """
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
