"""How `pitboard run` ends for a script: one JSON object or one line on stdout, and nothing else there."""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from pitboard.errors import PitboardError, Stopped
from pitboard.files import NO_JSON, read_plain
from pitboard.suite import NEWEST_RACED, NEWEST_RACED_LABEL
from pitboard.text import json_text, printable

if TYPE_CHECKING:
    from pitboard.training.forecast import Forecast
    from pitboard.training.output import Output, Plan


@dataclass
class EndReport:
    """How the command shall report at its end, and, once it is known, on which output folder.

    `document` is what a dry run reports instead, `shown` the text of another format than JSON.
    """

    format: Literal["text", "json", "csv", "markdown"] = "text"
    quiet: bool = False
    dry_run: bool = False
    output: "Output | None" = None
    document: dict[str, Any] | None = None
    shown: str | None = None


def refuse_beside_resume(command: Callable[..., None], given: Mapping[str, object], *may_change: str) -> None:
    """Raise `PitboardError` where a command was given more beside `--resume` than what `may_change`.

    `given` are the command's arguments by name; other names in it are passed over.
    """
    own = inspect.signature(command).parameters
    more = [
        _as_typed(each)
        for name, each in own.items()
        if name not in ("resume", *may_change) and given[name] != each.default
    ]
    if more:
        raise PitboardError(f"--resume continues runs as they were started: leave out {', '.join(more)}.")


def _as_typed(parameter: inspect.Parameter) -> str:
    """Name a parameter of a command as it stands on the command line."""
    info = parameter.annotation.__metadata__[0]
    if isinstance(info, typer.models.ArgumentInfo):
        return parameter.name.upper()
    # Typer takes the first name for a default, until it reads the signature.
    names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    named = [name for name in names if name.startswith("--")]
    return named[0] if named else f"--{parameter.name.replace('_', '-')}"


@contextmanager
def report_at_end(report: EndReport) -> Iterator[EndReport]:
    """Run the command in this context; at its end, report in the form that was asked for.

    With JSON, all that the command and the ranks it starts print goes to stderr, and one object follows on
    stdout, also when an error or a signal ended it. When quiet, that is dropped, and one line follows.
    """
    if report.format == "text" and (report.dry_run or not report.quiet):
        yield report
        return
    from pitboard.training.distributed import is_main_rank

    error: BaseException | None = None
    try:
        with redirected_stdout(to_stderr=not report.quiet):
            yield report
    except (PitboardError, typer.Exit, Stopped, KeyboardInterrupt) as raised:
        error = raised
        raise
    finally:
        # Any other exception is a fault of ours, which a traceback shows.
        if is_main_rank() and (error is not None or sys.exc_info()[0] is None):
            _say(report, error)


def _say(report: EndReport, error: BaseException | None) -> None:
    code, reason = _exit(error)
    document = {**_facts(report), **(report.document or {}), "exit_code": code, "error": reason}
    if report.format == "json":
        _print_json(document)
    elif report.shown is not None:
        typer.echo(report.shown, nl=False)
    elif reason is None and code in (0, 1):
        typer.echo(printable(_line(document)))


def _exit(error: BaseException | None) -> tuple[int, str | None]:
    """Return the exit code of the command, and why it could not continue."""
    if isinstance(error, typer.Exit):
        return error.exit_code, None
    if isinstance(error, PitboardError):
        return 2, str(error)
    if isinstance(error, Stopped):
        return error.exit_code, str(error) or f"stopped by {error.name}"
    if isinstance(error, KeyboardInterrupt):
        return 130, str(error) or "interrupted"
    return 0, None


@contextmanager
def redirected_stdout(*, to_stderr: bool) -> Iterator[None]:
    """Send what this process and its children write to stdout to stderr, or nowhere."""
    try:
        descriptor, errors = sys.stdout.fileno(), sys.stderr.fileno()
    except OSError:  # captured by a program that is not a process
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(sys.stderr if to_stderr else nowhere):
            yield
        return
    sys.stdout.flush()
    stdout, nowhere_ = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
    os.dup2(errors if to_stderr else nowhere_, descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, descriptor)
        os.close(stdout)
        os.close(nowhere_)


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json_text(document))


def _facts(report: EndReport) -> dict[str, Any]:
    """Return what plan, logs and summaries of the output folder say, where this command's runs are in it."""
    output = report.output
    if output is None or not output.is_ours:
        return {}
    try:
        return run_document(output, output.plan())
    except PitboardError:  # the error that ended the command says more
        return {}


