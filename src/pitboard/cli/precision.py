"""The `pitboard precision` command."""

import secrets
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pitboard.errors import PitboardError, Stopped, near
from pitboard.suite.formats import TRAINED

if TYPE_CHECKING:
    from pitboard.compliance import Reference, ReferencePoint
    from pitboard.results.ladder import Rung
    from pitboard.training.output import Output, Plan


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
        Path | None, typer.Option(metavar="DIR", help="Go on with the unfinished runs of such a folder.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Where to draw samples to target: .png, .svg or .html.")
    ] = None,
) -> None:
    """Race a benchmark in several precisions and say which of them win.

    Time-to-train counts, not speed. What the device is fast at (BF16, or FP32 on a CPU without BF16 units) is
    always run, as the baseline that the others are held against. Exits 0 when every format converges as the
    baseline's reference does, 1 when one does not, 2 when one could not be run.
    """
    from pitboard.launch.ladder import recorded
    from pitboard.results.ladder import climb
    from pitboard.training.settings import parse_assignments

    folder = resume
    if folder is None:
        if benchmark is None:
            raise PitboardError("Say which benchmark to run, for example: pitboard precision llama31_8b")
        folder = output or Path("output") / f"{datetime.now():%Y%m%d-%H%M%S}-{benchmark}-precision"
        settings = parse_assignments(assignments or [])
        chosen = _chosen(precisions, _baseline(benchmark, preset, settings))
        _begin(folder, benchmark, preset, settings, chosen, runs, seed, nproc)
    rungs = {name: (output, plan) for name, output, plan in recorded(folder)}
    baseline, (_, plan) = next(iter(rungs.items()))
    reference = _reference(plan, baseline)
    logs = {name: _race(name, *rung) for name, rung in rungs.items()}
    judged = climb(logs, reference.points)
    _show(judged, plan, reference)
    if chart is not None:
        _draw(chart, judged, reference.points, plan)
    if any(rung.verdict == "did not run" for rung in judged):
        raise typer.Exit(2)
    raise typer.Exit(0 if all(rung.converges or rung.verdict == "wins" for rung in judged) else 1)


def _baseline(benchmark: str, preset: str, settings: dict[str, str]) -> str:
    """Return the format that the runs' device is fast at."""
    from pitboard.training.device import choose_device
    from pitboard.training.precision import choose_precision
    from pitboard.training.runner import settings_for

    return choose_precision(choose_device(settings_for(benchmark, preset, settings).device, 0)).precision


def _chosen(text: str, baseline: str) -> list[str]:
    """Return the formats, the baseline first. Raises `PitboardError` for one that does not exist."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in TRAINED:
            raise PitboardError(f"--precisions: there is no '{name}'.{near(name, TRAINED)}")
    return list(dict.fromkeys([baseline, *names]))


def _begin(
    folder: Path,
    benchmark: str,
    preset: str,
    settings: dict[str, str],
    precisions: list[str],
    runs: int,
    seed: int | None,
    nproc: int,
) -> None:
    """Write every format's plan, and then which they are, so that what is interrupted can be resumed."""
    from pitboard import suite
    from pitboard.cli.run import SUBMITTER, begin, plan_runs
    from pitboard.launch.ladder import is_recorded, record
    from pitboard.training.output import Output

    if suite.benchmark(benchmark).preset(preset).values["target"] is None:
        raise PitboardError(f"Preset '{preset}' has no target that a precision could reach: choose another.")
    if is_recorded(folder):
        raise PitboardError(
            f"The output folder {folder} holds an earlier ladder: continue that with `pitboard precision"
            f" --resume {folder}`, or choose another folder with --output."
        )
    first = secrets.randbelow(2**31) if seed is None else seed
    for name in precisions:
        overrides = {**settings, "precision": name}
        plan = plan_runs(benchmark, preset, overrides, runs, first, None, nproc, SUBMITTER, None)
        begin(Output(folder / name), plan)
    record(folder, precisions)


def _reference(plan: "Plan", baseline: str) -> "Reference":
    """Return what holds for a plan's runs: its preset's own reference convergence points, or the official."""
    from pitboard import suite
    from pitboard.compliance import reference_for
    from pitboard.training.runner import settings_of

    preset = suite.benchmark(plan.benchmark, round=plan.round).preset(plan.preset)
    changed = settings_of(plan).changed_from(preset.values)
    ruleset = suite.find_round(plan.round).ruleset
    return reference_for(plan.benchmark, preset, baseline, changed, ruleset, baseline)


