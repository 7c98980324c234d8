"""One run from its plan: the log around the loop, faults turned into a closed log and one sentence."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mlperf_logging.mllog import constants
from torch._dynamo.exc import BackendCompilerFailed

from pitboard import __version__, suite
from pitboard.errors import LostContactError, PitboardError, Stopped, StorageError, ToldElsewhereError
from pitboard.events import Run
from pitboard.events.writer import LogWriter
from pitboard.provenance import differences
from pitboard.text import printable
from pitboard.training.activations import choose_checkpointing
from pitboard.training.checkpoint import Checkpoints
from pitboard.training.device import (
    can_compile,
    device_name,
    measured_peak_tflops,
    memory_of_rank,
    peak_memory_bytes,
    published_peak_tflops,
)
from pitboard.training.distributed import (
    World,
    crossing,
    is_main_rank,
    join_world,
    lost_contact,
    waiting_time,
)
from pitboard.training.environment import describe_environment
from pitboard.training.images import write_image
from pitboard.training.log_header import log_header
from pitboard.training.loop import Outcome, Race
from pitboard.training.other_work import OtherWork, WorkReading, other_work, read_work
from pitboard.training.output import Output, Plan, read_run
from pitboard.training.precision import choose_precision, cost_of_bf16, emulated
from pitboard.training.protocol import Drawing, Pretrained, benchmark_class
from pitboard.training.reporting import Reporter, Silent
from pitboard.training.roll_call import Position
from pitboard.training.settings import Settings
from pitboard.training.step_times import Split, Straggler
from pitboard.training.stopping import StopSignals

# Names of what has changed that are told.
_TOLD = 5
# In seconds: for less, others' work is not known well enough.
_WATCHED = 0.3
# What another machine decides anew, and its value before that.
_BY_MACHINE = {"compile": None, "activation_checkpointing": "auto"}


@dataclass(frozen=True)
class Summary:
    """What a finished run came to; rates are over training, with evaluation left out.

    `minutes` is time-to-train, `run_stop` − `run_start` of the log; the memory is the main rank's peak, in
    bytes; `utilisation` is model FLOPs over the BF16 peak of all ranks' devices. An `emulated` precision's
    minutes and rates say nothing of the format's speed. `split`, `stragglers` and `other_work` are those of
    `Outcome`.
    """

    log: Path
    reached: bool
    target: float | None
    quality_name: str
    quality: float | None
    seed: int
    minutes: float
    samples: int
    ranks: int
    tokens_per_second: float
    tokens_per_sample: int
    peak_memory_bytes: int
    utilisation: float
    peak_tflops: float
    peak_is_published: bool
    precision: str
    emulated: bool
    split: Split | None
    stragglers: list[Straggler]
    other_work: OtherWork | None


def settings_for(
    benchmark: str, preset: str, overrides: dict[str, Any], round: str = suite.NEWEST_RACED.version
) -> Settings:
    """Return the validated settings of a benchmark's preset with overrides, as a round has it.

    Raises `PitboardError` for an unknown round, benchmark, preset or setting, or a wrong value.
    """
    values = suite.benchmark(benchmark, round=round).preset(preset).values
    return benchmark_class(benchmark).settings_class.build({**values, "preset": preset}, overrides)


def settings_of(plan: Plan, overrides: dict[str, Any] | None = None) -> Settings:
    """Return the settings that a plan recorded, whatever its preset holds by now, with overrides on top.

    Compilation and recomputation that the machine decided are left to this machine again: they change nothing
    of what is learned.
    A plan without recorded settings, of an older Pitboard, takes its preset's. Raises `PitboardError` for
    recorded settings that this Pitboard cannot take, and for overrides as `settings_for`.
    """
    overrides = overrides or {}
    if plan.settings is None:
        return settings_for(plan.benchmark, plan.preset, {**plan.overrides, **overrides}, plan.round)
    # The name comes from a file and becomes that of a module.
    suite.benchmark(plan.benchmark, round=plan.round)
    settings_class = benchmark_class(plan.benchmark).settings_class
    recorded = dict(plan.settings)
    if unknown := recorded.keys() - settings_class.model_fields.keys():
        raise PitboardError(
            f"The recorded run has the setting '{min(unknown)}', which Pitboard {__version__} does not know:"
            f" use Pitboard {plan.version}, which made it, or start a new run."
        )
    for name, undecided in _BY_MACHINE.items():
        if name in plan.decisions:
            recorded[name] = undecided
    return settings_class.build(recorded, overrides)


def decide(name: str, settings: Settings, world: World) -> tuple[Settings, dict[str, str]]:
    """Return a benchmark's settings with what they leave to the machine decided, and the reasons by setting.

    Raises `PitboardError` when what is decided by memory finds a batch that cannot be divided.
    """
    decided: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    if settings.precision == "auto":
        choice = choose_precision(world.device)
        decided["precision"], reasons["precision"] = choice.precision, choice.reason
    if settings.compile is None:
        decided["compile"], reasons["compile"] = _compiled(
            decided.get("precision", settings.precision), settings.tensor_parallel, world
        )
    if settings.batch_follows_ranks:
        decided["global_batch_size"] = world.data_size * (settings.micro_batch_size or 1)
        reasons["global_batch_size"] = f"a micro-batch for each of {world.data_size} data-parallel ranks"
    settings = settings.model_copy(update=decided)
    if settings.activation_checkpointing == "auto":
        memory = memory_of_rank(world.device, -(-world.size // world.nodes))
        chosen = choose_checkpointing(name, settings, world, memory)
        settings = settings.model_copy(update={"activation_checkpointing": chosen.checkpointing})
        reasons["activation_checkpointing"] = chosen.reason
    return settings, reasons


def _compiled(precision: str, tensor_parallel: int, world: World) -> tuple[bool, str]:
    """Decide whether to compile, with the reason.

    Measured on an AVX2-only EPYC, smoke presets: in FP32 llama31_8b ends after 36 s as it is and 35 compiled,
    which takes 45 s at first, flux1 after 57 and 48, which takes 92; emulated BF16 is three times as slow
    compiled. On a Zen 5 EPYC, with AVX-512, a step of llama31_8b in FP32 takes as much compiled (38 ms of CPU
    time on one thread) as it is (35 and 42).
    """
    if tensor_parallel > 1:
        return False, "compiled layers that ranks share learn otherwise than plain ones"
    if not can_compile(world.device):
        return False, "no compiler was found"
    if world.device.type == "cpu" and (precision == "fp32" or emulated("bf16", world.device)):
        return False, "on this CPU it takes longer than it saves"
    return True, "a compiler was found"


def execute(output: Output, plan: Plan, index: int, reporter: Reporter) -> Summary | None:
    """Run, or resume, one run of the plan on the ranks of this process's world.

    Returns its summary on rank 0, `None` on the others. A run that fails has its log closed with status
    `aborted`; the log stays open, so that the run can be resumed, when a signal stopped it, when contact with
    another rank was lost, when a disk failed, and when what failed was the attempt to resume. Raises
    `PitboardError` with the reason, or `Stopped`.
    """
    work = read_work()
    settings = settings_of(plan)
    path = output.log(plan, index)
    before = read_run(path) if is_main_rank() else Run()
    # A log without `run_start` is the trace of a run killed in initialisation: nothing was timed, start over.
    resuming = before.run_start_ms is not None
    log = LogWriter(path if is_main_rank() else None, append=resuming)
    world: World | None = None
    race: Race | None = None
    with StopSignals(launched="RANK" in os.environ) as stop:
        try:
            with _as_readable_errors():
                world = join_world(settings, waiting_time(plan.timeout))
                evaluated = max((int(each.samples or 0) for each in before.evaluations), default=0)
                resumed, batch, evaluated = world.broadcast((resuming, before.global_batch_size, evaluated))
                settings, decisions = _decided(settings, plan, world)
                _leave_processors(work, world, reporter)
                environment = describe_environment(world)
                if resumed:
                    _require_batch(batch, settings.global_batch_size, world)
                if world.is_main:
                    if index == 0 and plan.round == suite.NEWEST_RACED.version:
                        reporter.notice(f"round {suite.NEWEST_RACED_LABEL}")
                    _say_decisions(settings, decisions, world, reporter)
                    _say_changes(plan.environment, environment, reporter)
                    output.record_settings(plan, settings.model_dump(mode="json"), decisions, environment)
                race = Race(
                    benchmark_class(plan.benchmark)(settings),
                    settings.rules(suite.benchmark(plan.benchmark, round=plan.round)),
                    world,
                    log,
                    reporter if world.is_main else Silent(),
                    plan.seeds[index],
                    Checkpoints(output.checkpoints(plan, index), world),
                    plan.checkpoint_interval,
                    stop,
                )
                if world.roll is not None:
                    world.roll.follow(partial(_come, race))
                reason = decisions.get("precision", "asked for")
                _initialize(race, log, plan, reason, evaluated if resumed else None)
                resuming = False
                with stop.deferred():
                    outcome = _race(race, log, resumed=resumed)
                if plan.samples_grid is not None:
                    _draw(race, Path(plan.samples_grid))
        except Stopped:
            raise
        except BaseException as error:
            if stop.received:
                # What fails once a signal has come is its consequence, as where the other ranks end first.
                why = str(error) if isinstance(error, PitboardError) else ""
                raise Stopped(stop.received, why) from error
            if lost_contact(error):
                raise _lost(world) from error
            if not resuming and not isinstance(error, StorageError):
                _close_aborted(log, race, error)
            if isinstance(error, PitboardError) and _is_told_elsewhere(error, world):
                raise ToldElsewhereError(str(error)) from error
            raise
    return _summary(path, race, outcome) if world.is_main else None


def _come(race: Race) -> Position:
    return Position(race.progress.step, race.progress.samples, race.evaluated_batches)


def _is_told_elsewhere(error: PitboardError, world: World | None) -> bool:
    """Tell the other ranks that this one ends, and return whether one of them did so for the same reason."""
    return world is not None and world.roll is not None and not world.roll.fail(str(error))


def _lost(world: World | None) -> LostContactError:
    """Return what one of the ranks that are left says of those that are not."""
    if world is None or world.roll is None:
        return LostContactError("A rank lost contact with another while they joined.")
    lost, me = world.roll.lost(), world.roll.me
    error = LostContactError if lost.tells else ToldElsewhereError
    return error(f"{me[0].upper() + me[1:]} lost contact with {lost.who}: it has ended or cannot be reached.")


def _require_batch(before: int | float | None, now: int, world: World) -> None:
    """Raise `PitboardError` where a resumed run would train on another global batch than before."""
    if before is not None and before != now:
        raise PitboardError(
            f"This run began with a global batch of {before:,}; on {world.size} rank(s) it would continue"
            f" with {now:,}, because its batch follows the ranks: resume it on as many ranks as it began"
            " with."
        )


def _decided(settings: Settings, plan: Plan, world: World) -> tuple[Settings, dict[str, str]]:
    """Return the settings with all decided, and the reasons, those of an earlier start of the plan included.

    Rank 0 decides for all ranks: two that measure a device between two answers could disagree. A resumed run
    decides again only what is this machine's: compilation and activation checkpointing. Raises
    `PitboardError` on all ranks for what `decide` refuses.
    """
    decided: tuple[Settings, dict[str, str]] = settings, {}
    refusal = ""
    if world.is_main:
        try:
            decided = decide(plan.benchmark, settings, world)
        except PitboardError as error:
            refusal = str(error)
    (settings, reasons), refusal = world.broadcast((decided, refusal))
    if refusal:
        raise PitboardError(refusal)
    return settings, {**plan.decisions, **reasons}


def _leave_processors(before: WorkReading, world: World, reporter: Reporter) -> None:
    """Compute on fewer threads where other programs keep some of the processors busy, and say so.

    Where a launcher or a user has said how many (`OMP_NUM_THREADS`), it is left so.
    """
    if world.device.type != "cpu" or world.size > 1 or "OMP_NUM_THREADS" in os.environ:
        return
    time.sleep(max(0.0, _WATCHED - (time.monotonic() - before.at)))
    work = other_work([(before, read_work())])
    before_it = torch.get_num_threads()
    if work.threads < before_it:
        reporter.notice(
            f"computing on {work.threads} of {before_it} threads: other programs keep {work.busy:.1f} of"
            f" {work.cpus} processors busy, and threads that wait for each other would be slower than fewer"
        )
        torch.set_num_threads(work.threads)


def _say_decisions(settings: Settings, decisions: dict[str, str], world: World, reporter: Reporter) -> None:
    """Report what was decided and why, and what is not as it should be."""
    _say_precision(settings, decisions, world, reporter)
    if why := decisions.get("activation_checkpointing"):
        reporter.notice(f"activation checkpointing {settings.activation_checkpointing}: {why}")
    if crossed := crossing(world, settings):
        reporter.notice(crossed)


def _say_precision(settings: Settings, decisions: dict[str, str], world: World, reporter: Reporter) -> None:
    """Report which precision was decided and why, or what one that was asked for costs on this device."""
    if "precision" in decisions:
        reporter.notice(f"precision {settings.precision}: {decisions['precision']}")
    elif settings.precision == "bf16" and (cost := cost_of_bf16(world.device)):
        reporter.notice(f"precision bf16 costs time: {cost}")


def _say_changes(before: dict[str, Any], now: dict[str, Any], reporter: Reporter) -> None:
    """Report what is not as it was when the run was started before, or when the one was that it repeats."""
    if not before:
        return
    # Other nodes are expected.
    changed = [each.name for each in differences(before, now) if each.kind not in ("nodes", "environment")]
    if changed:
        more = f" and {len(changed) - _TOLD} more" if len(changed) > _TOLD else ""
        names = ", ".join(map(printable, changed[:_TOLD]))
        reporter.notice(f"not as in the run before: {names}{more} (`run.json` has what is now)")


def _initialize(race: Race, log: LogWriter, plan: Plan, reason: str, evaluated: int | None) -> None:
    """Do what is not timed, up to the first training sample or to the state of the last checkpoint.

    A resumed run gives the samples count of its log's last evaluation, a new one `None`.
    """
    if evaluated is None:
        log.event(constants.CACHE_CLEAR, True)
        log.start(constants.INIT_START)
        if isinstance(race.benchmark, Pretrained):
            race.benchmark.prepare(race.reporter.preparing)
        for key, value in log_header(race.benchmark, plan, race.seed, race.world, reason).items():
            log.event(key, value)
    race.initialize()
    if evaluated is not None:
        race.resume(evaluated)
    else:
        log.end(constants.INIT_STOP)
        race.world.barrier()


def _race(race: Race, log: LogWriter, *, resumed: bool) -> Outcome:
    """Train to the end of the run, and close its log."""
    if resumed:
        samples = race.progress.samples
        log.event("pitboard_resumed", samples, samples_count=samples, ranks=race.world.size)
    else:
        log.start(constants.RUN_START)
        log.start(constants.EPOCH_START, epoch_num=1, samples_count=0)
    outcome = race.run()
    race.world.barrier()
    log.end(constants.EPOCH_STOP, epoch_num=1, samples_count=outcome.samples)
    log.close(constants.SUCCESS if outcome.reached else constants.ABORTED, samples_count=outcome.samples)
    return outcome


def _draw(race: Race, path: Path) -> None:
    """Draw images from the trained model, on all ranks, and write them on the main one."""
    if not isinstance(race.benchmark, Drawing):
        raise PitboardError("Only a benchmark whose model can be drawn from has a samples grid.")
    race.model.eval()
    with torch.no_grad():
        grid = race.benchmark.draw(race.model, race.world.device)
    if race.world.is_main:
        write_image(path, grid)


def _close_aborted(log: LogWriter, race: Race | None, error: BaseException) -> None:
    samples = race.progress.samples if race is not None else 0
    reason = str(error) if isinstance(error, PitboardError) else type(error).__name__
    # Where the log cannot be written either, why the run failed is told all the same.
    with suppress(StorageError):
        log.close(constants.ABORTED, samples_count=samples, reason=reason)


@contextmanager
def _as_readable_errors() -> Iterator[None]:
    """Turn the errors that a machine can cause in a run into sentences."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise PitboardError(
            f"Out of device memory ({str(error).splitlines()[0]}): lower --set micro_batch_size, turn on"
            " --set activation_checkpointing=full, or use more ranks."
        ) from error
    except BackendCompilerFailed as error:
        reason = printable(str(error).splitlines()[0])
        raise PitboardError(
            f"torch.compile failed ({reason}): run with --set compile=false, or set CXX to a compiler that"
            " works here."
        ) from error
    except OSError as error:
        where = f" on {error.filename}" if error.filename else ""
        raise StorageError(f"The run failed{where}: {error.strerror or error}.") from error


