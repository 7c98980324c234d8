"""Start the ranks of a run on this node with torchrun's own launcher."""

import logging
import os
import sys
import uuid

from pitboard.errors import PitboardError


def launch(arguments: list[str], nproc: int) -> None:
    """Run `pitboard <arguments>` as `nproc` ranks and wait for them, as `torchrun --nproc-per-node` does.

    Raises `PitboardError` with the sentence of the rank that failed first; the other ranks are ended.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

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
    )
    try:
        elastic_launch(config, sys.executable)("-m", "pitboard", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        message = _message(failure.error_file_data if failure.error_file != "<N/A>" else {})
        raise PitboardError(
            message or f"Rank {rank} ended with exit code {failure.exitcode}; its own output above says why."
        ) from error


def _message(report: dict[str, object]) -> str:
    message = report.get("message", "")
    if isinstance(message, dict):
        message = message.get("message", "")
    return str(message)
