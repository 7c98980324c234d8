"""What is off: a device, a link, a node or a choice of NCCL, held against its peers and its hardware."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from statistics import median
from typing import Literal, NamedTuple, TypeVar

import msgspec

from pitboard.launch.fabric.record import RATES, Device, Fabric, Link, NcclChoice, Topology

K = TypeVar("K", bound=Hashable)
Subject = Literal["device", "link", "clock", "topology", "nccl"]

# Iglewicz and Hoaglin's bound for a value's distance from the median, in scaled median absolute deviations.
_FAR = 3.5
_SCALE = 0.6745
# NTP keeps a cluster within a millisecond or two; the time stamps of logs that are compared need no more.
_CLOCK_SECONDS = 0.05


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is off: `what` it concerns, `where`, and for a rate by which share it is `behind`."""

    what: Subject
    where: str
    message: str
    behind: float | None = None


class Slow(NamedTuple):
    """A rate below those of its peers."""

    value: float
    typical: float

    @property
    def behind(self) -> float:
        """By which share it is below."""
        return 1 - self.value / self.typical


def slow(best: Mapping[K, float], tolerance: float, usual: Mapping[K, float] | None = None) -> dict[K, Slow]:
    """Return the rates that are more than a share `tolerance` below the peers' median, and beyond its spread.

    `best` is the best that was measured of each, and is held against what the peers do as a rule, by default
    their best, too: what a busy machine slows now and then reaches that once, a slow link never does. The
    spread is the median absolute deviation, so that many peers hide no outlier and few that scatter name
    none. Of two rates nothing tells which is right: the higher one is what the lower is held against.
    """
    if len(best) < 2:
        return {}
    rates = [*(best if usual is None else usual).values()]
    typical = max(rates) if len(rates) == 2 else median(rates)
    spread = 0.0 if len(rates) == 2 else median(abs(rate - typical) for rate in rates)
    return {
        name: Slow(value, typical)
        for name, value in best.items()
        if value < typical * (1 - tolerance) and _SCALE * (typical - value) > _FAR * spread
    }


class SlowDevice(NamedTuple):
    """A device that is behind its peers of the same name in one quantity."""

    device: Device
    quantity: str
    rate: Slow


_DEVICE_WORDS = {
    "tflops": "computes {:.3g} TFLOP/s in matrix products",
    "copy": "copies {:.3g} GB/s in its memory",
    "host_copy": "is given {:.3g} GB/s from the host's memory",
    "clock_mhz": "runs at {:.0f} MHz under load",
}


def slow_devices(devices: Iterable[Device], tolerance: float) -> list[SlowDevice]:
    """Return the devices that are slower than the others of the same name, by quantity."""
    kinds: dict[str, list[Device]] = defaultdict(list)
    for device in devices:
        kinds[device.name].append(device)
    found = []
    for alike in kinds.values():
        for quantity in RATES:
            best = {d.rank: value for d in alike if (value := getattr(d, quantity)) is not None}
            usual = {d.rank: value for d in alike if (value := d.usual(quantity)) is not None}
            rates = slow(best, tolerance, usual)
            found += [SlowDevice(d, quantity, rates[d.rank]) for d in alike if d.rank in rates]
    return found


class SlowEnd(NamedTuple):
    """A node, or a rank within one, all of whose links are slow in one direction."""

    name: str
    node: str | None
    sends: bool
    rate: Slow


def slow_ends(links: Iterable[Link], tolerance: float) -> list[SlowEnd]:
    """Return the ends of links whose best link is behind the best of other ends, of three or more."""
    found = []
    for alike in _alike(links):
        for sends in (True, False):
            best: dict[tuple[str, str | None], float] = defaultdict(float)
            usual: dict[tuple[str, str | None], float] = defaultdict(float)
            for link in alike:
                end = link.sender if sends else link.receiver, link.node
                best[end] = max(best[end], link.bandwidth)
                usual[end] = max(usual[end], link.usual)
            if len(best) > 2:
                rates = slow(best, tolerance, usual)
                found += [SlowEnd(name, node, sends, rate) for (name, node), rate in rates.items()]
    return found


def slow_links(links: Iterable[Link], tolerance: float) -> list[tuple[Link, Slow]]:
    """Return the links that are slower than their two ends' best links explain, with what those allow."""
    found = []
    for alike in _alike(links):
        out: dict[tuple[str, str | None], float] = defaultdict(float)
        into: dict[tuple[str, str | None], float] = defaultdict(float)
        for link in alike:
            for usual, end in ((out, link.sender), (into, link.receiver)):
                usual[end, link.node] = max(usual[end, link.node], link.usual)
        few = len(alike) == 2
        expected = {
            link.ranks: 1.0 if few else min(out[link.sender, link.node], into[link.receiver, link.node])
            for link in alike
        }
        rates = slow(
            {link.ranks: link.bandwidth / expected[link.ranks] for link in alike},
            tolerance,
            {link.ranks: link.usual / expected[link.ranks] for link in alike},
        )
        for link in alike:
            if rate := rates.get(link.ranks):
                found.append((link, Slow(link.bandwidth, rate.typical * expected[link.ranks])))
    return found


