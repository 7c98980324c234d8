"""How fast one GPU trains full-size layers, beside a plain compiled loop, and its smoke runs to their target.

In one call, within `--minutes`: Llama 3.1 8B, FLUX.1 and Llama 2 70B LoRA with as many full-size layers as
fit in the GPU's memory, in BF16 and in the narrower formats that it has, by Pitboard's own loop and by a
plain loop over the same model under torch.compile. Writes tokens/s or samples/s, model FLOP utilisation, peak
memory and the kernels that take longest as a section of a Markdown page. What does not fit in the time, and
what fails, is a row with the reason.

    python benchmarks/gpu.py [--minutes 9] [--output docs/gpu.md] [--only llama31_8b,flux1,llama2_70b_lora]

`--device cpu` is for work on this script: tiny layers, and figures that say nothing.
"""

import argparse
import gc
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pitboard.errors import PitboardError
from pitboard.files import write_atomically
from pitboard.training.host import Host

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- measured: written by benchmarks/gpu.py -->", "<!-- /measured -->"
# Several micro-batches a step, as on several ranks: the optimizer's part of a step is no larger than there.
_FULL: dict[str, dict[str, Any]] = {
    "llama31_8b": {
        "preset": "sanity",
        "global_batch_size": 4,
        "batch_follows_ranks": False,
        "micro_batch_size": 1,
    },
    "flux1": {"preset": "full", "global_batch_size": 64, "micro_batch_size": 16},
    "llama2_70b_lora": {"preset": "full", "global_batch_size": 2, "micro_batch_size": 1},
}
# Stands for a full-size layer where `--device cpu` tries this script out.
_TINY: dict[str, dict[str, Any]] = {
    "llama31_8b": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "attention_heads": 2,
        "key_value_heads": 1,
        "sequence_length": 32,
        "vocabulary_size": 300,
    },
    "flux1": {
        "attention_heads": 2,
        "head_size": 32,
        "latent_size": 8,
        "text_length": 4,
        "text_width": 32,
        "pooled_width": 32,
        "global_batch_size": 4,
        "micro_batch_size": 2,
    },
    "llama2_70b_lora": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "attention_heads": 2,
        "key_value_heads": 1,
        "sequence_length": 32,
        "vocabulary_size": 300,
    },
}
# The bytes that a layer saves for each token and each number of its width: an estimate from above for BF16
# without recomputation. Where it is too low, fewer layers are tried.
_ACTIVATION_BYTES = {"llama31_8b": 72, "flux1": 96, "llama2_70b_lora": 72}
# And what a language model's loss takes for each token and each word of the vocabulary in the plain loop.
_LOGIT_BYTES = 10
# Of the device's memory; the rest is for what is not counted.
_FILLED = 0.8
_TRIES = 2
_POOL = 8
_WARMUP_STEPS = 3
_STEPS_PROFILED = 2
_TOP = 10
# A part with less time than this is not started: importing and compiling alone take most of it.
_LEAST_SECONDS = 25.0
# How many times its even share of what is left a part may take.
_SHARES = 2.0
OURS, PLAIN = "Pitboard", "plain loop, torch.compile"


class LeftOut(Exception):  # noqa: N818 - no error: a reason
    """Why a row has no figures."""


@dataclass(frozen=True)
class Part:
    """What one process does: a benchmark's layers in a precision by both loops, or a smoke preset.

    A word after the precision is FP8's scaling: `fp8 tensorwise` has one scale a tensor, `fp8` one a row.
    """

    kind: str
    benchmark: str
    precision: str = "auto"

    @property
    def name(self) -> str:
        """The part in words."""
        return f"{self.benchmark} {self.precision if self.kind == 'layers' else 'smoke'}"


