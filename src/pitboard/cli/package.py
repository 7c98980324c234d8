"""The `pitboard package` command."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(package)


def package(
    directory: Annotated[
        Path,
        typer.Argument(help="Runs' output, with results/<system>/<benchmark>/ in it; or an archive of it."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The archive to write.", show_default="SUBMITTER.tar.gz here")
    ] = None,
    submitter: Annotated[
        str | None, typer.Option(help="Who submits.", show_default="read from the logs")
    ] = None,
    round: Annotated[
        str | None,
        typer.Option(help="The round to submit to, such as 5.1.", show_default="read from the logs"),
    ] = None,
) -> None:
    """Build a submission from runs' output and check it: exit 0 valid, 1 not valid, 2 cannot run."""
    from pitboard.compliance.submission.package import build_package
    from pitboard.text import printable

    packed = build_package(directory, out, submitter, round)
    for draft in packed.drafts:
        typer.echo(f"Drafted {printable(str(draft))}: fill in what is empty, then pack again.")
    runs, results = len(packed.report.logs), len(packed.report.results)
    typer.echo(f"Packed {runs} runs of {results} results into {printable(str(packed.archive))}")
    typer.echo(f"sha256 {packed.sha256}")
    if packed.missing:
        typer.echo("Still missing:")
    for sentence in packed.missing:
        typer.echo(f"  {printable(sentence)}")
    if not packed.report.valid:
        raise typer.Exit(1)
