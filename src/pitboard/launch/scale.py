"""The same runs on several numbers of ranks, one after another, to be set side by side.

DIR/scale.json       the numbers of ranks in order, as `counts` says, written when each has its plan
DIR/<ranks>/         the output of a `pitboard run`, as `training.output` says

Each of these is an ordinary output: whatever can start so many ranks, on however many nodes, can do it with
`pitboard run --resume DIR/<ranks>`, and the answer is drawn from what all left.
"""

import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.launch.counts import COUNTS, read_counts, require_no_scale
from pitboard.launch.plan import RunRequest, make_plan
from pitboard.launch.series import SeriesReporter, run_all
from pitboard.launch.sweep import Sweep, read_members, record
from pitboard.launch.torchrun import launched_by_torchrun
from pitboard.training.device import choose_device
from pitboard.training.distributed import World, data_ranks, require_divisible
from pitboard.training.loading import micro_batch
from pitboard.training.output import Output, Plan
from pitboard.training.precision import choose_precision
from pitboard.training.runner import settings_of


def plan_scale(folder: Path, request: RunRequest, counts: Sequence[int]) -> Sweep:
    """Return the runs of a request on each number of ranks, with the same seeds; nothing is written.

    The precision is decided once, for all. Raises `PitboardError` for what cannot be said beside the numbers
    of ranks, for what `make_plan` refuses, for numbers that the batch or the model cannot be divided by, and
    for a folder that holds an earlier scale.
    """
    if launched_by_torchrun():
        raise PitboardError("--scale starts its ranks itself: give it without torchrun.")
    for given, name in ((request.nproc, "--nproc"), (request.samples_grid, "--samples-grid")):
        if given is not None:
            raise PitboardError(f"--scale runs on each of its numbers of ranks: leave out {name}.")
    require_no_scale(folder)
    if request.like is None and request.seed is None:
        request = replace(request, seed=secrets.randbelow(2**31))
    settings = settings_of(make_plan(request))
    if settings.precision == "auto":
        choice = choose_precision(choose_device(settings.device, 0))
        request = replace(request, overrides={**request.overrides, "precision": choice.precision})
    plans = {str(ranks): make_plan(replace(request, nproc=ranks)) for ranks in counts}
    for plan in plans.values():
        _require_divided(plan)
    return Sweep(folder, {name: (Output(folder / name), plan) for name, plan in plans.items()})


def _require_divided(plan: Plan) -> None:
    settings = settings_of(plan)
    require_divisible(plan.nproc, settings)
    if not settings.batch_follows_ranks:
        device = choose_device(settings.device, 0)
        micro_batch(settings, World(0, plan.nproc, device, None, 0, data_ranks(plan.nproc, settings), 1))


def record_scale(scale: Sweep) -> None:
    """Write the plan of every number's runs, so that what is interrupted can be resumed."""
    record(scale, COUNTS)


def read_scale(folder: Path) -> Sweep:
    """Return what a folder holds. Raises `PitboardError` for damage, and under torchrun."""
    if launched_by_torchrun():
        raise PitboardError(f"Name one number's folder in {folder} to torchrun, such as {folder}/2.")
    return read_members(folder, map(str, read_counts(folder)))


def run_scale(scale: Sweep, reporter: SeriesReporter) -> bool:
    """Do the unfinished runs on every number of ranks; say whether all could be run.

    A run that fails is reported, and the next is started. Raises `PitboardError` where a folder is in use,
    and `Stopped` when a signal stops a run.
    """
    failed: list[str] = []

    def note(name: str, index: int, error: PitboardError) -> None:
        failed.append(name)
        reporter.failed(f"{name} rank{'' if name == '1' else 's'}, run {index}", error)

    command = f"pitboard run --resume {shlex.quote(str(scale.folder))}"
    with _same_threads(max(plan.nproc for _, plan in scale.members.values())):
        run_all(scale.members.items(), reporter, command, note, apart=True)
    return not failed


@contextmanager
def _same_threads(most: int) -> Iterator[None]:
    """Give a rank the same part of the processor's cores on each number of ranks, unless the user did."""
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // most))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
