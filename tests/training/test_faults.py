"""Bad input and failing machines: one clear sentence, exit 2, and a log closed as aborted."""

import os
import subprocess
from pathlib import Path

import pytest

from pitboard.errors import PitboardError
from pitboard.events import read_events
from pitboard.events.writer import LogWriter
from pitboard.training.data.embedded import smoke_dataset
from pitboard.training.output import Output, Plan
from support import Command, Python, the_log, the_run, tiny, wait_until

BEFORE_ANYTHING_IS_WRITTEN = {
    "lama31_8b": "Did you mean 'llama31_8b'?",
    "bert": "races 'llama31_8b' instead",
    "retinanet --set tensor_parallel=2": "spread by FSDP only",
    "llama31_8b --preset smok": "Did you mean 'smoke'?",
    "llama31_8b --set learnin_rate=1": "Did you mean 'learning_rate'?",
    "llama31_8b --set learning_rate=fast": "'learning_rate' is 'fast'",
    "llama31_8b --set learning_rate": "expected KEY=VALUE",
    "llama31_8b --precision fp9": "'nvfp4' or 'mxfp4'",
    "llama31_8b --set attention_heads=5": "must be a multiple of",
    "llama31_8b --set tensor_parallel=2": "must be a multiple of tensor_parallel",
    "llama31_8b --set context_parallel=3": "must be a multiple of 6, which is 2 × context_parallel",
    "llama31_8b --set pipeline_parallel=99": "must be at least pipeline_parallel 99",
    "flux1 --set pipeline_parallel=2": "spread by FSDP only: pipeline_parallel must be 1",
    "llama2_70b_lora --set tensor_parallel=2": "by FSDP, context_parallel: tensor_parallel must be 1",
    "llama31_8b --system ../../etc": "../../etc",
    "--resume {folder}": "Nothing to resume",
    "": "Say which benchmark",
}

AT_THE_START_OF_A_RUN = {
    "--set global_batch_size=9 --set micro_batch_size=2": "choose a divisor of 9",
    "--set replicas=2": "1 ranks cannot be divided into 2 replicas",
    "--set context_parallel=2 --set pipeline_parallel=2": "× context_parallel 2 × pipeline_parallel 2:",
    "--set device=cuda": "No GPU can be used here",
    "--preset full": "`pitboard data llama31_8b` says what to download",
    "--preset full --set data={folder}": "c4-train.en_6_text_document.idx does not exist",
    "--set evaluation_samples=1000000": "evaluation sequences",
    "--set vocabulary_size=70000": "vocabulary",
}


@pytest.mark.parametrize("arguments", BEFORE_ANYTHING_IS_WRITTEN)
def test_a_wrong_command_is_explained_and_writes_nothing(
    arguments: str, pitboard: Command, tmp_path: Path
) -> None:
    done = pitboard("run", *arguments.format(folder=tmp_path / "none").split(), cwd=tmp_path)
    assert done.returncode == 2
    assert BEFORE_ANYTHING_IS_WRITTEN[arguments] in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", AT_THE_START_OF_A_RUN)
def test_a_run_that_cannot_start_closes_its_log(arguments: str, pitboard: Command, tmp_path: Path) -> None:
    arguments_ = arguments.format(folder=tmp_path).split()
    done = pitboard("run", "llama31_8b", "--output", tmp_path / "out", *arguments_)
    assert done.returncode == 2
    assert AT_THE_START_OF_A_RUN[arguments] in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert the_run(tmp_path / "out").status == "aborted"


