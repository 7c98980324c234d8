"""What it costs to measure where a step's time goes: llama31_8b's smoke model on two ranks over gloo.

    python benchmarks/step_times.py [--steps 60]

Prints how many waits a step has, what one measurement takes, both against the step, and the ratio of the CPU
time of steps that are measured to that of steps that are not, in stretches taken in turns.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import time
from contextlib import nullcontext

import torch

from pitboard import suite
from pitboard.events.writer import LogWriter
from pitboard.training.distributed import join_world, leave_world
from pitboard.training.loop import Block, Race
from pitboard.training.protocol import benchmark_class
from pitboard.training.reporting import Silent
from pitboard.training.runner import settings_for
from pitboard.training.step_times import StepClock, gather

RANKS = 2
NAME = "llama31_8b"
WAITS = 20_000
# A run is watched from its first step to its last; here it is in turns, so many steps long.
_STRETCH = 10


def main() -> None:
    """Start the ranks and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60, help="Steps of each kind.")
    steps = parser.parse_args().steps
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = multiprocessing.get_context("spawn")
    ranks = [started.Process(target=measure, args=(rank, port, steps)) for rank in range(RANKS)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()


def measure(rank: int, port: int, steps: int) -> None:
    """Train as one of the ranks, with and without measuring in turns; rank 0 prints."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(RANKS), "LOCAL_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    settings = settings_for(NAME, "smoke", {"precision": "fp32", "compile": False, "device": "cpu"})
    world = join_world(settings)
    rules = settings.rules(suite.benchmark(NAME))
    race = Race(benchmark_class(NAME)(settings), rules, world, LogWriter(None), Silent(), seed=1)
    race.initialize()
    race._block = Block()
    batches = race._batches()
    taken: dict[bool, list[float]] = {True: [], False: []}
    waits = 0
    for stretch in range(2 * max(1, steps // _STRETCH)):
        measured = stretch % 2 == 0
        with race._clock.watching_collectives() if measured else nullcontext():
            # The first step after the watch begins or ends does not count: PyTorch looks operators up anew.
            for number in range(_STRETCH + 1):
                before = time.process_time()
                with race._clock.step() if measured else nullcontext():
                    race._train_on(batches)
                    waits = len(race._clock._step.waits) if race._clock._step else waits
                if number:
                    taken[measured].append(time.process_time() - before)
    begin = time.perf_counter()
    times = race._clock.take()
    whole = gather(times, world)
    gathered = time.perf_counter() - begin
    leave_world()
    if rank == 0:
        wait = _wait()
        print(f"step                 {whole.step * 1e3:9.2f} ms, {waits} waits")
        print(f"a wait, measured     {wait * 1e6:9.2f} us")
        print(
            f"all of a step        {waits * wait * 1e6:9.2f} us, {waits * wait / whole.step:.3%} of the step"
        )
        print(f"telling, evaluation  {gathered * 1e3:9.2f} ms for {len(times)} steps")
        ratio, count = statistics.median(taken[True]) / statistics.median(taken[False]), len(taken[True])
        print(f"CPU time of a step   {ratio:9.4f} × that of one that is not measured (medians of {count})")


def _wait() -> float:
    """Return the seconds that one measured wait takes by itself."""
    clock = StepClock(torch.device("cpu"))
    begin = time.perf_counter()
    with clock.step():
        for _ in range(WAITS):
            with clock.waiting("communication"):
                pass
    return (time.perf_counter() - begin) / WAITS


if __name__ == "__main__":
    main()
