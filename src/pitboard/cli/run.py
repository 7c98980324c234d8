"""The `pitboard run` command."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from pitboard.errors import PitboardError, ToldElsewhereError
from pitboard.suite import NEWEST_RACED_LABEL
from pitboard.suite.formats import TRAINED

if TYPE_CHECKING:
    from pitboard.cli.outcome import EndReport
    from pitboard.launch.plan import RunRequest
    from pitboard.training.output import Output, Plan

Format = Literal["text", "json", "csv", "markdown"]
# What a resumed run may be given anew; a race of all benchmarks, or on several ranks, is known by its folder.
_MAY_CHANGE = ("nproc", "timeout", "format", "quiet", "only", "every", "chart")
_EXIT_CODES = {"reached": 0, "not reached": 1, "failed": 2}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("run")(run)


def run(
    benchmark: Annotated[
        str | None, typer.Argument(help="The benchmark, e.g. llama31_8b; `pitboard suite` lists them.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="smoke (small, needs no download), full, or sanity.", show_default="smoke"),
    ] = None,
    round: Annotated[
        str | None,
        typer.Option(
            help="The round of MLPerf Training whose benchmark is raced.",
            show_default=NEWEST_RACED_LABEL,
        ),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="How many runs, each with a seed of its own.", show_default="1")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first run's seed; else drawn at random.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help=f"auto (what the device is fast at), {', '.join(TRAINED[:-1])} or {TRAINED[-1]}."),
    ] = None,
    nproc: Annotated[
        int | None, typer.Option(min=1, help="Ranks on this node, started with torchrun.", show_default="1")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…",
            help="Race the same on each of these numbers of ranks, and say how many ranks each acts like.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; else output/<time>-<benchmark>-<preset>.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the preset.")
    ] = None,
    rcp: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="BATCH",
            help="With --preset full: batch, learning rate, warm-up and all else that the official reference"
            " convergence point of this global batch size states. --set of what it states is refused."
            " `pitboard suite BENCHMARK` lists the points.",
        ),
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Short for --set layers=N.")] = None,
    sequence_length: Annotated[int | None, typer.Option(help="Short for --set sequence_length=N.")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, metavar="SAMPLES", help="Checkpoint every so many training samples.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Continue the unfinished runs of an output folder.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Repeat a run, with its settings and seeds: a run.json or an output folder. Other options"
            " override.",
        ),
    ] = None,
    submitter: Annotated[
        str | None, typer.Option(help="Who runs it, for the log.", show_default="Pitboard user")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="The system's name; else made from this machine.")
    ] = None,
    samples_grid: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw what the trained model makes, or finds, into this PNG (smoke of flux1, retinanet).",
        ),
    ] = None,
    format: Annotated[
        Format,
        typer.Option(
            help="json: one object on stdout at the end, and the progress on stderr; csv and markdown: so the"
            " table of --scale."
        ),
    ] = "text",
    chart: Annotated[
        Path | None, typer.Option(help="Where to draw the answer of --scale: .png, .svg or .html.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress: only a line, or the object, at the end.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be run, and write nothing.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Race every benchmark that has the preset, one after the other.")
    ] = False,
    only: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Do run N (from 0) of --runs, beside commands that do the others in the same --output: for"
            " job arrays.",
        ),
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="SECONDS", help="How long ranks wait for each other.", show_default="600"
        ),
    ] = None,
) -> None:
    """Run a benchmark to its quality target and say how long it took.

    With --all, every benchmark of a round that has the preset, and a table of them at the end. With --scale,
    the same on several numbers of ranks, and what scaling cost.

    Exits 0 when every run reached its target (or has none), 1 when one did not, 2 when one could not run, and
    143 (SIGTERM) or 130 (Ctrl-C) when a signal stopped it, which --resume then continues.
    """
    given = locals()
    from pitboard.launch.srun import become_rank

    by_srun = become_rank()
    from pitboard.cli.outcome import EndReport, refuse_beside_resume, report_at_end
    from pitboard.training.output import Output

    with report_at_end(EndReport(format=format, quiet=quiet, dry_run=dry_run)) as report:
        if by_srun and nproc is not None:
            with _told_by_rank_0():
                raise PitboardError(
                    "--nproc starts ranks on this node, and srun has started them: leave it out."
                )
        if resume is not None:
            refuse_beside_resume(run, given, *_MAY_CHANGE)
            if only is None:
                from pitboard.launch.counts import is_scale
                from pitboard.launch.suite_race import is_suite_race

                if is_suite_race(resume):
                    _resume_all(report, resume, nproc)
                if is_scale(resume):
                    _resume_scale(report, resume, nproc, chart)
            _require_scale(scale, format, chart, every=every)
            report.output = Output(resume)
            _resume(report.output, nproc, only, timeout)
            return
        _require_scale(scale, format, chart, every=every)
        if benchmark is None and like is None and not every:
            raise PitboardError(
                "Say which benchmark to run, for example: pitboard run llama31_8b; or --all of them."
            )
        with _told_by_rank_0():
            overrides = overrides_of(
                {
                    "assignments": assignments,
                    "precision": precision,
                    "layers": layers,
                    "sequence_length": sequence_length,
                }
            )

        from pitboard.launch.plan import RunRequest, default_output, make_plan

        request = RunRequest(
            benchmark=benchmark,
            preset=preset,
            overrides=overrides,
            rcp=rcp,
            runs=runs,
            seed=seed,
            checkpoint_every=checkpoint_every,
            timeout=timeout,
            nproc=nproc,
            submitter=submitter,
            system=system,
            round=round,
            like=like,
            samples_grid=samples_grid,
        )
        if every:
            _race_all(report, output, request)
            return
        if scale is not None:
            _race_scale(report, output, request, scale, chart)
            return
        with _told_by_rank_0():
            plan = make_plan(request)
            if only is not None and (output is None or only >= len(plan.seeds)):
                raise PitboardError(
                    f"--only {only} is one of --runs {len(plan.seeds)}, which count from 0 and share one"
                    " --output."
                )
        report.output = default_output(plan) if output is None else Output(output)
        if dry_run:
            _show_dry_run(report, report.output, plan)
        else:
            _start(report.output, plan, only)


@contextmanager
def _told_by_rank_0() -> Iterator[None]:
    """Leave to rank 0 what every rank finds wrong with one and the same command."""
    try:
        yield
    except PitboardError as error:
        if os.environ.get("RANK", "0") == "0":
            raise
        raise ToldElsewhereError(str(error)) from error


def _race_all(report: "EndReport", output: Path | None, request: "RunRequest") -> None:
    """Race every benchmark that has the preset, or show what that would be."""
    from pitboard.cli.suite_race import race_suite, show_plans
    from pitboard.launch.suite_race import default_folder, plan_suite_race, record

    race = plan_suite_race(output or default_folder(request), request)
    if report.dry_run:
        show_plans(report, race)
    else:
        record(race)
        race_suite(report, race)


def _resume_all(report: "EndReport", folder: Path, nproc: int | None) -> NoReturn:
    """Continue the race of all benchmarks that a folder holds, and exit with the worst of their codes."""
    from pitboard.cli.suite_race import race_suite
    from pitboard.launch.suite_race import read_suite_race

    race_suite(report, read_suite_race(folder, nproc))


def _require_scale(scale: str | None, format: Format, chart: Path | None, *, every: bool) -> None:
    """Raise `PitboardError` for what only the answer of `--scale` can be shown as, and for all benchmarks."""
    if every and scale is not None:
        raise PitboardError("--scale takes one benchmark: leave out --all.")
    for given, name in (
        (format in ("csv", "markdown"), f"--format {format}"),
        (chart is not None, "--chart"),
    ):
        if given and scale is None:
            raise PitboardError(f"{name} shows the answer of --scale: give --scale 1,2, or leave it out.")


def _race_scale(
    report: "EndReport", output: Path | None, request: "RunRequest", scale: str, chart: Path | None
) -> None:
    """Race on each number of ranks, or show what that would be."""
    from datetime import datetime

    from pitboard.cli.scale import race_scale, show_plans
    from pitboard.launch.counts import parse_counts
    from pitboard.launch.scale import plan_scale, record_scale

    name = request.benchmark or "like"
    folder = output or Path("output") / f"{datetime.now():%Y%m%d-%H%M%S}-{name}-scale"
    planned = plan_scale(folder, request, parse_counts(scale))
    if report.dry_run:
        show_plans(report, planned)
    else:
        record_scale(planned)
        race_scale(report, planned, chart)


def _resume_scale(report: "EndReport", folder: Path, nproc: int | None, chart: Path | None) -> NoReturn:
    """Continue the runs on several numbers of ranks, and show the answer."""
    from pitboard.cli.scale import race_scale
    from pitboard.launch.scale import read_scale

    if nproc is not None:
        raise PitboardError("Each member of a --scale keeps its number of ranks: leave out --nproc.")
    race_scale(report, read_scale(folder), chart)


def overrides_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that the command's options change, by name, of the options by parameter."""
    from pitboard.training.settings import parse_assignments

    named = {name: given[name] for name in ("precision", "layers", "sequence_length")}
    asked = {key: str(value) for key, value in named.items() if value is not None}
    return {**parse_assignments(given["assignments"] or []), **asked}


def _start(output: "Output", plan: "Plan", only: int | None) -> None:
    from pitboard.cli.progress import Display
    from pitboard.launch.series import start

    with Display() as display:
        ended = start(output, plan, display, only)
    raise typer.Exit(_EXIT_CODES[ended])


def _resume(output: "Output", nproc: int | None, only: int | None, timeout: int | None) -> None:
    """Continue a folder's runs; `only` makes this process a rank of one of them."""
    from pitboard.cli.progress import Display
    from pitboard.launch.series import resume, run_as_rank

    with Display() as display:
        if only is not None:
            run_as_rank(output, only, display, timeout)
            return
        ended = resume(output, nproc, display, timeout)
    raise typer.Exit(_EXIT_CODES[ended])


def _show_dry_run(report: "EndReport", output: "Output", plan: "Plan") -> None:
    from pitboard.cli.outcome import forecast_document, show_forecast
    from pitboard.launch.plan import dry_run
    from pitboard.training.distributed import is_main_rank

    if not is_main_rank():
        return
    expected, nodes = dry_run(output, plan)
    if report.format == "json":
        report.document = forecast_document(output, plan, expected, nodes)
    else:
        show_forecast(output, plan, expected, nodes)