def run_document(output: "Output", plan: "Plan") -> dict[str, Any]:
    """Return what the runs of a plan came to, for JSON: the whole, the verdict, and each run.

    What holds for one run only (its quality, samples, rates) is `None` in the whole of several.
    """
    from pitboard.compliance.result.benchmarks import official_drops
    from pitboard.stats import olympic_mean

    runs = [_run(output, plan, index) for index in range(len(plan.seeds))]
    only = runs[0] if len(runs) == 1 else {}
    settings = plan.settings or {}
    target = settings.get("target")
    times = [run["time_to_train_minutes"] for run in runs]
    mean = times[0] if only else olympic_mean(times, official_drops(plan.benchmark))
    own = ("quality", "samples", "tokens_per_second", "samples_per_second", "seed", "log")
    return {
        "round": plan.round,
        "benchmark": plan.benchmark,
        "preset": plan.preset,
        "reached": None if target is None else all(run["reached"] for run in runs),
        "time_to_train_minutes": mean,
        "spread": spread([minutes for minutes in times if minutes is not None]),
        "target": target,
        **{name: only.get(name) for name in own},
        "precision": settings.get("precision"),
        "emulated": any(run["emulated"] for run in runs),
        "system": plan.system,
        "output": str(output.folder.absolute()),
        "version": plan.version,
        "decisions": plan.decisions,
        "runs": runs,
        "verdict": _verdict(output, plan),
    }


def spread(minutes: list[float]) -> dict[str, Any] | None:
    """Return the median, the range and the mean's 95 % interval of several runs' minutes, else `None`."""
    from statistics import median

    from pitboard.stats import mean_interval

    interval = mean_interval(minutes)
    if interval is None:
        return None
    return {
        "runs": len(minutes),
        "median": median(minutes),
        "fastest": min(minutes),
        "slowest": max(minutes),
        "mean_low": interval[0],
        "mean_high": interval[1],
    }


def _run(output: "Output", plan: "Plan", index: int) -> dict[str, Any]:
    """Return what one run's log says of it, and its summary, which a run that ended by itself has written."""
    from pitboard.events import Run, read_events

    log = output.log(plan, index)
    events = list(read_events(log)) if log.is_file() else []
    run = Run.from_events(events)
    ends = [event.metadata for event in events if event.key == "run_stop"]
    end = ends[-1] if ends else {}
    target = (plan.settings or {}).get("target")
    reached = None if target is None else run.status == "success"
    summary = _summary(output.summary(index))
    tokens = summary.get("tokens_per_sample", 1)
    rate = summary.get("tokens_per_second")
    return {
        "seed": plan.seeds[index],
        "status": run.status,
        "reached": reached,
        "time_to_train_minutes": run.minutes if reached else None,
        "minutes": run.minutes,
        "quality": run.evaluations[-1].quality if run.evaluations else None,
        "samples": end.get("samples_count"),
        "ranks": summary.get("ranks"),
        "samples_per_second": None if rate is None else rate / tokens,
        "tokens_per_second": rate if tokens > 1 else None,
        "model_flop_utilisation": summary.get("utilisation"),
        "peak_memory_bytes": summary.get("peak_memory_bytes"),
        "step": summary.get("split"),
        "stragglers": summary.get("stragglers", []),
        "other_work": summary.get("other_work"),
        "emulated": run.emulated,
        "error": end.get("reason"),
        "log": str(log.absolute()),
    }


def _summary(path: Path) -> dict[str, Any]:
    import msgspec

    try:
        return msgspec.json.decode(read_plain(path, 1 << 20), type=dict[str, Any])
    except (OSError, *NO_JSON):
        return {}


def _verdict(output: "Output", plan: "Plan") -> dict[str, Any] | None:
    """Return what the rules say of the logs, and the RCP test; `None` where there is no log."""
    import msgspec

    from pitboard.cli.progress import verdict_on

    if not any(output.log(plan, index).is_file() for index in range(len(plan.seeds))):
        return None
    verdict = verdict_on(output, plan)
    valid = all(finding.severity != "error" for finding in verdict.findings)
    return {"valid": valid, **msgspec.structs.asdict(verdict)}


def _line(document: dict[str, Any]) -> str:
    """Say in one line what the runs came to."""
    if title := document.get("title"):
        return f"{title}; output {document['output']}"
    if benchmarks := document.get("benchmarks"):
        judged = [each["reached"] for each in benchmarks if each["target"] is not None]
        said = [f"{sum(judged)} of {len(judged)} benchmarks reached their target"] if judged else []
        if others := [each["error"] is None for each in benchmarks if each["target"] is None]:
            said.append(f"{sum(others)} of {len(others)} without a target ended")
        return f"{', '.join(said)}; output {document['output']}"
    runs, what = document.get("runs", []), f"{document.get('benchmark')} ({document.get('preset')})"
    minutes = document.get("time_to_train_minutes")
    if len(runs) == 1:
        (run,) = runs
        took = f"{run['minutes']:.3f} minutes" if run["minutes"] is not None else "unknown time"
        ended = {True: "target reached in", False: "target not reached in", None: "ended after"}
        return f"{what}: {ended[run['reached']]} {took}; log {run['log']}"
    reached = sum(run["reached"] is True for run in runs)
    mean = "" if minutes is None else f", olympic mean {minutes:.3f} minutes"
    if told := document.get("spread"):
        mean += f", median {told['median']:.3f}, {told['fastest']:.3f} to {told['slowest']:.3f}"
    return f"{what}: {reached} of {len(runs)} runs reached the target{mean}; output {document.get('output')}"


