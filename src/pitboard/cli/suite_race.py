"""How `pitboard run --all` races and shows the benchmarks of a round."""

from typing import TYPE_CHECKING, Any, NoReturn

import typer

from pitboard import suite
from pitboard.cli.suite import suite_console

if TYPE_CHECKING:
    from pitboard.cli.outcome import EndReport
    from pitboard.errors import PitboardError
    from pitboard.launch.suite_race import SuiteRace


def race_suite(report: "EndReport", race: "SuiteRace") -> NoReturn:
    """Race the benchmarks, print a table of them, and exit with the worst of their codes."""
    from pitboard.cli.outcome import run_document
    from pitboard.cli.progress import Display
    from pitboard.launch.suite_race import run_suite_race

    reasons: dict[str, str] = {}

    def failed(name: str, error: "PitboardError") -> None:
        reasons.setdefault(name, str(error))

    try:
        with Display() as display:
            run_suite_race(race, display, failed)
    finally:
        documents = []
        for name, (output, plan) in race.members.items():
            document = run_document(output, plan)
            # What failed in an earlier start of the race is in its log.
            failures = (run["error"] for run in document["runs"] if run["error"])
            documents.append({**document, "error": reasons.get(name) or next(failures, None)})
        report.document = _document(race, documents)
    _print(race, documents)
    failed_one = any(each["error"] is not None for each in documents)
    missed = any(each["reached"] is False for each in documents)
    raise typer.Exit(2 if failed_one else 1 if missed else 0)


def _document(race: "SuiteRace", documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "round": race.plan.round,
        "preset": race.plan.preset,
        "output": str(race.folder.absolute()),
        "benchmarks": documents,
        "not_raced": race.left_out,
    }


def _print(race: "SuiteRace", documents: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    plan = race.plan
    title = f"Round {plan.round}, preset {plan.preset}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("Benchmark", "Target", "Samples", "Minutes", "Verdict"):
        right = column in ("Samples", "Minutes")
        table.add_column(column, justify="right" if right else "left", no_wrap=column == "Benchmark")
    for document in documents:
        table.add_row(*(escape(cell) for cell in _row(document)))
    console = suite_console()
    console.print()
    console.print(table)
    if race.left_out:
        console.print(f"Not raced, without the preset {plan.preset}: {', '.join(race.left_out)}.")


def _row(document: dict[str, Any]) -> tuple[str, ...]:
    raced = suite.benchmark(document["benchmark"], round=document["round"])
    target, runs = document["target"], document["runs"]
    samples = sorted(run["samples"] for run in runs if run["samples"] is not None)
    minutes = sorted(run["minutes"] for run in runs if run["minutes"] is not None)
    return (
        document["benchmark"],
        "none" if target is None else f"{'≤' if raced.lower_is_better else '≥'} {target:g} {raced.metric}",
        _range([f"{each:,}" for each in samples]),
        _range([f"{each:.3f}" for each in minutes]),
        _verdict(document),
    )


def _range(ascending: list[str]) -> str:
    ends = dict.fromkeys(ascending[:1] + ascending[-1:])
    return " to ".join(ends)


def _verdict(document: dict[str, Any]) -> str:
    """Say whether the runs ended, reached the target, and keep the rules, in this order of weight."""
    if document["error"] is not None:
        return f"could not run: {document['error']}"
    runs = document["runs"]
    many = f"{sum(run['reached'] is True for run in runs)} of {len(runs)} " if len(runs) > 1 else ""
    ended = {True: f"{many}reached", False: f"{many}reached" if many else "not reached", None: "ended"}
    words = ended[document["reached"]]
    valid = (document["verdict"] or {}).get("valid")
    return words if valid is None else f"{words}, {'valid' if valid else 'not valid'}"


def show_plans(report: "EndReport", race: "SuiteRace") -> None:
    """Show the dry run of every benchmark; nothing is written."""
    from pitboard.cli.outcome import show_forecasts

    documents = show_forecasts(report, race.members.values())
    if report.format == "json":
        report.document = {"dry_run": True, **_document(race, documents)}