@dataclass
class Row:
    """One measurement, or why there is none."""

    kind: str
    benchmark: str
    precision: str
    loop: str = ""
    layers: str = ""
    unit: str = ""
    rate: float | None = None
    utilisation: float | None = None
    peak_bytes: int | None = None
    reached: bool | None = None
    samples: int | None = None
    seconds: float | None = None
    quality: float | None = None
    top: list[tuple[str, float, int]] = field(default_factory=list)
    note: str = ""


class Budget:
    """Divides the time that is left evenly over the parts to come; one may take some more than its share."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return self._end - self._clock()

    def limit(self, parts: int) -> float | None:
        """Return the seconds that the first of so many parts may take, or `None` where it does not fit."""
        if self.left < _LEAST_SECONDS:
            return None
        return min(self.left, max(_LEAST_SECONDS, _SHARES * self.left / parts))


def main(words: Sequence[str] | None = None) -> None:
    """Measure all that fits in the time, and write the page after every part."""
    arguments = _arguments(words)
    if arguments.part:
        _be_part(Part(**json.loads(arguments.part)), arguments.device, arguments.seconds)
        return
    if problem := _no_device(arguments.device):
        print(problem, file=sys.stderr)
        sys.exit(2)
    budget = Budget(arguments.minutes * 60)
    run = in_this_process if arguments.in_process else in_own_process
    rows: list[Row] = []
    facts = environment(arguments)
    parts = _parts(arguments)
    for number, part in enumerate(parts):
        limit = budget.limit(len(parts) - number)
        if limit is None:
            rows.append(_reason(part, f"left out: the {arguments.minutes:g} minutes were over"))
        else:
            print(f"{part.name}, at most {limit:.0f} s", file=sys.stderr, flush=True)
            rows += run(part, arguments, limit)
        write_section(arguments.output, section(facts, rows, parts[number + 1 :]))
    print(f"{arguments.output}: {sum(row.note == '' for row in rows)} of {len(rows)} rows measured")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything together")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "gpu.md")
    parser.add_argument("--only", help="comma-separated benchmarks; else all three")
    parser.add_argument("--precisions", help="comma-separated; else those that the GPU has")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=6.0, help="that one rate is measured over")
    parser.add_argument("--no-smoke", action="store_true", help="leave the smoke presets out")
    parser.add_argument("--in-process", action="store_true", help="for debugging: parts have no limit")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if unknown := set((arguments.only or "").split(",")) - {"", *_FULL}:
        parser.error(f"--only {min(unknown)}: choose from {', '.join(_FULL)}")
    return arguments


def _no_device(device: str) -> str:
    """Return why nothing can be measured here, or an empty text."""
    if device == "cpu":
        return ""
    # In a process of its own: a parent that has opened the GPU holds some of its memory.
    code = "import torch; raise SystemExit(not torch.cuda.is_available())"
    if subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL).returncode:
        return "No GPU that PyTorch can use was found, so nothing was measured and nothing written."
    return ""


def _parts(arguments: argparse.Namespace) -> list[Part]:
    """Return what is to be measured, what matters most first."""
    chosen = arguments.only.split(",") if arguments.only else list(_FULL)
    precisions = arguments.precisions.split(",") if arguments.precisions else ["bf16", "fp8"]
    parts = [Part("layers", benchmark, precision) for benchmark in chosen for precision in precisions]
    if not arguments.no_smoke:
        parts += [Part("smoke", benchmark) for benchmark in chosen]
    if not arguments.precisions:
        parts += [Part("layers", chosen[0], each) for each in ("fp8 tensorwise", "mxfp8", "nvfp4")]
    return parts


def in_own_process(part: Part, arguments: argparse.Namespace, limit: float) -> list[Row]:
    """Run a part in a process that is ended at its limit; what it had measured until then counts."""
    words = ["--part", json.dumps(asdict(part)), "--device", arguments.device, "--seconds", arguments.seconds]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, __file__, *map(str, words)],
            stdout=out,
            stderr=errors,
            start_new_session=True,
            env=os.environ | {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
        )
        code: int | None = None
        try:
            code = process.wait(limit)
        except BaseException as stop:
            # With the processes that it started, which load data and compile.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(stop, subprocess.TimeoutExpired):
                raise
        out.seek(0)
        errors.seek(0)
        # Libraries print to standard output too; a line that a killed process left unfinished is no row.
        rows = [Row(**json.loads(line[4:])) for line in out if line.startswith("@row") and line[-1] == "\n"]
        if code != 0:
            last = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
            why = f"ended at its limit of {limit:.0f} s" if code is None else f"ended with {code}: {last}"
            rows.append(_reason(part, f"the rest of {part.name} {why}"))
    return rows


def in_this_process(part: Part, arguments: argparse.Namespace, _limit: float) -> list[Row]:
    """Run a part here, with no limit."""
    return list(measured(part, arguments.device, arguments.seconds))


def _be_part(part: Part, device: str, seconds: float) -> None:
    for row in measured(part, device, seconds):
        print(f"\n@row{json.dumps(asdict(row))}", flush=True)


def measured(part: Part, device: str, seconds: float) -> Iterator[Row]:
    """Yield the part's rows as they are measured; what fails is a row with its reason."""
    if device == "cpu":
        import torch

        torch._dynamo.config.disable = True  # compiling takes longer than all the rest
    with _older_torch():
        if part.kind == "smoke":
            yield _guarded(part, lambda: smoke_row(part, device))
            return
        for loop in (OURS, PLAIN):
            yield _guarded(part, lambda loop=loop: layers_row(part, loop, device, seconds), loop)  # type: ignore[misc]


