"""From what a user asks for to a plan: new runs, or a recorded run repeated, and what they would take."""

import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pitboard import __version__
from pitboard.errors import PitboardError
from pitboard.launch.reference_point import point_settings
from pitboard.launch.torchrun import launched_by_torchrun, restart_name
from pitboard.suite import raceable_round
from pitboard.training.device import choose_device
from pitboard.training.distributed import World, data_ranks, require_divisible
from pitboard.training.forecast import Forecast, forecast
from pitboard.training.output import Output, Plan, read_plan
from pitboard.training.protocol import Drawing, benchmark_class
from pitboard.training.runner import decide, settings_for, settings_of
from pitboard.training.settings import Settings
from pitboard.training.system import (
    checked_system_name,
    describe_system,
    node_count,
    system_name,
    write_system,
)

_SUBMITTER = "Pitboard user"


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What a user asks to be run; `None` is what was not said.

    `overrides` are settings of the preset by name; `rcp` is the global batch size of the official reference
    convergence point that the others come from; `like` is the `run.json`, or the output folder, of a run to
    repeat; `samples_grid` is where to draw images from the trained model.
    """

    benchmark: str | None = None
    preset: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    rcp: int | None = None
    runs: int | None = None
    seed: int | None = None
    checkpoint_every: int | None = None
    timeout: int | None = None
    nproc: int | None = None
    submitter: str | None = None
    system: str | None = None
    round: str | None = None
    like: Path | None = None
    samples_grid: Path | None = None


def make_plan(request: RunRequest) -> Plan:
    """Return the plan of what was asked for, with its settings checked; nothing is written or started.

    Raises `PitboardError` for a round, benchmark, preset or setting that does not exist, a wrong value, and
    for a recorded run that cannot be repeated so.
    """
    plan = _plan_new(request) if request.like is None else _plan_like(request.like, request)
    if request.samples_grid is not None:
        _add_samples_grid(plan, request.samples_grid)
    return plan


def _plan_new(request: RunRequest) -> Plan:
    if request.benchmark is None:
        raise PitboardError("Say which benchmark to run, for example: pitboard run llama31_8b")
    round = raceable_round(request.round).version
    preset, nproc = request.preset or "smoke", request.nproc or 1
    overrides = _overrides(request, request.benchmark, preset, round)
    settings = settings_for(request.benchmark, preset, overrides, round)
    first = secrets.randbelow(2**31) if request.seed is None else request.seed
    return Plan(
        round=round,
        benchmark=request.benchmark,
        preset=preset,
        overrides=overrides,
        rcp=request.rcp,
        seeds=[first + number for number in range(request.runs or 1)],
        system=_system_name(request.system, settings, nproc),
        submitter=request.submitter or _SUBMITTER,
        checkpoint_interval=request.checkpoint_every,
        timeout=request.timeout,
        nproc=nproc,
        settings=settings.model_dump(mode="json"),
        version=__version__,
    )


def _plan_like(recorded: Path, request: RunRequest) -> Plan:
    """Return the plan that repeats a recorded one, but for what the request says otherwise.

    The precision is the one that was used, also where the machine had decided it.
    """
    try:
        old = read_plan(recorded)
    except OSError as error:
        raise PitboardError(
            f"--like {recorded}: there is no readable run.json, which `pitboard run` writes into its output"
            " folder."
        ) from error
    round = None if request.round is None else raceable_round(request.round).version
    repeated = (
        ("round", round, old.round),
        ("benchmark", request.benchmark, old.benchmark),
        ("preset", request.preset, old.preset),
    )
    for name, given, found in repeated:
        if given not in (None, found):
            raise PitboardError(f"--like {recorded} repeats the {name} {found}: leave out {given}.")
    overrides = _overrides(request, old.benchmark, old.preset, old.round)
    settings = settings_of(old, overrides)
    nproc = request.nproc or old.nproc
    kept = {name: reason for name, reason in old.decisions.items() if name not in overrides}
    return Plan(
        round=old.round,
        benchmark=old.benchmark,
        preset=old.preset,
        overrides={**old.overrides, **overrides},
        # With other settings than it stated, a run need not be of the recorded point any more.
        rcp=request.rcp if overrides else old.rcp,
        seeds=_repeated_seeds(old, request),
        system=_system_name(request.system, settings, nproc),
        submitter=request.submitter or old.submitter,
        checkpoint_interval=request.checkpoint_every or old.checkpoint_interval,
        timeout=request.timeout or old.timeout,
        nproc=nproc,
        settings=settings.model_dump(mode="json"),
        decisions={name: f"as in the repeated run ({reason})" for name, reason in kept.items()},
        version=__version__,
        environment=old.environment,
    )


def _overrides(request: RunRequest, benchmark: str, preset: str, round: str) -> dict[str, Any]:
    """Return the settings that were asked for: one by one, and with a reference convergence point."""
    if request.rcp is None:
        return request.overrides
    return request.overrides | point_settings(request.rcp, benchmark, preset, round, request.overrides)


def _repeated_seeds(old: Plan, request: RunRequest) -> list[int]:
    """Return as many seeds as runs are asked for: the recorded ones, and the numbers after them."""
    count = request.runs or len(old.seeds)
    if request.seed is not None:
        return [request.seed + number for number in range(count)]
    seeds = old.seeds[:count]
    return seeds + [seeds[-1] + 1 + number for number in range(count - len(seeds))]


def _add_samples_grid(plan: Plan, path: Path) -> None:
    """Ask for a samples grid in the plan. Raises `PitboardError` where it cannot be drawn."""
    settings = settings_of(plan)
    draws = isinstance(benchmark_class(plan.benchmark)(settings), Drawing)
    if not draws or settings.preset != "smoke":
        raise PitboardError(
            "--samples-grid draws from the preset smoke of flux1 or retinanet: leave it out here."
        )
    if len(plan.seeds) > 1:
        raise PitboardError("--samples-grid draws from one model: give it with --runs 1.")
    if path.suffix.lower() != ".png" or not path.absolute().parent.is_dir():
        raise PitboardError(f"--samples-grid {path}: expected a .png file in a folder that exists.")
    plan.samples_grid = str(path.absolute())


def _ranks(nproc: int) -> tuple[int, int]:
    """Return the number of nodes, and of ranks, of what is launched: by torchrun, or with `--nproc`."""
    return node_count(), int(os.environ["WORLD_SIZE"]) if launched_by_torchrun() else nproc


def _accelerators(settings: Settings, nproc: int) -> int:
    """Return how many accelerators of a node the ranks can take: one each."""
    nodes, ranks = _ranks(nproc)
    return 0 if settings.device == "cpu" else -(-ranks // nodes)


def _system_name(given: str | None, settings: Settings, nproc: int) -> str:
    if given is not None:
        return checked_system_name(given)
    return system_name(nodes=_ranks(nproc)[0], accelerators=_accelerators(settings, nproc))


def default_output(plan: Plan) -> Output:
    """Return the output folder of a plan where none was named: the same in every start of a job.

    Raises `PitboardError` for a job that is started again but has no name to find its folder by.
    """
    name = restart_name() or f"{datetime.now():%Y%m%d-%H%M%S}"
    return Output(Path("output") / f"{name}-{plan.benchmark}-{plan.preset}")


def prepare_output(output: Output, plan: Plan) -> None:
    """Lock the output folder, and write there what will be run, and on what machine.

    Raises `PitboardError` where the folder holds an earlier run, is in use, or cannot be written.
    """
    output.lock()
    output.start(plan)
    _write_system(output, plan)


def join_output(output: Output, plan: Plan) -> Plan:
    """Share the output folder with the other jobs of an array, and return the plan that one of them wrote.

    Raises `PitboardError` where the folder holds other runs, is in use otherwise, or cannot be written.
    """
    output.lock(shared=True)
    output.claim(plan)
    written = output.plan()
    if not same_runs(written, plan):
        output.is_ours = False
        raise PitboardError(
            f"The output folder {output.folder} holds other runs than these: choose another with --output."
        )
    _write_system(output, written)
    return written


def same_runs(one: Plan, other: Plan) -> bool:
    """Whether two plans are of one command: not by the seeds, which each start draws where none was given."""
    first, second = (
        (each.round, each.benchmark, each.preset, each.overrides, len(each.seeds)) for each in (one, other)
    )
    return first == second


def _write_system(output: Output, plan: Plan) -> None:
    settings = settings_of(plan)
    described = describe_system(
        name=plan.system,
        submitter=plan.submitter,
        division=settings.division,
        nodes=_ranks(plan.nproc)[0],
        accelerators=_accelerators(settings, plan.nproc),
    )
    write_system(output.folder, described)


def dry_run(output: Output, plan: Plan) -> tuple[Forecast, int]:
    """Return what the plan's runs would take, as this machine would do them, and on how many nodes.

    What the machine decides of the settings is entered in the plan. Raises `PitboardError` for what a run
    would refuse.
    """
    output.require_new()
    settings = settings_of(plan)
    nodes, ranks = _ranks(plan.nproc)
    device = choose_device(settings.device, -(-ranks // nodes) - 1)
    require_divisible(ranks, settings)
    world = World(0, ranks, device, None, 0, data_ranks(ranks, settings), nodes)
    settings, reasons = decide(plan.benchmark, settings, world)
    plan.settings, plan.decisions = settings.model_dump(mode="json"), {**plan.decisions, **reasons}
    return forecast(plan.benchmark, settings, world, plan.round), nodes