def _summary(path: Path, race: Race, outcome: Outcome) -> Summary:
    settings, benchmark, world = race.settings, race.benchmark, race.world
    memory = peak_memory_bytes(world.device)
    name = device_name(world.device)
    published = settings.peak_tflops or published_peak_tflops(name)
    dtype = torch.float32 if settings.precision == "fp32" else torch.bfloat16
    peak = published or measured_peak_tflops(world.device, dtype)
    rate = outcome.train_samples / outcome.train_seconds if outcome.train_seconds else 0.0
    return Summary(
        log=path,
        reached=outcome.reached,
        target=settings.target,
        quality_name=benchmark.quality_name,
        quality=outcome.quality,
        seed=race.seed,
        minutes=read_run(path).minutes or 0.0,
        samples=outcome.samples,
        ranks=world.size,
        tokens_per_second=rate * benchmark.tokens_per_sample(),
        tokens_per_sample=benchmark.tokens_per_sample(),
        peak_memory_bytes=memory,
        utilisation=rate * benchmark.flops_per_sample() / (peak * 1e12 * world.size),
        peak_tflops=peak,
        peak_is_published=published is not None,
        precision=settings.precision,
        emulated=emulated(settings.precision, world.device),
        split=outcome.split,
        stragglers=outcome.stragglers,
        other_work=outcome.other_work,
    )
