"""A killed run continues where its last checkpoint left it, as if nothing had happened."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from pitboard.events import read_events
from support import TINY, Command, Python, curve, learning, near, ranks_of, the_log, the_run, tiny, wait_until

pytestmark = pytest.mark.slow


def command(benchmark: str) -> list[str]:
    return [*tiny(benchmark), "--seed", "3", "--set", "evaluation_interval=8"]


def kill_when(folder: Path, python: Python, condition: str, *arguments: str) -> None:
    """Start a run with a checkpoint every 16 samples, and kill it and its ranks once a file is there."""
    options = ["--checkpoint-every", "16", "--output", folder]
    process = python("-m", "pitboard", *arguments, *options)
    wait_until(lambda: bool(list(folder.glob(condition))), process)
    ranks = ranks_of(process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 120
    # The kernel kills a rank whose launcher has gone.
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# NVFP4 rounds gradients at random: the resumed run must draw what the whole one did. The ranks' checkpoint is
# the loop's: one benchmark shows it, with weights that are wrapped for being gathered in FP8.
CASES = [("llama31_8b", 1, "nvfp4"), ("llama31_8b", 2, "fp8")] + [
    (benchmark, 1, "bf16") for benchmark in TINY if benchmark != "llama31_8b"
]


@pytest.mark.parametrize(("benchmark", "ranks", "precision"), CASES)
def test_a_killed_run_continues_with_the_same_curve(
    benchmark: str, ranks: int, precision: str, pitboard: Command, python: Python, tmp_path: Path
) -> None:
    run = [*command(benchmark), "--nproc", str(ranks), "--precision", precision]
    if precision == "fp8":
        run += ["--set", "fp8_scaling=tensorwise", "--set", "fp8_all_gather=true"]
    pitboard(*run, "--output", tmp_path / "whole")
    whole = learning(tmp_path / "whole")
    killed = tmp_path / "killed"
    # Slow enough for the kill to land in between.
    kill_when(killed, python, "checkpoints/*/run_0/samples_000000000032/.metadata", *run)
    assert the_run(killed).status is None
    before = learning(killed)

    done = pitboard("run", "--resume", killed)
    assert done.returncode == 1, done.stderr
    (resumed_at,) = [e.value for e in read_events(the_log(killed)) if e.key == "pitboard_resumed"]
    assert resumed_at >= 32
    after = learning(killed)[len(before) :]
    assert before == whole[: len(before)]
    assert after == near(((s, q) for s, q in whole if s > resumed_at), 1e-6)
    assert [e.key for e in read_events(the_log(killed))].count("run_start") == 1
    assert the_run(killed).status == "aborted"


def test_a_checkpoint_of_a_pipeline_is_resumed_by_ranks_that_share_sequences_and_layers(
    pitboard: Command, python: Python, tmp_path: Path
) -> None:
    """How a run is spread changes nothing of what is learned; its plan says how, and is edited here."""
    run = [*command("llama31_8b"), "--precision", "fp32"]
    pitboard(*run, "--output", tmp_path / "whole")
    whole = curve(tmp_path / "whole")
    killed = tmp_path / "killed"
    staged = ["--nproc", "4", "--set", "pipeline_parallel=2"]
    kill_when(killed, python, "checkpoints/*/run_0/samples_000000000032/.metadata", *run, *staged)
    before = curve(killed)

    plan = json.loads((killed / "run.json").read_text())
    plan["settings"] |= {"pipeline_parallel": 1, "context_parallel": 2, "tensor_parallel": 2}
    (killed / "run.json").write_text(json.dumps(plan))
    done = pitboard("run", "--resume", killed)
    assert done.returncode == 1, done.stderr
    (resumed_at,) = [e.value for e in read_events(the_log(killed)) if e.key == "pitboard_resumed"]
    assert resumed_at >= 32
    after = curve(killed)[len(before) :]
    assert after == near(((s, q) for s, q in whole if s > resumed_at), 1e-5)


def test_a_run_killed_before_its_first_checkpoint_starts_over(
    pitboard: Command, python: Python, tmp_path: Path
) -> None:
    kill_when(tmp_path / "out", python, "results/*/*/result_0.txt", *command("llama31_8b"))
    done = pitboard("run", "--resume", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert curve(tmp_path / "out")[-1][0] == 64


def test_a_series_goes_on_past_a_failed_run(python: Python, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    series = python("-m", "pitboard", *command("llama31_8b"), "--runs", 2, "--output", folder)
    wait_until(lambda: bool(list(folder.glob("results/*/*/result_0.txt"))), series)
    for rank in ranks_of(series):
        os.kill(rank, signal.SIGKILL)
    printed, errors = series.communicate(timeout=200)
    assert series.returncode == 2
    assert "Run 0 failed" in errors
    assert "Traceback" not in errors
    first, second = the_run(folder, 0), the_run(folder, 1)
    assert first.run_stop_ms is None
    assert second.status == "aborted"
    assert second.seed == 4
    assert "2 runs" in printed
