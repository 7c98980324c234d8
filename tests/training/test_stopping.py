"""A run that is stopped as clusters stop runs continues as if nothing had happened."""

import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pitboard.events import read_events
from pitboard.training.stopping import StopSignals
from support import (
    Command,
    Python,
    command_environment,
    curve,
    near,
    ranks_of,
    the_log,
    the_run,
    tiny,
    wait_until,
)

pytestmark = pytest.mark.slow

RUN = [
    *tiny("llama31_8b"),
    *("--seed", "3", "--precision", "fp32"),
    *("--set", "evaluation_interval=8", "--set", "max_samples=480", "--set", "target=0"),
]
# Only a stop writes these runs' checkpoints, or a checkpoint of their own would hide that it had not.
STOPPABLE = [*RUN, "--checkpoint-every", "100000"]
CHECKPOINTED = [*RUN, "--set", "max_samples=240", "--checkpoint-every", "16"]


@pytest.fixture(scope="module")
def whole(pitboard: Command, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, float]]:
    """Return the curve of the run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    done = pitboard(*RUN, "--output", folder)
    assert done.returncode == 1, done.stderr
    return curve(folder)


@pytest.fixture(scope="module")
def half(whole: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the curve of the run up to where those end that write checkpoints: its schedule is theirs."""
    return [(samples, quality) for samples, quality in whole if samples <= 240]


def has_evaluated(folder: Path, times: int) -> Callable[[], bool]:
    return lambda: logged(folder).count('"eval_stop"') >= times


def logged(folder: Path) -> str:
    """Return what the log says so far, as text: what is looked at all the time must not cost much."""
    return "".join(log.read_text() for log in folder.glob("results/*/*/result_0.txt"))


def events(folder: Path) -> list[str]:
    logs = folder.glob("results/*/*/result_0.txt")
    return [event.key for log in logs for event in read_events(log)]


