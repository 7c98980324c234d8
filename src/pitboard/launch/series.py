"""Do the runs of a plan: new ones or unfinished ones, from the user's process or as ranks of a launcher."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import msgspec
from mlperf_logging.mllog import constants

from pitboard.errors import PitboardError, Stopped, ToldElsewhereError
from pitboard.events.writer import LogWriter
from pitboard.files import inside, write_atomically
from pitboard.launch.plan import join_output, prepare_output, same_runs
from pitboard.launch.torchrun import (
    RankFailedError,
    launch_ranks,
    launched_by_torchrun,
    report_to_launcher,
    restarted,
)
from pitboard.processes import end_with_parent
from pitboard.training.checkpoint import kept_samples
from pitboard.training.distributed import join_world, leave_world, waiting_time
from pitboard.training.output import Output, Plan, read_run
from pitboard.training.reporting import Reporter
from pitboard.training.runner import Summary, execute, settings_of

SeriesResult = Literal["reached", "not reached", "failed"]
"""Whether every run of a plan reached its target, one ended without, or one could not be run to its end."""


class SeriesReporter(Reporter, Protocol):
    """Watches the runs of a plan, from the user's process or from rank 0."""

    def finished(self, summary: Summary) -> None:
        """A run has ended: it reached its target, or its limit."""

    def failed(self, run: str, error: PitboardError) -> None:
        """A run of several failed, and the next is started; `run` names it."""

    def all_ended(self, output: Output, plan: Plan) -> None:
        """No run is left to do."""


def start(output: Output, plan: Plan, reporter: SeriesReporter, only: int | None = None) -> SeriesResult:
    """Do the runs of a new plan, or continue them where torchrun or Slurm restarted their command.

    With `only`, do that one of them, beside other processes that do the others in the same folder.

    Raises `PitboardError` where they cannot be started, or the only one failed, and `Stopped` when a signal
    stopped one.
    """
    if launched_by_torchrun():
        return _as_rank(output, plan, reporter, partial(_opened, only=only), only)
    if only is not None:
        return _only_one(output, join_output(output, plan), reporter, only)
    if _was_restarted(output, plan):
        return resume(output, plan.nproc, reporter)
    prepare_output(output, plan)
    return _from_user_process(output, plan, reporter)


def resume(
    output: Output, nproc: int | None, reporter: SeriesReporter, timeout: int | None = None
) -> SeriesResult:
    """Continue the unfinished runs of a folder, on `nproc` ranks instead of as many as it began with.

    `timeout` replaces the recorded one. Raises as `start` does, and where the folder holds no plan.
    """
    plan = output.plan()
    plan = msgspec.structs.replace(plan, timeout=timeout or plan.timeout)
    if launched_by_torchrun():
        return _as_rank(output, plan, reporter, _reopened)
    output.lock()
    plan = _drawn_inside(output, plan, reporter.notice)
    if not output.unfinished(plan):
        reporter.notice(f"nothing to resume: every run in {output.folder} has ended")
    return _from_user_process(output, msgspec.structs.replace(plan, nproc=nproc or plan.nproc), reporter)


def run_as_rank(output: Output, index: int, reporter: SeriesReporter, timeout: int | None = None) -> None:
    """Do one run as one of the ranks that `run_series` launched."""
    end_with_parent()
    plan = output.plan()
    _run_one(output, msgspec.structs.replace(plan, timeout=timeout or plan.timeout), index, reporter)
    leave_world()


def run_series(
    output: Output,
    plan: Plan,
    reporter: SeriesReporter,
    failed: Callable[[int, PitboardError], None],
    *,
    apart: bool = False,
) -> None:
    """Do every unfinished run of the plan; `failed` is given one that fails, and the next is started.

    A single run of one rank is done in this process, unless it shall be `apart`. Any other is launched as
    `pitboard run --resume DIR --only N`, which shows itself, so that nothing of one run can reach the next.
    Raises `Stopped` when a signal stops a run, which ends the series.
    """
    in_this_process = len(plan.seeds) == 1 and plan.nproc == 1 and not apart
    for index in output.unfinished(plan):
        try:
            with _with_resume_hint(output, plan, index):
                if in_this_process:
                    _run_one(output, plan, index, reporter)
                else:
                    _launch(output, plan, index)
        except PitboardError as error:
            failed(index, error)


def run_all(
    members: Iterable[tuple[str, tuple[Output, Plan]]],
    reporter: SeriesReporter,
    command: str,
    failed: Callable[[str, int, PitboardError], None],
    *,
    apart: bool = False,
) -> None:
    """Do the unfinished runs of several named plans, one after the other; `command` is what continues them.

    `failed` is given a run that fails, by its plan's name and its number; the next is started. Raises
    `PitboardError` where a folder is in use, and `Stopped`, which says the command, when a signal stops a
    run.
    """
    for name, (output, plan) in members:
        output.lock()
        try:
            run_series(output, plan, reporter, partial(failed, name), apart=apart)
        except Stopped as stop:
            raise Stopped(stop.number, f"Stopped by {stop.name}: `{command}` continues.") from None


def _from_user_process(output: Output, plan: Plan, reporter: SeriesReporter) -> SeriesResult:
    failures: list[PitboardError] = []

    def failed(index: int, error: PitboardError) -> None:
        if len(plan.seeds) == 1:
            raise error
        failures.append(error)
        reporter.failed(f"Run {index}", error)

    run_series(output, plan, reporter, failed)
    reporter.all_ended(output, plan)
    return "failed" if failures else "reached" if output.all_reached(plan) else "not reached"