def _alike(links: Iterable[Link]) -> Iterable[list[Link]]:
    """Return the links between nodes, and those within nodes, which are peers of each other."""
    kinds: dict[bool, list[Link]] = defaultdict(list)
    for link in links:
        kinds[link.node is None].append(link)
    return kinds.values()


def doubtful(fabric: Fabric, tolerance: float) -> tuple[bool, list[tuple[int, int]]]:
    """Return whether devices, and which links, are to be measured again before they are called slow.

    With a link comes the same pair's other direction: what it is held against may have had a quiet moment.
    """
    ends = {(end.name, end.node, end.sends) for end in slow_ends(fabric.links, tolerance)}
    single = {link.ranks for link, _ in slow_links(fabric.links, tolerance)}
    links = {
        link.ranks
        for link in fabric.links
        if link.ranks in single
        or (link.sender, link.node, True) in ends
        or (link.receiver, link.node, False) in ends
    }
    links |= {(receiver, sender) for sender, receiver in links}
    return bool(slow_devices(fabric.devices, tolerance)), sorted(links)


def judge(fabric: Fabric, tolerance: float) -> list[Fault]:
    """Return all that is off, with how far; `tolerance` is the share that peers may be apart."""
    return [
        *_devices(fabric, tolerance),
        *_links(fabric, tolerance),
        *_clocks(fabric),
        *_hardware(fabric),
        *_nccl(fabric),
    ]


def _devices(fabric: Fabric, tolerance: float) -> list[Fault]:
    found = []
    for device, quantity, rate in slow_devices(fabric.devices, tolerance):
        words = _DEVICE_WORDS[quantity].format(rate.value)
        found.append(
            Fault(
                what="device",
                where=f"{device.node} rank {device.rank}",
                message=f"Slow device: rank {device.rank} on {device.node} {words}, {rate.behind:.0%} below"
                f" its peers ({rate.typical:.4g}).",
                behind=rate.behind,
            )
        )
    for device in fabric.devices:
        if device.throttled:
            found.append(
                Fault(
                    what="device",
                    where=f"{device.node} rank {device.rank}",
                    message=f"Throttled: the driver lowers the clock of rank {device.rank} on {device.node}"
                    f" ({', '.join(device.throttled)}). Check its cooling and power supply.",
                )
            )
    return found


def _links(fabric: Fabric, tolerance: float) -> list[Fault]:
    found = []
    for name, node, sends, rate in slow_ends(fabric.links, tolerance):
        verb = "sends to" if sends else "receives from"
        where, others = (f"node {name}", "node") if node is None else (f"{name} on {node}", "rank")
        found.append(
            Fault(
                what="link",
                where=name,
                message=f"Slow link: {where} {verb} every other {others} at {rate_text(rate.value)} at most,"
                f" {rate.behind:.0%} below its peers ({rate_text(rate.typical)}).",
                behind=rate.behind,
            )
        )
    for link, rate in slow_links(fabric.links, tolerance):
        found.append(
            Fault(
                what="link",
                where=f"{link.sender} → {link.receiver}",
                message=f"Slow link: {link.sender} → {link.receiver} carries {rate_text(rate.value)},"
                f" {rate.behind:.0%} below its peers ({rate_text(rate.typical)}).",
                behind=rate.behind,
            )
        )
    return found


def rate_text(gigabytes: float) -> str:
    """Return a bandwidth as networks and NCCL state it: "0.0239 GB/s, 191 Mbit/s"."""
    bits = gigabytes * 8
    network = f"{bits:.3g} Gbit/s" if bits >= 1 else f"{bits * 1000:.3g} Mbit/s"
    return f"{gigabytes:.3g} GB/s, {network}"


def _clocks(fabric: Fabric) -> list[Fault]:
    if not fabric.clocks:
        return []
    # With two nodes nothing tells which is right: the second is held against the first.
    several = len(fabric.clocks) > 2
    typical = median(clock.ahead for clock in fabric.clocks) if several else 0.0
    known = median(clock.within for clock in fabric.clocks) if several else 0.0
    found = []
    for clock in fabric.clocks:
        ahead = clock.ahead - typical
        if abs(ahead) - clock.within - known > _CLOCK_SECONDS:
            where = "ahead of" if ahead > 0 else "behind"
            found.append(
                Fault(
                    what="clock",
                    where=clock.node,
                    message=f"Clock: {clock.node} is {abs(ahead):.3g} s {where} the other nodes."
                    " Synchronise it (chrony, PTP), or its logs cannot be compared with theirs.",
                )
            )
    return found


