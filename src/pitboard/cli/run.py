"""The `pitboard run` command."""

import secrets
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pitboard.errors import PitboardError

if TYPE_CHECKING:
    from pitboard.training.output import Output, Plan


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("run")(run)


def run(
    benchmark: Annotated[
        str | None, typer.Argument(help="The benchmark, e.g. llama31_8b; `pitboard suite` lists them.")
    ] = None,
    preset: Annotated[str, typer.Option(help="smoke (small, needs no download), full, or sanity.")] = "smoke",
    runs: Annotated[int, typer.Option(min=1, help="How many runs, each with a seed of its own.")] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first run's seed; else drawn at random.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="auto (what the device is fast at), fp32, bf16, fp8, mxfp8, nvfp4 or mxfp4."),
    ] = None,
    nproc: Annotated[int, typer.Option(min=1, help="Ranks on this node, started with torchrun.")] = 1,
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
    submitter: Annotated[str, typer.Option(help="Who runs it, for the log.")] = "Pitboard user",
    system: Annotated[
        str | None, typer.Option(help="The system's name; else made from this machine.")
    ] = None,
    samples_grid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw images from the trained model into this PNG (flux1 smoke)."),
    ] = None,
    only: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a benchmark to its quality target and say how long it took.

    Exits 0 when every run reached its target (or has none), 1 when one did not, 2 when one could not run.
    """
    from pitboard.launch import launched_by_torchrun
    from pitboard.training.output import Output

    if resume is not None:
        if only is not None:
            _as_rank(Output(resume), only)
            return
        _resume(Output(resume))
        return
    if benchmark is None:
        raise PitboardError("Say which benchmark to run, for example: pitboard run llama31_8b")
    overrides = _overrides(assignments or [], precision, layers, sequence_length)
    plan = plan_runs(benchmark, preset, overrides, runs, seed, checkpoint_every, nproc, submitter, system)
    if samples_grid is not None:
        _add_grid(plan, samples_grid)
    target = Output(output or _default_output(benchmark, preset))
    if launched_by_torchrun():
        _under_torchrun(target, plan)
        return
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
) -> "Plan":
    """Make the plan, and check its settings before anything is written or started."""
    from pitboard.training.output import Plan
    from pitboard.training.runner import settings_for
    from pitboard.training.system import checked_system_name, system_name

    settings_for(benchmark, preset, overrides)
    name = system_name() if system is None else checked_system_name(system)
    first = secrets.randbelow(2**31) if seed is None else seed
    return Plan(
        benchmark=benchmark,
        preset=preset,
        overrides=overrides,
        seeds=[first + number for number in range(runs)],
        system=name,
        submitter=submitter,
        checkpoint_interval=checkpoint_every,
        nproc=nproc,
    )


def _add_grid(plan: "Plan", path: Path) -> None:
    """Ask for a samples grid in the plan, where it can be drawn."""
    from pitboard.training.protocol import Drawing, benchmark_class
    from pitboard.training.runner import settings_for

    settings = settings_for(plan.benchmark, plan.preset, plan.overrides)
    draws = isinstance(benchmark_class(plan.benchmark)(settings), Drawing)
    if not draws or settings.preset != "smoke":
        raise PitboardError("--samples-grid draws from the model of flux1's preset smoke: leave it out here.")
    if len(plan.seeds) > 1:
        raise PitboardError("--samples-grid draws from one model: give it with --runs 1.")
    if path.suffix.lower() != ".png" or not path.absolute().parent.is_dir():
        raise PitboardError(f"--samples-grid {path}: expected a .png file in a folder that exists.")
    plan.samples_grid = str(path.absolute())


def _default_output(benchmark: str, preset: str) -> Path:
    return Path("output") / f"{datetime.now():%Y%m%d-%H%M%S}-{benchmark}-{preset}"


def begin(output: "Output", plan: "Plan") -> None:
    """Claim the output folder, and write down there what will be run, and on what machine."""
    from pitboard.training.runner import settings_for
    from pitboard.training.system import describe_system, write_system

    output.claim()
    output.start(plan)
    division = settings_for(plan.benchmark, plan.preset, plan.overrides).division
    described = describe_system(name=plan.system, submitter=plan.submitter, division=division)
    write_system(output.folder, described)


def _resume(output: "Output") -> None:
    plan = output.plan()
    output.claim()
    if not output.unfinished(plan):
        typer.echo(f"Nothing to resume: every run in {output.folder} has ended.")
    _do(output, plan)


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

    end_with_launcher()
    with Display() as display:
        run_one(output, output.plan(), index, display, show_summary)


def _under_torchrun(output: "Output", plan: "Plan") -> None:
    """Do the runs as one of the ranks that the user's own torchrun started; rank 0's plan counts."""
    from pitboard.cli.progress import Display, show_summary, show_verdict
    from pitboard.launch.series import run_one
    from pitboard.training.distributed import join_world
    from pitboard.training.output import Output
    from pitboard.training.runner import settings_for

    world = join_world(settings_for(plan.benchmark, plan.preset, plan.overrides))
    if world.is_main:
        begin(output, plan)
    folder, plan = world.broadcast((output.folder, plan))
    output = Output(folder)
    with Display() as display:
        for index in output.unfinished(plan):
            run_one(output, plan, index, display, show_summary)
    if world.is_main:
        show_verdict(output, plan)
