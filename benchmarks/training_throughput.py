"""Training throughput of a smoke preset beside what people train the same model with, in one run.

Same model, samples, batch, precision and optimizer; `training_peers.py` lists the contestants. They are raced
in FP32 and, where the device multiplies BF16 natively, in BF16. Each is a process of its own that warms up,
then trains stretches of `--steps` steps, taking turns with the others, so that a machine whose speed drifts
slows them alike; the medians are compared. Peak memory is the process's.

    python benchmarks/training_throughput.py [BENCHMARK] [--precisions fp32,bf16]
                                             [--rounds 5] [--steps 24]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

from pitboard.training.distributed import join_world
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import decide, settings_for
from pitboard.training.system import processor_model
from training_peers import CONTESTANTS

WARMUP_STEPS = 6


def main() -> None:
    arguments = _arguments()
    if arguments.contestant:
        _contest(arguments)
        return
    for precision in arguments.precisions.split(",") if arguments.precisions else _native():
        _show(arguments, precision)


def _native() -> list[str]:
    import torch

    from pitboard.training.precision.products import bf16_is_native

    return ["fp32", *(["bf16"] if bf16_is_native(torch.device("cpu")) else [])]


def _show(arguments: argparse.Namespace, precision: str) -> None:
    figures = _measure(arguments, precision)
    ours = statistics.median(figures["Pitboard"][0])
    stretches = f"{arguments.rounds} stretches of {arguments.steps} steps"
    print(
        f"{arguments.benchmark}, smoke, {precision.upper()} on {processor_model()}, median of {stretches}:",
        flush=True,
    )
    for name, (rates, memory) in figures.items():
        median = statistics.median(rates)
        print(
            f"  {name:<24}{median:>9,.1f} samples/s ({min(rates):,.1f} to {max(rates):,.1f})"
            f"  peak {memory / 2**30:.2f} GiB  Pitboard is {ours / median:.2f} x as fast",
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", choices=CONTESTANTS, nargs="?", default="llama31_8b")
    parser.add_argument("--precisions", help="comma-separated; else FP32 and, where it is native, BF16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(arguments: argparse.Namespace, precision: str) -> dict[str, tuple[list[float], int]]:
    """Let the contestants take turns, a stretch each; return each one's rates and peak memory."""
    command = [sys.executable, __file__, arguments.benchmark]
    command += ["--rounds", str(arguments.rounds), "--steps", str(arguments.steps)]
    command += ["--precisions", precision, "--contestant"]
    running = {
        name: subprocess.Popen(
            [*command, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in CONTESTANTS[arguments.benchmark]
    }
    for process in running.values():
        _expect(process, "ready")
    rates: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(arguments.rounds):
        for name, process in running.items():
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
            rates[name].append(float(_expect(process, "rate")))
    for process in running.values():
        assert process.stdin
        process.stdin.close()
    return {name: (rates[name], int(_expect(process, "memory"))) for name, process in running.items()}


def _expect(process: "subprocess.Popen[str]", word: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if line.startswith(f"@{word}"):
            return line.removeprefix(f"@{word}").strip()
    raise SystemExit(f"{process.args!r} ended without saying {word}")


def _contest(arguments: argparse.Namespace) -> None:
    """Be one contestant: warm up, then on each line of standard input train a stretch."""
    name, run = arguments.contestant, CONTESTANTS[arguments.benchmark][arguments.contestant]
    steps = WARMUP_STEPS + arguments.rounds * arguments.steps
    settings = settings_for(
        arguments.benchmark,
        "smoke",
        # The preset's own limit of samples, if it has one, is lower.
        {"max_steps": steps, "max_samples": None, "precision": arguments.precisions},
    )
    if name == "Pitboard":
        # Compiled, as its peers are, wherever that is the faster.
        undecided = settings.model_copy(update={"compile": None})
        settings, _ = decide(arguments.benchmark, undecided, join_world(settings))
    else:
        # These say for themselves whether they are compiled.
        settings = settings.model_copy(update={"compile": False})
    benchmark = benchmark_class(arguments.benchmark)(settings)
    run(benchmark, Stopwatch(benchmark.settings.global_batch_size, arguments.steps).step)
    print(f"@memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}", flush=True)


class Stopwatch:
    """Counts steps; at the end of each stretch prints its rate and waits for the next turn."""

    def __init__(self, samples_per_step: int, steps: int) -> None:
        self.samples_per_step, self.steps, self.done = samples_per_step, steps, -WARMUP_STEPS
        self.began = 0.0

    def step(self) -> None:
        """Count one step of training."""
        self.done += 1
        if self.done > 0 and self.done % self.steps == 0:
            seconds = time.perf_counter() - self.began
            print(f"@rate {self.samples_per_step * self.steps / seconds}", flush=True)
        if self.done == 0:
            print("@ready", flush=True)
        if self.done >= 0 and self.done % self.steps == 0:
            sys.stdin.readline()
            self.began = time.perf_counter()


if __name__ == "__main__":
    main()
