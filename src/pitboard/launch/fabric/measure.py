"""The measurements, on every rank at once; rank 0 has them all at the end."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor

from pitboard.errors import LostContactError, PitboardError
from pitboard.launch.fabric import judge, topology
from pitboard.launch.fabric.nccl import read_log
from pitboard.launch.fabric.record import (
    OPERATIONS,
    RATES,
    Clock,
    Collective,
    Device,
    Fabric,
    Link,
    NcclChoice,
    Operation,
    rounds,
)
from pitboard.processes import node_name
from pitboard.text import printable
from pitboard.training.device import choose_device, device_name, synchronize
from pitboard.training.distributed import connect

T = TypeVar("T")

_ELEMENT = 4  # bytes of FP32
_MOST_REPETITIONS = 20
_MOST_PAIR_BYTES = {"cuda": 64 * 2**20, "cpu": 16 * 2**20}
_SWEEP = {"cuda": [4**power for power in range(6, 15)], "cpu": [4**power for power in range(6, 13)]}
_PINGS = 16
# On a CPU others may be at work, too. Of each measurement the best of several parts counts; on a GPU, whose
# clock falls as it gets hot, the mean of them.
_PARTS = {"cuda": 1, "cpu": 8}
_BLOCKS = {"cuda": 1, "cpu": 4}
# What seems slow is measured so often again, after a while of seconds each time: what made it seem so passes.
_AGAIN = (0.0, 0.2, 0.4, 0.8)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to measure: on which device, at which message sizes, for about how many seconds each.

    No sizes are those of a sweep from 4 KiB: to 256 MiB on GPUs, to 16 MiB on a CPU. `benchmark` with its
    `preset` and changed settings adds the sizes that its training would use. Ranks wait for each other for
    `timeout` seconds.
    """

    device: str = "auto"
    sizes: list[int] | None = None
    seconds: float = 0.2
    tolerance: float = 0.1
    timeout: int = 300
    benchmark: str | None = None
    preset: str = "full"
    overrides: dict[str, Any] | None = None


class _Rank(NamedTuple):
    """This rank, the node of each rank, and the group in which all talk beside what is measured."""

    rank: int
    size: int
    device: torch.device
    nodes: list[str]
    control: dist.ProcessGroup | None
    timeout: timedelta

    @property
    def leaders(self) -> dict[str, int]:
        """The first rank of each node."""
        return {name: self.nodes.index(name) for name in self.nodes}

    def gather(self, value: T) -> list[T]:
        """Return every rank's value, on every rank."""
        if self.control is None:
            return [value]
        box: list[Any] = [None] * self.size
        dist.all_gather_object(box, value, group=self.control)
        return cast("list[T]", box)

    def share(self, value: T) -> T:
        """Return rank 0's value on every rank."""
        if self.control is None:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return cast("T", box[0])

    def wait(self) -> None:
        """Wait for all ranks. Raises an error that names those that have not come after the timeout."""
        if self.control is not None:
            dist.monitored_barrier(self.control, timeout=self.timeout, wait_all_ranks=True)


def measure(wanted: Wanted, tell: Callable[[str], None]) -> Fabric | None:
    """Measure as one of the ranks that the environment describes; without one, alone.

    Rank 0 gets the result, and tells what is measured. Raises `PitboardError` where a device is missing, a
    rank does not come or is lost, or a benchmark's sizes cannot be known.
    """
    with tempfile.TemporaryDirectory(prefix="pitboard-fabric-") as folder:
        with _stage("joining the other ranks"):
            me = _join(wanted, Path(folder))
        found = _measure(me, wanted, tell if me.rank == 0 else lambda _: None, Path(folder))
        if dist.is_initialized():
            dist.destroy_process_group()
        return found


