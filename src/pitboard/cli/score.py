"""The `pitboard score` command."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pitboard.text import json_text

if TYPE_CHECKING:
    from pitboard.scoring import Score

Format = Literal["text", "json", "csv"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(score)


def score(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="A log, a result, a submission, a round or a run's output; an archive of one; - for standard"
            " input.",
        ),
    ],
    round: Annotated[
        str | None,
        typer.Option(help="The round whose rules apply, such as 5.1.", show_default="read from the logs"),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to show the scores.")] = "text",
) -> None:
    """Score results in minutes, as official: exit 0 all have a score, 1 some have none, 2 cannot run."""
    from pitboard.cli.answers import broken, width_of_output
    from pitboard.cli.paths import expanded
    from pitboard.compliance import check_tree
    from pitboard.scoring import score_tree

    reports = [check_tree(path, round) for path in expanded(paths)]
    scores = [score for report in reports for score in score_tree(report)]
    show = {"text": as_text, "json": as_json, "csv": as_csv}[format]
    typer.echo(show(scores), nl=False)
    if format == "text":
        for said in dict.fromkeys(
            f"Round {report.round}. {report.told}" for report in reports if report.told
        ):
            typer.echo("\n".join(broken(said, width_of_output(), "")), err=True)
    if any(score.minutes is None for score in scores):
        raise typer.Exit(1)


def as_json(scores: "list[Score]") -> str:
    """Give scores as one JSON object, with every number in full."""
    return json_text({"results": scores}) + "\n"


def as_csv(scores: "list[Score]") -> str:
    """Give scores as a table, one result a row; the numbers of the runs stand in one cell, space between."""
    import csv
    import io

    import msgspec

    from pitboard.scoring import Score

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Score.__struct_fields__)
    for score in scores:
        cells = msgspec.structs.astuple(score)
        writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, list):
        return " ".join("" if number is None else repr(number) for number in value)
    return str(value).lower() if isinstance(value, bool) else value


def as_text(scores: "list[Score]") -> str:
    """Say each result's score in minutes by submitter, to the three decimals that MLCommons publishes.

    Where a terminal has no room for the columns, the score stands first and the rest below it.
    """
    from pitboard.cli.answers import broken, width_of_output
    from pitboard.compliance.log.preset import mark
    from pitboard.text import printable

    rows = []
    for score in sorted(scores, key=lambda s: (s.submitter.casefold(), s.system, s.benchmark)):
        counted = sum(minutes is not None for minutes in score.runs)
        rows.append(
            (
                score.submitter,
                score.system,
                "" if score.system_name in (None, score.system) else f"({score.system_name})",
                score.benchmark,
                _hardware(score),
                "no score" if score.minutes is None else f"{score.minutes:.3f} min",
                f"{counted} of {len(score.runs)} runs{_needed(score)}",
                "" if score.joules is None else f"{energy_text(score.joules)} to target",
                "" if score.rcp_scale == 1 else f"scaled by {score.rcp_scale:.4f}",
                "" if score.unused_scale is None else f"scaling.json says {score.unused_scale:.4f}: not used",
                "" if score.valid else "not valid",
                "emulated: not comparable" if score.emulated else "",
                mark(score.preset) if score.preset and len(scores) > 1 else "",
            )
        )
    plain = [tuple(printable(cell) for cell in row) for row in rows]
    # One result has a line for its mark: with it in its row, the row would not fit a terminal.
    alone = scores[0].preset if len(scores) == 1 else None
    width = width_of_output()
    lines = broken(f"{mark(alone)}.", width, "") if alone else []
    lines += _aligned(plain, width)
    if len(scores) == 1:
        lines += [part for line in _runs(scores[0]) for part in broken(line, width, "    ")]
    scored = sum(score.minutes is not None for score in scores)
    valid = sum(score.valid for score in scores)
    results = "1 result" if len(scores) == 1 else f"{len(scores):,} results"
    lines.append(f"{results}, {scored:,} with a score, {valid:,} valid")
    return "\n".join(lines) + "\n"


def _needed(score: "Score") -> str:
    """Say how many runs a result needs where it has another number."""
    wrong = score.runs_needed not in (None, len(score.runs))
    return f" (a result needs {score.runs_needed})" if wrong else ""


def energy_text(joules: float) -> str:
    """Write an energy in megajoules."""
    return f"{joules / 1e6:,.3f} MJ"


def _hardware(score: "Score") -> str:
    if score.accelerators == 0:
        return "no accelerator"
    count = "?" if score.accelerators is None else f"{score.accelerators:,}"
    return f"{count} x {score.accelerator or '?'}"


_SUBMITTER, _BENCHMARK, _MINUTES = 0, 3, 5
_KEPT = "\N{NO-BREAK SPACE}"


def _aligned(rows: "list[tuple[str, ...]]", width: int | None) -> list[str]:
    """Write rows as columns; where that is too wide, whose score it is and the score, the rest below."""
    from pitboard.cli.answers import broken

    lines = _columns(rows)
    if width is None or all(len(line) <= width for line in lines):
        return lines
    first = (_MINUTES, _BENCHMARK, _SUBMITTER)
    heads = _columns([tuple(row[at] for at in first) for row in rows])
    lines = []
    for head, row in zip(heads, rows, strict=True):
        others = [cell for at, cell in enumerate(row) if cell and at not in first]
        # A line is broken between two cells, where there is room for the next.
        whole = [cell.replace(" ", _KEPT) if len(cell) + 4 <= width else cell for cell in others]
        below = broken(f"    {'  '.join(whole)}", width, "    ")
        lines += [*broken(head, width, "    "), *(line.replace(_KEPT, " ") for line in below)]
    return lines


def _columns(rows: "list[tuple[str, ...]]") -> list[str]:
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]


def _runs(score: "Score") -> list[str]:
    from pitboard.compliance.result.benchmarks import convergence_unit

    lines = []
    for number, minutes in enumerate(score.runs):
        samples = score.samples_to_target[number]
        took = "does not count" if minutes is None else f"{minutes:.3f} min"
        unit = convergence_unit(score.benchmark, samples or 0)
        needed = "" if samples is None else f", {samples:,} {unit} to the target"
        joules = score.run_joules[number] if score.run_joules else None
        used = "" if joules is None else f", {energy_text(joules)}"
        lines.append(f"  run {number + 1}: {took}{needed}{used}")
    return lines
