"""The time-to-target loop, the same for every benchmark.

Initialisation (model, data, compilation, warm-up on synthetic samples) is outside the timed region, as MLPerf
Training's rules allow; the clock runs from `run_start`, before the first training sample is read, to
`run_stop`, after the evaluation that met the target.
"""

import math
import time
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import torch
from mlperf_logging.mllog import constants
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from pitboard import suite
from pitboard.errors import PitboardError, Stopped, StorageError
from pitboard.events.writer import LogWriter
from pitboard.processes import node_name
from pitboard.training.checkpoint import Checkpoints, TrainingProgress
from pitboard.training.device import device_name, synchronize, tune_cpu
from pitboard.training.distributed import World, prepare
from pitboard.training.initialize import materialize
from pitboard.training.loading import (
    KeptBatches,
    evaluation_batch_size,
    evaluation_batches,
    micro_batch,
    on_device,
    to_device,
    training_batches,
)
from pitboard.training.other_work import OtherWork, WorkReading, other_work, read_work
from pitboard.training.pipeline import Pipeline
from pitboard.training.precision import autocast, convert, emulated, in_bf16, prepare_products
from pitboard.training.protocol import Batch, EvaluationBatches, TrainableBenchmark
from pitboard.training.reporting import Reporter, RunInfo
from pitboard.training.settings import Settings
from pitboard.training.step_times import Split, StepClock, Straggler, gather, stragglers, together
from pitboard.training.stopping import SharedStop, StopSignals

if TYPE_CHECKING:  # it needs torchao
    from pitboard.training.precision.gathered import GatheredWeights

# How often the gradient norm is read back to look for a non-finite loss: on a GPU that makes it wait.
_STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 16}
# Beside a batch's tensors, whose names are those of a forward's arguments.
_WEIGHTS = "weights of the samples"


@dataclass
class Block:
    """Training since the last evaluation: its samples, steps, and the sum of its losses."""

    samples: int = 0
    loss: Tensor | None = None
    steps: int = 0


@dataclass
class Outcome:
    """How a run ended. `train_seconds` and `train_samples` leave evaluation out.

    `split` says where the time of the mean step went, `None` without a step; `stragglers` are the ranks that
    were behind in it. `other_work` is that of the node where other programs took the most, told on CPUs only.
    """

    reached: bool
    samples: int
    quality: float | None
    train_samples: int
    train_seconds: float
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    split: Split | None = None
    stragglers: list[Straggler] = field(default_factory=list)
    other_work: OtherWork | None = None