def _measure(me: _Rank, wanted: Wanted, tell: Callable[[str], None], logs: Path) -> Fabric | None:
    sizes = wanted.sizes or _SWEEP[me.device.type]
    tell(f"Measuring {me.size} device{'s' if me.size > 1 else ''} …")
    with _stage("measuring the devices"):
        devices = _devices(me, wanted.seconds)
    fabric = Fabric(
        nodes=me.nodes,
        backend="none" if me.control is None else "nccl" if me.device.type == "cuda" else "gloo",
        devices=devices,
    )
    if me.control is not None:
        fabric = _communicate(me, wanted, sizes, fabric, tell)
    fabric = _measured_again(me, wanted, sizes, fabric, tell)
    is_leader = me.leaders[me.nodes[me.rank]] == me.rank
    own = topology.node_topology(me.nodes[me.rank]) if is_leader else None
    choice = _nccl_choice(me.rank, logs)
    with _stage("gathering what was found"):
        topologies, choices = me.gather(own), me.gather(choice)
    if me.rank:
        return None
    return msgspec.structs.replace(
        fabric,
        topologies=[each for each in topologies if each is not None],
        nccl=[each for each in choices if each is not None],
    )


def _measured_again(
    me: _Rank, wanted: Wanted, sizes: list[int], fabric: Fabric, tell: Callable[[str], None]
) -> Fabric:
    """Return the measurements with what seems slow measured again, until nothing does or it is certain."""
    for pause in _AGAIN:
        devices, links = me.share(judge.doubtful(fabric, wanted.tolerance) if me.rank == 0 else (False, []))
        if not (devices or links):
            break
        tell(f"Measuring again what seems slow ({len(links)} links) …")
        time.sleep(pause)
        if devices:
            with _stage("measuring the devices again"):
                both = zip(fabric.devices, _devices(me, wanted.seconds), strict=True)
                fabric = msgspec.structs.replace(fabric, devices=[_with_tries(*pair) for pair in both])
        if links:
            found = _links_again(me, wanted, sizes, fabric.links, links)
            fabric = msgspec.structs.replace(fabric, links=found)
    return fabric


def _communicate(
    me: _Rank, wanted: Wanted, sizes: list[int], fabric: Fabric, tell: Callable[[str], None]
) -> Fabric:
    """Return what was measured with all that needs several ranks added."""
    tell("Measuring collective operations …")
    named = [(operation, size, "sweep") for operation in OPERATIONS for size in sizes]
    if wanted.benchmark is not None:
        from pitboard.launch.fabric.benchmark import message_sizes

        used = refused = None
        if me.rank == 0:
            try:
                used = message_sizes(wanted, me.size, me.device)
            except PitboardError as error:
                refused = str(error)
        used, refused = me.share((used, refused))
        if refused is not None:
            raise PitboardError(refused)
        named += [(operation, size, wanted.benchmark) for operation, size in used or []]
    collectives = []
    for operation, size, origin in named:
        with _stage(f"{operation} of {size:,} bytes"):
            collectives.append(_collective(me, operation, size, origin, wanted.seconds))
    tell("Measuring every pair …")
    return msgspec.structs.replace(
        fabric,
        collectives=collectives,
        links=_every_pair(me, sizes, wanted.seconds),
        clocks=_clocks(me),
    )


# Ranks and nodes.


def _join(wanted: Wanted, logs: Path) -> _Rank:
    """Join the ranks that torchrun started, or srun, for which `become_rank` set the same variables."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    timeout = timedelta(seconds=wanted.timeout)
    device = choose_device(wanted.device, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        return _Rank(0, 1, device, [_node()[0]], None, timeout)
    if device.type == "cuda":
        os.environ["NCCL_DEBUG"] = "INFO"
        os.environ["NCCL_DEBUG_SUBSYS"] = "INIT,ENV,NET,P2P,SHM"
        os.environ["NCCL_DEBUG_FILE"] = str(logs / "nccl.log")
    connect(rank, size, device, timeout)
    group = dist.new_group(backend="gloo", timeout=timeout)
    alone = _Rank(dist.get_rank(), size, device, [], group, timeout)
    return alone._replace(nodes=_told_apart(alone.gather(_node())))


def _node() -> tuple[str, str]:
    """Return the name of this rank's node, and the launcher's number for it: one host may play several."""
    return printable(node_name()[:255]), os.environ.get("GROUP_RANK") or os.environ.get("SLURM_NODEID") or ""


def _told_apart(nodes: list[tuple[str, str]]) -> list[str]:
    """Return a name for each rank's node, with the launcher's number where two nodes have one name."""
    numbers = {name: {number for other, number in nodes if other == name} for name, _ in nodes}
    return [f"{name}:{number}" if len(numbers[name]) > 1 else name for name, number in nodes]


@contextmanager
def _stage(what: str) -> Iterator[None]:
    """Say in an error what was being measured when another rank could not be reached."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise PitboardError(f"Memory ran out while {what}: take smaller messages with --sizes.") from error
    except (RuntimeError, dist.DistError) as error:
        first = printable(str(error).strip().partition("\n")[0][:300])
        raise LostContactError(
            f"Rank {os.environ.get('RANK', '0')} lost contact while {what} ({first})."
            " Check that all ranks run, and that NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME names the interface"
            " by which they reach each other."
        ) from error