def resumed_at(folder: Path) -> list[int]:
    return [event.value for event in read_events(the_log(folder)) if event.key == "pitboard_resumed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_stopped_at_five_random_moments_has_the_whole_ones_curve(
    number: signal.Signals, python: Python, pitboard: Command, whole: list[tuple[int, float]], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    arguments = [*STOPPABLE, "--output", folder]
    stops: list[int] = []
    for stop in range(5):
        process = python("-m", "pitboard", *arguments)
        wait_until(has_evaluated(folder, 10 * stop + random.randint(1, 5)), process)
        time.sleep(random.uniform(0, 0.02))
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        said = re.fullmatch(
            rf"Stopped by {number.name}: `pitboard run --resume {folder}` continues from the checkpoint at"
            r" sample (\d+)\.\n",
            errors,
        )
        assert said, errors
        stops.append(int(said[1]))
        assert the_run(folder).run_stop_ms is None
        arguments = ["run", "--resume", folder]
    done = pitboard(*arguments)
    assert done.returncode == 1, done.stderr
    assert resumed_at(folder) == stops
    assert curve(folder) == near(whole, 1e-6)
    assert [event.key for event in read_events(the_log(folder))].count("run_start") == 1


def test_a_long_evaluation_is_left_and_made_by_the_resumed_run(
    python: Python, pitboard: Command, tmp_path: Path
) -> None:
    long = [*STOPPABLE, "--set", "evaluation_interval=32", "--set", "evaluation_samples=4000"]
    short = ["--set", "max_samples=64"]
    whole, folder = tmp_path / "whole", tmp_path / "out"
    assert pitboard(*long, *short, "--output", whole).returncode == 1
    process = python("-m", "pitboard", *long, *short, "--nproc", 2, "--output", folder)
    wait_until(lambda: '"eval_start"' in logged(folder), process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "continues from the checkpoint at sample 32." in errors
    assert curve(folder) == []
    assert events(folder)[-1] == "eval_stop"
    done = pitboard("run", "--resume", folder, "--nproc", 1)
    assert done.returncode == 1, done.stderr
    assert_continued(folder, curve(whole))
    assert len(curve(folder)) == len(curve(whole)) == 2


def has_checkpoints(folder: Path, after: int) -> Callable[[], bool]:
    return lambda: any(
        int(path.parent.name.removeprefix("samples_")) > after
        for path in folder.glob("checkpoints/*/run_0/samples_*/.metadata")
    )


def assert_continued(folder: Path, whole: list[tuple[int, float]]) -> None:
    """What was trained twice, because no checkpoint could be written at the stop, came out the same twice."""
    known = dict(whole)
    assert {samples for samples, _ in curve(folder)} == set(known)
    assert curve(folder) == near(((samples, known[samples]) for samples, _ in curve(folder)), 1e-5)
    assert curve(folder)[-1][0] == whole[-1][0]
    assert [event.key for event in read_events(the_log(folder))].count("run_start") == 1


def test_ranks_stop_together_and_go_on_as_another_number_of_them(
    python: Python, pitboard: Command, whole: list[tuple[int, float]], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    process = python("-m", "pitboard", *STOPPABLE, "--nproc", 2, "--output", folder)
    wait_until(has_evaluated(folder, 3), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert re.fullmatch(r"Stopped by SIGINT: .* continues from the checkpoint at sample \d+\.\n", errors), (
        errors
    )
    assert the_run(folder).run_stop_ms is None

    refused = pitboard("run", "--resume", folder, "--nproc", 3)
    assert refused.returncode == 2
    assert "choose a multiple of 3. Its log is open: `pitboard run --resume" in refused.stderr
    done = pitboard("run", "--resume", folder, "--nproc", 1)
    assert done.returncode == 1, done.stderr
    assert len(curve(folder)) == len(whole)
    assert_continued(folder, whole)


def test_a_lost_rank_leaves_the_log_open_and_a_requeue_goes_on(
    python: Python, pitboard: Command, cache: Path, half: list[tuple[int, float]], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    command = [*CHECKPOINTED, "--nproc", "2", "--output", folder]
    process = python("-m", "pitboard", *command)
    wait_until(has_checkpoints(folder, 0), process)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.fullmatch(
        r"Error: Rank 1 was killed by SIGKILL \(as the kernel does where memory runs out\)\. Its log is open:"
        rf" `pitboard run --resume {folder}` continues from the checkpoint at sample \d+\.\n",
        errors,
    ), errors
    assert the_run(folder).run_stop_ms is None

    # A requeued job of Slurm's is the same command again.
    assert "--resume" in pitboard(*command).stderr
    requeued = command_environment(cache) | {"SLURM_RESTART_COUNT": "1"}
    done = pitboard(*command, env=requeued)
    assert done.returncode == 1, done.stderr
    assert resumed_at(folder)
    assert_continued(folder, half)


def test_torchrun_restarts_its_ranks_and_resumes_what_they_left(
    python: Python, half: list[tuple[int, float]], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = python(*torchrun, "--max-restarts=1", "-m", "pitboard", *CHECKPOINTED, "--output", folder)
    wait_until(has_checkpoints(folder, 0), process)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    wait_until(lambda: '"pitboard_resumed"' in logged(folder), process)
    (first,) = resumed_at(folder)
    wait_until(has_checkpoints(folder, first), process)
    os.kill(ranks_of(process)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert the_run(folder).run_stop_ms is None

    process = python(*torchrun, "-m", "pitboard", "run", "--resume", folder)
    out, errors = process.communicate(timeout=120)
    # The target is not reached, which torchrun is told.
    assert process.returncode == 1, errors
    assert "A run ended without reaching its target." in errors
    assert out.count("Time-to-train") == 1
    assert len(resumed_at(folder)) == 2
    assert_continued(folder, half)


def test_an_interrupt_ends_a_series_in_one_line(python: Python, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process = python("-m", "pitboard", *STOPPABLE, "--runs", 2, "--output", folder)
    wait_until(has_evaluated(folder, 1), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("Stopped by SIGINT: ")
    assert errors.count("\n") == 1
    assert len(list(folder.glob("results/*/*/result_*.txt"))) == 1


def test_only_a_second_request_ends_a_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    now = [100.0]
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        with StopSignals() as stop, stop.deferred():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert (stop.received, ended) == (signal.SIGTERM, [])
        # The process is on its way out, with the first signal's exit code: still the same request.
        signal.raise_signal(signal.SIGTERM)
        assert ended == []
        now[0] += 2
        signal.raise_signal(signal.SIGINT)
        assert ended == [130]
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
