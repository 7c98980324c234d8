"""The `pitboard results` commands: what the store holds, and the questions it answers."""

from inspect import Parameter, Signature
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pitboard.cli import complete
from pitboard.cli.answers import Format
from pitboard.results import questions
from pitboard.results.question import as_list, kind_of

if TYPE_CHECKING:
    from pitboard.cli.answers import Look
    from pitboard.results.answer import Answer
    from pitboard.results.question import Option, Question
    from pitboard.results.store import Store

Place = Annotated[
    str | None,
    typer.Option(
        "--store", help="The store's folder, or an s3:// or https:// address.", envvar="PITBOARD_STORE"
    ),
]
Shown = Annotated[Format, typer.Option("--format", help="How to show the answer.")]
Limit = Annotated[
    int, typer.Option("--limit", help="Show so many rows.", min=0, show_default="0, which is all")
]
Wide = Annotated[
    bool, typer.Option("--wide", help="Show every column, as wide as it gets, whatever the terminal.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Print the definition and the SQL.")]
Chart = Annotated[
    Path | None,
    typer.Option("--chart", help="Draw the answer to a .png, .svg or .html file.", dir_okay=False),
]

Highlight = Annotated[
    list[str] | None,
    typer.Option(
        "--highlight", help="Leave colour to what has these words in --chart, such as 'NVIDIA GB300'."
    ),
]


_TYPES: dict[str, Any] = {"text": str, "integer": int, "number": float}


class _Asking(TyperCommand):
    """The command of a question: `--sort -` and Tab offers columns, where Typer would offer options.

    Contexts and completions are `Any`: Typer keeps their types to itself.
    """

    _last = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the last word before the one that is being typed."""
        self._last = args[-1] if args else ""
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Offer the columns to sort by, the largest first; otherwise what any command offers."""
        if self._last == "--sort" and not incomplete.startswith("--"):
            sort = next(each for each in self.params if each.name == "sort")
            return sort.shell_complete(ctx, incomplete)
        return super().shell_complete(ctx, incomplete)


