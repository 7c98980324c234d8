"""The `pitboard check` and `pitboard explain` commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pitboard.text import json_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pitboard.compliance import TreeReport
    from pitboard.compliance.check import Progress

    Reports = list[tuple[Path, TreeReport]]

Format = Literal["text", "json", "sarif"]
Levels = Literal["log", "result", "submission", "round"]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(check)
    app.command()(explain)


def check(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="A log, a result's folder, a submission, a round; an archive of one; - for standard input.",
        ),
    ],
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
    from pitboard.cli.paths import are_logs, expanded
    from pitboard.compliance.check import check_logs, check_tree

    named = expanded(paths)
    with _Bar() as progress:
        if level in (None, "log") and are_logs(named):
            reports = [(Path(), check_logs(named, round, progress))]
        else:
            reports = [(path, check_tree(path, round, level, progress)) for path in named]
    typer.echo(_SHOW[format](reports))
    if not all(report.valid for _, report in reports):
        raise typer.Exit(1)


def _text(reports: "Reports") -> str:
    from pitboard.cli.findings import as_text
    from pitboard.text import printable

    if len(reports) == 1:
        return as_text(reports[0][1])
    return "\n\n".join(f"{printable(str(path))}:\n{as_text(report)}" for path, report in reports)


def _as_json(reports: "Reports") -> str:
    from pitboard.compliance.output.document import as_document

    if len(reports) == 1:
        return json_text(as_document(reports[0][1]))
    documents = [{"path": str(path), **as_document(report)} for path, report in reports]
    return json_text({"valid": all(report.valid for _, report in reports), "reports": documents})


def _as_sarif(reports: "Reports") -> str:
    from pitboard.compliance.output.sarif import to_sarif

    first, *others = [to_sarif(report, path) for path, report in reports]
    for other in others:
        first["runs"] += other["runs"]
    return json_text(first)


_SHOW: "dict[Format, Callable[[Reports], str]]" = {"text": _text, "json": _as_json, "sarif": _as_sarif}


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