def _only_one(output: Output, plan: Plan, reporter: SeriesReporter, only: int) -> SeriesResult:
    if only in output.unfinished(plan):
        with _with_resume_hint(output, plan, only):
            _run_one(output, plan, only, reporter)
    else:
        reporter.notice(f"nothing to do: run {only} in {output.folder} has ended")
    if not output.unfinished(plan):
        reporter.all_ended(output, plan)
    return "reached" if output.all_reached(plan, only) else "not reached"


def _opened(output: Output, plan: Plan, only: int | None) -> Plan:
    """Return the plan whose runs a rank 0 shall do in the folder that it locks: new ones, or those begun."""
    if only is not None:
        return join_output(output, plan)
    if _was_restarted(output, plan):
        return _reopened(output, plan)
    prepare_output(output, plan)
    return plan


def _reopened(output: Output, plan: Plan) -> Plan:
    output.lock()
    return msgspec.structs.replace(_drawn_inside(output, output.plan()), timeout=plan.timeout)


def _drawn_inside(output: Output, plan: Plan, notice: Callable[[str], None] = lambda _: None) -> Plan:
    """Return the plan of a folder with its picture in there: the folder may be another's, and name any file.

    It is written back, for the ranks that are launched read it.
    """
    if plan.samples_grid is None or Path(plan.samples_grid).parent == output.folder.absolute():
        return plan
    kept = inside(output.folder.absolute(), Path(plan.samples_grid).name)
    notice(f"the samples are drawn to {kept}")
    plan = msgspec.structs.replace(plan, samples_grid=str(kept))
    output.record(plan)
    return plan


def _as_rank(
    output: Output,
    plan: Plan,
    reporter: SeriesReporter,
    open_folder: Callable[[Output, Plan], Plan],
    only: int | None = None,
) -> SeriesResult:
    """Do the runs as one of the ranks of the user's own torchrun or srun; rank 0's plan counts."""
    end_with_parent()
    world = join_world(settings_of(plan), waiting_time(plan.timeout))
    refused: PitboardError | None = None
    if world.is_main:
        try:
            plan = open_folder(output, plan)
        except PitboardError as error:
            refused = error
    # The folder is rank 0's to lock and to read: the others may see a network file system's past.
    todo = output.unfinished(plan) if world.is_main and refused is None else []
    folder, plan, todo, refusal = world.broadcast((output.folder, plan, todo, str(refused or "")))
    if refusal:
        leave_world()
        raise PitboardError(refusal) if world.is_main else ToldElsewhereError(refusal)
    if only is not None:
        todo = [index for index in todo if index == only]
    output = Output(folder)
    try:
        for index in todo:
            with _with_resume_hint(output, plan, index):
                _run_one(output, plan, index, reporter)
    except Stopped as stop:
        # Once is enough.
        raise stop if world.is_main else Stopped(stop.number) from None
    if world.is_main and (only is None or not output.unfinished(plan)):
        reporter.all_ended(output, plan)
    reached = world.broadcast(output.all_reached(plan, only) if world.is_main else None)
    leave_world()
    # Torchrun exits with 1 whatever its ranks exit with, and with 0 only where all of them do.
    if not reached:
        report_to_launcher(PitboardError("A run ended without reaching its target."))
    return "reached" if reached else "not reached"


def _was_restarted(output: Output, plan: Plan) -> bool:
    """Whether this command was restarted by torchrun or Slurm, and had begun these runs in the folder."""
    if not restarted() or not output.has_started():
        return False
    return same_runs(output.plan(), plan)


def _run_one(output: Output, plan: Plan, index: int, reporter: SeriesReporter) -> None:
    """Do one run of the plan as one of its ranks; rank 0 writes its summary and reports it."""
    summary = execute(output, plan, index, reporter)
    if summary is not None:
        encoded = msgspec.json.encode(summary, enc_hook=str)
        write_atomically(output.summary(index), msgspec.json.format(encoded))
        reporter.finished(summary)


@contextmanager
def _with_resume_hint(output: Output, plan: Plan, index: int) -> Iterator[None]:
    """Add how to continue a run to what ended it, where its log was left open."""
    try:
        yield
    except Stopped as stop:
        why = f"{stop} " if str(stop) else ""
        raise Stopped(
            stop.number, f"{why}Stopped by {stop.name}: {_resume_hint(output, plan, index)}"
        ) from None
    except PitboardError as error:
        path = output.log(plan, index)
        if path.exists() and read_run(path).run_stop_ms is None:
            raise type(error)(f"{error} Its log is open: {_resume_hint(output, plan, index)}") from error
        raise


def _resume_hint(output: Output, plan: Plan, index: int) -> str:
    """Return what is kept of a run that has not ended, and the command that continues it."""
    run = read_run(output.log(plan, index))
    command = f"`pitboard run --resume {shlex.quote(str(output.folder))}`"
    if run.run_stop_ms is not None:
        return "this run has ended; " + command + " does those that have not."
    if run.run_start_ms is None:
        return f"nothing was timed yet; {command} starts."
    kept = kept_samples(output.checkpoints(plan, index))
    if kept is None:
        return f"there is no checkpoint; {command} trains from the first sample again, the clock running on."
    return f"{command} continues from the checkpoint at sample {kept:,}."


def _launch(output: Output, plan: Plan, index: int) -> None:
    path = output.log(plan, index)
    try:
        wait = [] if plan.timeout is None else ["--timeout", str(plan.timeout)]
        launch_ranks(["run", "--resume", str(output.folder), "--only", str(index), *wait], plan.nproc)
    except RankFailedError as error:
        # A rank that fails in initialisation may have ended rank 0 before that could close the log.
        run = read_run(path)
        if path.exists() and run.run_start_ms is None and run.run_stop_ms is None:
            LogWriter(path, append=True).close(constants.ABORTED, reason=str(error))
        raise
