"""What was measured and found on a cluster, as plain data, and how bandwidth is counted."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

from pitboard import __version__
from pitboard.errors import PitboardError
from pitboard.files import write_atomically

Operation = Literal["all_reduce", "all_gather", "reduce_scatter", "send_recv"]
OPERATIONS: tuple[Operation, ...] = ("all_reduce", "all_gather", "reduce_scatter", "send_recv")


def algorithm_bandwidth(size: int, seconds: float) -> float:
    """Return the bytes of an operation over its time, in GB/s.

    As nccl-tests count them, the bytes are those of the whole result of an all-gather, and of a rank's whole
    input of a reduce-scatter.
    """
    return size / seconds / 1e9


def bus_bandwidth(operation: Operation, size: int, seconds: float, ranks: int) -> float:
    """Return the rate in GB/s at which the slowest link must have carried data, whatever the ranks' number.

    A rank must send and receive 2(n−1)/n of an all-reduce's bytes, (n−1)/n of those of a reduce-scatter or an
    all-gather, and all that it sends to one neighbour (nccl-tests, doc/PERFORMANCE.md).
    """
    share = {"all_reduce": 2 * (ranks - 1) / ranks, "send_recv": 1.0}.get(operation, (ranks - 1) / ranks)
    return algorithm_bandwidth(size, seconds) * share


class Collective(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of all ranks at one message size; `seconds` is the mean over ranks and repetitions."""

    operation: Operation
    size: int
    seconds: float
    origin: str = "sweep"


RATES = ("tflops", "copy", "host_copy", "clock_mhz")
"""The fields of a `Device` in which devices of one name are alike."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank's device does while all others are as busy.

    `tflops` is of a large matrix product, `copy` and `host_copy` are GB/s of a copy within its memory (read
    and written) and from the host's; `throttled` are the driver's reasons for a lower clock. `tries` has, by
    the name of each of these, what was measured each time: the figure itself is the best of them.
    """

    rank: int
    node: str
    name: str
    tflops: float
    copy: float
    host_copy: float | None = None
    clock_mhz: float | None = None
    throttled: list[str] = []
    tries: dict[str, list[float]] = {}

    def usual(self, quantity: str) -> float | None:
        """Return what a quantity is as a rule: the median of the tries."""
        best: float | None = getattr(self, quantity)
        return median(self.tries.get(quantity) or [best]) if best is not None else None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank sends to another while no other rank of the two's sends; `node` where both are on one.

    `bandwidth` is the best of `tries`.
    """

    sender: str
    receiver: str
    ranks: tuple[int, int]
    bandwidth: float
    node: str | None = None
    tries: list[float] = []

    @property
    def usual(self) -> float:
        """What it carries as a rule: the median of the tries."""
        return median(self.tries or [self.bandwidth])


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How many seconds a node's clock is ahead of the first node's, known to `within` seconds."""

    node: str
    ahead: float
    within: float


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A network port: "mlx5_0:1" with RDMA, or an interface without; `gigabits` is 0 where it is not told."""

    name: str
    kind: Literal["InfiniBand", "RoCE", "RDMA", "Ethernet"]
    gigabits: float
    active: bool

    @property
    def rdma(self) -> bool:
        """Whether the port's hardware reads and writes another host's memory."""
        return self.kind != "Ethernet"


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The hardware of a node as its kernel and driver show it.

    `nvlink` are its GPUs in groups that NVLink joins, `near` how many network ports share a PCIe switch with
    each GPU, and `domain` names the NVLink domain that spans nodes, where there is one.
    """

    node: str
    ports: list[Port] = []
    gpus: int = 0
    nvlink: list[list[int]] = []
    near: list[int] = []
    domain: str = ""


class NcclChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank's NCCL log says that it chose.

    `links` are the transports to each peer rank, such as "NET/IB/GDRDMA" or "P2P/CUMEM"; `adapters` the ports
    that its InfiniBand transport uses, and `settings` the NCCL variables that it read.
    """

    rank: int
    version: str = ""
    network: str = ""
    adapters: list[str] = []
    no_adapter: bool = False
    links: dict[int, list[str]] = {}
    settings: dict[str, str] = {}


class Fabric(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured; `nodes` gives the node of each rank."""

    nodes: list[str]
    backend: str
    devices: list[Device]
    collectives: list[Collective] = []
    links: list[Link] = []
    clocks: list[Clock] = []
    topologies: list[Topology] = []
    nccl: list[NcclChoice] = []
    version: str = __version__

    def write(self, path: Path) -> None:
        """Write it to a file, whole or not at all. Raises `PitboardError` where that cannot be written."""
        write_atomically(path, msgspec.json.encode(self))


def read_fabric(path: Path) -> Fabric:
    """Return what a file holds that `Fabric.write` wrote. Raises `PitboardError` where it is not there."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Fabric)
    except (OSError, msgspec.MsgspecError) as error:
        raise PitboardError(f"The ranks left no measurements in {path}: {error}.") from error


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def parse_sizes(text: str) -> list[int]:
    """Return message sizes in bytes from a list such as "64K,1M", each once and in order.

    Raises `PitboardError` for what is not a size from 4 bytes to 64 GiB.
    """
    sizes = set()
    for word in filter(None, (part.strip().upper() for part in text.split(","))):
        number = word.removesuffix("B").removesuffix("I")
        unit = number[-1:] if number[-1:] in _UNITS else ""
        digits = number.removesuffix(unit)
        whole = digits.isascii() and digits.isdecimal() and len(digits) < 12
        size = int(digits) * _UNITS[unit] if whole else 0
        if not 4 <= size <= 2**36:
            raise PitboardError(
                f"--sizes: '{word}' is no message size from 4 bytes to 64 GiB. Write it as 65536, 64K or 1M."
            )
        sizes.add(size)
    if not sizes:
        raise PitboardError("--sizes names no message size. Write, for example, --sizes 64K,1M.")
    return sorted(sizes)


def size_text(size: int) -> str:
    """Return a message size for people: "64 KiB"; bytes where it is less."""
    for unit, power in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= power:
            return f"{round(size / power, 1):g} {unit}"
    return f"{size} B"


def rounds(names: Iterable[int]) -> list[list[tuple[int, int]]]:
    """Return every pair of the ranks, in rounds in which each has at most one partner (the circle method)."""
    circle: list[int | None] = [*names]
    if len(circle) % 2:
        circle.append(None)
    half = len(circle) // 2
    found = []
    for _ in range(len(circle) - 1):
        pairs = zip(circle[:half], reversed(circle[half:]), strict=True)
        found.append([(a, b) for a, b in pairs if a is not None and b is not None])
        circle = [circle[0], circle[-1], *circle[1:-1]]
    return found
