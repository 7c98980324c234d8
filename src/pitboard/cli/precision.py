"""The `pitboard precision` command."""

from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pitboard.cli.answers import Format, draw, show
from pitboard.errors import PitboardError
from pitboard.suite.formats import TRAINED
from pitboard.text import printable

if TYPE_CHECKING:
    from pitboard.results.answer import Answer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("precision")(precision)


def precision(
    benchmark: Annotated[str | None, typer.Argument(help="The benchmark, e.g. llama31_8b.")] = None,
    precisions: Annotated[
        str, typer.Option(help=f"Formats to run, of {', '.join(TRAINED[:-1])} and {TRAINED[-1]}.")
    ] = "fp8,nvfp4",
    runs: Annotated[int, typer.Option(min=1, help="How many runs of each, with the same seeds.")] = 1,
    preset: Annotated[str, typer.Option(help="smoke or full.")] = "smoke",
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first run's seed; else drawn at random.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the preset.")
    ] = None,
    nproc: Annotated[int, typer.Option(min=1, help="Ranks on this node, started with torchrun.")] = 1,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; else output/<time>-<benchmark>-precision.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Continue the unfinished runs of such a folder.")
    ] = None,
    format: Annotated[
        Format, typer.Option(help="How to show the answer; but for table, the progress goes to stderr.")
    ] = "table",
    chart: Annotated[
        Path | None, typer.Option(help="Where to draw samples to target: .png, .svg or .html.")
    ] = None,
) -> None:
    """Race a benchmark in several precisions and say which of them win.

    Time-to-train counts, not speed. What the device is fast at (BF16, or FP32 on a CPU without BF16 units) is
    always run, as the baseline that the others are compared with. Exits 0 when every format converges as the
    baseline's reference does, 1 when one does not, 2 when one could not be run.
    """
    given = locals()
    from pitboard.cli.outcome import redirected_stdout, refuse_beside_resume
    from pitboard.cli.progress import Display
    from pitboard.launch.plan import RunRequest
    from pitboard.launch.sweep import begin_sweep, read_sweep, run_sweep
    from pitboard.results.sweep import precision_sweep
    from pitboard.training.settings import parse_assignments

    with nullcontext() if format == "table" else redirected_stdout(to_stderr=True):
        if resume is not None:
            refuse_beside_resume(precision, given, "format", "chart")
            sweep = read_sweep(resume)
        elif benchmark is None:
            raise PitboardError("Say which benchmark to run, for example: pitboard precision llama31_8b")
        else:
            request = RunRequest(
                benchmark=benchmark,
                preset=preset,
                overrides=parse_assignments(assignments or []),
                runs=runs,
                seed=seed,
                nproc=nproc,
            )
            names = [name.strip().lower() for name in precisions.split(",") if name.strip()]
            folder = output or Path("output") / f"{datetime.now():%Y%m%d-%H%M%S}-{benchmark}-precision"
            sweep = begin_sweep(folder, request, names)
        with Display() as display:
            run_sweep(sweep, display)
    plan = sweep.plan
    answer = precision_sweep(sweep.logs(), plan.benchmark, plan.preset, plan.round)
    if format == "table":
        _print(answer)
    else:
        typer.echo(show(answer, format), nl=False)
    if chart is not None:
        if any(row["reached"] for row in answer):
            draw(answer, chart)
        else:
            said = f"No run reached the target, so there is nothing to draw in {chart}."
            typer.echo(printable(said), err=True)
    raise typer.Exit(2 if not answer.facts["complete"] else 0 if answer.facts["passed"] else 1)


def _print(answer: "Answer") -> None:
    """Print the answer with its words wrapped: none of a verdict is cut off, however narrow the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=answer.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    columns = [column for column in answer.columns if not column.detail]
    for column in columns:
        right = column.kind == "number" or column.name == "reached_of_runs"
        whole = column.name in ("precision", "convergence")
        table.add_column(column.heading, justify="right" if right else "left", no_wrap=whole)
    for row in answer:
        table.add_row(*(column.text(row[column.name]) for column in columns))
    console = Console(highlight=False)
    console.print(table)
    for sentence in (*answer.notes, *answer.warnings):
        console.print(sentence, soft_wrap=True)
