"""The `pitboard results` commands: what the store holds, and the questions it answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pitboard.cli.answers import Format

if TYPE_CHECKING:
    from pitboard.results.answer import Answer
    from pitboard.results.store import Store

Place = Annotated[
    str | None,
    typer.Option(
        "--store", help="The store's folder, or an s3:// or https:// address.", envvar="PITBOARD_STORE"
    ),
]
Shown = Annotated[Format, typer.Option("--format", help="How to show the answer.")]
Explain = Annotated[bool, typer.Option("--explain", help="Print the definition and the SQL.")]
Chart = Annotated[
    Path | None,
    typer.Option("--chart", help="Draw the answer to a .png, .svg or .html file.", dir_okay=False),
]
Round = Annotated[str | None, typer.Option(help="The round, such as 5.1.", show_default="the newest")]
BenchmarkOption = Annotated[str, typer.Option("--benchmark", help="The benchmark, such as llama31_8b.")]
Submitter = Annotated[str | None, typer.Option(help="Only this submitter.")]
Accelerator = Annotated[str | None, typer.Option(help="Only this accelerator, such as B200.")]
Division = Annotated[str | None, typer.Option(help="Only this division: closed or open.")]
A = Annotated[str, typer.Argument(metavar="A", help="A result, ROUND/SUBMITTER/SYSTEM/BENCHMARK.")]
B = Annotated[str, typer.Argument(metavar="B", help="The other result.")]

app = typer.Typer(
    help="Read published rounds and your own runs: tables, comparisons, curves.", no_args_is_help=True
)


def register(parent: typer.Typer) -> None:
    """Add the commands to the application."""
    parent.add_typer(app, name="results")


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="A round, a submission, or the output of `pitboard run`.")],
    round: Annotated[str | None, typer.Option(help="The round.", show_default="read from the logs")] = None,
    submitter: Annotated[str | None, typer.Option(help="Call the submitter this.")] = None,
    system: Annotated[str | None, typer.Option(help="Call the system this.")] = None,
    store: Place = None,
) -> None:
    """Check, score and add results to the store; adding them again changes nothing."""
    from pitboard.compliance.log.preset import mark
    from pitboard.results.ingest import Names, read_rows
    from pitboard.results.likeness import preset_of
    from pitboard.text import printable

    # Logs are read in processes of their own, before DuckDB starts threads in this one.
    rows = read_rows(path, round, Names(submitter, system))
    added = _open(store).add(rows)
    typer.echo(f"{added.new} results new, {added.changed} changed, {added.same} as they were.")
    for preset in sorted({preset for row in rows["results"] if (preset := preset_of(row))}):
        typer.echo(f"{printable(mark(preset))}; kept apart from what was published.")
    for problem in added.problems:
        typer.echo(f"Incomplete: {problem}.", err=True)


@app.command()
def remove(
    round: Annotated[str, typer.Argument(help="The round.")],
    submitter: Annotated[str | None, typer.Argument(help="Only this submitter.")] = None,
    system: Annotated[str | None, typer.Argument(help="Only this system.")] = None,
    store: Place = None,
) -> None:
    """Remove results that were added; the rounds that come with Pitboard stay."""
    count = _open(store).remove(round, submitter, system)
    typer.echo(f"{count} results removed.")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")], store: Place = None
) -> None:
    """Write the store as plain Parquet, to be served or uploaded and read with --store ADDRESS."""
    _open(store).export(folder)
    typer.echo(f"Written to {folder}.")


@app.command()
def table(
    round: Round = None,
    benchmark: Annotated[str | None, typer.Option(help="Only this benchmark.")] = None,
    division: Division = None,
    accelerator: Accelerator = None,
    submitter: Submitter = None,
    accelerators: Annotated[int | None, typer.Option(help="Only this many accelerators.")] = None,
    availability: Annotated[str | None, typer.Option(help="Only this category.")] = None,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
    chart: Chart = None,
) -> None:
    """Show the official table of a round: minutes by system and benchmark."""
    from pitboard.results.questions.table import table as ask

    answer = ask(
        round, benchmark, division, accelerator, submitter, accelerators, availability, store=_open(store)
    )
    _show(answer, format, explain, chart)


@app.command()
def compare(
    a: A,
    b: B,
    normalise: Annotated[
        bool, typer.Option("--normalise", help="Give accelerator-hours too: derived, not an official metric.")
    ] = False,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
    chart: Chart = None,
) -> None:
    """Set two results side by side; exit 1 where they are not like for like."""
    from pitboard.results.questions.compare import compare as ask

    _show(ask(a, b, normalise, store=_open(store)), format, explain, chart, fails=True)


@app.command()
def scale(
    benchmark: BenchmarkOption,
    round: Round = None,
    submitter: Submitter = None,
    accelerator: Accelerator = None,
    division: Division = "closed",
    at: Annotated[
        int | None,
        typer.Option("--at", help="Predict the minutes at this many accelerators, family by family."),
    ] = None,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
    chart: Chart = None,
) -> None:
    """Show scale curves by family, what scale costs in convergence and communication, and a fitted law."""
    from pitboard.results.questions.scale import scale as ask

    answer = ask(benchmark, round, submitter, accelerator, division or "closed", store=_open(store))
    if at is not None:
        from pitboard.results.prediction import predictions

        answer.more["predictions"], refused = predictions(answer, at)
        answer.notes += refused
    _show(answer, format, explain, chart)


@app.command()
def converge(
    benchmark: BenchmarkOption,
    round: Round = None,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
    chart: Chart = None,
) -> None:
    """Show samples to target against the reference convergence points: who paid convergence for speed."""
    from pitboard.results.questions.converge import converge as ask

    _show(ask(benchmark, round, store=_open(store)), format, explain, chart)


@app.command()
def rounds(
    benchmark: BenchmarkOption,
    since: Annotated[
        str | None, typer.Option(help="The first round.", show_default="the last but one")
    ] = None,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
    chart: Chart = None,
) -> None:
    """Show what changed from round to round: the best, and like for like; published claims traced."""
    from pitboard.results.questions.rounds import rounds as ask

    _show(ask(benchmark, since, store=_open(store)), format, explain, chart)


@app.command()
def why(
    a: A,
    b: B,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
    chart: Chart = None,
) -> None:
    """Split a speed-up into convergence, accelerators, throughput and the rest, as far as logs tell."""
    from pitboard.results.questions.why import why as ask

    _show(ask(a, b, store=_open(store)), format, explain, chart)


@app.command()
def stack(
    a: Annotated[str, typer.Argument(metavar="A", help="A system, ROUND/SUBMITTER/SYSTEM, or a result.")],
    b: Annotated[str | None, typer.Argument(metavar="B", help="Another, to see the difference.")] = None,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
) -> None:
    """Show what software a system ran, or where two systems differ."""
    from pitboard.results.questions.stack import stack as ask

    _show(ask(a, b, store=_open(store)), format, explain, None)


@app.command()
def roster(
    round: Round = None,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
) -> None:
    """Show who entered a round, with what, and what changed since the round before."""
    from pitboard.results.questions.roster import roster as ask

    _show(ask(round, store=_open(store)), format, explain, None)


@app.command()
def sanity(
    run: Annotated[str, typer.Argument(help="The output folder of a run, or a result's reference.")],
    round: Round = None,
    accelerator: Annotated[
        str | None, typer.Option(help="What it ran on, where the system description does not say.")
    ] = None,
    accelerators: Annotated[int | None, typer.Option(help="On how many.")] = None,
    store: Place = None,
    format: Shown = "table",
    explain: Explain = False,
) -> None:
    """Set your run beside what was published for the same accelerators; exit 1 unless it is as fast."""
    from pitboard.results.questions.sanity import sanity as ask

    answer = ask(run, round, accelerator, accelerators, store=_open(store))
    _show(answer, format, explain, None)
    if not answer.facts["within"]:
        raise typer.Exit(1)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, DESCRIBE or EXPLAIN.")],
    store: Place = None,
    format: Shown = "table",
) -> None:
    """Ask the store anything in SQL, read-only: `show tables`, `describe results`, …"""
    from pitboard.results.questions.sql import sql as ask

    _show(ask(query, store=_open(store)), format, False, None)


def _open(place: str | None) -> "Store":
    from pitboard.results.store import Store

    return Store(place)


def _show(answer: "Answer", format: Format, explain: bool, chart: Path | None, fails: bool = False) -> None:
    from pitboard.cli import answers

    if chart:
        answers.draw(answer, chart)
    typer.echo(answers.SHOW[format](answer), nl=False)
    if explain:
        typer.echo(answers.explained(answer), nl=False, err=format != "table")
    if fails and answer.warnings:
        raise typer.Exit(1)
