"""Do the runs of a plan one after another, each in processes of its own."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from mlperf_logging.mllog import constants

from pitboard.errors import PitboardError, Stopped
from pitboard.events.writer import LogWriter
from pitboard.files import write_atomically
from pitboard.launch.torchrun import RankFailedError, launch
from pitboard.training.checkpoint import kept_samples
from pitboard.training.output import Output, Plan, logged
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
    --only N`, which shows itself, so that nothing of one run can reach the next. Raises `Stopped` when a
    signal stops a run, which ends the series.
    """
    alone = len(plan.seeds) == 1 and plan.nproc == 1
    for index in output.unfinished(plan):
        try:
            with with_resume_hint(output, plan, index):
                if alone:
                    run_one(output, plan, index, reporter, finished)
                else:
                    _launch(output, plan, index)
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


@contextmanager
def with_resume_hint(output: Output, plan: Plan, index: int) -> Iterator[None]:
    """Complete what ends a run with how to go on with it, where its log was left open."""
    try:
        yield
    except Stopped as stop:
        why = f"{stop} " if str(stop) else ""
        raise Stopped(
            stop.number, f"{why}Stopped by {stop.name}: {_resume_hint(output, plan, index)}"
        ) from None
    except PitboardError as error:
        path = output.log(plan, index)
        if path.exists() and logged(path).run_stop_ms is None:
            raise type(error)(f"{error} Its log is open: {_resume_hint(output, plan, index)}") from error
        raise


def _resume_hint(output: Output, plan: Plan, index: int) -> str:
    """Return what is kept of a run that has not ended, and the command that goes on with it."""
    run = logged(output.log(plan, index))
    command = f"`pitboard run --resume {shlex.quote(str(output.folder))}`"
    if run.run_stop_ms is not None:
        return "this run had ended; " + command + " does those that have not."
    if run.run_start_ms is None:
        return f"nothing was timed yet; {command} starts."
    kept = kept_samples(output.checkpoints(plan, index))
    if kept is None:
        return f"there is no checkpoint; {command} trains from the first sample again, the clock running on."
    return f"{command} goes on from the checkpoint at sample {kept:,}."


def _launch(output: Output, plan: Plan, index: int) -> None:
    path = output.log(plan, index)
    try:
        launch(["run", "--resume", str(output.folder), "--only", str(index)], plan.nproc)
    except RankFailedError as error:
        # A rank that fails in initialisation may have ended rank 0 before that could close the log.
        run = logged(path)
        if path.exists() and run.run_start_ms is None and run.run_stop_ms is None:
            LogWriter(path, append=True).close(constants.ABORTED, reason=str(error))
        raise