def forecast_document(output: "Output", plan: "Plan", expected: "Forecast", nodes: int) -> dict[str, Any]:
    """Return a dry run for JSON: the plan with its settings, what it takes, and where it would write."""
    import msgspec

    return {
        "dry_run": True,
        **msgspec.to_builtins(plan),
        "nodes": nodes,
        **msgspec.to_builtins(expected),
        "writes": _writes(output, plan),
    }


def _writes(output: "Output", plan: "Plan") -> dict[str, Any]:
    numbers = range(len(plan.seeds))
    checkpoints = plan.checkpoint_interval is not None
    folder = output.folder.absolute()
    return {
        "output": str(folder),
        "plan": str(folder / "run.json"),
        "system": str(folder / "systems" / f"{plan.system}.json"),
        "logs": [str(output.log(plan, index).absolute()) for index in numbers],
        "summaries": [str(output.summary(index).absolute()) for index in numbers],
        "checkpoints": [str(output.checkpoints(plan, index).absolute()) for index in numbers if checkpoints],
        "samples_grid": plan.samples_grid,
    }


def show_forecasts(report: EndReport, members: Iterable[tuple["Output", "Plan"]]) -> list[dict[str, Any]]:
    """Print the dry run of each of several plans, or return them as documents where JSON is asked for."""
    from pitboard.launch.plan import dry_run

    documents = []
    for output, plan in members:
        expected, nodes = dry_run(output, plan)
        if report.format == "json":
            documents.append(forecast_document(output, plan, expected, nodes))
        else:
            show_forecast(output, plan, expected, nodes)
            typer.echo()
    return documents


def show_forecast(output: "Output", plan: "Plan", expected: "Forecast", nodes: int) -> None:
    """Print a dry run: what it takes, where it would write, and every setting with where it comes from."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _forecast_facts(plan, expected, nodes):
        facts.add_row(name, escape(value))
    settings = Table.grid(padding=(0, 2))
    for _ in range(3):
        settings.add_column(overflow="fold")
    for name, value in (plan.settings or {}).items():
        origin = plan.decisions.get(name, "asked for" if name in plan.overrides else "")
        settings.add_row(name, escape("none" if value is None else str(value)), f"[dim]{escape(origin)}[/]")
    console = Console(highlight=False)
    console.print(f"[bold]{plan.benchmark}[/] ({plan.preset}): a dry run, which writes nothing")
    console.print(facts)
    console.print("\nWould write", style="bold")
    for paths in _writes(output, plan).values():
        for path in paths if isinstance(paths, list) else [paths] if paths else []:
            console.print(f"  {escape(path)}", soft_wrap=True)
    console.print("\nSettings", style="bold")
    console.print(settings)


def _forecast_facts(plan: "Plan", expected: "Forecast", nodes: int) -> list[tuple[str, str]]:
    memory, evaluation = expected.memory_per_rank, expected.evaluation
    parts = {
        "parameters": memory.parameters,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
    }
    split = ", ".join(f"{name} {_gibibytes(size)}" for name, size in parts.items())
    seeds = ", ".join(map(str, plan.seeds))
    return [
        ("Round", NEWEST_RACED_LABEL if plan.round == NEWEST_RACED.version else plan.round),
        *([("Reference point", f"official, batch {plan.rcp}")] if plan.rcp is not None else []),
        ("Runs", f"{len(plan.seeds)}, seed{'s' if len(plan.seeds) > 1 else ''} {seeds}"),
        ("Ranks", f"{expected.ranks} on {nodes} node{'s' if nodes > 1 else ''}"),
        ("System", plan.system),
        ("Parameters", f"{expected.parameters:,}, of which {expected.trainable_parameters:,} are trained"),
        ("Memory a rank", f"{_gibibytes(memory.total)}: {split}; activations come on top"),
        *(
            [("Evaluation data", f"{_gibibytes(kept)} of host memory a rank, kept from its first reading on")]
            if (kept := expected.evaluation_data_per_rank)
            else []
        ),
        (
            "Steps",
            f"at most {expected.steps:,}, or {expected.samples:,} samples; a rank takes"
            f" {expected.accumulation} × {expected.micro_batch} samples a step",
        ),
        (
            "Evaluations",
            "none"
            if evaluation is None
            else f"first after {evaluation.first:,} samples, then every {evaluation.interval:,}; at most"
            f" {evaluation.most:,}",
        ),
    ]


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
