"""The `pitboard` command: it parses, calls one function, and shows what that returned.

Each command lives in a module of its own and imports its room inside the function, so that
`pitboard --help` loads neither torch nor the rulesets.
"""

import io
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from pitboard import __version__
from pitboard.cli import (
    check,
    data,
    fabric,
    launch,
    package,
    precision,
    results,
    run,
    score,
    serve,
    site,
    suite,
)
from pitboard.errors import LostContactError, PitboardError, Stopped, ToldElsewhereError
from pitboard.processes import node_name, stop_on_signals
from pitboard.text import printable_lines

app = typer.Typer(
    name="pitboard",
    help="Race AI training stacks to a target quality, check that the race was fair, and read the results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# The extra that brings a package which a command imports when it needs it.
_EXTRAS = {
    package: extra
    for extra, packages in {
        "charts": "vl_convert",
        "web": "fastapi jinja2 multipart starlette uvicorn",
        "train": "diffusers numpy peft PIL psutil pyarrow safetensors sklearn"
        " tokenizers torch torchao transformers",
    }.items()
    for package in packages.split()
}
# These end in good order by themselves.
_RUNNING = ("run", "launch", "precision", "fabric", "serve")
for command in (run, launch, check, score, results, precision, fabric, package, suite, data, serve, site):
    command.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pitboard {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that come before a command, and prepare the process for it."""
    if context.invoked_subcommand not in _RUNNING:
        stop_on_signals()


def main() -> None:
    """Run the command line; exit 0 when fine, 1 when problems were found, 2 when it could not run.

    A run that a signal stopped exits with 128 + the signal's number.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal's encoding lacks is no reason to fail
    code = _run()
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _report_unwritten(error)
    sys.exit(code)


def _run() -> int | str | None:
    """Run the command line; give the exit code."""
    try:
        app()
    except SystemExit as end:
        return end.code
    except PitboardError as error:
        _report(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        _say(
            f"Error: This needs the package '{package}', which is not installed:"
            f" pip install 'pitboard[{_EXTRAS[package]}]'"
        )
    except Stopped as stop:
        if str(stop):
            _say(str(stop))
        return stop.exit_code
    except KeyboardInterrupt:
        _say("Interrupted; what was written so far is complete.")
        return 130
    except OSError as error:
        return _report_unwritten(error)
    except RuntimeError as error:
        training = sys.modules.get("pitboard.training.distributed")  # whose errors of ranks have no class
        if training is None or not training.lost_contact(error):
            raise
        _report(
            LostContactError("This rank lost contact with another, which has ended or cannot be reached.")
        )
    return 2


def _report_unwritten(error: OSError) -> int:
    """Say that the output, or a file, cannot be written; give the exit code."""
    # What is still to be written to it would fail again as the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0  # its reader (`head`, a pager) has gone: nobody is left to tell
    where = error.filename or "the output"
    _say(f"Error: Cannot read or write {where}: {error.strerror or error}.")
    return 2


def _report(error: PitboardError) -> None:
    """Say it once: a rank of a launched run reports it to the launcher, which the user sees."""
    from pitboard.launch.torchrun import report_to_launcher

    if report_to_launcher(error) or isinstance(error, ToldElsewhereError):
        return
    rank, where = os.environ.get("RANK", "0"), ""
    if rank != "0" and not isinstance(error, LostContactError):
        where = f"Rank {rank} on {node_name()}: "
    _say(f"Error: {where}{error}")


def _say(sentence: str) -> None:
    """Write to standard error, which may be gone too."""
    with suppress(OSError):
        typer.echo(printable_lines(sentence), err=True)
