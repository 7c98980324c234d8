"""The `pitboard check` and `pitboard explain` commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pitboard.text import json_text

if TYPE_CHECKING:
    from pitboard.compliance.check import Progress

Format = Literal["text", "json", "sarif"]
Levels = Literal["log", "result", "submission", "round"]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(check)
    app.command()(explain)


def check(
    path: Annotated[Path, typer.Argument(help="A log, a result's folder, a submission or a round.")],
    round: Annotated[
        str | None,
        typer.Option(help="The round whose rules apply, such as 5.1.", show_default="read from the logs"),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to show the findings.")] = "text",
    level: Annotated[
        Levels | None, typer.Option(help="How far to look.", show_default="read from the layout")
    ] = None,
) -> None:
    """Check logs, results and submissions by the official rules: exit 0 valid, 1 not valid, 2 cannot run."""
    from pitboard.compliance.check import check_tree

    with _Bar() as progress:
        report = check_tree(path, round, level, progress)
    if format == "text":
        from pitboard.cli.findings import as_text

        typer.echo(as_text(report))
    elif format == "json":
        from pitboard.compliance.output.document import as_document

        typer.echo(json_text(as_document(report)))
    else:
        from pitboard.compliance.output.sarif import to_sarif

        typer.echo(json_text(to_sarif(report, path)))
    if not report.valid:
        raise typer.Exit(1)


def explain(
    rule: Annotated[str | None, typer.Argument(help="A rule's code, such as log-target.")] = None,
) -> None:
    """Print what a rule means, why it exists and where it is written; without a rule, list all."""
    from pitboard.compliance import rules

    if rule is None:
        width = max(map(len, rules.RULES))
        for known in rules.RULES.values():
            typer.echo(f"{known.code:{width}}  {known.title}")
        return
    asked = rules.rule(rule)
    typer.echo(
        f"{asked.code}: {asked.title}\n\n{asked.meaning}\n\nWhy: {asked.why}\n\nWritten in: {asked.where}"
    )


class _Bar:
    """A progress bar on a terminal's error stream, and nothing elsewhere."""

    def __enter__(self) -> "Progress | None":
        from sys import stderr

        self._progress = None
        if not stderr.isatty():
            return None
        from rich.console import Console
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("Checking logs", total=None)
        return self._advance

    def _advance(self, done: int, total: int) -> None:
        if self._progress is None:
            return
        # Started at the first report only: its drawing thread must not be there when processes are forked.
        self._progress.start()
        self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