# Devices.


def _devices(me: _Rank, seconds: float) -> list[Device]:
    """Return what the device of every rank does while all are as busy as it is."""
    device = me.device
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    size, length = (8192, 2**26) if on_gpu else (512, 2**23)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    source, target = (torch.ones(length, device=device) for _ in range(2))
    # A GPU takes seconds to warm up until it is throttled.
    longer = seconds * 10 if on_gpu else seconds
    me.wait()
    driver = _ask_clock(device)
    matrix = _rates(
        device,
        longer,
        lambda: torch.mm(left, right, out=product),
        wanted=lambda: driver is not None and driver.poll() is None,
    )
    throttled: list[str] = []
    if driver is None:
        clock = None if on_gpu else topology.processor_clock()
    else:
        clock, throttled = topology.throttling(driver.communicate()[0])
    me.wait()
    copy = _rates(device, seconds, lambda: target.copy_(source))
    host_copy: list[float] = []
    if on_gpu:
        pinned = torch.ones(length, pin_memory=True)
        me.wait()
        host_copy = _rates(device, seconds, lambda: target.copy_(pinned, non_blocking=True))
    tries = {
        "tflops": [each * 2 * size**3 / 1e12 for each in matrix],
        "copy": [each * 2 * length * 4 / 1e9 for each in copy],
        "host_copy": [each * length * 4 / 1e9 for each in host_copy],
        "clock_mhz": [] if clock is None else [clock],
    }
    return me.gather(
        Device(
            rank=me.rank,
            node=me.nodes[me.rank],
            name=device_name(device),
            **_best(tries),
            throttled=throttled,
            tries=tries,
        )
    )


def _best(tries: dict[str, list[float]]) -> dict[str, Any]:
    return {name: max(values, default=None) for name, values in tries.items()}


def _rates(
    device: torch.device,
    seconds: float,
    work: Callable[[], object],
    wanted: Callable[[], bool] = lambda: False,
) -> list[float]:
    """Return how often a second the device does some work, in each part of about so many seconds.

    It does so for up to ten seconds more while that is `wanted`.
    """
    work()
    synchronize(device)
    began = time.perf_counter()
    work()
    synchronize(device)
    took = time.perf_counter() - began
    part = seconds / _PARTS[device.type]
    batch = max(1, int(min(0.1, part) / max(took, 1e-6)))
    rates: list[float] = []
    start = time.perf_counter()
    while (
        (spent := time.perf_counter() - start) < seconds or not rates or (spent < seconds + 10 and wanted())
    ):
        done, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < part or not done:
            for _ in range(batch):
                work()
            synchronize(device)
            done += batch
        rates.append(done / took)
    return rates


