"""Measure a preset's reference convergence points: samples (or epochs) to target over twenty seeds.

They are of one precision, and count as the benchmark's rules do. They are written in the format of the
official ones (`mlperf_logging/rcp_checker`) beside the suite's data, in place of those in the same precision.
The runs share this process and are not compiled, neither of which changes what is learned;
`OMP_NUM_THREADS=1` and one process a core measure the most. An interrupted measurement goes on where it
stopped when it is given the same `--output`.

    python benchmarks/reference_convergence.py llama31_8b smoke --precision fp32 --output DIR [--runs 20]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

from pitboard import __version__, suite
from pitboard.compliance.result.benchmarks import convergence
from pitboard.events import Run, read_events
from pitboard.files import write_atomically
from pitboard.suite import NEWEST_RACED
from pitboard.suite.formats import FormatName
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute
from pitboard.training.system import processor_model

REFERENCE = Path(suite.__file__).parent / "reference"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("preset")
    parser.add_argument("--precision", choices=get_args(FormatName), required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    runs = list(_run(arguments))
    missed = [run.seed for run in runs if convergence(run, NEWEST_RACED.ruleset) is None]
    if missed:
        sys.exit(f"These seeds did not reach the target: {missed}")
    path = REFERENCE / f"{arguments.benchmark}_{arguments.preset}.json"
    name, point = _point(arguments.benchmark, arguments.preset, arguments.precision, runs)
    known: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    points = {key: old for key, old in known.items() if old["Precision"] != point["Precision"]}
    points[name] = point
    write_atomically(path, (json.dumps(dict(sorted(points.items())), indent=2) + "\n").encode())
    minutes = sorted(run.minutes or 0.0 for run in runs)
    print(f"All {len(runs)} reached it, in {minutes[0]:.2f} to {minutes[-1]:.2f} minutes; wrote {path}")


def _run(arguments: argparse.Namespace) -> "list[Run]":
    output = Output(arguments.output)
    output.lock()
    plan = Plan(
        benchmark=arguments.benchmark,
        preset=arguments.preset,
        overrides={"precision": arguments.precision, "compile": "false"},
        seeds=list(range(1, arguments.runs + 1)),
        system="measured",
        submitter="Pitboard",
    )
    runs = []
    for index, seed in enumerate(plan.seeds):
        log = output.log(plan, index)
        if index in output.unfinished(plan):
            log.unlink(missing_ok=True)
            execute(output, plan, index, Silent())
        run = Run.from_events(read_events(log))
        count, minutes = convergence(run, NEWEST_RACED.ruleset), run.minutes or 0
        print(
            f"Seed {seed}: converged at {count}, {run.samples_to_target} samples, {minutes:.2f} minutes",
            flush=True,
        )
        runs.append(run)
    return runs


def _point(benchmark: str, preset: str, precision: str, runs: list[Run]) -> tuple[str, dict[str, object]]:
    raced = suite.benchmark(benchmark)
    values = raced.preset(preset).values
    batch = values["global_batch_size"]
    settings = {
        "opt_base_learning_rate": values["learning_rate"],
        **{
            f"opt_learning_rate_{name}": values[name]
            for name in ("warmup_steps", "warmup_epochs", "warmup_factor")
            if name in values
        },
        "gradient_accumulation_steps": 1,
    }
    free = {fact.name for fact in raced.hyperparameters if fact.kind == "free"}
    return f"{benchmark}_{preset}_{precision}_{batch}", {
        "Benchmark": benchmark,
        "Creator": f"Pitboard {__version__}",
        "When": f"Seeds 1 to {len(runs)}",
        "Platform": processor_model() + (", emulated" if any(run.emulated for run in runs) else ""),
        "Precision": precision.upper(),
        "BS": batch,
        "Hyperparams": {name: value for name, value in settings.items() if name in free},
        # Samples, but where the official points of the benchmark count epochs.
        "Epochs to converge": [convergence(run, NEWEST_RACED.ruleset) for run in runs],
    }


if __name__ == "__main__":
    main()
