"""Do the runs of a plan one after another, each in processes of its own."""

from collections.abc import Callable

import msgspec

from pitboard.errors import PitboardError
from pitboard.files import write_atomically
from pitboard.launch.torchrun import launch
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Reporter
from pitboard.training.runner import Summary, execute


def run_series(
    output: Output,
    plan: Plan,
    reporter: Reporter,
    finished: Callable[[Summary], None],
    failed: Callable[[int, PitboardError], None],
) -> None:
    """Do every unfinished run of the plan; a failed one is told to `failed` and the next is started.

    A single run of one rank is done in this process. Any other is launched as `pitboard run --resume DIR
    --only N`, which shows itself, so that nothing of one run can reach the next.
    """
    alone = len(plan.seeds) == 1 and plan.nproc == 1
    for index in output.unfinished(plan):
        try:
            if alone:
                run_one(output, plan, index, reporter, finished)
            else:
                launch(["run", "--resume", str(output.folder), "--only", str(index)], plan.nproc)
        except PitboardError as error:
            failed(index, error)


def run_one(
    output: Output, plan: Plan, index: int, reporter: Reporter, finished: Callable[[Summary], None]
) -> None:
    """Do one run of the plan as one of its ranks; rank 0 writes its summary and tells it to `finished`."""
    summary = execute(output, plan, index, reporter)
    if summary is not None:
        encoded = msgspec.json.encode(summary, enc_hook=str)
        write_atomically(output.summary(index), msgspec.json.format(encoded))
        finished(summary)