def test_a_loss_that_is_not_finite_stops_the_run(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard(*tiny("llama31_8b"), "--set", "learning_rate=1e30", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "training diverged" in done.stderr
    assert done.stderr.count("\n") == 1
    stop = [event for event in read_events(the_log(tmp_path / "out")) if event.key == "run_stop"]
    assert [event.metadata["status"] for event in stop] == ["aborted"]
    assert "diverged" in stop[0].metadata["reason"]


@pytest.mark.slow
def test_sigterm_leaves_the_log_open_and_says_what_is_kept(python: Python, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    endless = [*tiny("llama31_8b"), "--set", "max_samples=100000", "--set", "target=0"]
    process = python("-m", "pitboard", *endless, "--output", folder)
    wait_until(lambda: any('"eval_stop"' in log.read_text() for log in folder.glob("results/*/*/*")), process)
    process.terminate()
    # `timeout` and Slurm signal a process and its group: that is still one request to stop.
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert the_run(folder).run_stop_ms is None
    assert errors == (
        f"Stopped by SIGTERM: there is no checkpoint; `pitboard run --resume {folder}` trains from the first"
        " sample again, the clock running on.\n"
    )


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped"])
def test_a_corrupt_index_is_named(damage: str, pitboard: Command, cache: Path, tmp_path: Path) -> None:
    made = smoke_dataset(cache / "pitboard", 300)
    for prefix, name in (
        (made.train, "c4-train.en_6_text_document"),
        (made.validation, "c4-validation-91205-samples.en_text_document"),
    ):
        for suffix in (".bin", ".idx"):
            (tmp_path / f"{name}{suffix}").write_bytes(prefix.with_name(prefix.name + suffix).read_bytes())
    index = tmp_path / "c4-train.en_6_text_document.idx"
    good = index.read_bytes()
    bad = {"empty": b"", "cut": good[:100], "flipped": good[:40] + b"\xff" * 8 + good[48:]}
    index.write_bytes(bad[damage])
    c4 = ["--set", "dataset=c4", "--set", f"data={tmp_path}"]
    done = pitboard(*tiny("llama31_8b"), *c4, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert str(index) in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_folder_in_use_is_refused(pitboard: Command, tmp_path: Path) -> None:
    held = Output(tmp_path / "out")
    held.lock()
    done = pitboard(*tiny("llama31_8b"), "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "in use by another run" in done.stderr


def test_an_earlier_run_is_not_overwritten(pitboard: Command, tmp_path: Path) -> None:
    first = pitboard(*tiny("llama31_8b"), "--output", tmp_path / "out")
    assert first.returncode == 1
    before = the_log(tmp_path / "out").read_bytes()
    again = pitboard(*tiny("llama31_8b"), "--output", tmp_path / "out")
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert the_log(tmp_path / "out").read_bytes() == before


def test_a_damaged_plan_is_named(pitboard: Command, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"benchmark": 3')
    done = pitboard("run", "--resume", tmp_path)
    assert done.returncode == 2
    assert "run.json is damaged" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
@pytest.mark.parametrize("kilobytes", [64, 900])
def test_a_full_disk_stops_a_run_that_then_continues(
    kilobytes: int, pitboard: Command, tmp_path: Path
) -> None:
    """64 kB are full before there is a log, 900 kB with the first checkpoints."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("this sandbox does not let root mount a tmpfs")
    try:
        (disk / "filler").write_bytes(bytes(min(kilobytes * 1024, 60 * 1024)))
        done = pitboard(*tiny("llama31_8b"), "--checkpoint-every", 16, "--output", disk / "out", "--seed", 1)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1, done.stderr
        assert "No space left on device" in done.stderr
        began = kilobytes == 900
        assert (f"`pitboard run --resume {disk / 'out'}`" in done.stderr) is began
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = ["--resume", disk / "out"] if began else [*tiny("llama31_8b")[1:], "--output", disk / "out"]
        done = pitboard("run", *again)
        assert done.returncode == 1, done.stderr
        assert the_run(disk / "out").evaluations
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_log_on_a_full_disk_raises(tmp_path: Path) -> None:
    log = tmp_path / "result_0.txt"
    log.symlink_to("/dev/full")
    writer = LogWriter(log)
    with pytest.raises(PitboardError, match="No space left on device"):
        writer.event("seed", 1)


def test_a_log_cut_in_the_middle_of_a_line_is_continued_cleanly(tmp_path: Path) -> None:
    log = tmp_path / "result_0.txt"
    writer = LogWriter(log)
    writer.event("seed", 1)
    log.write_text(log.read_text() + ':::MLLOG {"namespace": "", "tim')
    LogWriter(log, append=True).event("pitboard_resumed", 16)
    assert [event.key for event in read_events(log)] == ["seed", "pitboard_resumed"]


def test_runs_without_an_end_are_unfinished(tmp_path: Path) -> None:
    output = Output(tmp_path)
    plan = Plan(
        benchmark="llama31_8b", preset="smoke", overrides={}, seeds=[1, 2, 3], system="s", submitter="x"
    )
    LogWriter(output.log(plan, 0)).close("success")
    LogWriter(output.log(plan, 1)).start("run_start")
    assert output.unfinished(plan) == [1, 2]
