"""Every benchmark of a round in one preset, raced one after the other.

DIR/suite.json       the benchmarks in order, written when each has its plan
DIR/<benchmark>/     the output of a `pitboard run`, as `training.output` says
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec

from pitboard.errors import PitboardError
from pitboard.files import NO_JSON, read_plain
from pitboard.launch import sweep
from pitboard.launch.plan import RunRequest, make_plan, same_runs
from pitboard.launch.series import SeriesReporter, run_all
from pitboard.launch.sweep import Sweep, read_members
from pitboard.launch.torchrun import launched_by_torchrun, restart_name, restarted
from pitboard.suite import Round, find_round, raceable_round
from pitboard.training.output import Output
from pitboard.training.protocol import raceable

_ORDER = "suite.json"


@dataclass(frozen=True)
class SuiteRace(Sweep):
    """The benchmarks that are raced, in the round's order; round and preset are those of the first's plan."""

    @property
    def left_out(self) -> list[str]:
        """The round's benchmarks that are not raced: they have no such preset."""
        return [each.id for each in find_round(self.plan.round).benchmarks if each.id not in self.members]


def default_folder(request: RunRequest) -> Path:
    """Return the folder of a race where none was named.

    Raises `PitboardError` for a job that is started again, which could not find it.
    """
    name = restart_name() or f"{datetime.now():%Y%m%d-%H%M%S}"
    return Path("output") / f"{name}-all-{request.preset or 'smoke'}"


def plan_suite_race(folder: Path, request: RunRequest) -> SuiteRace:
    """Return the race of what a request asks of every benchmark; nothing is written or started.

    Where Slurm started the same command before, it is the race that this one began in the folder. Raises
    `PitboardError` where no benchmark of the round has the preset, for what names one benchmark or one run,
    for what `make_plan` refuses of any benchmark, and for a folder that holds an earlier race.
    """
    for given, name in (
        (request.benchmark, f"leave out {request.benchmark}"),
        (request.like, "leave out --like"),
        (request.samples_grid, "leave out --samples-grid"),
    ):
        if given is not None:
            raise PitboardError(f"--all races every benchmark of a round: {name}.")
    _refuse_torchrun()
    round, preset = raceable_round(request.round), request.preset or "smoke"
    names = _having(preset, round)
    if not names:
        raise PitboardError(f"No benchmark of round {round.version} has the preset '{preset}'.")
    race = SuiteRace(
        folder,
        {name: (Output(folder / name), make_plan(replace(request, benchmark=name))) for name in names},
    )
    if is_suite_race(folder):
        if restarted() and _begun_by_the_same(before := read_suite_race(folder, request.nproc), race):
            return before
        raise PitboardError(
            f"The output folder {folder} holds an earlier race: continue that with `pitboard run"
            f" --resume {shlex.quote(str(folder))}`, or choose another folder with --output."
        )
    return race


def _begun_by_the_same(before: SuiteRace, race: SuiteRace) -> bool:
    return before.members.keys() == race.members.keys() and all(
        same_runs(before.members[name][1], plan) for name, (_, plan) in race.members.items()
    )


def _refuse_torchrun() -> None:
    if launched_by_torchrun():
        raise PitboardError(
            "--all starts the ranks of each benchmark itself: give --nproc, not torchrun or srun."
        )


def _having(preset: str, round: Round) -> list[str]:
    trained = set(raceable())
    return [
        each.id
        for each in round.benchmarks
        if each.id in trained and any(known.name == preset for known in each.presets)
    ]


def record(race: SuiteRace) -> None:
    """Write the plan of every benchmark's runs, so that a race that is interrupted can be resumed.

    A race that its folder holds already is left as it is.
    """
    if is_suite_race(race.folder):
        return
    sweep.record(race, _ORDER)


def is_suite_race(folder: Path) -> bool:
    """Whether a folder holds a race of several benchmarks rather than the runs of one."""
    return (folder / _ORDER).is_file()


def read_suite_race(folder: Path, nproc: int | None = None) -> SuiteRace:
    """Return the race that a folder holds, on `nproc` ranks instead of as many as it began with.

    Raises `PitboardError` for a folder that is damaged, and where torchrun started this.
    """
    _refuse_torchrun()
    path = folder / _ORDER
    try:
        names = msgspec.json.decode(read_plain(path, 1 << 20), type=list[str])
    except (OSError, *NO_JSON) as error:
        raise PitboardError(f"{path} is damaged ({error}); start the race in a new folder.") from error
    if not names or not set(names) <= set(raceable()):
        raise PitboardError(
            f"{path} is damaged (it does not name benchmarks that can be raced); start the race in a new"
            " folder."
        )
    return SuiteRace(
        folder,
        {
            name: (output, msgspec.structs.replace(plan, nproc=nproc or plan.nproc))
            for name, (output, plan) in read_members(folder, names).members.items()
        },
    )


def run_suite_race(
    race: SuiteRace, reporter: SeriesReporter, failed: Callable[[str, PitboardError], None]
) -> None:
    """Do the unfinished runs of every benchmark, each in a process of its own.

    A run that fails is given to `failed`, and the next is started. Raises `PitboardError` where a folder is
    in use, and `Stopped` when a signal stops a run.
    """

    def note(name: str, index: int, error: PitboardError) -> None:
        _, plan = race.members[name]
        reporter.failed(name if len(plan.seeds) == 1 else f"{name}, run {index}", error)
        failed(name, error)

    command = f"pitboard run --resume {shlex.quote(str(race.folder))}"
    run_all(race.members.items(), reporter, command, note, apart=True)