def _guarded(part: Part, measure: Callable[[], Row], loop: str = "") -> Row:
    """Return what was measured, or a row that says why nothing was."""
    try:
        return measure()
    except LeftOut as reason:
        why = str(reason)
    except Exception as error:  # whatever a kernel, a compiler or a library refuses with
        why = f"{'out of memory' if _out_of_memory(error) else 'failed'}: {_first_line(error)}"
    return replace(_reason(part, why), loop=loop)


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory is what lacks; a compiler wraps PyTorch's own error in one of its own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def _reason(part: Part, why: str) -> Row:
    return Row(part.kind, part.benchmark, part.precision, note=why)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [""]
    return (text[0] if isinstance(error, PitboardError) else f"{type(error).__name__}: {text[0]}")[:200]


def layers_row(part: Part, loop: str, device: str, seconds: float) -> Row:
    """Train full-size layers by one loop; return its rate. Raises what the loop raises on its last try."""
    import torch

    from pitboard.training.device import choose_device, device_name, published_peak_tflops
    from pitboard.training.precision import emulated

    here = choose_device(device, 0)
    kind = part.precision.partition(" ")[0]
    if device == "cuda" and emulated(kind, here):
        raise LeftOut(f"left out: {device_name(here)} has no {kind} arithmetic")
    count = layers_that_fit(part.benchmark, part.precision, device)
    for attempt in range(_TRIES):
        benchmark = benchmark_of(part.benchmark, part.precision, device, count)
        watch = Stopwatch(seconds, here, profiled=loop == OURS)
        try:
            _train(part.benchmark, loop, benchmark, watch)
        except Exception as error:
            if not _out_of_memory(error) or attempt == _TRIES - 1 or count == 1:
                raise
            count = max(1, count * 2 // 3)
        finally:
            del benchmark
            gc.collect()
            torch.cuda.empty_cache()
            torch._dynamo.reset()
        if watch.rate is not None:
            break
    assert watch.rate is not None
    settled = benchmark_of(part.benchmark, part.precision, device, count)
    tokens = settled.tokens_per_sample()
    samples = watch.rate * settled.settings.global_batch_size
    return Row(
        part.kind,
        part.benchmark,
        part.precision,
        loop,
        layers=_layers(part.benchmark, count),
        unit="tokens/s" if tokens > 1 else "samples/s",
        rate=samples * tokens,
        utilisation=utilisation(
            samples, settled.flops_per_sample(), published_peak_tflops(device_name(here), kind)
        ),
        peak_bytes=watch.peak_bytes,
        top=watch.top,
    )


def utilisation(
    samples_per_second: float, flops_per_sample: float, peak_tflops: float | None
) -> float | None:
    """Return model FLOPs over the device's peak; `None` where no peak is published."""
    return None if peak_tflops is None else samples_per_second * flops_per_sample / (peak_tflops * 1e12)


def _layers(benchmark: str, count: int) -> str:
    return f"{count} double, {2 * count} single" if benchmark == "flux1" else str(count)


def _layer_settings(benchmark: str, count: int) -> dict[str, Any]:
    # FLUX.1 has twice as many single-stream blocks as double-stream ones.
    return {"double_blocks": count, "single_blocks": 2 * count} if benchmark == "flux1" else {"layers": count}


def settings_of(name: str, precision: str, device: str, count: int) -> Any:
    """Return the settings of a run of so many layers without a target; nothing of it is recomputed."""
    from pitboard.training.runner import settings_for

    changes: dict[str, Any] = dict(_FULL[name])
    if device == "cpu":
        changes |= _TINY[name]
    kind, _, scaling = precision.partition(" ")
    changes |= _layer_settings(name, count) | {"precision": kind, "device": device}
    changes |= {"fp8_scaling": scaling} if scaling else {}
    changes |= {"target": None, "evaluation_interval": None, "max_steps": 10_000, "warmup_steps": 10}
    changes |= {"activation_checkpointing": "none", "compile": device == "cuda"}
    return settings_for(name, changes.pop("preset"), changes)


def benchmark_of(name: str, precision: str, device: str, count: int) -> Any:
    """Return the benchmark for the loops, on synthetic samples and, where it has a base, a random one."""
    import torch

    from pitboard.training.protocol import Pretrained, benchmark_class

    made: Any = benchmark_class(name)(settings_of(name, precision, device, count))
    if made.settings.preset == "full":
        pool = made.warmup_batch(_POOL)
        made.training_data = lambda _: _Pool(pool)
    has_base = isinstance(made, Pretrained)  # by a name: what is replaced below would be of that type
    if has_base:
        initial = made.initial

        def random(name: str, parameter: Any, generator: torch.Generator) -> None:
            if ".lora_" in name:
                initial(name, parameter, generator)
            elif parameter.ndim == 1:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, 0.02, generator=generator)

        made.prepare = lambda _: None
        made.is_pretrained = lambda _: False
        made.initial = random
    return made


