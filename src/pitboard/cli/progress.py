"""The live display of a run, and the summary at its end; plain lines where there is no terminal."""

import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pitboard.errors import PitboardError
from pitboard.text import printable, printable_lines

if TYPE_CHECKING:
    from pitboard.compliance import Finding, RunsVerdict
    from pitboard.training.output import Output, Plan
    from pitboard.training.reporting import RunInfo
    from pitboard.training.runner import Summary

_SECONDS_BETWEEN_FRAMES = 0.25
_SECONDS_BETWEEN_LINES = 10.0
_SPEED_WINDOW_SECONDS = 10.0
# Of a step's time.
_WORTH_TELLING = 0.05


class Display:
    """Shows one run after another (`launch.series.SeriesReporter`); use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live: Live | None = None
        self._info: RunInfo | None = None
        self._next_frame = 0.0
        self._began = time.monotonic()

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def preparing(self, what: str) -> None:
        """Say what initialisation does now."""
        self._stop()
        self._console.print(f"[dim]Not timed:[/] {what} …", highlight=False)

    def notice(self, what: str) -> None:
        """Print it as a line that stays."""
        self._stop()
        self._console.print(escape(what[:1].upper() + what[1:]) + ".", highlight=False, soft_wrap=True)

    def started(self, info: "RunInfo", samples: int) -> None:
        """Show what is raced, and the clock from here on."""
        self._info = info
        self._next_frame = 0.0
        self._began = time.monotonic()
        self._samples = samples
        self._loss: float | None = None
        self._quality: float | None = None
        self._history = [(self._began, samples)]
        sign = "≤" if info.lower_is_better else "≥"
        goal = "no target" if info.target is None else f"{info.quality_name} {sign} {info.target:g}"
        ranks = f"{info.ranks} × " if info.ranks > 1 else ""
        self._console.print(
            f"[bold]{info.benchmark}[/] ({info.preset}) on {ranks}{info.device}: {goal},"
            f" at most {info.sample_limit:,} samples" + (f", from sample {samples:,} on" if samples else ""),
            highlight=False,
        )
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def wants_loss(self) -> bool:
        """Want a loss when a new frame or line is due."""
        return time.monotonic() >= self._next_frame

    def stepped(self, samples: int, loss: float | None) -> None:
        """Count the step; with a loss, draw."""
        self._samples = samples
        if loss is None:
            return
        self._loss = loss
        now = time.monotonic()
        self._history = [(at, n) for at, n in self._history if now - at <= _SPEED_WINDOW_SECONDS] or [
            self._history[-1]
        ]
        self._history.append((now, samples))
        if self._live is not None:
            self._next_frame = now + _SECONDS_BETWEEN_FRAMES
            self._live.update(self._frame(), refresh=True)
        else:
            self._next_frame = now + _SECONDS_BETWEEN_LINES
            self._console.print(self._line(), highlight=False, soft_wrap=True)

    def evaluated(self, samples: int, quality: float) -> None:
        """Print the evaluation as a line that stays."""
        self._quality = quality
        self._history = [(time.monotonic(), samples)]
        name = self._info.quality_name if self._info else "quality"
        distance, missing = "", self._missing(quality)
        if self._info and missing is not None:
            side = "above" if self._info.lower_is_better else "below"
            reached = f", the target {self._info.target:g} is reached"
            distance = reached if missing <= 0 else f", {missing:.3f} {side} the target"
        self._console.print(
            f"{self._elapsed():>8}  {samples:>9,} samples  [bold]{name} {quality:.4f}[/]{distance}",
            highlight=False,
            soft_wrap=True,
        )

    def finished(self, summary: "Summary") -> None:
        """Print what the run came to."""
        self._stop()
        show_summary(summary)

    def failed(self, run: str, error: PitboardError) -> None:
        """Print the reason on stderr."""
        self._stop()
        typer.echo(printable_lines(f"{run} failed: {error}"), err=True)

    def all_ended(self, output: "Output", plan: "Plan") -> None:
        """Print a table of several runs, and the verdict of the rules."""
        self._stop()
        if len(plan.seeds) > 1:
            show_series(output, plan)
        show_verdict(output, plan)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _elapsed(self) -> str:
        seconds = time.monotonic() - self._began
        return f"{int(seconds // 60)}:{seconds % 60:04.1f}"

    def _rate(self) -> str:
        (before, first), (now, last) = self._history[0], self._history[-1]
        tokens = (last - first) * (self._info.tokens_per_sample if self._info else 0)
        unit = "tokens" if self._info and self._info.tokens_per_sample > 1 else "samples"
        return f"{tokens / (now - before) if now > before else 0.0:,.0f} {unit}/s"

    def _missing(self, quality: float) -> float | None:
        """Return how far a quality is from the target, on the wrong side of it where above 0."""
        if self._info is None or self._info.target is None:
            return None
        above = quality - self._info.target
        return above if self._info.lower_is_better else -above

    def _until_evaluation(self) -> int | None:
        info = self._info
        if info is None or info.evaluation_interval is None or info.first_evaluation is None:
            return None
        if self._samples < info.first_evaluation:
            return info.first_evaluation - self._samples
        return info.evaluation_interval - self._samples % info.evaluation_interval

    def _line(self) -> str:
        ahead = self._until_evaluation()
        next_evaluation = "" if ahead is None else f"  next evaluation in {ahead:,} samples"
        return (
            f"{self._elapsed():>8}  {self._samples:>9,} samples  loss {self._loss:.3f}"
            f"  {self._rate()}{next_evaluation}"
        )

    def _frame(self) -> Table:
        info = self._info
        assert info is not None
        table = Table.grid(padding=(0, 2))
        distance = ""
        if info.target is not None and self._quality is not None:
            distance = f"{self._quality - info.target:+.3f} to the target"
        table.add_row(
            ProgressBar(total=info.sample_limit, completed=self._samples, width=24),
            self._line().strip(),
            distance,
        )
        return table


def show_summary(summary: "Summary") -> None:
    """Print what a finished run came to."""
    console = Console()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(summary):
        table.add_row(name, value)
    console.print()
    console.print(table)
    # Not folded: a path is for copying.
    console.print(Text.assemble(("Log  ", "dim"), str(summary.log)), soft_wrap=True)


def _facts(summary: "Summary") -> list[tuple[str, str]]:
    goal = "" if summary.target is None else f" (target {summary.target:g})"
    first = "Time-to-train"
    if summary.reached:
        verdict = f"target reached in [bold]{_duration(summary.minutes)}[/]"
    elif summary.target is None:
        first, verdict = "Duration", f"{_duration(summary.minutes)}; without a target it is no time-to-train"
    else:
        verdict = f"[bold]target not reached[/] in {_duration(summary.minutes)}; the run does not count"
    source = "published" if summary.peak_is_published else "measured here; none is published"
    per_rank = summary.tokens_per_second / summary.ranks
    unit = "tokens" if summary.tokens_per_sample > 1 else "samples"
    facts = [(first, verdict)]
    if summary.quality is not None:
        name = summary.quality_name
        facts.append((name[:1].upper() + name[1:], f"{summary.quality:.4f}{goal}"))
        facts.append(("Samples to target" if summary.reached else "Samples", f"{summary.samples:,}"))
    if summary.emulated:
        facts.insert(1, ("", f"[bold]not comparable[/]: {summary.precision} is emulated on this device"))
    facts += [
        ("Precision", summary.precision + (", emulated" if summary.emulated else "")),
        ("Throughput", f"{summary.tokens_per_second:,.0f} {unit}/s, {per_rank:,.0f} per accelerator"),
        (
            "Model FLOP utilisation",
            f"{summary.utilisation:.1%} of {summary.ranks} × {summary.peak_tflops:.4g} TFLOP/s ({source})",
        ),
        ("Peak memory", f"{summary.peak_memory_bytes / 2**30:.2f} GiB a rank"),
        *_waits(summary),
        *_others(summary),
        ("Seed", str(summary.seed)),
    ]
    return facts


def _waits(summary: "Summary") -> list[tuple[str, str]]:
    """Return what the ranks waited for in a step, and which of them were slow, where it is worth a line."""
    facts, step = [], summary.split
    if step is not None and step.step > 0:
        waits = {
            "in collectives": step.communication,
            "for slower ranks": step.imbalance,
            "for data": step.data,
        }
        told = [
            f"{seconds / step.step:.0%} {what}"
            for what, seconds in waits.items()
            if seconds > _WORTH_TELLING * step.step
        ]
        if told:
            facts.append(("Waiting", f"{', '.join(told)}, of a step of {step.step * 1e3:,.0f} ms"))
    for slow in summary.stragglers:
        where = f"rank {slow.rank} on {printable(slow.host)}"
        longer = f"takes {slow.excess:.0%} longer for a step than the median of the others"
        facts.append(("Slow rank", escape(f"{where} {longer}")))
    return facts


def _others(summary: "Summary") -> list[tuple[str, str]]:
    """Return what other programs took, where it is worth a line."""
    work = summary.other_work
    if work is None or work.share < _WORTH_TELLING:
        return []
    told = f"kept {work.busy:.1f} of {work.cpus} processors busy: on a quiet machine it takes less time"
    return [("Other programs", told)]


def _duration(minutes: float) -> str:
    return f"{minutes:.3f} minutes ({minutes * 60:.1f} s)"


def show_series(output: "Output", plan: "Plan") -> None:
    """Print a row for each run of a plan, from the logs, and the olympic mean where enough of them count."""
    from pitboard.cli.outcome import spread
    from pitboard.compliance.result.benchmarks import official_drops
    from pitboard.stats import olympic_mean
    from pitboard.training.output import read_run

    table = Table(title=f"{plan.benchmark} ({plan.preset}): {len(plan.seeds)} runs", title_justify="left")
    for column in ("Run", "Seed", "Status", "Minutes", "Samples to target"):
        table.add_column(column, justify="left" if column == "Status" else "right")
    runs = [read_run(output.log(plan, index)) for index in range(len(plan.seeds))]
    for index, (seed, run) in enumerate(zip(plan.seeds, runs, strict=True)):
        minutes = "" if run.minutes is None else f"{run.minutes:.3f}"
        samples = "" if run.samples_to_target is None else f"{run.samples_to_target:,}"
        table.add_row(str(index), str(seed), run.status or "no end in its log", minutes, samples)
    console = Console()
    console.print(table)
    drops = official_drops(plan.benchmark)
    times = [run.minutes if run.status == "success" else None for run in runs]
    mean = olympic_mean(times, drops)
    if mean is not None:
        console.print(f"Olympic mean {_duration(mean)}: without the {drops} fastest and {drops} slowest")
    if told := spread([minutes for minutes in times if minutes is not None]):
        console.print(
            f"Median {told['median']:.3f} minutes, runs {told['fastest']:.3f} to {told['slowest']:.3f}; 95 %"
            f" interval of their mean {told['mean_low']:.3f} to {told['mean_high']:.3f}",
            highlight=False,
            soft_wrap=True,
        )


def verdict_on(output: "Output", plan: "Plan") -> "RunsVerdict":
    """Return what the rules say of a plan's logs, by the rules that apply to its preset."""
    from pitboard.compliance import judge_runs

    logs = [path for index in range(len(plan.seeds)) if (path := output.log(plan, index)).is_file()]
    return judge_runs(logs, plan.round, plan.benchmark, plan.preset)