def _hardware(fabric: Fabric) -> list[Fault]:
    """Return the ports that are down or slow, and the nodes that have other hardware than most."""
    found = []
    for node in fabric.topologies:
        fastest = max((port.gigabits for port in node.ports if port.active and port.rdma), default=0.0)
        for port in node.ports:
            if port.rdma and not port.active and port.gigabits >= fastest > 0:
                found.append(_of_node(node, f"its port {port.name} ({port.kind}) is down: check the cable."))
    kinds = Counter(map(_kind, fabric.topologies))
    if len(kinds) > 1:
        (usual, count), *_ = kinds.most_common(1)
        if count > 1:
            found += [
                _of_node(node, f"it has {_kind(node)}; most nodes have {usual}.")
                for node in fabric.topologies
                if _kind(node) != usual
            ]
        else:
            found.append(_of_node(fabric.topologies[0], "no two nodes have the same ports and GPUs."))
    return found


def _of_node(node: Topology, words: str) -> Fault:
    return Fault(what="topology", where=node.node, message=f"Hardware of {node.node}: {words}")


def _kind(node: Topology) -> str:
    """Return what a node has, in words that are the same for equal nodes."""
    counts = Counter((port.kind, port.gigabits) for port in node.ports if port.active)
    told = [
        f"{count}x {kind} {rate:g} Gb/s" if rate else f"{count}x {kind}"
        for (kind, rate), count in sorted(counts.items())
    ]
    groups = " + ".join(str(len(group)) for group in node.nvlink)
    gpus = f"{node.gpus} GPUs" + (f" (NVLink {groups})" if groups else "") if node.gpus else "no GPU"
    return f"{gpus}, {' + '.join(told) or 'no network port that shows'}"


def _nccl(fabric: Fabric) -> list[Fault]:
    """Return where NCCL chose less than the hardware allows; each once a node."""
    hardware = {node.node: node for node in fabric.topologies}
    found: dict[tuple[str, str], Fault] = {}
    for choice in fabric.nccl:
        name = fabric.nodes[choice.rank]
        node = hardware.get(name)
        if node is None:
            continue
        for words in filter(None, (_network(choice, node, fabric), _nvlink(choice, node, fabric))):
            found.setdefault(
                (name, words), Fault(what="nccl", where=name, message=f"NCCL on {name}: {words}")
            )
    versions = Counter(choice.version for choice in fabric.nccl if choice.version)
    if len(versions) > 1:
        told = ", ".join(sorted(versions))
        return [
            *found.values(),
            Fault(what="nccl", where="", message=f"NCCL: ranks have different versions ({told})."),
        ]
    return [*found.values()]


def _network(choice: NcclChoice, node: Topology, fabric: Fabric) -> str:
    """Say what is wrong with how a rank reaches other nodes; "" where nothing is."""
    ports = [port for port in node.ports if port.rdma and port.active]
    own = fabric.nodes[choice.rank]
    away = {way for peer, ways in choice.links.items() if fabric.nodes[peer] != own for way in ways}
    if not ports or not (away or choice.network) or len(set(fabric.nodes)) == 1:
        return ""
    has = f"{len(ports)} active {ports[0].kind} port{'s' if len(ports) > 1 else ''}"
    if any("Socket" in way for way in away or {choice.network}):
        reason = ""
        if choice.settings.get("NCCL_IB_DISABLE", "0") not in ("0", ""):
            reason = ": NCCL_IB_DISABLE is set"
        elif choice.settings.get("NCCL_NET", "").casefold() == "socket":
            reason = ": NCCL_NET is set to Socket"
        elif choice.no_adapter:
            reason = ": it found no device (are libibverbs and /dev/infiniband there, also in the container?)"
        return f"it uses TCP sockets although the node has {has}{reason}."
    fastest = [port for port in ports if port.gigabits == max(each.gigabits for each in ports)]
    unused = [port.name for port in fastest if port.name not in choice.adapters]
    if choice.adapters and unused:
        return f"it uses {len(fastest) - len(unused)} of the node's {has}; not {', '.join(unused)}."
    direct = ["GDRDMA" in way for way in away if way.startswith("NET")]
    if any(node.near) and direct and not any(direct):
        return (
            "it copies through the host's memory (no GPUDirect RDMA) although GPUs and ports share a PCIe"
            " switch: load nvidia_peermem, or allow DMA-BUF."
        )
    return ""


def _nvlink(choice: NcclChoice, node: Topology, fabric: Fabric) -> str:
    """Say where ranks of a node go around NVLink; "" where none does."""
    here = [rank for rank, name in enumerate(fabric.nodes) if name == node.node]
    # Ranks take the node's GPUs in order; with fewer ranks than GPUs nothing tells which.
    if len(here) != node.gpus:
        return ""
    place = {rank: index for index, rank in enumerate(here)}
    for peer, ways in choice.links.items():
        joined = peer in place and any(
            {place[choice.rank], place[peer]} <= set(group) for group in node.nvlink
        )
        around = [way for way in ways if way.startswith(("SHM", "NET"))]
        if joined and around:
            why = ": NCCL_P2P_DISABLE is set" if choice.settings.get("NCCL_P2P_DISABLE", "0") != "0" else ""
            return f"GPUs that NVLink joins talk by {around[0]}{why}."
    return ""
