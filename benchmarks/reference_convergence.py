"""Measure a preset's reference convergence points: samples to target over twenty seeds.

Writes them in the format of the official ones (`mlperf_logging/rcp_checker`) beside the suite's data.
An interrupted measurement goes on where it stopped when it is given the same `--output`.

    python benchmarks/reference_convergence.py llama31_8b smoke --output DIR [--runs 20]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from pitboard import __version__, suite
from pitboard.events import Run, read_events
from pitboard.training.system import processor_model

REFERENCE = Path(suite.__file__).parent / "reference"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("preset")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    _run(arguments)
    runs = [Run.from_events(read_events(log)) for log in _logs(arguments.output)]
    missed = [run.seed for run in runs if run.samples_to_target is None]
    if missed or len(runs) != arguments.runs:
        sys.exit(
            f"{len(runs)} of {arguments.runs} runs ended; these seeds did not reach the target: {missed}"
        )
    path = REFERENCE / f"{arguments.benchmark}_{arguments.preset}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_points(arguments.benchmark, arguments.preset, runs), indent=2) + "\n")
    minutes = sorted(run.minutes or 0.0 for run in runs)
    print(f"All {len(runs)} reached it, in {minutes[0]:.2f} to {minutes[-1]:.2f} minutes; wrote {path}")


def _run(arguments: argparse.Namespace) -> None:
    if (arguments.output / "run.json").exists():
        command = ["--resume", str(arguments.output)]
    else:
        command = [
            arguments.benchmark,
            "--preset",
            arguments.preset,
            "--seed",
            "1",
            "--runs",
            str(arguments.runs),
        ]
        command += ["--output", str(arguments.output)]
    subprocess.run([sys.executable, "-m", "pitboard", "run", *command], check=False)


def _logs(output: Path) -> list[Path]:
    return sorted(output.glob("results/*/*/result_*.txt"), key=lambda path: int(path.stem.partition("_")[2]))


def _points(benchmark: str, preset: str, runs: list[Run]) -> dict[str, object]:
    values = suite.benchmark(benchmark).preset(preset).values
    batch = values["global_batch_size"]
    return {
        f"{benchmark}_{preset}_{batch}": {
            "Benchmark": benchmark,
            "Creator": f"Pitboard {__version__}",
            "When": "Seeds 1 to 20",
            "Platform": processor_model(),
            "Precision": "BF16",
            "BS": batch,
            "Hyperparams": {
                "opt_base_learning_rate": values["learning_rate"],
                "opt_learning_rate_warmup_steps": values["warmup_steps"],
                "gradient_accumulation_steps": 1,
            },
            "Epochs to converge": [run.samples_to_target for run in runs],
        }
    }


if __name__ == "__main__":
    main()
