"""Ranks under a launcher: whether this process is one of them, and how to start them on this node.

Light to import: only starting ranks loads torch.
"""

import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pitboard.errors import LostContactError, PitboardError, Stopped
from pitboard.text import file_name

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# For the checkpoint of a large model; whoever cannot wait sends a second signal.
_SECONDS_TO_STOP = 600
_STOPPED = {Stopped(number).exit_code: number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}


class RankFailedError(PitboardError):
    """A rank failed, and said why."""


def launched_by_torchrun() -> bool:
    """Whether this process is a rank, of torchrun's or of srun's, rather than a user's command."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def restarted() -> bool:
    """Whether torchrun (`--max-restarts`) or Slurm (a requeue) has started this same command before."""
    counts = (os.environ.get(name, "") for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))
    return any(count.isdecimal() and int(count) > 0 for count in counts)


def restart_name() -> str | None:
    """Return the job's name, by which every start of it finds the same default output folder.

    `None` where the command is not one that is started again. Raises `PitboardError` where it is, and the job
    has no name.
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


def report_to_launcher(error: PitboardError) -> bool:
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


def launch_ranks(arguments: list[str], nproc: int) -> None:
    """Run `pitboard <arguments>` as `nproc` ranks and wait for them, as `torchrun --nproc-per-node` does.

    Raises `PitboardError` when a rank failed or was killed, the other ranks being ended, and `Stopped` when a
    signal came here or to a rank, and the ranks have stopped cleanly.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from pitboard.training.stopping import StopSignals

    # The failing rank's sentence is shown; the launcher's own reports would bury it.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // nproc)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=nproc,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        # It would take all the signals that it names for itself, also those that `StopSignals` receives.
        signals_to_handle="SIGQUIT",
        shutdown_timeout=_SECONDS_TO_STOP,
    )
    try:
        with StopSignals():
            # `Stopped`, raised in here, has the launcher pass SIGTERM on to the ranks and wait for them.
            # -P: a `pitboard.py` in the folder where the command was given is not ours.
            elastic_launch(config, sys.executable)("-P", "-m", "pitboard", *arguments)
    except SignalException as error:
        raise Stopped(error.sigval) from None
    except ChildFailedError as error:
        raise _reason(error.failures) from error


def _reason(failures: "Mapping[int, ProcessFailure]") -> PitboardError | Stopped:
    """Return what ended the ranks, of all that followed from it."""
    rank, first = min(failures.items(), key=lambda item: (_distance_from_cause(item[1]), item[1].timestamp))
    message = _message(first)
    if first.exitcode in _STOPPED:
        return Stopped(_STOPPED[first.exitcode])
    if message:
        return RankFailedError(message)
    if first.exitcode < 0:
        why = " (as the kernel does where memory runs out)" if first.exitcode == -signal.SIGKILL else ""
        return PitboardError(f"Rank {rank} was killed by {first.signal_name()}{why}.")
    return PitboardError(f"Rank {rank} ended with exit code {first.exitcode}; its own output above says why.")


def _distance_from_cause(failure: "ProcessFailure") -> int:
    """Return how far from the cause a failure is: ranks that were told to stop are furthest."""
    if failure.exitcode in _STOPPED or failure.exitcode == -signal.SIGTERM:
        return 2
    left_alone = bool(_message(failure)) and failure.timestamp > 0
    return 1 if left_alone else 0


def _message(failure: "ProcessFailure") -> str:
    message = failure.error_file_data.get("message", "") if failure.error_file != "<N/A>" else ""
    if isinstance(message, dict):
        message = message.get("message", "")
    return str(message)
