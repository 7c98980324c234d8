"""Where the time of a step went, held against truth: ranks on links of a known speed, one of them slowed."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pitboard.events import read_events
from pitboard.results.scaling import rank_scaling
from support import Python, command_environment, the_log, tiny

pytestmark = pytest.mark.slow

RANKS = 4
MEGABITS = 12
SLOW = 2
SECONDS = 0.15

# A rank in a network namespace, which counts what it sends within its steps; SLOW waits before each batch.
RANK = f"""
import ctypes, json, os, runpy, sys, time
from pathlib import Path

space = os.open("/var/run/netns/" + os.environ["SPACE"], os.O_RDONLY)
assert ctypes.CDLL(None, use_errno=True).setns(space, 0x40000000) == 0, os.strerror(ctypes.get_errno())

from pitboard.training import loading
from pitboard.training.loop import Race

def sent():
    (line,) = [line for line in Path("/proc/self/net/dev").read_text().splitlines() if "eth0:" in line]
    return int(line.partition(":")[2].split()[8])

train_on, as_told = Race._train_on, loading._as_told
bytes_of_steps = []

def counted(race, batches):
    before = sent()
    train_on(race, batches)
    bytes_of_steps.append(sent() - before)

def slowed(reading):
    for batch in as_told(reading):
        time.sleep({SECONDS})
        yield batch

Race._train_on = counted
if os.environ["SLOWED"] == os.environ["RANK"]:
    loading._as_told = slowed
try:
    runpy.run_module("pitboard", run_name="__main__", alter_sys=True)
finally:
    Path(os.environ["COUNTS"] + os.environ["RANK"]).write_text(json.dumps(bytes_of_steps))
"""


@pytest.fixture(scope="module")
def spaces() -> Iterator[list[str]]:
    """Network namespaces, one a rank, on one bridge; skipped where they cannot be made."""
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool} (iproute2) for links of a known speed")
    mark = f"pb{os.getpid()}"
    names, switch = [f"{mark}r{rank}" for rank in range(RANKS)], f"{mark}s"
    commands = [f"ip netns add {switch}", f"ip -n {switch} link add br0 type bridge"]
    commands.append(f"ip -n {switch} link set br0 up")
    for rank, name in enumerate(names):
        commands += [
            f"ip netns add {name}",
            f"ip -n {name} link add eth0 type veth peer name p{rank} netns {switch}",
            f"ip -n {name} addr add 10.77.0.{rank + 1}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} link set lo up",
            f"ip -n {switch} link set p{rank} master br0 up",
        ]
    try:
        for command in commands:
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {command}: {done.stderr.strip()}")
        yield names
    finally:
        for name in (*names, switch):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture
def shaped(spaces: list[str]) -> Iterator[None]:
    """Let each rank send at a known rate."""
    for name in spaces:
        shape = f"root tbf rate {MEGABITS}mbit burst 6kb latency 400ms"
        command = f"tc -n {name} qdisc add dev eth0 {shape}"
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"links cannot be shaped here: {done.stderr.strip()}")
    yield
    for name in spaces:
        subprocess.run(f"tc -n {name} qdisc del dev eth0 root".split(), check=True)


Train = Callable[[str, int], tuple[Path, list[list[int]]]]


@pytest.fixture
def train(spaces: list[str], python: Python, cache: Path, tmp_path: Path) -> Train:
    """Return a function that trains on the ranks, one slowed, and gives the output and the bytes sent."""

    def run(name: str, slowed: int) -> tuple[Path, list[list[int]]]:
        counts = tmp_path / f"{name}-bytes-"
        ranks = []
        arguments = [*tiny("llama31_8b"), "--seed", 7, "--precision", "fp32", "--output", tmp_path / name]
        for rank, space in enumerate(spaces):
            own: dict[str, object] = {
                "RANK": rank,
                "LOCAL_RANK": 0,
                "WORLD_SIZE": RANKS,
                "LOCAL_WORLD_SIZE": 1,
            }
            own |= {"MASTER_ADDR": "10.77.0.1", "MASTER_PORT": 29500 + slowed, "GLOO_SOCKET_IFNAME": "eth0"}
            own |= {"SPACE": space, "COUNTS": counts, "SLOWED": slowed}
            environment = command_environment(cache) | {key: str(value) for key, value in own.items()}
            ranks.append(python("-c", RANK, *arguments, env=environment))
        for process in ranks:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 1, errors  # a tiny model does not reach the target
        return tmp_path / name, [json.loads(Path(f"{counts}{rank}").read_text()) for rank in range(RANKS)]

    return run


@pytest.mark.usefixtures("shaped")
def test_slow_links_are_communication_and_a_slow_rank_is_named(train: Train) -> None:
    folder, sent = train("slow", SLOW)
    log = the_log(folder)
    (row,) = rank_scaling({RANKS: [log]}, "llama31_8b", "smoke").rows
    steps = len(sent[0])
    assert steps == 8
    # What the links take for what was sent; what a queue of a few kilobytes lets through at once is less.
    wire = max(sum(rank) for rank in sent) / steps * 8 / MEGABITS / 1e6
    assert wire > 0.1
    assert 0.8 * wire < row["communication_ms"] / 1e3 < 1.5 * wire + 0.05
    # All wait for the slow rank, but itself: that is the others' imbalance, and its own wait is for data.
    assert row["data_ms"] / 1e3 == pytest.approx(SECONDS / RANKS, rel=0.2)
    assert row["imbalance_ms"] / 1e3 == pytest.approx(SECONDS * (RANKS - 1) / RANKS, rel=0.5)
    (named,) = [event.value for event in read_events(log) if event.key == "pitboard_stragglers"]
    assert (named[0]["rank"], named[0]["host"]) == (SLOW, os.uname().nodename)
    plan = json.loads((folder / "run.json").read_text())
    assert plan["environment"]["hosts"] == [os.uname().nodename] * RANKS
    assert plan["environment"]["variables"]["GLOO_SOCKET_IFNAME"] == "eth0"


def test_ranks_alike_on_fast_links_wait_little(train: Train) -> None:
    folder, sent = train("fast", -1)
    (row,) = rank_scaling({RANKS: [the_log(folder)]}, "llama31_8b", "smoke").rows
    wire = max(sum(rank) for rank in sent) / len(sent[0]) * 8 / MEGABITS / 1e6
    assert row["communication_ms"] / 1e3 < 0.5 * wire
    assert row["data_ms"] / 1e3 < SECONDS / RANKS / 2
