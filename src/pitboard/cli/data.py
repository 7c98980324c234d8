"""The `pitboard data` command: what a benchmark's data is, where to get it, and whether it is whole."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pitboard.errors import PitboardError
from pitboard.text import printable_json

if TYPE_CHECKING:
    from pitboard.training.data.downloads import Download
    from pitboard.training.data.verify import FileReport


class Format(StrEnum):
    """How the answer is written."""

    TEXT = "text"
    JSON = "json"


_COLOURS = {"ok": "green", "missing": "yellow", "wrong": "red", "unchecked": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def data(
        benchmark: Annotated[str, typer.Argument(help="The benchmark, by its id in logs: llama31_8b.")],
        *,
        path: Annotated[
            Path | None,
            typer.Option(help="Verify the data in this folder.", show_default="$PITBOARD_DATA/BENCHMARK"),
        ] = None,
        checksums: Annotated[
            bool, typer.Option(help="Compare listed checksums; reading 80 GB takes minutes.")
        ] = True,
        format: Annotated[Format, typer.Option(help="Text to read or JSON to process.")] = Format.TEXT,
    ) -> None:
        """Say what data a benchmark needs and where to get it; with a folder, verify what is there.

        Exits with 0 when all is fine, 1 when files are missing or wrong, 2 when it could not run.
        """
        from pitboard import suite
        from pitboard.training.data.downloads import data_folder, downloads

        known = suite.benchmark(benchmark)
        parts = downloads(benchmark)
        if parts is None:
            raise PitboardError(
                f"Pitboard does not handle the data of '{benchmark}' yet. Its reference says what to download"
                f" ({known.reference})."
            )
        if path is None:
            path = data_folder(benchmark)
        reports = None if path is None else _verify(benchmark, path, checksums)
        if format is Format.JSON:
            _write_json(benchmark, parts, path, reports)
        else:
            _write_text(benchmark, parts, path, reports)
        if reports is not None and any(report.status != "ok" for report in reports):
            raise typer.Exit(1)


def _verify(benchmark: str, path: Path, checksums: bool) -> "list[FileReport]":
    try:
        import tokenizers  # noqa: F401 - asked for here, and not half-way through the files

        return _shown(benchmark, path, checksums)
    except ImportError as error:
        raise PitboardError(
            f"Verifying needs the package '{error.name}'. Install it with: pip install 'pitboard[train]'"
        ) from error


def _shown(benchmark: str, path: Path, checksums: bool) -> "list[FileReport]":
    """Verify the data, with the progress on a terminal."""
    from pitboard.training.data.verify import verify

    if not sys.stderr.isatty():
        return verify(benchmark, path, checksums=checksums)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("opening")
        return verify(
            benchmark,
            path,
            checksums=checksums,
            on_read=lambda file, done, size: shown.update(task, description=file, completed=done, total=size),
        )


def _write_json(
    benchmark: str, parts: "tuple[Download, ...]", path: Path | None, reports: "list[FileReport] | None"
) -> None:
    root = str(path or "DIR")
    answer = {
        "benchmark": benchmark,
        "downloads": [{**asdict(part), "command": part.command(root)} for part in parts],
        "path": None if path is None else str(path),
        "files": None if reports is None else [asdict(report) for report in reports],
    }
    typer.echo(printable_json(json.dumps(answer, indent=2, ensure_ascii=False)))


def _write_text(
    benchmark: str, parts: "tuple[Download, ...]", path: Path | None, reports: "list[FileReport] | None"
) -> None:
    for part in parts:
        typer.echo(f"{part.what[0].upper()}{part.what[1:]}.")
        typer.echo(f"Size: {part.size}. Licence: {part.licence}. In Bash:")
        typer.echo(f"  {part.command(str(path or 'DIR'))}\n")
    if reports is None:
        typer.echo(f"Then verify it with: pitboard data {benchmark} --path DIR")
        return
    width = max(len(report.file) for report in reports)
    for report in reports:
        status = typer.style(f"{report.status:<9}", fg=_COLOURS[report.status])
        typer.echo(f"{report.file:<{width}}  {status}  {report.detail}")
