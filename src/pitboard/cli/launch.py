"""The `pitboard launch` commands: runs on other machines than this."""

import secrets
import shlex
import signal
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from pitboard.errors import PitboardError, Stopped

if TYPE_CHECKING:
    from pitboard.launch.slurm import Outcome, SlurmJob

app = typer.Typer(
    help="Start runs on a cluster: write the batch script, submit it, follow it.", no_args_is_help=True
)
_EXIT_CODES = {"reached": 0, "not reached": 1, "failed": 2, "stopped": 143}
# What the job says itself, or what belongs to a run on this machine.
_NOT_HERE = {
    "scale": "give it before the --",
    "nproc": "--nodes and --gpus-per-node say how many ranks there are",
    "dry_run": "give it before the --",
    "every": "a job races one benchmark",
    "resume": "the job, submitted again, continues its run",
    "only": "--array gives each job its run",
    "samples_grid": "draw where you run without Slurm",
}


def register(parent: typer.Typer) -> None:
    """Add the commands to the application."""
    parent.add_typer(app, name="launch")


@app.callback()
def _commands() -> None:
    """Start runs on a cluster: write the batch script, submit it, follow it."""


@app.command()
def slurm(
    benchmark: Annotated[str, typer.Argument(help="The benchmark, e.g. llama31_8b.")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- RUN OPTIONS]", help="Any option of `pitboard run`.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="How many nodes.", show_default="1")] = None,
    gpus_per_node: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs of each node, one rank each.", show_default="none: a rank a node"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write, on the file system that the nodes share; else output/<time>-<benchmark>."
        ),
    ] = None,
    array: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="K runs with K seeds, a job each, in one output folder."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="1,2,4", help="The same runs on each number of nodes, a job each, one after another."
        ),
    ] = None,
    per_node: Annotated[
        bool, typer.Option("--per-node", help="One torchrun a node, instead of one task of srun's a rank.")
    ] = False,
    container: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Run in this container image, by Pyxis and Enroot.")
    ] = None,
    container_mounts: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM:TO", help="What the container sees beside output, data and cache."),
    ] = None,
    account: Annotated[str | None, typer.Option(help="The account to charge.")] = None,
    partition: Annotated[str | None, typer.Option(help="The partition.")] = None,
    time: Annotated[str | None, typer.Option(help="The time limit, such as 2:00:00.")] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION", help="A further option of sbatch: --sbatch=--qos=high."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the batch script, and write and submit nothing.")
    ] = False,
) -> None:
    """Run a benchmark as a job of Slurm's.

    Exits 0 when the job was submitted, 2 when it could not be; with --wait, as `pitboard run` does where the
    job runs: 0, 1, 2, or 143 when it was cancelled or its time was over.
    """
    from pitboard.launch.slurm import SlurmJob, require_slurm
    from pitboard.training.data.cached import default_cache

    given, run = _run_options(benchmark, options or [], array)
    if output is not None and given["output"] is not None:
        raise PitboardError("--output is given twice, before and after the --: leave one out.")
    for value, name in ((nodes, "--nodes"), (array, "--array")):
        if scale is not None and value is not None:
            raise PitboardError(
                f"--scale {scale:.60} says on how many nodes, in a job each: leave out {name}."
            )
    folder = output or given["output"] or Path("output") / f"{datetime.now():%Y%m%d-%H%M%S}-{benchmark}"
    job = SlurmJob(
        benchmark=benchmark,
        run=tuple(run),
        output=folder.absolute(),
        nodes=nodes or 1,
        gpus_per_node=gpus_per_node,
        array=array,
        per_node=per_node,
        checkpoints=given["checkpoint_every"] is not None,
        container=container,
        mounts=_mounts(given, container_mounts or []) if container else tuple(container_mounts or ()),
        cache=default_cache().parent if container else None,
        account=account,
        partition=partition,
        time=time,
        options=tuple(sbatch or ()),
    )
    if scale is not None:
        _launch_scale(given, job, scale, dry_run=dry_run, wait=wait)
        return
    _require_runnable(given, job)
    if dry_run:
        _show([job])
        return
    require_slurm()
    raise typer.Exit(_EXIT_CODES[_submit([job], wait=wait)])


def _mounts(given: dict[str, Any], asked: list[str]) -> tuple[str, ...]:
    """Return the mounts that were asked for, and those of the paths that settings name, such as data."""
    values = [each.partition("=")[2] for each in given["assignments"] or []]
    paths = [value for value in values if value.startswith("/") and not set(value) & set(":,")]
    return (*asked, *(f"{path}:{path}" for path in paths))