class Race:
    """One run of one benchmark, by its `rules` (`Settings.rules`), on the ranks of one world."""

    def __init__(
        self,
        benchmark: TrainableBenchmark[Settings],
        rules: suite.Benchmark,
        world: World,
        log: LogWriter,
        reporter: Reporter,
        seed: int,
        checkpoints: Checkpoints | None = None,
        checkpoint_interval: int | None = None,
        stop: StopSignals | None = None,
    ) -> None:
        self.benchmark = benchmark
        self.rules = rules
        self.settings = benchmark.settings
        self.world = world
        self.log = log
        self.reporter = reporter
        self.seed = seed
        self.checkpoints = checkpoints
        self.checkpoint_interval = checkpoint_interval
        self._stop = SharedStop(stop or StopSignals(), world)
        self.progress = TrainingProgress()
        self._block: Block | None = None
        self._evaluated = 0
        self.evaluated_batches = 0
        """How many batches of the evaluation under way this rank has begun."""
        self._kept_batches: KeptBatches | None = None
        self._outcome = Outcome(False, 0, None, 0, 0.0)
        self._micro, self._accumulation = micro_batch(self.settings, world)
        self._pipeline: Pipeline | None = None
        self._gathered: GatheredWeights | None = None
        self._splits: list[Split] = []

    def initialize(self) -> None:
        """Open the data, build, place and compile the model, and warm up; nothing of it is timed."""
        settings, device = self.settings, self.world.device
        self._clock = StepClock(device)
        self._hosts = self.world.everyones(node_name())
        if device.type == "cpu":
            tune_cpu()
        prepare_products(device, settings.precision)
        self.reporter.preparing("opening the data")
        self._training = self.benchmark.training_data(self.seed)
        self._evaluating = self.benchmark.evaluation_data(self.seed) if settings.evaluation_interval else None
        self.reporter.preparing("building the model")
        with torch.device("meta"):
            self.model = self.benchmark.build()
        self._convert()
        prepare(self.model, self.benchmark, self.world)
        materialize(self.model, self.benchmark, device, self.seed)
        if self.world.stages is not None:
            self._pipeline = Pipeline(self.model, settings, self.world.stages, device, self._accumulation)
        self._evaluated_model = self.model if self._pipeline is None else self._pipeline
        # Before the warm-up: FSDP leaves a root's own parameters whole after a forward, and an optimizer that
        # was made then would train those copies.
        self.optimizer = self.benchmark.optimizer(self.model)
        if settings.fp8_all_gather:
            from pitboard.training.precision.gathered import GatheredWeights

            self._gathered = GatheredWeights(self.model, self.optimizer.optimizers)
        self.reporter.preparing("compiling and warming up" if settings.compile else "warming up")
        self._warm_up()
        self._work = self._read_work()

    def _convert(self) -> None:
        settings, device = self.settings, self.world.device
        blocks = self.benchmark.blocks(self.model)
        converted = convert(blocks, settings, device, self.benchmark.keep_bf16)
        if converted.low_precision:
            how = ", emulated" if emulated(settings.precision, device) else ""
            self.reporter.preparing(
                f"computing {converted.low_precision} of the blocks' {converted.linears} linear layers in"
                f" {settings.precision}{how}"
            )

    def resume(self, evaluated: int) -> None:
        """Take up the last whole checkpoint, if there is one; call it after `initialize`.

        `evaluated` is the samples count of the log's last evaluation: a stop may have left the next one.
        """
        assert self.checkpoints is not None
        self.progress = self.checkpoints.restore(self.model, self.optimizer.optimizers, self.reporter.notice)
        if self._gathered is not None:
            self._gathered.scale()
        self._evaluated = evaluated

    def run(self) -> Outcome:
        """Train to the target or the sample limit, evaluating at the benchmark's interval; logs as it goes.

        Raises `PitboardError` for a loss that is not finite, or data or disks that fail on the way, and
        `Stopped` when a signal asked for it and the checkpoint, if this run keeps any, is written.
        """
        watching = nullcontext() if self.world.mesh is None else self._clock.watching_collectives()
        with watching:
            return self._run()

    def _run(self) -> Outcome:
        self.reporter.started(self._run_info(), self.progress.samples)
        batches = self._batches()
        if self._evaluation_due() and self._evaluated < self.progress.samples:
            self._outcome.reached = self._evaluate()
        while not self._outcome.reached and self.progress.samples < self.settings.sample_limit:
            if self._block is None:
                self._start_block()
            self._step(batches)
            if self._evaluation_due():
                self._outcome.reached = self._evaluate()
            if self._outcome.reached:
                break
            self._checkpoint_if_due()
            number = self._stop.requested()
            if number and self.progress.samples < self.settings.sample_limit:
                self._stop_here(number)
        self._stop.finish()
        self._stop_block()
        if self.checkpoints is not None:
            try:
                self.checkpoints.wait()
            except StorageError as error:
                # The run has ended: what its last checkpoint is for will not be asked of it.
                self.reporter.notice(str(error))
        self._outcome.samples = self.progress.samples
        self._say_stragglers()
        self._say_other_work()
        return self._outcome

    def _say_stragglers(self) -> None:
        """Log which ranks were behind the others, over the whole run."""
        self._outcome.split = whole = together(self._splits)
        found = stragglers(whole.busy) if whole is not None else []
        self._outcome.stragglers = [Straggler(rank, self._hosts[rank], excess) for rank, excess in found]
        if found:
            named = [{"rank": s.rank, "host": s.host, "excess": s.excess} for s in self._outcome.stragglers]
            self.log.event("pitboard_stragglers", named, samples_count=self.progress.samples)

    def _read_work(self) -> WorkReading:
        return read_work(with_children=bool(self.settings.data_workers))

    def _say_other_work(self) -> None:
        """Log how much of the processors other programs took, of the node where it was the most."""
        if self.world.device.type != "cpu":
            return
        readings = self.world.everyones((self._work, self._read_work()))
        by_node: dict[str, list[tuple[WorkReading, WorkReading]]] = {}
        for node, pair in zip(self._hosts, readings, strict=True):
            by_node.setdefault(node, []).append(pair)
        works = {node: other_work(pairs) for node, pairs in by_node.items()}
        node, most = max(works.items(), key=lambda work: work[1].share)
        self._outcome.other_work = most
        told = {"node": node, "processors": most.cpus, "busy": round(most.busy, 2)}
        self.log.event("pitboard_other_work", told, samples_count=self.progress.samples)

    def _stop_here(self, number: int) -> NoReturn:
        """Leave the run as it is after this step, to be resumed; its log stays open. Raises `Stopped`."""
        self._stop.finish()
        self._stop_block()
        if self.checkpoints is not None and self.checkpoint_interval is not None:
            if self.checkpoints.saved_samples != self.progress.samples:
                self.checkpoints.save(self.model, self.optimizer.optimizers, self.progress)
            self.checkpoints.wait()
        # Together: a launcher that sees one rank end may not wait for the others.
        self.world.barrier()
        raise Stopped(number)

    def _run_info(self) -> RunInfo:
        settings, batch, evaluation = self.settings, self.settings.global_batch_size, self.rules.evaluation
        evaluated = settings.evaluation_interval is not None
        return RunInfo(
            self.rules.id,
            settings.preset,
            settings.target,
            self.rules.lower_is_better,
            evaluation.first(batch) if evaluated else None,
            evaluation.interval(batch) if evaluated else None,
            settings.sample_limit,
            self.benchmark.tokens_per_sample(),
            self.world.size,
            device_name(self.world.device),
            self.benchmark.quality_name,
        )

    def _warm_up(self) -> None:
        """Do one whole step on synthetic samples with learning rate 0, then forget what it left behind."""
        self.world.connect()
        batch = to_device(self.benchmark.warmup_batch(self._micro), self.world.device)
        optimizer = self.benchmark.optimizer(self.model)
        for _ in range(2):
            if self._pipeline is None:
                self._forward_backward(batch)
            else:
                self._pipeline.step([batch] * self._accumulation)
            optimizer.update(0.0, self.world.stages)
        if self._evaluating is not None:
            batch = self.benchmark.warmup_batch(evaluation_batch_size(self.settings, self.world))
            batch = to_device(batch, self.world.device)
            self.model.eval()
            with torch.no_grad(), autocast(self.settings, self.world.device):
                self._evaluated_model(**batch)
                # Right after a forward of the whole model: a sharded root's own parameters are gathered.
                with in_bf16():
                    self.benchmark.verify(self.model, batch)
            self.model.train()
        synchronize(self.world.device)

    def _batches(self) -> Iterator[Batch]:
        done = self.progress.samples
        steps = (self.settings.sample_limit - done + self.settings.global_batch_size - 1) // (
            self.settings.global_batch_size
        )
        return training_batches(
            self._training, self.settings, self.world, self.benchmark.collate, done, steps
        )

    def _step(self, batches: Iterator[Batch]) -> None:
        with self._clock.step():
            self._train_on(batches)

    def _train_on(self, batches: Iterator[Batch]) -> None:
        self._seed_step()
        loss = torch.zeros((), device=self.world.device)
        if self._pipeline is not None:
            loss += self._pipeline.step([self._next(batches) for _ in range(self._accumulation)])
        else:
            for micro in range(self._accumulation):
                self._sync_gradients(last=micro == self._accumulation - 1)
                loss += self._forward_backward(self._next(batches))
        rate = self.optimizer.learning_rate(self.progress.step)
        norm = self.optimizer.update(rate, self.world.stages)
        self.progress.step += 1
        self.evaluated_batches = 0
        self.progress.samples += self.settings.global_batch_size
        self._note(loss, norm)

    def _next(self, batches: Iterator[Batch]) -> Batch:
        with self._clock.waiting("data"):
            return next(batches)

    def _seed_step(self) -> None:
        """Seed a step's random numbers (dropout, stochastic rounding): a resumed run draws the same."""
        world = self.world
        # What ranks have together, they draw alike; other tokens of one sequence are other tokens.
        parts, part = 1, 0
        if world.context is not None:
            parts, part = world.context.size(), world.context.get_local_rank()
        rank, ranks = world.data_rank * parts + part, world.data_size * parts
        purpose = f"{self.seed}:step {self.progress.step} of rank {rank} in {ranks}"
        torch.manual_seed(zlib.crc32(purpose.encode()))

    def _forward_backward(self, batch: Batch) -> Tensor:
        """Add the batch's gradient, as its part of the global batch's mean, and return that part's loss."""
        with autocast(self.settings, self.world.device):
            loss: Tensor = self.model(**batch).mean() / self._accumulation
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _sync_gradients(self, *, last: bool) -> None:
        """Let FSDP add gradients over replicas only in the last micro-batch of a step.

        Within a replica it reduces them to their shards after each: kept whole until the last one they would
        be 32 GB a rank for Llama 3.1 8B. A sum over replicas would save no memory, so that it can wait.
        """
        if self._accumulation > 1 and self.settings.replicas > 1 and isinstance(self.model, FSDPModule):
            self.model.set_requires_all_reduce(last)

    def _note(self, loss: Tensor, norm: Tensor) -> None:
        block, progress = self._block, self.progress
        assert block is not None
        block.steps += 1
        block.samples += self.settings.global_batch_size
        block.loss = loss if block.loss is None else block.loss + loss
        if progress.step % _STEPS_BETWEEN_CHECKS[self.world.device.type] == 0:
            # The norm is the same on all ranks, so they stop together.
            self._require_finite(norm.item(), "gradient norm")
        shown = loss.item() if self.reporter.wants_loss() else None
        self.reporter.stepped(progress.samples, shown)

    def _require_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise PitboardError(
                f"The {what} became {value} by step {self.progress.step} ({self.progress.samples} samples):"
                " training diverged. Lower the learning rate, lengthen the warm-up, or widen the precision."
            )

    def _evaluation_due(self) -> bool:
        if self.settings.evaluation_interval is None:
            return False
        samples = self.progress.samples
        at_limit = samples >= self.settings.sample_limit
        return at_limit or self.rules.evaluation.due(samples, self.settings.global_batch_size)

    def _evaluate(self) -> bool:
        """Evaluate and log it; say whether the target is met.

        A request to stop ends the evaluation without a result; the resumed run starts it again.
        """
        self._stop_block()
        samples = self.progress.samples
        self.log.start(constants.EVAL_START, samples_count=samples)
        try:
            with self._clock.step():
                quality = self._quality()
        except Stopped as stop:
            self.log.end(constants.EVAL_STOP, samples_count=samples)
            self._stop_here(stop.number)
        for key in self.rules.metric_keys(self.settings.division):
            self.log.event(key, quality, epoch_num=self.benchmark.epoch(samples), samples_count=samples)
        synchronize(self.world.device)
        spent = gather(self._clock.take(), self.world)
        stats = {
            "evaluation_seconds": spent.step,
            "evaluation_communication_seconds": spent.communication,
            "evaluation_imbalance_seconds": spent.imbalance,
        }
        self.log.event("tracked_stats", stats, samples_count=samples)
        self.log.end(constants.EVAL_STOP, samples_count=samples)
        self._require_finite(quality, self.benchmark.quality_name)
        self._outcome.evaluations.append((samples, quality))
        self._outcome.quality = quality
        self.reporter.evaluated(samples, quality)
        return self.settings.target is not None and self.rules.reached(quality)

    def _quality(self) -> float:
        self.model.eval()
        with torch.no_grad(), autocast(self.settings, self.world.device):
            batches = self._evaluation_batches()
            quality = self.benchmark.evaluate(self._evaluated_model, batches, self.world)
        self.model.train()
        return quality

    def _evaluation_batches(self) -> EvaluationBatches:
        """Yield this rank's evaluation batches on its device. Raises `Stopped` on a request to stop."""
        joined = ({**batch, _WEIGHTS: weights} for batch, weights in self._evaluation_share())
        for batch in on_device(joined, self.world.device):
            if number := self._stop.requested():
                raise Stopped(number)
            weights = batch.pop(_WEIGHTS)
            self.evaluated_batches += 1
            yield batch, weights

    def _evaluation_share(self) -> KeptBatches | EvaluationBatches:
        """Return this rank's evaluation batches: those that it keeps, else new ones."""
        assert self._evaluating is not None
        if self._kept_batches is not None:
            return self._kept_batches
        keep, collate = self.benchmark.keep_evaluation_data, self.benchmark.collate
        share = evaluation_batches(self._evaluating, self.settings, self.world, collate, keep=keep)
        if isinstance(share, KeptBatches):
            self._kept_batches = share
        return share

    def _start_block(self) -> None:
        self.log.start(constants.BLOCK_START, samples_count=self.progress.samples)
        self._block = Block()
        self._began = time.perf_counter()
        # Only what is kept: other batches begin to be read as soon as they are made.
        if self._evaluating is not None and self.benchmark.keep_evaluation_data:
            share = self._evaluation_share()
            if isinstance(share, KeptBatches):
                share.read_ahead()

    def _stop_block(self) -> None:
        """Log the end of a stretch of training, if one is open: its throughput, loss, mean step."""
        synchronize(self.world.device)
        block = self._block
        if block is None:
            return
        seconds = time.perf_counter() - self._began
        self._outcome.train_samples += block.samples
        self._outcome.train_seconds += seconds
        if block.loss is not None:
            mean = self.world.sum(block.loss.double()) / (block.steps * self.world.data_size)
            spent = gather(self._clock.take(), self.world)
            self._splits.append(spent)
            stats = {
                "throughput": block.samples / seconds,
                "train_loss": mean.item(),
                **spent.stats(),
            }
            self.log.event("tracked_stats", stats, samples_count=self.progress.samples)
        self.log.end(constants.BLOCK_STOP, samples_count=self.progress.samples)
        self._block = None

    def _checkpoint_if_due(self) -> None:
        if self.checkpoints is None or self.checkpoint_interval is None:
            return
        batch, samples = self.settings.global_batch_size, self.progress.samples
        if samples // self.checkpoint_interval > (samples - batch) // self.checkpoint_interval:
            self.checkpoints.save(self.model, self.optimizer.optimizers, self.progress)