def _ask_clock(device: torch.device) -> "subprocess.Popen[str] | None":
    """Start asking the driver for a GPU's clock, which takes a second; `None` where nobody can be asked."""
    command = shutil.which("nvidia-smi")
    if device.type != "cuda" or command is None:
        return None
    gpu = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    return subprocess.Popen(
        [command, *topology.clock_query(gpu)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _with_tries(one: Device, other: Device) -> Device:
    """Return a device with what was measured of it at two times."""
    tries = {name: [*one.tries[name], *other.tries[name]] for name in RATES}
    return msgspec.structs.replace(other, tries=tries, **_best(tries))


# Collective operations.


def _collective(me: _Rank, operation: Operation, size: int, origin: str, seconds: float) -> Collective:
    """Return the mean time of an operation, which all ranks begin together."""
    part = max(1, size // (_ELEMENT * me.size))
    whole = torch.zeros(part * me.size, device=me.device)
    share = torch.zeros(part, device=me.device)
    received = torch.zeros_like(whole) if operation == "send_recv" else whole
    after, before = (me.rank + 1) % me.size, (me.rank - 1) % me.size

    def work() -> None:
        if operation == "all_reduce":
            dist.all_reduce(whole)
        elif operation == "all_gather":
            dist.all_gather_single(whole, share)
        elif operation == "reduce_scatter":
            dist.reduce_scatter_single(share, whole)
        else:
            _exchange(send=(whole, after), receive=(received, before))

    def timed(repetitions: int) -> float:
        me.wait()
        began = time.perf_counter()
        for _ in range(repetitions):
            work()
        synchronize(me.device)
        return (time.perf_counter() - began) / repetitions

    timed(1)  # connects
    count = _repetitions(max(me.gather(timed(1))), seconds)
    times = me.gather(timed(count))
    return Collective(operation=operation, size=whole.nbytes, seconds=sum(times) / len(times), origin=origin)


def _repetitions(took: float, seconds: float) -> int:
    return max(1, min(_MOST_REPETITIONS, int(seconds / max(took, 1e-6))))


def _exchange(*, send: tuple[Tensor, int] | None = None, receive: tuple[Tensor, int] | None = None) -> None:
    """Send to one rank and receive from another at once; NCCL does both on the one communicator.

    The receiver is told of first: gloo's word that one is ready would else wait behind what is being sent.
    """
    operations = [dist.P2POp(dist.irecv, *receive)] if receive else []
    operations += [dist.P2POp(dist.isend, *send)] if send else []
    for work in dist.batch_isend_irecv(operations):
        work.wait()


# Pairs.


def _every_pair(me: _Rank, sizes: list[int], seconds: float) -> list[Link]:
    """Return each direction of every pair of nodes, and of every pair of ranks within a node.

    Pairs of a round have no node in common and are measured at once, each one direction after the other.
    """
    plans = []
    if len(me.leaders) > 1:
        plans.append(rounds(me.leaders.values()))
    within = [rounds([r for r, node in enumerate(me.nodes) if node == name]) for name in me.leaders]
    most = max(map(len, within))
    plans.append(
        [
            [pair for plan in within for pairs in plan[index : index + 1] for pair in pairs]
            for index in range(most)
        ]
    )
    found: list[tuple[tuple[int, int], list[float]]] = []
    for pairs in (pairs for plan in plans for pairs in plan):
        with _stage(f"measuring the pairs {_told(me, pairs)}"):
            me.wait()
            mine = next((pair for pair in pairs if me.rank in pair), None)
            found += [] if mine is None else _both_ways(me, mine, sizes, seconds)
    with _stage("gathering the pairs"):
        everything = [each for part in me.gather(found) for each in part]
    return [_link(me, ranks, tries) for ranks, tries in everything]


def _told(me: _Rank, pairs: list[tuple[int, int]]) -> str:
    told = ", ".join(f"{me.nodes[a]} rank {a} and {me.nodes[b]} rank {b}" for a, b in pairs[:4])
    return told + (" and more" if len(pairs) > 4 else "")


def _link(me: _Rank, ranks: tuple[int, int], tries: list[float]) -> Link:
    sender, receiver = (me.nodes[rank] for rank in ranks)
    node = sender if sender == receiver else None
    if node is not None:
        sender, receiver = (f"rank {rank}" for rank in ranks)
    return Link(sender=sender, receiver=receiver, ranks=ranks, bandwidth=max(tries), node=node, tries=tries)


def _both_ways(
    me: _Rank, pair: tuple[int, int], sizes: list[int], seconds: float
) -> list[tuple[tuple[int, int], list[float]]]:
    """Return what this rank measured as the sender of its pair, first the one and then the other."""
    size = min(max(sizes), _MOST_PAIR_BYTES[me.device.type])
    message = torch.zeros(max(1, size // _ELEMENT), device=me.device)
    first, second = pair
    found = []
    for sender, receiver in ((first, second), (second, first)):
        if me.rank == sender:
            found.append(((sender, receiver), _send(me, message, receiver, seconds)))
        else:
            _receive(me, message, sender)
    return found


def _send(me: _Rank, message: Tensor, to: int, seconds: float, *, again: bool = False) -> list[float]:
    """Return the bandwidth in GB/s until the other rank says that it has all, of each block of messages."""
    dist.send(torch.tensor([1, 1]), to, group=me.control)
    took = _send_all(me, message, to, 1)  # connects
    repetitions = _repetitions(took, seconds)
    blocks = _BLOCKS[me.device.type]
    if again:  # which is done several times, be the messages as slow as they are
        blocks = min(blocks, repetitions)
    count = max(1, repetitions // blocks)
    dist.send(torch.tensor([blocks, count]), to, group=me.control)
    return [message.nbytes * count / _send_all(me, message, to, count) / 1e9 for _ in range(blocks)]


def _send_all(me: _Rank, message: Tensor, to: int, count: int) -> float:
    dist.recv(torch.empty(1), to, group=me.control)  # the other is ready
    began = time.perf_counter()
    for _ in range(count):
        _exchange(send=(message, to))
    dist.recv(torch.empty(1), to, group=me.control)
    return time.perf_counter() - began


def _receive(me: _Rank, message: Tensor, sender: int) -> None:
    for _ in range(2):
        told = torch.zeros(2, dtype=torch.long)
        dist.recv(told, sender, group=me.control)
        blocks, count = told.tolist()
        for _ in range(blocks):
            dist.send(torch.ones(1), sender, group=me.control)
            for _ in range(count):
                _exchange(receive=(message, sender))
            synchronize(me.device)
            dist.send(torch.ones(1), sender, group=me.control)


def _links_again(
    me: _Rank, wanted: Wanted, sizes: list[int], links: list[Link], doubtful: list[tuple[int, int]]
) -> list[Link]:
    """Return the links with the doubtful ones measured again, each alone."""
    found: dict[tuple[int, int], list[float]] = {}
    size = min(max(sizes), _MOST_PAIR_BYTES[me.device.type])
    for sender, receiver in doubtful:
        with _stage(f"measuring {_told(me, [(sender, receiver)])} again"):
            me.wait()
            if me.rank in (sender, receiver):
                message = torch.zeros(max(1, size // _ELEMENT), device=me.device)
                if me.rank == sender:
                    found[sender, receiver] = _send(me, message, receiver, wanted.seconds, again=True)
                else:
                    _receive(me, message, sender)
    for part in me.gather(found):
        found |= part
    return [_link(me, link.ranks, link.tries + found.get(link.ranks, [])) for link in links]


# Clocks.


def _clocks(me: _Rank) -> list[Clock]:
    """Return how far each node's clock is ahead of rank 0's, by the quickest of several exchanges."""
    found = [Clock(node=me.nodes[0], ahead=0.0, within=0.0)]
    for node, leader in me.leaders.items():
        if leader == 0:
            continue
        with _stage(f"comparing the clock of {node}"):
            me.wait()
            if me.rank == 0:
                tries = [_ping(me, leader) for _ in range(_PINGS)]
                within, ahead = min(tries)
                found.append(Clock(node=node, ahead=ahead, within=within))
            elif me.rank == leader:
                for _ in range(_PINGS):
                    _answer(me)
    return found


def _ping(me: _Rank, other: int) -> tuple[float, float]:
    """Return half the time of an exchange, within which the answer holds, and the other clock's lead."""
    times = torch.zeros(1, dtype=torch.float64)
    began = time.time()
    dist.send(times, other, group=me.control)
    dist.recv(times, other, group=me.control)
    ended = time.time()
    return (ended - began) / 2, float(times) - (began + ended) / 2


def _answer(me: _Rank) -> None:
    times = torch.zeros(1, dtype=torch.float64)
    dist.recv(times, 0, group=me.control)
    times[0] = time.time()
    dist.send(times, 0, group=me.control)


def _nccl_choice(rank: int, logs: Path) -> NcclChoice | None:
    log = logs / "nccl.log"
    return read_log(rank, log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else None
