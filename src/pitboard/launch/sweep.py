"""Sweeps: the same runs but for one thing. Here over precisions, to be judged against a baseline.

DIR/sweep.json         the formats in order, written when each has its plan
DIR/<format>/          the output of a `pitboard run`, as `training.output` says
"""

import secrets
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pitboard import suite
from pitboard.errors import PitboardError, near
from pitboard.files import NO_JSON, read_plain, write_atomically
from pitboard.launch.plan import RunRequest, make_plan, prepare_output
from pitboard.launch.series import SeriesReporter, run_all
from pitboard.suite.formats import TRAINED
from pitboard.training.device import choose_device
from pitboard.training.output import Output, Plan
from pitboard.training.precision import choose_precision
from pitboard.training.runner import settings_of
from pitboard.training.settings import Precision

_ORDER = "sweep.json"


@dataclass(frozen=True)
class Sweep:
    """The members of a sweep (formats, numbers of ranks), each with its output folder and its plan."""

    folder: Path
    members: dict[str, tuple[Output, Plan]]

    @property
    def plan(self) -> Plan:
        """The first member's plan, from which the others differ only in what is swept."""
        return next(iter(self.members.values()))[1]

    def logs(self) -> dict[str, list[Path]]:
        """Return the logs that there are of each member's runs."""
        return {
            name: [log for index in range(len(plan.seeds)) if (log := output.log(plan, index)).is_file()]
            for name, (output, plan) in self.members.items()
        }


def record(sweep: Sweep, order: str) -> None:
    """Write the plan of every member's runs, then their names to the file `order`."""
    for output, plan in sweep.members.values():
        prepare_output(output, plan)
    write_atomically(sweep.folder / order, msgspec.json.encode(list(sweep.members)))


def read_members(folder: Path, names: Iterable[str]) -> Sweep:
    """Return the sweep of these members. Raises `PitboardError` where one has no plan."""
    outputs = {name: Output(folder / name) for name in names}
    return Sweep(folder, {name: (output, output.plan()) for name, output in outputs.items()})


def begin_sweep(folder: Path, request: RunRequest, precisions: Sequence[str]) -> Sweep:
    """Write the plan of every format's runs, so that a sweep that is interrupted can be resumed.

    The format that the device is fast at is the baseline, whether or not it is asked for. Raises
    `PitboardError` for an unknown format, a preset without a target, what `make_plan` refuses, and a folder
    that holds an earlier sweep.
    """
    for name in precisions:
        if name not in TRAINED:
            raise PitboardError(f"--precisions: there is no '{name}'.{near(name, TRAINED)}")
    seed = secrets.randbelow(2**31) if request.seed is None else request.seed
    plan = make_plan(replace(request, seed=seed))
    if suite.benchmark(plan.benchmark, round=plan.round).preset(plan.preset).values["target"] is None:
        raise PitboardError(
            f"Preset '{plan.preset}' has no target that a precision could reach: choose another."
        )
    if (folder / _ORDER).exists():
        raise PitboardError(
            f"The output folder {folder} holds an earlier sweep: continue that with `pitboard precision"
            f" --resume {folder}`, or choose another folder with --output."
        )
    baseline = choose_precision(choose_device(settings_of(plan).device, 0)).precision
    formats = {}
    for name in dict.fromkeys([baseline, *precisions]):
        overrides = {**request.overrides, "precision": name}
        formats[name] = (Output(folder / name), make_plan(replace(request, seed=seed, overrides=overrides)))
    sweep = Sweep(folder, formats)
    record(sweep, _ORDER)
    return sweep


def read_sweep(folder: Path) -> Sweep:
    """Return the sweep that a folder holds. Raises `PitboardError` where there is none, or damage."""
    path = folder / _ORDER
    try:
        precisions = msgspec.json.decode(read_plain(path, 1 << 20), type=list[Precision])
    except OSError as error:
        raise PitboardError(
            f"Nothing to resume in {folder}: it has no readable {_ORDER}, which `pitboard precision --output`"
            " writes."
        ) from error
    except NO_JSON as error:
        raise PitboardError(f"{path} is damaged ({error}); start the sweep in a new folder.") from error
    if not precisions:
        raise PitboardError(f"{path} is damaged (it names no format); start the sweep in a new folder.")
    return read_members(folder, precisions)


def run_sweep(sweep: Sweep, reporter: SeriesReporter) -> None:
    """Do the unfinished runs of every format; a run that fails is reported, and the next is started.

    Raises `PitboardError` where a folder is in use, and `Stopped` when a signal stops a run.
    """

    def failed(name: str, index: int, error: PitboardError) -> None:
        reporter.failed(f"{name}, run {index}", error)

    command = f"pitboard precision --resume {shlex.quote(str(sweep.folder))}"
    run_all(sweep.members.items(), reporter, command, failed)