def _race(name: str, output: "Output", plan: "Plan") -> list[Path]:
    """Do a format's unfinished runs and return all its logs; a run that fails is told."""
    from pitboard.cli.progress import Display, show_summary
    from pitboard.launch.series import run_series

    def failed(index: int, error: PitboardError) -> None:
        typer.echo(f"{name}, run {index} failed: {error}", err=True)

    output.claim()
    try:
        with Display() as display:
            run_series(output, plan, display, show_summary, failed)
    except Stopped as stop:
        command = f"`pitboard precision --resume {shlex.quote(str(output.folder.parent))}`"
        raise Stopped(stop.number, f"Stopped by {stop.name}: {command} goes on.") from None
    return [path for index in range(len(plan.seeds)) if (path := output.log(plan, index)).is_file()]


def _show(rungs: "Sequence[Rung]", plan: "Plan", reference: "Reference") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{plan.benchmark} ({plan.preset}) by precision", title_justify="left")
    # Without lines between the columns all of it stands in a terminal of 80.
    table.box, table.padding = None, (0, 2, 0, 0)
    table.add_column("Format", no_wrap=True)
    for column in ("Reached", "Samples to target", "Samples/s", "Minutes"):
        table.add_column(column, justify="right")
    table.add_column("Convergence", no_wrap=True)
    table.add_column("Verdict")
    for rung in rungs:
        table.add_row(
            rung.precision,
            f"{rung.reached} of {len(rung.samples)}",
            _number(rung.mean_samples, ",.0f"),
            _number(rung.throughput, ".2f"),
            _number(rung.minutes, ".3f"),
            _convergence(rung, rungs[0].precision),
            rung.verdict,
        )
    console = Console()
    console.print(table)
    console.print(_reference_words(rungs, reference), highlight=False, soft_wrap=True)
    if any(rung.emulated for rung in rungs):
        console.print(
            "An emulated format computes the right numbers with slower arithmetic: its samples to target"
            " count, its minutes and samples/s say nothing of the format.",
            highlight=False,
            soft_wrap=True,
        )


def _reference_words(rungs: "Sequence[Rung]", reference: "Reference") -> str:
    means = [rung.rcp.reference_mean for rung in rungs if rung.rcp.reference_mean is not None]
    if means:
        measured = (reference.precision or rungs[0].precision).upper()
        return f"{measured}'s reference convergence points: {means[0]:,.0f} samples on average."
    why = f" ({reference.not_held})" if reference.not_held else ""
    return (
        f"No reference convergence points hold for these settings{why}: a format converges here when all its"
        " runs reach the target, be it early or late."
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _convergence(rung: "Rung", baseline: str) -> str:
    if rung.verdict == "did not run":
        return ""
    if rung.rcp.reference_mean is None:
        return "target reached" if rung.converges else "target not reached"
    when = "earlier than" if rung.early else "later than" if rung.late else "as"
    return f"{when} {baseline.upper()}"


def _draw(path: Path, rungs: "Sequence[Rung]", points: "Sequence[ReferencePoint]", plan: "Plan") -> None:
    """Draw what each run needed to the target over the reference's runs at the same batch size."""
    from pitboard.charts import ladder, save
    from pitboard.training.runner import settings_of

    batch = settings_of(plan).global_batch_size
    if not any(rung.reached for rung in rungs):
        typer.echo(f"No run reached the target, so there is nothing to draw in {path}.", err=True)
        return
    rows = [
        {
            "precision": rung.precision.upper(),
            "samples": count,
            "mean": rung.mean_samples,
            "word": f"{rung.reached} of {len(rung.samples)} reached the target",
        }
        for rung in rungs
        for count in rung.samples
    ]
    reference = [count for point in points if point.batch_size == batch for count in point.samples]
    emulated = [rung.precision.upper() for rung in rungs if rung.emulated]
    save(
        ladder(
            rows,
            title=f"{plan.benchmark} ({plan.preset}): samples to target by precision",
            subtitle=f"Emulated: {', '.join(emulated)}." if emulated else "",
            reference=reference,
        ),
        path,
    )
