"""The `pitboard run` command."""

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from pitboard.errors import PitboardError
from pitboard.suite import NEWEST_RACED, NEWEST_RACED_LABEL, raceable_round
from pitboard.suite.formats import TRAINED

if TYPE_CHECKING:
    from pitboard.cli.outcome import Ending
    from pitboard.training.output import Output, Plan
    from pitboard.training.settings import Settings

Format = Literal["text", "json"]
SUBMITTER = "Pitboard user"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("run")(run)


def run(
    benchmark: Annotated[
        str | None, typer.Argument(help="The benchmark, e.g. llama31_8b; `pitboard suite` lists them.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="smoke (small, needs no download), full, or sanity.", show_default="smoke"),
    ] = None,
    round: Annotated[
        str | None,
        typer.Option(
            help="The round of MLPerf Training whose benchmark is raced.",
            show_default=NEWEST_RACED_LABEL,
        ),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="How many runs, each with a seed of its own.", show_default="1")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first run's seed; else drawn at random.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help=f"auto (what the device is fast at), {', '.join(TRAINED[:-1])} or {TRAINED[-1]}."),
    ] = None,
    nproc: Annotated[
        int | None, typer.Option(min=1, help="Ranks on this node, started with torchrun.", show_default="1")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; else output/<time>-<benchmark>-<preset>.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the preset.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Short for --set layers=N.")] = None,
    sequence_length: Annotated[int | None, typer.Option(help="Short for --set sequence_length=N.")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, metavar="SAMPLES", help="Checkpoint every so many training samples.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with the unfinished runs of an output folder.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Repeat a run, with its settings and seeds: a run.json or an output folder. Other options"
            " override.",
        ),
    ] = None,
    submitter: Annotated[
        str | None, typer.Option(help="Who runs it, for the log.", show_default="Pitboard user")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="The system's name; else made from this machine.")
    ] = None,
    samples_grid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw images from the trained model into this PNG (flux1 smoke)."),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="json: one object on stdout at the end, and the progress on stderr.")
    ] = "text",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress: only a line, or the object, at the end.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be run, and write nothing.")
    ] = False,
    only: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a benchmark to its quality target and say how long it took.

    Exits 0 when every run reached its target (or has none), 1 when one did not, 2 when one could not run, and
    143 (SIGTERM) or 130 (Ctrl-C) when a signal stopped it, which --resume then continues.
    """
    from pitboard.cli.outcome import Ending, told
    from pitboard.launch import launched_by_torchrun
    from pitboard.training.output import Output

    with told(Ending(format=format, quiet=quiet, dry_run=dry_run)) as ending:
        if resume is not None:
            if dry_run or like is not None:
                other = "--dry-run" if dry_run else "--like"
                raise PitboardError(f"--resume goes on with runs as they were begun: leave out {other}.")
            ending.output = Output(resume)
            if only is not None:
                _as_rank(ending.output, only)
                return
            _resume(ending.output, nproc)
            return
        overrides = _overrides(assignments or [], precision, layers, sequence_length)
        raced = raceable_round(round).version
        if like is not None:
            plan = plan_like(
                *(like, benchmark, preset, overrides, runs, seed, checkpoint_every, nproc, submitter, system),
                round=raced if round else None,
            )
        elif benchmark is None:
            raise PitboardError("Say which benchmark to run, for example: pitboard run llama31_8b")
        else:
            plan = plan_runs(
                benchmark,
                preset or "smoke",
                overrides,
                runs or 1,
                seed,
                checkpoint_every,
                nproc or 1,
                submitter or SUBMITTER,
                system,
                raced,
            )
        if samples_grid is not None:
            _add_grid(plan, samples_grid)
        target = Output(output or _default_output(plan.benchmark, plan.preset))
        ending.output = target
        if dry_run:
            _show_forecast(ending, target, plan)
        elif launched_by_torchrun():
            _under_torchrun(target, plan)
        elif _goes_on(target, plan):
            _resume(target, nproc)
        else:
            begin(target, plan)
            _do(target, plan)


def _overrides(
    assignments: list[str], precision: str | None, layers: int | None, sequence_length: int | None
) -> dict[str, Any]:
    from pitboard.training.settings import parse_assignments

    named = {"precision": precision, "layers": layers, "sequence_length": sequence_length}
    given = {key: str(value) for key, value in named.items() if value is not None}
    return {**parse_assignments(assignments), **given}


def plan_runs(
    benchmark: str,
    preset: str,
    overrides: dict[str, Any],
    runs: int,
    seed: int | None,
    checkpoint_every: int | None,
    nproc: int,
    submitter: str,
    system: str | None,
    round: str = NEWEST_RACED.version,
) -> "Plan":
    """Make the plan, and check its settings before anything is written or started."""
    from pitboard import __version__
    from pitboard.training.output import Plan
    from pitboard.training.runner import settings_for

    settings = settings_for(benchmark, preset, overrides, round)
    first = secrets.randbelow(2**31) if seed is None else seed
    return Plan(
        round=round,
        benchmark=benchmark,
        preset=preset,
        overrides=overrides,
        seeds=[first + number for number in range(runs)],
        system=_system_name(system, settings, nproc),
        submitter=submitter,
        checkpoint_interval=checkpoint_every,
        nproc=nproc,
        settings=settings.model_dump(mode="json"),
        version=__version__,
    )


def plan_like(
    recorded: Path,
    benchmark: str | None,
    preset: str | None,
    overrides: dict[str, Any],
    runs: int | None,
    seed: int | None,
    checkpoint_every: int | None,
    nproc: int | None,
    submitter: str | None,
    system: str | None,
    round: str | None = None,
) -> "Plan":
    """Make the plan that repeats a recorded one, but for what the options say otherwise.

    The precision is the one that was used, also where the machine had decided it. Raises `PitboardError` for
    a file that is no plan, and for options that contradict it.
    """
    from pitboard import __version__
    from pitboard.training.output import Plan, read_plan
    from pitboard.training.runner import settings_of

    try:
        old = read_plan(recorded)
    except OSError as error:
        raise PitboardError(
            f"--like {recorded}: there is no readable run.json, which `pitboard run` writes into its output"
            " folder."
        ) from error
    repeated = (
        ("round", round, old.round),
        ("benchmark", benchmark, old.benchmark),
        ("preset", preset, old.preset),
    )
    for name, given, found in repeated:
        if given not in (None, found):
            raise PitboardError(f"--like {recorded} repeats the {name} {found}: leave out {given}.")
    settings = settings_of(old, overrides)
    nproc = nproc or old.nproc
    # As many seeds as runs are asked for: the recorded ones, and the numbers after them.
    first = old.seeds[0] if seed is None else seed
    count = runs or len(old.seeds)
    seeds = old.seeds[:count] if seed is None else []
    seeds += [(seeds[-1] + 1 if seeds else first) + number for number in range(count - len(seeds))]
    kept = {name: reason for name, reason in old.decisions.items() if name not in overrides}
    return Plan(
        round=old.round,
        benchmark=old.benchmark,
        preset=old.preset,
        overrides={**old.overrides, **overrides},
        seeds=seeds,
        system=_system_name(system, settings, nproc),
        submitter=submitter or old.submitter,
        checkpoint_interval=checkpoint_every or old.checkpoint_interval,
        nproc=nproc,
        settings=settings.model_dump(mode="json"),
        decisions={name: f"as in the repeated run ({reason})" for name, reason in kept.items()},
        version=__version__,
    )


def _ranks(nproc: int) -> tuple[int, int]:
    """Return the number of nodes, and of ranks, of what is launched: by torchrun, or with `--nproc`."""
    from pitboard.launch import launched_by_torchrun
    from pitboard.training.system import node_count

    return node_count(), int(os.environ["WORLD_SIZE"]) if launched_by_torchrun() else nproc


def _accelerators(settings: "Settings", nproc: int) -> int:
    """Return how many accelerators of a node the ranks can take: one each."""
    nodes, ranks = _ranks(nproc)
    return 0 if settings.device == "cpu" else -(-ranks // nodes)


def _system_name(given: str | None, settings: "Settings", nproc: int) -> str:
    from pitboard.training.system import checked_system_name, system_name

    if given is not None:
        return checked_system_name(given)
    return system_name(nodes=_ranks(nproc)[0], accelerators=_accelerators(settings, nproc))


def _add_grid(plan: "Plan", path: Path) -> None:
    """Ask for a samples grid in the plan, where it can be drawn."""
    from pitboard.training.protocol import Drawing, benchmark_class
    from pitboard.training.runner import settings_of

    settings = settings_of(plan)
    draws = isinstance(benchmark_class(plan.benchmark)(settings), Drawing)
    if not draws or settings.preset != "smoke":
        raise PitboardError("--samples-grid draws from the model of flux1's preset smoke: leave it out here.")
    if len(plan.seeds) > 1:
        raise PitboardError("--samples-grid draws from one model: give it with --runs 1.")
    if path.suffix.lower() != ".png" or not path.absolute().parent.is_dir():
        raise PitboardError(f"--samples-grid {path}: expected a .png file in a folder that exists.")
    plan.samples_grid = str(path.absolute())


def _default_output(benchmark: str, preset: str) -> Path:
    from pitboard.launch import restart_name

    name = restart_name() or f"{datetime.now():%Y%m%d-%H%M%S}"
    return Path("output") / f"{name}-{benchmark}-{preset}"


def begin(output: "Output", plan: "Plan") -> None:
    """Claim the output folder, and write down there what will be run, and on what machine."""
    from pitboard.training.runner import settings_of
    from pitboard.training.system import describe_system, write_system

    output.claim()
    output.start(plan)
    settings = settings_of(plan)
    described = describe_system(
        name=plan.system,
        submitter=plan.submitter,
        division=settings.division,
        nodes=_ranks(plan.nproc)[0],
        accelerators=_accelerators(settings, plan.nproc),
    )
    write_system(output.folder, described)


def _show_forecast(ending: "Ending", output: "Output", plan: "Plan") -> None:
    """Say what the plan's runs would take, as this machine would do them, and where they would write."""
    from pitboard.cli.outcome import forecast_document, show_forecast
    from pitboard.training.device import choose_device
    from pitboard.training.distributed import World, is_main_rank, require_divisible
    from pitboard.training.forecast import forecast
    from pitboard.training.runner import decide, settings_of

    if not is_main_rank():
        return
    output.require_new()
    settings = settings_of(plan)
    nodes, ranks = _ranks(plan.nproc)
    device = choose_device(settings.device, -(-ranks // nodes) - 1)
    require_divisible(ranks, settings)
    world = World(0, ranks, device, None, 0, ranks // settings.tensor_parallel, nodes)
    settings, reasons = decide(settings, world)
    plan.settings, plan.decisions = settings.model_dump(mode="json"), {**plan.decisions, **reasons}
    expected = forecast(plan.benchmark, settings, world, plan.round)
    if ending.format == "json":
        ending.document = forecast_document(output, plan, expected, nodes)
    else:
        show_forecast(output, plan, expected, nodes)


def _goes_on(output: "Output", plan: "Plan") -> bool:
    """Whether this command was restarted by torchrun or Slurm, and had begun these runs in the folder."""
    from pitboard.launch import restarted

    if not restarted() or not output.begun():
        return False
    before = output.plan()
    # Not the seeds: where none was given, each start draws its own.
    asked = [(p.round, p.benchmark, p.preset, p.overrides, len(p.seeds)) for p in (before, plan)]
    return asked[0] == asked[1]


def _resume(output: "Output", nproc: int | None) -> None:
    """Go on with the unfinished runs of a folder; `nproc` ranks instead of as many as it began with."""
    from msgspec.structs import replace

    from pitboard.launch import launched_by_torchrun

    plan = output.plan()
    if launched_by_torchrun():
        _under_torchrun(output, plan, resume=True)
    output.claim()
    if not output.unfinished(plan):
        typer.echo(f"Nothing to resume: every run in {output.folder} has ended.")
    _do(output, replace(plan, nproc=nproc or plan.nproc))


def _do(output: "Output", plan: "Plan") -> None:
    """Do the plan's runs from the user's own process, show how they ended, and exit."""
    from pitboard.cli.progress import Display, show_series, show_summary, show_verdict
    from pitboard.launch.series import run_series

    failures: dict[int, PitboardError] = {}

    def failed(index: int, error: PitboardError) -> None:
        failures[index] = error
        if len(plan.seeds) > 1:
            typer.echo(f"Run {index} failed: {error}", err=True)

    with Display() as display:
        run_series(output, plan, display, show_summary, failed)
    if len(plan.seeds) > 1:
        show_series(output, plan)
    elif failures:
        raise next(iter(failures.values()))
    show_verdict(output, plan)
    raise typer.Exit(2 if failures else 0 if output.all_reached(plan) else 1)


def _as_rank(output: "Output", index: int) -> None:
    """Do one run as one of the ranks that `_do` launched."""
    from pitboard.cli.progress import Display, show_summary
    from pitboard.launch import end_with_launcher
    from pitboard.launch.series import run_one
    from pitboard.training.distributed import leave_world

    end_with_launcher()
    with Display() as display:
        run_one(output, output.plan(), index, display, show_summary)
    leave_world()


def _under_torchrun(output: "Output", plan: "Plan", *, resume: bool = False) -> NoReturn:
    """Do the runs as one of the ranks of the user's own torchrun, and exit; rank 0's plan counts."""
    from pitboard.cli.progress import Display, show_summary, show_verdict
    from pitboard.errors import Stopped
    from pitboard.launch import end_with_launcher, leave_for_launcher
    from pitboard.launch.series import run_one, with_resume_hint
    from pitboard.training.distributed import join_world, leave_world
    from pitboard.training.output import Output
    from pitboard.training.runner import settings_of

    end_with_launcher()
    world = join_world(settings_of(plan))
    refused: PitboardError | None = None
    if world.is_main:
        try:
            if resume or _goes_on(output, plan):
                output.claim()
                plan = output.plan()
            else:
                begin(output, plan)
        except PitboardError as error:
            refused = error
    # The folder is rank 0's to lock and to read: the others may see a network file system's past.
    todo = output.unfinished(plan) if world.is_main and refused is None else []
    folder, plan, todo, refusal = world.broadcast((output.folder, plan, todo, str(refused or "")))
    if refusal:
        raise PitboardError(refusal)
    output = Output(folder)
    try:
        with Display() as display:
            for index in todo:
                with with_resume_hint(output, plan, index):
                    run_one(output, plan, index, display, show_summary)
    except Stopped as stop:
        # Once is enough.
        raise stop if world.is_main else Stopped(stop.number) from None
    if world.is_main:
        show_verdict(output, plan)
    reached = world.broadcast(output.all_reached(plan) if world.is_main else None)
    leave_world()
    # Torchrun exits with 1 whatever its ranks exit with, and with 0 only where all of them do.
    if not reached:
        leave_for_launcher(PitboardError("A run ended without reaching its target."))
    raise typer.Exit(0 if reached else 1)