class _Pool:
    """A few synthetic samples again and again: making them must not be what is measured."""

    def __init__(self, batch: dict[str, Any]) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: rows[index % _POOL] for name, rows in self._batch.items()}


def layers_that_fit(name: str, precision: str, device: str) -> int:
    """Return how many layers, at most the model's own, the device's memory holds with all that they need."""
    import torch

    from pitboard import suite

    if device == "cpu":
        return 2
    values = suite.benchmark(name).preset("full").values
    whole = int(values["double_blocks" if name == "flux1" else "layers"] or 1)
    settings = [settings_of(name, precision, device, count) for count in (1, 2)]
    one, two = (bytes_needed(name, each) for each in settings)
    return layers_in(torch.cuda.get_device_properties(0).total_memory, one, two, whole)


def layers_in(memory: int, one: int, two: int, whole: int) -> int:
    """Return the layers that fit in `memory` bytes if one needs `one` and two `two`: 1 to `whole`."""
    return max(1, min(whole, 1 + math.floor((memory * _FILLED - one) / (two - one))))


def bytes_needed(name: str, settings: Any) -> int:
    """Return the bytes of training state, of what the layers save, and of what the loss takes."""
    import torch

    from pitboard.training.distributed import World
    from pitboard.training.forecast import forecast

    state = forecast(name, settings, World(0, 1, torch.device("cpu"), None, 0, 1, 1)).memory_per_rank.total
    micro = settings.micro_batch_size
    if name == "flux1":
        tokens, layers = settings.image_tokens + settings.text_length, 3 * settings.double_blocks
        return int(state + micro * tokens * layers * settings.width * _ACTIVATION_BYTES[name])
    each = settings.layers * settings.hidden_size * _ACTIVATION_BYTES[name]
    each += settings.vocabulary_size * _LOGIT_BYTES
    return int(state + micro * settings.sequence_length * each)