class _Commands(TyperGroup):
    """The commands about the store, then one for each question, which is imported when it is named.

    Contexts and commands are `Any`: Typer keeps their types to itself.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Name all commands in the order of the help."""
        self._add(questions.declared())
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; none for a name that there is not, which Typer answers with the nearest."""
        if cmd_name in questions.names():
            self._add([questions.question(cmd_name)])
        elif cmd_name not in self.commands:
            self._add(questions.declared())
        return super().get_command(ctx, cmd_name)

    def _add(self, asked: "list[Question]") -> None:
        for question in asked:
            if question.name not in self.commands:
                self.commands[question.name] = _command(question)


app = typer.Typer(
    cls=_Commands,
    help="Read published rounds and your own runs: tables, comparisons, curves.",
    no_args_is_help=True,
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
    from pitboard.results.schema import OWN
    from pitboard.text import printable

    # Logs are read in processes of their own, before DuckDB starts threads in this one.
    rows = read_rows(path, round, Names(submitter, system))
    added = _open(store).add(rows)
    rounds = " and ".join(sorted({f"v{row['round']}" for row in rows["results"]}))
    typer.echo(f"Results of {rounds}: {added.new} new, {added.changed} changed, {added.same} as they were.")
    if added.new + added.changed:
        names = ", ".join(sorted({printable(row["submitter"]) + OWN for row in rows["results"]}))
        typer.echo(
            f"Kept apart from the published rounds, as {names}: not verified by MLCommons Association."
        )
    for preset in sorted({preset for row in rows["results"] if (preset := preset_of(row))}):
        typer.echo(f"{printable(mark(preset))}.")
    for problem in added.problems:
        typer.echo(f"Incomplete: {printable(problem)}.", err=True)


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
    from pitboard.text import printable

    _open(store).export(folder)
    typer.echo(f"Written to {printable(str(folder))}.")


@app.command()
def ranks(
    folder: Annotated[Path, typer.Argument(help="The output of `--scale`.")],
    format: Shown = "table",
    explain: Explain = False,
    chart: Chart = None,
) -> None:
    """Show what the runs of `--scale` came to, those that have ended; nothing is run.

    Exits 1 where a number of ranks has no run with a time.
    """
    from pitboard.cli import answers, engine
    from pitboard.results.scaling import scale_of_folder

    with engine.started(chart) as ready:
        answer = scale_of_folder(folder)
        if chart:
            answers.draw(answer, chart, engine=ready)
    _tell(answer, format, explain)
    if not answer.facts["complete"]:
        raise typer.Exit(1)


def _tell(answer: "Answer", format: Format, explain: bool, look: "Look | None" = None) -> None:
    """Print an answer and, where asked, what its figures mean: that on stderr beside what programs read."""
    from pitboard.cli import answers

    typer.echo(answers.show(answer, format, look), nl=False)
    if explain:
        typer.echo(answers.explained(answer), nl=False, err=format != "table")


def _command(question: "Question") -> Any:
    """Make the command of a question: its options are those that the question declares."""

    def ask(
        *,
        store: str | None,
        format: Format,
        columns: str | None,
        sort: str,
        limit: int,
        wide: bool,
        explain: bool,
        chart: Path | None = None,
        highlight: list[str] | None = None,
        **values: object,
    ) -> None:
        from pitboard.cli import answers, engine
        from pitboard.errors import PitboardError

        if highlight and not chart:
            raise PitboardError("--highlight is of a chart: say where to draw it with --chart FILE.")
        with engine.started(chart) as ready:
            answer = question.ask(**_given(question, values), store=_open(store))
            if chart:
                answers.draw(answer, chart, highlight or (), ready)
        chosen = tuple(name for part in (columns or "").split(",") if (name := part.strip()))
        look = answers.Look(chosen, sort, limit, wide, explain)
        _tell(answer, format, explain, look)
        if code := question.exit_code(answer):
            raise typer.Exit(code)

    common = [
        Parameter("store", Parameter.KEYWORD_ONLY, default=None, annotation=Place),
        Parameter("format", Parameter.KEYWORD_ONLY, default="table", annotation=Shown),
        *_columns(question),
        Parameter("limit", Parameter.KEYWORD_ONLY, default=0, annotation=Limit),
        Parameter("wide", Parameter.KEYWORD_ONLY, default=False, annotation=Wide),
        Parameter("explain", Parameter.KEYWORD_ONLY, default=False, annotation=Explain),
    ]
    if question.charts:
        common.append(Parameter("chart", Parameter.KEYWORD_ONLY, default=None, annotation=Chart))
        common.append(Parameter("highlight", Parameter.KEYWORD_ONLY, default=None, annotation=Highlight))
    parameters = [*(_parameter(each, question.parameters[each.name]) for each in question.options), *common]
    # Typer reads both.
    ask.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    ask.__annotations__ = {each.name: each.annotation for each in parameters}
    alone = typer.Typer(add_completion=False)
    alone.command(question.name, cls=_Asking, help=question.help)(ask)
    return typer.main.get_command(alone)


def _columns(question: "Question") -> list[Parameter]:
    """Return the options that name columns of the answer."""
    offered = complete.for_columns(question, _given)
    columns = typer.Option(
        "--columns",
        help="Show these columns, NAME,NAME.",
        show_default="those that answer",
        autocompletion=offered,
    )
    sort = typer.Option(
        "--sort",
        help="Sort by this column; -NAME for the largest first.",
        show_default=False,
        autocompletion=offered,
    )
    return [
        Parameter("columns", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, columns]),
        Parameter("sort", Parameter.KEYWORD_ONLY, default="", annotation=Annotated[str, sort]),
    ]


def _given(question: "Question", values: dict[str, object]) -> dict[str, object]:
    """Give the values of a command's options as the question takes them: each option may have been repeated.

    Raises `PitboardError` for one that was given twice and takes one value.
    """
    from pitboard.errors import PitboardError
    from pitboard.results.question import is_several

    given: dict[str, object] = {}
    for name, value in values.items():
        own = question.parameters[name]
        if not isinstance(value, list):
            given[name] = value
        elif not value:
            given[name] = own.default
        elif len(value) == 1 or is_several(own):
            given[name] = value if len(value) > 1 else value[0]
        else:
            option = f"--{name.replace('_', '-')}"
            raise PitboardError(f"{option} takes one value, and was given {len(value)}: ask once for each.")
    return given


def _parameter(option: "Option", own: Parameter) -> Parameter:
    """Give an option of a question as Typer wants it, with the type and the default of the function's."""
    if option.argument:
        # The answers call two results A and B.
        metavar = option.name.upper() if len(option.name) == 1 else None
        shown = typer.Argument(
            metavar=metavar,
            help=option.help,
            show_default=option.otherwise or True,
            autocompletion=complete.for_option(option),
        )
    else:
        names = [f"--{name.replace('_', '-')}" for name in (option.name, option.also) if name]
        shown = typer.Option(
            *names,
            help=option.help,
            show_default=option.otherwise or True,
            autocompletion=complete.for_option(option),
        )
    kind, default = own.annotation, own.default
    if not option.argument and kind_of(own) != "boolean":
        # Typer would keep the last of a repeated option in silence.
        kind = GenericAlias(list, (_TYPES[kind_of(own)],))
        if default is not Parameter.empty:
            kind, default = kind | None, as_list(default)
    return own.replace(kind=Parameter.KEYWORD_ONLY, annotation=Annotated[kind, shown], default=default)


def _open(place: str | None) -> "Store":
    from pitboard.results.store import Store
    from pitboard.text import printable

    store = Store(place)
    if store.damage:
        typer.echo(f"Warning: {printable(store.damage)}", err=True)
    return store
