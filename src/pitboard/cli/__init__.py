"""The `pitboard` command: it parses, calls one function, and shows what that returned.

Each command lives in a module of its own and imports its room inside the function, so that
`pitboard --help` loads neither torch nor the rulesets.
"""

import os
import platform
import sys
from typing import Annotated

import typer

from pitboard import __version__
from pitboard.cli import check, data, launch, package, precision, results, run, score, serve, site, suite
from pitboard.errors import LostContactError, PitboardError, Stopped, ToldElsewhereError

app = typer.Typer(
    name="pitboard",
    help="Race AI training stacks to a target quality, check that the race was fair, and read the results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# The extra that brings a package which a command imports when it needs it.
_EXTRAS = {
    package: extra
    for extra, packages in {
        "charts": "altair vl_convert",
        "web": "fastapi jinja2 multipart starlette uvicorn",
        "train": "diffusers numpy peft PIL psutil pyarrow safetensors sklearn"
        " tokenizers torch torchao transformers",
    }.items()
    for package in packages.split()
}
for command in (run, launch, check, score, results, precision, package, suite, data, serve, site):
    command.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pitboard {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that come before a command."""


def main() -> None:
    """Run the command line; exit 0 when fine, 1 when problems were found, 2 when it could not run.

    A run that a signal stopped exits with 128 + the signal's number.
    """
    try:
        app()
    except PitboardError as error:
        _report(error)
        sys.exit(2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        typer.echo(
            f"Error: This needs the package '{package}', which is not installed:"
            f" pip install 'pitboard[{_EXTRAS[package]}]'",
            err=True,
        )
        sys.exit(2)
    except Stopped as stop:
        if str(stop):
            typer.echo(str(stop), err=True)
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        typer.echo("Interrupted; what was written so far is complete.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (`head`, a pager) has gone: nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _report(error: PitboardError) -> None:
    """Say it once: a rank of a launched run reports it to the launcher, which the user sees."""
    from pitboard.launch.torchrun import report_to_launcher

    if report_to_launcher(error) or isinstance(error, ToldElsewhereError):
        return
    rank, where = os.environ.get("RANK", "0"), ""
    if rank != "0" and not isinstance(error, LostContactError):
        where = f"Rank {rank} on {os.environ.get('SLURMD_NODENAME') or platform.node()}: "
    typer.echo(f"Error: {where}{error}", err=True)