class _Measured(Exception):  # noqa: N818 - how a loop is left
    """Ends a loop that has been measured."""


def _train(name: str, loop: str, benchmark: Any, watch: "Stopwatch") -> None:
    import training_peers

    plain: dict[str, Any] = {
        "llama31_8b": training_peers.llama_compiled,
        "flux1": training_peers.flux_compiled,
        "llama2_70b_lora": training_peers.lora_compiled,
    }
    run: Callable[[Any, Callable[[], None]], None] = training_peers.pitboard if loop == OURS else plain[name]
    low = benchmark.settings.precision not in {"fp32", "bf16", "fp8"}
    if loop != OURS and (low or (benchmark.settings.precision == "fp8" and watch.on_cpu)):
        raise LeftOut(f"left out: the plain loop has no {benchmark.settings.precision} here")
    try:
        run(benchmark, watch.step)
    except _Measured:
        return
    raise LeftOut("the loop ended before it was measured")


class Stopwatch:
    """Times steps: some to warm up, one alone, then as many as fill the seconds; then profiles some."""

    def __init__(self, seconds: float, device: Any, *, profiled: bool) -> None:
        self.rate: float | None = None
        self.peak_bytes = 0
        self.top: list[tuple[str, float, int]] = []
        self.on_cpu = device.type == "cpu"
        self._seconds, self._device, self._profiled = seconds, device, profiled
        self._done, self._wanted, self._began = 0, 0, 0.0
        self._profile: Any = None

    def step(self) -> None:
        """Count a step. Raises `_Measured` when all is known."""
        import torch

        from pitboard.training.device import peak_memory_bytes, synchronize

        self._done += 1
        if self._profile is not None:
            self._profile_step()
        elif self._done in {_WARMUP_STEPS, _WARMUP_STEPS + 1}:
            synchronize(self._device)
            now = time.perf_counter()
            if self._done == _WARMUP_STEPS + 1:
                self._wanted = max(3, round(self._seconds / (now - self._began)))
                if not self.on_cpu:
                    torch.cuda.reset_peak_memory_stats(self._device)
            self._began = time.perf_counter()
        elif self._wanted and self._done == _WARMUP_STEPS + 1 + self._wanted:
            synchronize(self._device)
            self.rate = self._wanted / (time.perf_counter() - self._began)
            self.peak_bytes = peak_memory_bytes(self._device)
            if not self._profiled:
                raise _Measured
            self._start_profile()

    def _start_profile(self) -> None:
        from torch.profiler import ProfilerActivity, profile

        kinds = [ProfilerActivity.CPU] if self.on_cpu else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        self._profile, self._done = profile(activities=kinds), 0
        self._profile.start()

    def _profile_step(self) -> None:
        from pitboard.training.device import synchronize

        if self._done < _STEPS_PROFILED:
            return
        synchronize(self._device)
        self._profile.stop()
        self.top = top_of(self._profile.key_averages(), on_cpu=self.on_cpu)
        raise _Measured


def top_of(events: Any, *, on_cpu: bool) -> list[tuple[str, float, int]]:
    """Return what took longest by itself: its name, its part of all the time, and how often it ran."""

    def own(event: Any) -> float:
        return float(event.self_cpu_time_total if on_cpu else event.self_device_time_total)

    # On a GPU the kernels themselves: operations of PyTorch, and what it notes of the optimizer's step, have
    # the time of those that they launched.
    ran = [
        event
        for event in events
        if own(event) > 0
        and (on_cpu or "CUDA" in str(event.device_type))
        and not getattr(event, "is_user_annotation", False)
    ]
    total = sum(map(own, ran))
    longest = sorted(ran, key=own, reverse=True)[:_TOP]
    return [(str(event.key), own(event) / total, int(event.count)) for event in longest]


