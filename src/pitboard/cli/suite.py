"""The `pitboard suite` command: what is raced."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pitboard import suite as catalogue
from pitboard.text import printable_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Wide enough for any row: a pipe has no width, and a fact cut off or wrapped is lost to `grep`.
_PIPE_WIDTH = 1000


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def suite(
        benchmark: Annotated[
            str | None, typer.Argument(help="Show this benchmark in full, by its id in logs: llama31_8b.")
        ] = None,
        *,
        round: Annotated[
            str | None,
            typer.Option(
                help=f"The round of MLPerf Training, {catalogue.ROUNDS[0].version} to"
                f" {catalogue.ROUNDS[-1].version}.",
                show_default=catalogue.NEWEST_RACED_LABEL,
            ),
        ] = None,
        format: Annotated[Format, typer.Option(help="A table to read or JSON to process.")] = Format.TABLE,
    ) -> None:
        """List what is raced: the benchmarks of a round, or one of them in full."""
        raced = catalogue.NEWEST_RACED if round is None else catalogue.find_round(round)
        shown = raced.benchmark(benchmark) if benchmark else None
        official = () if shown else catalogue.official_benchmarks(raced)
        if format is Format.JSON:
            import json

            document = _in_full(shown, raced) if shown else _round(raced, official)
            typer.echo(printable_json(json.dumps(document, default=_plain, indent=2, ensure_ascii=False)))
        elif shown:
            _show_benchmark(shown, raced)
        elif raced.benchmarks:
            _show_round(raced)
        else:
            _show_official(raced, official)


def _round(raced: catalogue.Round, official: Sequence[catalogue.OfficialBenchmark]) -> dict[str, Any]:
    """Return all of a round, for JSON."""
    described = [_in_full(benchmark, raced) for benchmark in raced.benchmarks]
    return {**_plain(raced), "benchmarks": described, "official_benchmarks": official}


def _in_full(benchmark: catalogue.Benchmark, raced: catalogue.Round) -> dict[str, Any]:
    """Return all of a benchmark, for JSON."""
    return {**_plain(benchmark), "official_points": catalogue.official_points(raced, benchmark.id)}


def _plain(value: object) -> Any:
    """Return what `json` can write in place of a value of ours."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Fraction):
        return float(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def suite_console() -> "Console":
    """Return a console for tables of benchmarks: in a pipe a row is a line."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _table(
    console: "Console", title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    contents = list(zip(columns, *rows, strict=True))
    gaps = 2 * (len(columns) - 1)
    for (column, *cells), width in zip(contents, _widths(contents, console.width - gaps), strict=True):
        numbers = all(cell.replace(",", "").isdigit() for cell in cells)
        table.add_column(column, width=width, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _widths(contents: Sequence[tuple[str, ...]], available: int) -> list[int]:
    """Return a width for each column, so that a narrow terminal wraps between words and not inside one."""
    widths = [max(map(len, column)) for column in contents]
    longest_words = [max(len(word) for cell in column for word in cell.split()) for column in contents]
    while sum(widths) > max(available, len(widths)):
        spare = [width - word for width, word in zip(widths, longest_words, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _target(benchmark: catalogue.Benchmark) -> str:
    return f"{'≤' if benchmark.lower_is_better else '≥'} {benchmark.target} {benchmark.metric}"


def _show_round(raced: catalogue.Round) -> None:
    console = suite_console()
    console.print(_raced(console, raced), "")
    console.print(_retired(console, raced), "")
    console.print(_raceable(console, raced), "")
    console.print("One in full: pitboard suite BENCHMARK. Race one: pitboard run BENCHMARK", style="dim")
    console.print("Race every one that has the preset smoke: pitboard run --all", style="dim")


def _raced(console: "Console", raced: catalogue.Round) -> "Table":
    columns = ("Benchmark", "Area", "Model", "Dataset", "Quality target", "Samples per evaluation", "Runs")
    rows = [
        (b.id, b.area, b.model, b.dataset, _target(b), f"{b.evaluation.samples:,}", str(b.runs))
        for b in raced.benchmarks
    ]
    return _table(console, _title(raced), columns, rows)


def _raceable(console: "Console", raced: catalogue.Round) -> "Table":
    """Say for each preset which benchmarks `pitboard run` can race in it."""
    names = dict.fromkeys(preset.name for b in raced.benchmarks for preset in b.presets)
    rows = [
        (name, ", ".join(b.id for b in raced.benchmarks if any(p.name == name for p in b.presets)))
        for name in names
    ]
    if without := [b.id for b in raced.benchmarks if not b.presets]:
        rows.append(("not yet", ", ".join(without)))
    return _table(console, "What `pitboard run` can race", ("Preset", "Benchmarks"), rows)


def _title(raced: catalogue.Round) -> str:
    day = raced.published_by
    if raced.published is None or day is None:
        return f"MLPerf Training {raced.version}, results not published as far as Pitboard knows"
    exact = raced.published == day.isoformat()
    return f"MLPerf Training {raced.version}, published {day:{'%d %B %Y' if exact else '%B %Y'}}"


def _show_official(raced: catalogue.Round, official: Sequence[catalogue.OfficialBenchmark]) -> None:
    """Show a round of which only the official rules are known."""
    console = suite_console()
    described = {each.id: known.version for known in catalogue.ROUNDS for each in known.benchmarks}
    columns = ("Benchmark", "Quality target", "Runs", "In full")
    rows = [
        (
            each.id,
            " and ".join(map(str, each.targets)),
            str(each.runs),
            f"pitboard suite {each.id} ({described[each.id]})" if each.id in described else "",
        )
        for each in official
    ]
    console.print(_table(console, _title(raced), columns, rows), "")
    console.print(
        "From the rules in the installed mlperf-logging; the newest round that Pitboard can race is"
        f" {catalogue.NEWEST_RACED.version}.",
        style="dim",
    )


def _retired(console: "Console", raced: catalogue.Round) -> "Table":
    columns = ("Retired", "Area", "Model", "Dataset", "Quality target", "Last round", "Replaced by")
    rows = [(r.id, r.area, r.name, r.dataset, r.target, r.last_round, r.replaced_by) for r in raced.retired]
    return _table(console, "No longer raced", columns, rows)


def _show_benchmark(benchmark: catalogue.Benchmark, raced: catalogue.Round) -> None:
    console = suite_console()
    console.print(f"{benchmark.id}: {benchmark.name}, MLPerf Training {raced.version}", style="bold")
    console.print("", _facts(benchmark), "")
    console.print(_hyperparameters(console, benchmark), "")
    if benchmark.presets:
        console.print(_presets(console, benchmark))
    else:
        console.print("No presets: Pitboard does not train this benchmark yet.")
    if points := catalogue.official_points(raced, benchmark.id):
        console.print("", _points(console, benchmark, points))
    if points and benchmark.presets:
        console.print(f"\nOne of them: pitboard run {benchmark.id} --preset full --rcp BATCH", style="dim")


def _facts(benchmark: catalogue.Benchmark) -> "Table":
    from rich.table import Table

    kept = benchmark.runs - 2 * benchmark.runs_dropped_each_end
    facts = {
        "Area": f"{benchmark.area}: {benchmark.problem}",
        "Model": f"{benchmark.model}: {benchmark.model_details}",
        "Dataset": f"{benchmark.dataset}: {benchmark.split}",
        "Quality target": f"{_target(benchmark)}, logged as {benchmark.metric_key}",
        "Evaluation": f"{benchmark.evaluation.rule}; logged with {benchmark.progress_key}",
        "Evaluated on": f"{benchmark.evaluation_samples:,} samples",
        "Runs that count": f"{benchmark.runs}; the result is their mean without the fastest and the slowest"
        f" ({kept} left)",
        "Optimizer": benchmark.optimizer,
        "Reference": benchmark.reference,
        "Replaces": benchmark.replaces,
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact is not None:
            table.add_row(name, fact)
    return table


def _hyperparameters(console: "Console", benchmark: catalogue.Benchmark) -> "Table":
    demanded_by = {"ruleset": "log checker", "rules": "training rules"}
    rows = [(h.name, h.constraint, demanded_by[h.source]) for h in benchmark.hyperparameters]
    return _table(
        console, "Hyperparameters, closed division", ("Name in the log", "Constraint", "Demanded by"), rows
    )


def _points(
    console: "Console",
    benchmark: catalogue.Benchmark,
    points: Sequence[catalogue.ReferenceConvergencePoint],
) -> "Table":
    unit = "samples" if benchmark.progress_key == "samples_count" else "epochs"
    rows = [
        (
            f"{point.global_batch_size:,}",
            f"{fmean(point.samples_to_target):,.{0 if unit == 'samples' else 2}f}",
            ", ".join(f"{name} {value}" for name, value in point.hyperparameters.items() if value != []),
        )
        for point in points
    ]
    columns = ("Batch", f"Mean {unit} to target", "Hyperparameters")
    return _table(console, "Official reference convergence points", columns, rows)


def _presets(console: "Console", benchmark: catalogue.Benchmark) -> "Table":
    settings = dict.fromkeys(key for preset in benchmark.presets for key in preset.values)
    rows = [(key, *(_setting(preset, key) for preset in benchmark.presets)) for key in settings]
    return _table(console, "Presets", ("Setting", *(preset.name for preset in benchmark.presets)), rows)


def _setting(preset: catalogue.Preset, key: str) -> str:
    value = preset.values.get(key)
    return "none" if value is None else str(value)
