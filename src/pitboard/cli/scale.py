"""How `pitboard run --scale` runs on several numbers of ranks, and shows what it came to."""

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from pitboard.cli.answers import draw, show

if TYPE_CHECKING:
    from pitboard.cli.outcome import EndReport
    from pitboard.launch.sweep import Sweep


def race_scale(report: "EndReport", scale: "Sweep", chart: Path | None) -> NoReturn:
    """Do the runs that are left, show the answer, and exit with what they came to."""
    from pitboard.cli.outcome import run_document
    from pitboard.cli.progress import Display
    from pitboard.launch.scale import run_scale
    from pitboard.results.answer import document
    from pitboard.results.scaling import scale_of_folder

    with Display() as display:
        run = run_scale(scale, display)
    answer = scale_of_folder(scale.folder)
    members = [run_document(output, each) for output, each in scale.members.values()]
    report.document = {**document(answer), "output": str(scale.folder.absolute()), "members": members}
    if report.format == "text":
        if not report.quiet:
            typer.echo("\n" + show(answer, "table"), nl=False)
    elif report.format != "json":
        report.shown = show(answer, report.format)
    if chart is not None:
        if answer.facts["acts_like"] is None:
            typer.echo(f"No run has a time, so there is nothing to draw in {chart}.", err=True)
        else:
            draw(answer, chart)
    missed = any(each["reached"] is False for each in members)
    raise typer.Exit(2 if not run else 1 if missed else 0)


def show_plans(report: "EndReport", scale: "Sweep") -> None:
    """Show the dry run on every number of ranks; nothing is written."""
    from pitboard.cli.outcome import show_forecasts

    documents = show_forecasts(report, scale.members.values())
    if report.format == "json":
        report.document = {"dry_run": True, "output": str(scale.folder.absolute()), "members": documents}