def smoke_row(part: Part, device: str) -> Row:
    """Race a smoke preset to its target; return how long it took."""
    from pitboard.training.output import Output, Plan
    from pitboard.training.reporting import Silent
    from pitboard.training.runner import execute

    overrides = {"device": device} | ({"max_samples": "16"} if device == "cpu" else {})
    if device == "cpu" and part.benchmark == "llama2_70b_lora":
        overrides["base_steps"] = "2"
    plan = Plan(
        benchmark=part.benchmark,
        preset="smoke",
        overrides=overrides,
        seeds=[1],
        system="benchmark",
        submitter="benchmark",
    )
    with tempfile.TemporaryDirectory() as folder:
        summary = execute(Output(Path(folder)), plan, 0, Silent())
    assert summary is not None
    return Row(
        part.kind,
        part.benchmark,
        summary.precision,
        reached=summary.reached,
        samples=summary.samples,
        seconds=summary.minutes * 60,
        quality=summary.quality,
        peak_bytes=summary.peak_memory_bytes,
    )


@contextmanager
def _older_torch() -> Iterator[None]:
    """Give a PyTorch before 2.13 the one function that Pitboard needs of it: the loss made in chunks."""
    import torch
    from torch import Tensor
    from torch.utils.checkpoint import checkpoint

    # Of any type: a name is given to each.
    nn: Any = torch.nn
    functional: Any = torch.nn.functional
    if hasattr(functional, "linear_cross_entropy"):
        yield
        return

    def chunk(states: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        logits = functional.linear(states, weight).float()
        loss: Tensor = functional.cross_entropy(logits, target, reduction="sum", ignore_index=-100)
        return loss

    def stand_in(states: Tensor, weight: Tensor, target: Tensor, *, options: Any) -> Tensor:
        size = options["batch_chunk_size"]
        parts = zip(torch.split(states, size), torch.split(target, size), strict=True)
        losses = [checkpoint(chunk, part, weight, wanted, use_reentrant=False) for part, wanted in parts]
        return torch.stack(losses).sum() / (target != -100).sum()

    functional.linear_cross_entropy = stand_in
    nn.LinearCrossEntropyOptions = dict
    yield


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    """Return what was measured on, and with which versions."""
    from pitboard.training.device import published_peak_tflops

    facts = {"device": Host().processor_model() or platform.machine()}
    if arguments.device == "cuda":
        code = (
            "import json, torch; p = torch.cuda.get_device_properties(0);"
            "print(json.dumps([p.name, p.total_memory, torch.version.cuda or torch.version.hip]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        name, memory, runtime = json.loads(done.stdout.splitlines()[-1])
        facts = {"device": name, "memory": f"{memory / 2**30:.0f} GiB", "driver": _driver()}
        facts["CUDA or ROCm"] = str(runtime)
        peaks = {kind: published_peak_tflops(name, kind) for kind in ("bf16", "fp8")}
        known = [f"{kind.upper()} {peak:,.1f} TFLOP/s" for kind, peak in peaks.items() if peak]
        facts["published dense peak"] = ", ".join(known) or "none known to us"
    facts["Python"] = platform.python_version()
    for package in ("torch", "triton", "torchao", "transformers", "diffusers", "peft"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    facts["commit"] = _commit()
    facts["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
    return facts


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return Host().first_line("sys/module/amdgpu/version") or "unknown"


def _commit() -> str:
    """Return the commit of this checkout, or what `$PITBOARD_COMMIT` says where the copy has no history."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("PITBOARD_COMMIT", "unknown")


def section(facts: dict[str, str], rows: Sequence[Row], waiting: Sequence[Part] = ()) -> str:
    """Return the section of the page that the rows make."""
    cpu = "memory" not in facts
    title = f"CPU ({facts['device']}): a trial of the script, not a measurement" if cpu else facts["device"]
    lines = [f"## {title}", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    lines += ["", "### Full-size layers", ""]
    head = ["benchmark", "precision", "loop", "layers", "rate", "× plain", "× BF16", "utilisation"]
    head += ["peak memory", "note"]
    lines += [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    layers = [row for row in rows if row.kind == "layers"]
    lines += [_layers_line(row, layers) for row in layers]
    lines += ["", "× plain: times as fast as the plain loop in BF16; × BF16: as the same loop in BF16."]
    if missing := [row for row in layers if row.rate is not None and row.utilisation is None]:
        names = ", ".join(dict.fromkeys(row.precision for row in missing))
        lines += ["", f"No utilisation for {names}: no peak of this device is known to us."]
    if smokes := [row for row in rows if row.kind == "smoke"]:
        lines += ["", "### Smoke presets to their target", ""]
        lines += ["| benchmark | precision | reached | samples | seconds | validation loss | note |"]
        lines += ["| --- " * 7 + "|", *map(_smoke_line, smokes)]
    for row in layers:
        if row.top:
            lines += ["", f"### What takes longest: {row.benchmark}, {row.precision}, {row.loop}", ""]
            lines += ["| kernel | of the time | calls in a step |", "| --- | --- | --- |"]
            lines += [
                f"| `{_cell(name[:100])}` | {part:.1%} | {calls / _STEPS_PROFILED:g} |"
                for name, part, calls in row.top
            ]
    if waiting:
        lines += ["", f"Still to be measured: {', '.join(part.name for part in waiting)}."]
    return "\n".join(lines) + "\n"


def _times(row: Row, rows: Sequence[Row], loop: str) -> str:
    """Return how many times as fast the row is as a loop in BF16 on as many layers."""
    for other in rows:
        same = (other.benchmark, other.layers, other.loop) == (row.benchmark, row.layers, loop)
        if row.rate and other.rate and same and other.precision == "bf16":
            return f"{row.rate / other.rate:.2f}"
    return ""


def _layers_line(row: Row, rows: Sequence[Row]) -> str:
    rate = "" if row.rate is None else f"{row.rate:,.{0 if row.unit == 'tokens/s' else 1}f} {row.unit}"
    times = [_times(row, rows, loop) for loop in (PLAIN, row.loop)]
    used = "" if row.utilisation is None else f"{row.utilisation:.1%}"
    peak = "" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.1f} GiB"
    what = [row.benchmark, row.precision, row.loop, row.layers, rate, *times, used, peak, _cell(row.note)]
    return f"| {' | '.join(what)} |"


def _smoke_line(row: Row) -> str:
    if row.note:
        return f"| {row.benchmark} | | | | | | {_cell(row.note)} |"
    quality = "" if row.quality is None else f"{row.quality:.4f}"
    reached = "yes" if row.reached else "no"
    what = [row.benchmark, row.precision, reached, f"{row.samples:,}", f"{row.seconds:.1f}", quality, ""]
    return f"| {' | '.join(what)} |"


def _cell(text: str) -> str:
    """Return a text that stays within its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def write_section(path: Path, text: str) -> None:
    """Put the section between the page's marks, or make a page of it where there is none with marks."""
    before, after = "# Measured on a GPU\n\n", ""
    if path.exists() and BEGIN in (page := path.read_text("utf-8")):
        before, rest = page.split(BEGIN, 1)
        after = rest.split(END, 1)[1] if END in rest else ""
    write_atomically(path, f"{before}{BEGIN}\n\n{text}\n{END}{after or chr(10)}".encode())


if __name__ == "__main__":
    try:
        main()
    except PitboardError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