def _show(jobs: "Sequence[SlurmJob]") -> None:
    """Print the batch script of each job."""
    from pitboard.launch.slurm import batch_script

    typer.echo("\n".join(map(batch_script, jobs)), nl=False)


def _submit(jobs: "Sequence[SlurmJob]", *, wait: bool) -> "Outcome":
    """Submit jobs, each to begin when the one before it has ended; return how the worst of them ended.

    Where they are not awaited, as if all went well.
    """
    from pitboard.launch.slurm import Outcome, submit, write_script

    ids: list[str] = []
    for job in jobs:
        write_script(job)
        ids.append(submit(job, after=ids[-1] if ids else None))
        typer.echo(f"Job {ids[-1]}: submitted; its script is {job.script}")
    if wait:
        outcomes = [_follow(job, id) for job, id in zip(jobs, ids, strict=True)]
        return max(outcomes, key=get_args(Outcome).index)
    for job, id in zip(jobs, ids, strict=True):
        typer.echo(f"It prints to {job.log(f'{id}_*' if job.array else id)}; `scancel {id}` stops it.")
    return "reached"


def _launch_scale(given: dict[str, Any], job: "SlurmJob", scale: str, *, dry_run: bool, wait: bool) -> None:
    """Submit a job for each number of nodes, with the same seeds, and show what they came to."""
    from pitboard.cli.answers import show
    from pitboard.launch.counts import parse_counts, record_counts, require_no_scale
    from pitboard.launch.slurm import require_slurm
    from pitboard.results.scaling import scale_of_folder

    seed = () if given["seed"] is not None else ("--seed", str(secrets.randbelow(2**31)))
    each = [replace(job, nodes=nodes, run=(*job.run, *seed)) for nodes in parse_counts(scale)]
    jobs = [replace(one, output=job.output / str(one.ranks)) for one in each]
    for one in jobs:
        _require_runnable(given, one)
    if dry_run:
        _show(jobs)
        return
    require_no_scale(job.output)
    require_slurm()
    record_counts(job.output, [one.ranks for one in jobs])
    outcome = _submit(jobs, wait=wait)
    if wait:
        typer.echo("\n" + show(scale_of_folder(job.output), "table"), nl=False)
    else:
        typer.echo(f"`pitboard results ranks {shlex.quote(str(job.output))}` shows what has ended.")
    raise typer.Exit(_EXIT_CODES[outcome])


def _run_options(benchmark: str, options: list[str], array: int | None) -> tuple[dict[str, Any], list[str]]:
    """Return what the options of `pitboard run` say, by parameter, and those that the job's command repeats.

    An option that there is not ends this command as it would end `pitboard run`.
    """
    from pitboard.cli import run

    parsing = typer.Typer(add_completion=False)
    run.register(parsing)
    command: Any = typer.main.get_command(parsing)
    given: dict[str, Any] = command.make_context("pitboard run", [benchmark, *options]).params
    for name, instead in _NOT_HERE.items():
        if given[name] not in (None, False):
            option = {"every": "all"}.get(name, name).replace("_", "-")
            raise PitboardError(f"--{option} cannot be given to a job: {instead}.")
    if array is not None and given["runs"] is not None:
        raise PitboardError(f"--array {array} says how many runs there are: leave out --runs.")
    repeated, rest = [], iter(options)
    for word in rest:
        if word == "--output":
            next(rest)
        elif not word.startswith("--output="):
            repeated.append(word)
    return given, repeated


def _require_runnable(given: dict[str, Any], job: "SlurmJob") -> None:
    """Raise `PitboardError` for what a run would refuse, here and now rather than when the job begins.

    A login node that has no torch leaves that to the job.
    """
    try:
        from pitboard.cli.run import overrides_of
        from pitboard.launch.plan import RunRequest, make_plan
        from pitboard.training.distributed import require_divisible
        from pitboard.training.output import Output
        from pitboard.training.runner import settings_of
    except ModuleNotFoundError:
        return
    asked = {each.name: given[each.name] for each in fields(RunRequest) if each.name in given}
    plan = make_plan(RunRequest(**asked, overrides=overrides_of(given)))
    require_divisible(job.ranks, settings_of(plan))
    Output(job.output).require_new()


def _follow(job: "SlurmJob", id: str) -> "Outcome":
    """Print what becomes of a job until it has ended, and return how it did."""
    from pitboard.launch.slurm import Follower

    try:
        return Follower(job, id, typer.echo).follow()
    except KeyboardInterrupt:
        raise Stopped(signal.SIGINT, f"Job {id} goes on; `scancel {id}` stops it.") from None
