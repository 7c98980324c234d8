"""The answer of `pitboard fabric`: what a cluster's devices and links do, and what is off."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from pitboard.launch.fabric.judge import Fault, judge, rate_text
from pitboard.launch.fabric.record import (
    Fabric,
    algorithm_bandwidth,
    bus_bandwidth,
    size_text,
)
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.question import Chart
from pitboard.results.schema import Row
from pitboard.text import clean

_DEFINITION = (
    "Bandwidths are counted as nccl-tests count them, in GB/s (1e9 bytes): the algorithm's is an operation's"
    " bytes over its time, the bus's is that times 2(n−1)/n for an all-reduce, (n−1)/n for an all-gather or"
    " a reduce-scatter, and 1 for sending to one neighbour while receiving from the other. Pairs are measured"
    " one direction at a time. A rate is off where its best, of several times, is more than the tolerance"
    " below the median of what its peers do as a rule, and 3.5 scaled median absolute deviations from it."
)
_MANY = 24
"""More links than these are for programs and the heat map; people are told the slowest."""


def fabric_answer(fabric: Fabric, tolerance: float) -> Answer:
    """Return the answer: collective operations as rows, and tables of devices, pairs, clocks and topology.

    `warnings` say what is off; `facts["passed"]` is whether nothing is.
    """
    findings = judge(fabric, tolerance)
    nodes = list(dict.fromkeys(fabric.nodes))
    title = (
        f"Fabric: {_count(len(fabric.nodes), 'rank')} on {_count(len(nodes), 'node')}, {_backend(fabric)}:"
        f" {_count(len(findings), 'problem') if findings else 'nothing is off'}"
    )
    return Answer(
        title=title,
        columns=_columns([bus for *_, bus in _bandwidths(fabric)]),
        rows=[
            {
                "operation": each.operation,
                "size": size_text(each.size),
                "bytes": each.size,
                "microseconds": each.seconds * 1e6,
                "algorithm_bandwidth": algorithm,
                "bus_bandwidth": bus,
                "origin": each.origin,
            }
            for each, algorithm, bus in _bandwidths(fabric)
        ],
        question="fabric",
        definition=_DEFINITION,
        sql="",
        parameters={"tolerance": tolerance},
        warnings=[finding.message for finding in findings],
        notes=_notes(fabric),
        facts={
            "passed": not findings,
            "ranks": len(fabric.nodes),
            "nodes": nodes,
            "node_of_rank": fabric.nodes,
            "backend": fabric.backend,
            "version": fabric.version,
        },
        more={
            "devices": _devices(fabric),
            **({"pairs": _pairs(fabric)} if fabric.links else {}),
            **({"clocks": _clocks(fabric)} if len(fabric.clocks) > 1 else {}),
            "topology": _topology(fabric),
            **({"nccl": _nccl(fabric)} if fabric.nccl else {}),
            "findings": _findings(findings),
        },
    )


def _bandwidths(fabric: Fabric) -> Iterable[tuple[Any, float, float]]:
    ranks = len(fabric.nodes)
    for each in fabric.collectives:
        yield (
            each,
            algorithm_bandwidth(each.size, each.seconds),
            bus_bandwidth(each.operation, each.size, each.seconds, ranks),
        )


def _backend(fabric: Fabric) -> str:
    return {"nccl": "NCCL", "none": "no communication"}.get(fabric.backend, fabric.backend)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_names(nodes: Sequence[str]) -> dict[str, str]:
    """Return a name of at most 18 characters for each node; long host names often share most of theirs."""
    unique = list(dict.fromkeys(nodes))
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: name,
        lambda name: name.partition(".")[0],
        lambda name: f"{name[:8]}…{name[-9:]}",
        lambda name: f"node {unique.index(name)}",
    )
    for way in ways:
        names = {name: clean(way(name)) for name in unique}
        if len(set(names.values())) == len(unique) and all(0 < len(name) <= 18 for name in names.values()):
            break
    return names


def _digits(values: Sequence[float]) -> int:
    """Return the decimals with which the largest of some rates shows three figures, at most four."""
    largest = max(values, default=1.0)
    return next((digits for digits, bound in ((1, 100), (2, 10), (3, 1)) if largest >= bound), 4)


def _columns(bandwidths: Sequence[float]) -> list[Column]:
    digits = _digits(bandwidths)
    return [
        Column("operation", "Operation"),
        Column("size", "Size"),
        Column("bytes", "Bytes", "integer", detail=True),
        Column("microseconds", "Time", "number", "µs", digits=0),
        Column("algorithm_bandwidth", "Alg. GB/s", "number", digits=digits),
        Column("bus_bandwidth", "Bus GB/s", "number", digits=digits),
        Column("origin", "Of"),
    ]


def _devices(fabric: Fabric) -> Table:
    names = short_names(fabric.nodes)
    copies = [device.copy for device in fabric.devices]
    with_clock = any(device.clock_mhz is not None for device in fabric.devices)
    return Table(
        title="Devices, all at work at once: a matrix product, a copy within memory",
        columns=[
            Column("rank", "Rank", "integer"),
            Column("node", "Node"),
            Column("tflops", "TFLOP/s", "number", digits=_digits([d.tflops for d in fabric.devices])),
            Column("copy", "Copy GB/s", "number", digits=_digits(copies)),
            Column("host_copy", "Host GB/s", "number", digits=1, detail=fabric.backend != "nccl"),
            Column("clock_mhz", "MHz", "number", digits=0, detail=not with_clock),
            Column("device", "Device", detail=True),
            Column("throttled", "Throttled", detail=True),
        ],
        rows=[
            {
                "rank": device.rank,
                "node": names[device.node],
                "device": device.name,
                "tflops": device.tflops,
                "copy": device.copy,
                "host_copy": device.host_copy,
                "clock_mhz": device.clock_mhz,
                "throttled": ", ".join(device.throttled) or None,
            }
            for device in fabric.devices
        ],
    )


def _pairs(fabric: Fabric) -> Table:
    links, names = fabric.links, short_names(fabric.nodes)
    ordered = sorted(links, key=lambda link: (link.node is not None, link.node or "", link.bandwidth))
    digits = _digits([link.bandwidth for link in links])
    return Table(
        title="Pairs, one direction at a time, the slowest first",
        columns=[
            Column("sender", "From"),
            Column("receiver", "To"),
            Column("bandwidth", "Bandwidth", "number", "GB/s", digits=digits),
            Column("node", "Within", detail=all(link.node is None for link in links)),
            Column("sender_rank", "Sending rank", "integer", detail=True),
            Column("receiver_rank", "Receiving rank", "integer", detail=True),
        ],
        rows=[
            {
                "sender": names.get(link.sender, link.sender),
                "receiver": names.get(link.receiver, link.receiver),
                "bandwidth": link.bandwidth,
                "node": None if link.node is None else names[link.node],
                "sender_rank": link.ranks[0],
                "receiver_rank": link.ranks[1],
            }
            for link in ordered
        ],
        detail=len(links) > _MANY,
    )


def _clocks(fabric: Fabric) -> Table:
    names = short_names(fabric.nodes)
    return Table(
        title="Clocks, ahead of the first node's",
        columns=[
            Column("node", "Node"),
            Column("ahead_ms", "Ahead", "number", "ms", digits=3),
            Column("within_ms", "Known to within", "number", "ms", digits=3),
        ],
        rows=[
            {"node": names[clock.node], "ahead_ms": clock.ahead * 1e3, "within_ms": clock.within * 1e3}
            for clock in fabric.clocks
        ],
        detail=True,
    )


def _topology(fabric: Fabric) -> Table:
    topologies, names = fabric.topologies, short_names(fabric.nodes)
    rows: list[Row] = []
    for node in topologies:
        active = [port for port in node.ports if port.active]
        kinds = dict.fromkeys((port.kind, port.gigabits) for port in active)
        told = [
            f"{sum((port.kind, port.gigabits) == kind for port in active)}x {kind[0]}"
            + (f" {kind[1]:g} Gb/s" if kind[1] else "")
            for kind in kinds
        ]
        # A range where GPUs differ, one number where they do not, nothing without GPUs.
        spread = sorted(set(node.near))
        near = "–".join(str(each) for each in dict.fromkeys([*spread[:1], *spread[-1:]]))
        rows.append(
            {
                "node": names[node.node],
                "ports": clean(" + ".join(told), 26) or "none that shows",
                "rdma": any(port.rdma for port in active),
                "gpus": node.gpus,
                "nvlink": " + ".join(str(len(group)) for group in node.nvlink) or "none",
                "near": near,
                "domain": node.domain or None,
                "names": ", ".join(f"{p.name} ({'active' if p.active else 'down'})" for p in node.ports),
            }
        )
    return Table(
        title="Topology: network ports, and GPUs by NVLink domain",
        columns=[
            Column("node", "Node"),
            Column("ports", "Active ports"),
            Column("rdma", "RDMA", "boolean"),
            Column("gpus", "GPUs", "integer"),
            Column("nvlink", "NVLink"),
            Column("near", "NICs a GPU", detail=not any(node.near for node in topologies)),
            Column("domain", "NVLink across nodes", detail=True),
            Column("names", "Ports", detail=True),
        ],
        rows=rows,
    )


def _nccl(fabric: Fabric) -> Table:
    rows: list[Row] = []
    for choice in fabric.nccl:
        own = fabric.nodes[choice.rank]
        ways: dict[bool, set[str]] = {True: set(), False: set()}
        for peer, found in choice.links.items():
            ways[fabric.nodes[peer] == own].update(found)
        rows.append(
            {
                "rank": choice.rank,
                "version": clean(choice.version, 18),
                "network": clean(choice.network, 14),
                "within": clean(", ".join(sorted(ways[True])), 16),
                "between": clean(", ".join(sorted(ways[False])), 20),
                "settings": " ".join(f"{name}={value}" for name, value in choice.settings.items()),
            }
        )
    return Table(
        title="What NCCL chose",
        columns=[
            Column("rank", "Rank", "integer"),
            Column("version", "NCCL"),
            Column("network", "Network"),
            Column("within", "In the node"),
            Column("between", "Between nodes"),
            Column("settings", "Settings", detail=True),
        ],
        rows=rows,
    )


def _findings(findings: Sequence[Fault]) -> Table:
    return Table(
        title="What is off",
        columns=[
            Column("what", "What"),
            Column("where", "Where"),
            Column("behind", "Behind its peers", "number"),
            Column("message", "Message"),
        ],
        rows=[
            {
                "what": finding.what,
                "where": finding.where,
                "behind": finding.behind,
                "message": finding.message,
            }
            for finding in findings
        ],
        detail=True,
    )


def _notes(fabric: Fabric) -> list[str]:
    notes = []
    if fabric.backend == "none":
        notes.append("One rank has nobody to talk with: start several with --nproc, torchrun or srun.")
    if len(fabric.links) > _MANY:
        least = min(fabric.links, key=lambda link: link.bandwidth)
        usual = median(link.bandwidth for link in fabric.links)
        notes.append(
            f"{len(fabric.links)} directions of pairs, which --format json lists and --chart draws: the"
            f" slowest is {least.sender} → {least.receiver} ({rate_text(least.bandwidth)}), the median"
            f" {rate_text(usual)}."
        )
    domains = {node.domain for node in fabric.topologies if node.domain}
    if domains:
        notes.append(f"NVLink joins GPUs across nodes, in {_count(len(domains), 'domain')}.")
    return notes


def chart_of(answer: Answer) -> dict[str, Any]:
    """Return what `charts.pair_bandwidth` draws: the pairs of nodes, or of ranks where there is one node."""
    pairs = answer.more["pairs"].rows if "pairs" in answer.more else []
    between = [row for row in pairs if row["node"] is None]
    return {
        "rows": [
            {"sender": row["sender"], "receiver": row["receiver"], "bandwidth": row["bandwidth"]}
            for row in sorted(between or pairs, key=lambda row: (row["sender_rank"], row["receiver_rank"]))
        ],
        "subtitle": f"What each {'node' if between else 'rank'} sends to each other one, measured alone.",
        "caption": f"Measured by Pitboard {answer.facts['version']}.",
    }


CHART = Chart(
    "pair_bandwidth",
    data=chart_of,
    shows="The bandwidth of every pair, by sender and receiver.",
)