def show_verdict(output: "Output", plan: "Plan") -> None:
    """Print what the rules say of the logs, and the RCP test of the runs' convergence."""
    from pitboard.cli.findings import convergence_in_words

    verdict = verdict_on(output, plan)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    own = verdict.note and verdict.target is not None
    nothing = f"no finding; the target is the preset's own, {verdict.target:g}" if own else "no finding"
    table.add_row(f"Rules of {verdict.round}", _problems(verdict.findings) or nothing)
    words = convergence_in_words(
        plan.benchmark, verdict.rcp, verdict.rcp_not_held, verdict.reference_precision
    )
    table.add_row("RCP test", escape(words))
    console = Console()
    if verdict.note:
        console.print(f"[bold]{escape(verdict.note[0].upper() + verdict.note[1:])}[/]", highlight=False)
    console.print(table)


def _problems(findings: "list[Finding]") -> str:
    """Say each broken rule once: its first message, and in how many places it was broken."""
    first = {finding.rule: finding.message for finding in reversed(findings)}
    counts = Counter(finding.rule for finding in findings)
    lines = [
        f"{rule}{f' ({counts[rule]} times)' if counts[rule] > 1 else ''}: {escape(message)}"
        for rule, message in sorted(first.items())
    ]
    return "\n".join(lines)
