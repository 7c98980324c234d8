"""What `pitboard fabric` makes of measurements, logs and hardware; tests/cluster has the measuring itself."""

from pathlib import Path
from typing import Any

import pytest

from pitboard.cli.answers import show
from pitboard.errors import PitboardError
from pitboard.launch.fabric import topology
from pitboard.launch.fabric.judge import doubtful, judge, slow
from pitboard.launch.fabric.nccl import read_log
from pitboard.launch.fabric.record import (
    Clock,
    Collective,
    Device,
    Fabric,
    Link,
    Port,
    Topology,
    algorithm_bandwidth,
    bus_bandwidth,
    parse_sizes,
    read_fabric,
    rounds,
    size_text,
)
from pitboard.results.fabric import chart_of, fabric_answer, short_names

NODES = ["n1", "n2", "n3", "n4"]


def devices(tflops: list[float], **more: Any) -> list[Device]:
    return [
        Device(rank=rank, node=NODES[rank % 4], name="GPU", tflops=value, copy=2000.0, **more)
        for rank, value in enumerate(tflops)
    ]


def links(nodes: list[str], slowed: dict[tuple[str, str], float], usual: float = 0.024) -> list[Link]:
    """Every pair at the usual rate, give or take a per cent, but for those slowed; "*" is every node."""

    def rate(a: str, b: str) -> float:
        of = [slowed[key] for key in ((a, b), (a, "*"), ("*", b)) if key in slowed]
        return min(of, default=usual) * (1 + (ord(a[-1]) + 2 * ord(b[-1])) % 3 / 200)

    return [
        Link(sender=a, receiver=b, ranks=(nodes.index(a), nodes.index(b)), bandwidth=rate(a, b))
        for a in nodes
        for b in nodes
        if a != b
    ]


def fabric(**parts: Any) -> Fabric:
    return Fabric(**{"nodes": NODES, "backend": "gloo", "devices": devices([700.0] * 4)} | parts)


def said(found: Fabric) -> list[str]:
    return [finding.message for finding in judge(found, 0.1)]


def test_bandwidths_are_those_of_nccl_tests() -> None:
    # 8 GPUs, 1 GiB in 5 ms: what a table of `all_reduce_perf` of the same time shows.
    assert algorithm_bandwidth(2**30, 5e-3) == pytest.approx(214.75, abs=0.01)
    assert bus_bandwidth("all_reduce", 2**30, 5e-3, 8) == pytest.approx(375.81, abs=0.01)
    assert bus_bandwidth("all_gather", 2**30, 5e-3, 8) == pytest.approx(187.90, abs=0.01)
    assert bus_bandwidth("reduce_scatter", 2**30, 5e-3, 8) == pytest.approx(187.90, abs=0.01)
    assert bus_bandwidth("send_recv", 2**30, 5e-3, 8) == pytest.approx(214.75, abs=0.01)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8])
def test_rounds_have_every_pair_once_and_no_rank_twice(count: int) -> None:
    plan = rounds(range(10, 10 + count))
    pairs = [frozenset(pair) for pairs in plan for pair in pairs]
    assert len(set(pairs)) == len(pairs) == count * (count - 1) // 2
    for each in plan:
        ranks = [rank for pair in each for rank in pair]
        assert len(set(ranks)) == len(ranks)
    assert len(plan) == max(0, count - 1 + count % 2)


def test_sizes_are_read_as_people_write_them() -> None:
    assert parse_sizes("1M, 64k,65536,4KiB") == [4096, 65536, 2**20]
    assert [size_text(size) for size in (12, 4096, 3 * 2**19, 2**31)] == ["12 B", "4 KiB", "1.5 MiB", "2 GiB"]
    for wrong in ("", "1T", "0", "3", "-1", "1.5M", "999G", "²K"):
        with pytest.raises(PitboardError, match=r"^--sizes.*1M\.$"):
            parse_sizes(wrong)


def test_an_outlier_is_far_below_the_median_and_beyond_the_spread() -> None:
    alike = {str(i): 100.0 + i % 3 for i in range(9)}
    assert slow(alike, 0.1) == {}
    (found,) = slow(alike | {"bad": 80.0}, 0.1).items()
    assert found[0] == "bad"
    assert found[1].behind == pytest.approx(1 - 80 / 101)
    # Within the tolerance, or no further off than peers that scatter as much.
    assert slow(alike | {"near": 92.0}, 0.1) == {}
    assert slow({"a": 60.0, "b": 80.0, "c": 100.0, "d": 120.0, "e": 140.0}, 0.1) == {}
    assert slow({"a": 100.0}, 0.1) == slow({}, 0.1) == {}
    assert list(slow({"a": 100.0, "b": 50.0}, 0.1)) == ["b"]


def test_what_a_busy_machine_slows_now_and_then_is_not_called_slow() -> None:
    def said_of(busy: list[float]) -> list[str]:
        pairs: list[tuple[tuple[int, int], list[float]]] = [((0, 1), [50.0, 47.0, 52.0]), ((1, 0), busy)]
        return said(
            fabric(
                nodes=["n1"] * 2,
                devices=[
                    Device(rank=a, node="n1", name="CPU", tflops=1.0, copy=max(tries), tries={"copy": tries})
                    for (a, _), tries in pairs
                ],
                links=[
                    Link(sender=str(a), receiver=str(b), ranks=(a, b), bandwidth=max(tries), tries=tries)
                    for (a, b), tries in pairs
                ],
            )
        )

    assert said_of([21.0, 30.0, 46.0]) == []
    device, link = said_of([41.0, 30.0, 42.0])
    assert "rank 1 on n1 copies 42 GB/s in its memory, 16% below its peers (50)" in device
    assert link.startswith("Slow link: 1 → 0 carries 42 GB/s")


def test_a_slow_or_throttled_device_is_named_with_how_far_off() -> None:
    assert said(fabric(devices=devices([700.0, 705.0, 690.0, 702.0]))) == []
    (slow_one,) = judge(fabric(devices=devices([700.0, 705.0, 560.0, 702.0])), 0.1)
    assert (slow_one.what, slow_one.where) == ("device", "n3 rank 2")
    assert slow_one.behind == pytest.approx(0.2, abs=0.01)
    assert (
        "rank 2 on n3 computes 560 TFLOP/s in matrix products, 20% below its peers (701)" in slow_one.message
    )
    # Devices of another name are no peers.
    other = Device(rank=4, node="n4", name="CPU", tflops=1.0, copy=10.0)
    assert said(fabric(devices=[*devices([700.0] * 4), other])) == []
    hot = devices([700.0] * 3) + devices([700.0] * 4, throttled=["power brake"])[3:]
    assert said(fabric(devices=hot)) == [
        "Throttled: the driver lowers the clock of rank 3 on n4 (power brake)."
        " Check its cooling and power supply."
    ]


@pytest.mark.parametrize("nodes", [NODES[:3], NODES, [f"n{i}" for i in range(1, 9)]])
def test_a_slow_link_is_named_as_what_it_is(nodes: list[str]) -> None:
    def found(slowed: dict[tuple[str, str], float]) -> list[tuple[str, str]]:
        measured = fabric(nodes=nodes, devices=[], links=links(nodes, slowed))
        told = judge(measured, 0.1)
        again, pairs = doubtful(measured, 0.1)
        assert again is False
        assert bool(pairs) is bool(told)
        return [
            (finding.where, finding.message.partition(" at ")[0].partition(" carries")[0]) for finding in told
        ]

    assert found({}) == []
    # One node's cable, in both directions or in one; then one path between two nodes.
    assert found({("n2", "*"): 0.006, ("*", "n2"): 0.006}) == [
        ("n2", "Slow link: node n2 sends to every other node"),
        ("n2", "Slow link: node n2 receives from every other node"),
    ]
    assert found({("*", "n3"): 0.006}) == [("n3", "Slow link: node n3 receives from every other node")]
    assert found({("n1", "n3"): 0.012}) == [("n1 → n3", "Slow link: n1 → n3")]


def test_of_two_nodes_the_slower_direction_is_named() -> None:
    two = fabric(nodes=NODES[:2], devices=[], links=links(NODES[:2], {("n2", "n1"): 0.006}))
    (message,) = said(two)
    assert message.startswith("Slow link: n2 → n1 carries 0.006")
    assert "Mbit/s" in message


def test_a_clock_that_is_off_is_named() -> None:
    clocks = [
        Clock(node=name, ahead=ahead, within=1e-4)
        for name, ahead in zip(NODES, (0, 0.001, -3.2, 0), strict=True)
    ]
    assert [m.partition(" the other")[0] for m in said(fabric(clocks=clocks))] == [
        "Clock: n3 is 3.2 s behind"
    ]
    # Not what the exchange itself cannot tell.
    vague = [Clock(node="n1", ahead=0.0, within=0.0), Clock(node="n2", ahead=0.3, within=0.4)]
    assert said(fabric(clocks=vague)) == []


TOPO = """\
\t\x1b[4mGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tNIC1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\tSYS\tSYS\tPIX\tSYS\t0-23\t0\t\tN/A
GPU1\tNV18\t X \tSYS\tSYS\tPXB\tSYS\t0-23\t0\t\tN/A
GPU2\tSYS\tSYS\t X \tNV18\tSYS\tPIX\t24-47\t1\t\tN/A
GPU3\tSYS\tSYS\tNV18\t X \tSYS\tNODE\t24-47\t1\t\tN/A
NIC0\tPIX\tPXB\tSYS\tSYS\t X \tSYS
NIC1\tSYS\tSYS\tPIX\tNODE\tSYS\t X

Legend:

  X    = Self
  NV#  = Connection traversing a bonded set of # NVLinks

NIC Legend:

  NIC0: mlx5_0
  NIC1: mlx5_1
"""


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / "sys/class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_the_topology_is_what_the_kernel_and_the_driver_show(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "infiniband/mlx5_0/ports/1/link_layer": "InfiniBand",
            "infiniband/mlx5_0/ports/1/rate": "400 Gb/sec (4X NDR)",
            "infiniband/mlx5_0/ports/1/state": "4: ACTIVE",
            "infiniband/mlx5_1/ports/1/link_layer": "Ethernet",
            "infiniband/mlx5_1/ports/1/rate": "100 Gb/sec (4X EDR)",
            "infiniband/mlx5_1/ports/1/state": "1: DOWN",
            "infiniband/efa_0/ports/1/link_layer": "Unspecified",
            "infiniband/efa_0/ports/1/state": "4: ACTIVE",
            "net/eth0/type": "1",
            "net/eth0/speed": "25000",
            "net/eth0/operstate": "up",
            "net/eth0/device/vendor": "0x8086",
            # The Ethernet side of mlx5_1, IP over InfiniBand, and what is no hardware.
            "net/eth1/type": "1",
            "net/eth1/device/infiniband/mlx5_1/node_type": "1",
            "net/ib0/type": "32",
            "net/ib0/device/vendor": "0x15b3",
            "net/lo/type": "772",
            "net/veth0/type": "1",
        },
    )
    assert topology.ports(tmp_path) == [
        Port(name="efa_0:1", kind="RDMA", gigabits=0.0, active=True),
        Port(name="mlx5_0:1", kind="InfiniBand", gigabits=400.0, active=True),
        Port(name="mlx5_1:1", kind="RoCE", gigabits=100.0, active=False),
        Port(name="eth0", kind="Ethernet", gigabits=25.0, active=True),
    ]
    assert topology.ports(tmp_path / "nothing") == []
    assert topology.gpu_links(TOPO) == {"gpus": 4, "nvlink": [[0, 1], [2, 3]], "near": [1, 1, 1, 0]}
    one = "\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-7\t0\n"
    assert topology.gpu_links(one) == {"gpus": 1, "nvlink": [], "near": [0]}
    assert topology.gpu_links("") == {"gpus": 0, "nvlink": [], "near": []}
    frequency = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    frequency.parent.mkdir(parents=True)
    frequency.write_text("2400000\n")
    assert topology.processor_clock(tmp_path) == 2400
    assert topology.processor_clock(tmp_path / "nothing") is None


def test_what_nvidia_smi_says_of_domains_and_throttling() -> None:
    block = """\
    Fabric
        State                             : Completed
        CliqueId                          : {}
        ClusterUUID                       : {}
"""
    named = block.format(2, "9c6f6af7-acad-4b06-9e0c-1a1a9c4ae8c1")
    assert topology.domain(named) == "9c6f6af7-acad-4b06-9e0c-1a1a9c4ae8c1.2"
    nothing = [block.format("N/A", "N/A"), block.format(0, "00000000-0000-0000-0000-000000000000"), ""]
    assert [topology.domain(text) for text in nothing] == ["", "", ""]
    # A power limit is how a GPU under load works; heat and the power brake are faults.
    assert topology.throttling("1755, 0x0000000000000004\n") == (1755.0, [])
    assert topology.throttling("210, 0x0000000000000001\n") == (None, [])
    assert topology.throttling("345, 0x00000000000000C8\n") == (
        345.0,
        ["hardware slowdown", "hardware thermal slowdown", "power brake"],
    )
    assert topology.throttling("[N/A], [N/A]\n") == topology.throttling("") == (None, [])


def test_a_missing_or_failing_nvidia_smi_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert topology.nvidia_smi("topo", "-m") == ""
    fake = tmp_path / "nvidia-smi"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = topo ] && printf "\\tGPU0\\tCPU Affinity\\nGPU0\\t X \\t0\\n" || exit 9\n'
    )
    fake.chmod(0o755)
    assert topology.node_topology("n1", tmp_path) == Topology(node="n1", gpus=1, near=[0])


START = """\
h1:924:924 [{device}] NCCL INFO cudaDriverVersion 12020
h1:924:924 [{device}] NCCL INFO Bootstrap : Using eth0:10.0.0.7<0>
NCCL version 2.21.5+cuda12.4
"""
OVER_IB = (
    START
    + """\
h1:924:990 [{device}] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB [1]mlx5_1:1/IB [RO]; OOB eth0:10.0.0.7<0>
h1:924:990 [{device}] NCCL INFO Using network IB
h1:924:990 [{device}] NCCL INFO Channel 00/08 :    0   1   2   3
h1:924:990 [{device}] NCCL INFO Channel 00/0 : 0[0] -> 2[0] [send] via NET/IB/0/GDRDMA
h1:924:990 [{device}] NCCL INFO Channel 01/0 : 2[0] -> 0[0] [receive] via NET/IB/1/GDRDMA
h1:924:990 [{device}] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM/read
h1:924:990 [{device}] NCCL INFO Connected all rings
"""
).format(device=0)
OVER_SOCKETS = (
    START
    + """\
h1:924:990 [{device}] NCCL INFO NCCL_IB_DISABLE set by environment to 1.
h1:924:990 [{device}] NCCL INFO NET/Socket : Using [0]eth0:10.0.0.7<0>
h1:924:990 [{device}] NCCL INFO Using network Socket
h1:924:990 [{device}] NCCL INFO Channel 00/0 : 0[0] -> 2[0] [send] via NET/Socket/0
h1:924:990 [{device}] NCCL INFO Channel 00 : 0[0] -> 1[1] via SHM/direct/direct
"""
).format(device=0)


def test_a_log_of_nccl_says_what_it_chose() -> None:
    choice = read_log(0, OVER_IB)
    assert (choice.version, choice.network) == ("2.21.5+cuda12.4", "IB")
    assert choice.adapters == ["mlx5_0:1", "mlx5_1:1"]
    assert choice.links == {1: ["P2P/CUMEM/read"], 2: ["NET/IB/GDRDMA"]}
    socket = read_log(0, OVER_SOCKETS)
    assert (socket.network, socket.settings) == ("Socket", {"NCCL_IB_DISABLE": "1"})
    assert socket.links == {1: ["SHM/direct/direct"], 2: ["NET/Socket"]}
    newer = "h:1:2 [3] NCCL INFO Channel 00/0 : 1[0] -> 0[0] [receive] via NET/Libfabric/0/GDRDMA/flush=None"
    assert read_log(1, f"{newer} comm 0x55aa nRanks 02\n").links == {0: ["NET/Libfabric/GDRDMA"]}
    assert read_log(1, "h:1:2 [0] NCCL INFO NET/IB : No device found.\n\xff\x00").no_adapter
    assert read_log(0, "").links == {}


INFINIBAND = [Port(name=f"mlx5_{i}:1", kind="InfiniBand", gigabits=400.0, active=True) for i in range(2)]


def chosen(log: str, ports: list[Port] = INFINIBAND, **hardware: Any) -> list[str]:
    nodes = ["h1", "h1", "h2", "h2"]
    parts: dict[str, Any] = {"gpus": 2, "nvlink": [[0, 1]], "near": [1, 1]} | hardware
    found = fabric(
        nodes=nodes,
        backend="nccl",
        topologies=[Topology(node=name, ports=ports, **parts) for name in ("h1", "h2")],
        nccl=[read_log(0, log)],
    )
    return said(found)


def test_nccl_is_held_against_the_hardware() -> None:
    assert chosen(OVER_IB) == []
    assert chosen(OVER_SOCKETS) == [
        "NCCL on h1: it uses TCP sockets although the node has 2 active InfiniBand ports:"
        " NCCL_IB_DISABLE is set.",
        "NCCL on h1: GPUs that NVLink joins talk by SHM/direct/direct.",
    ]
    # Where there is nothing better, neither is wrong.
    ethernet = [Port(name="eth0", kind="Ethernet", gigabits=25.0, active=True)]
    assert chosen(OVER_SOCKETS, ethernet, nvlink=[]) == []
    missing = OVER_SOCKETS.replace("NCCL_IB_DISABLE set by environment to 1.", "NET/IB : No device found.")
    assert "it found no device (are libibverbs" in chosen(missing)[0]
    assert chosen(OVER_IB.replace(" [1]mlx5_1:1/IB", "")) == [
        "NCCL on h1: it uses 1 of the node's 2 active InfiniBand ports; not mlx5_1:1."
    ]
    assert "no GPUDirect RDMA" in chosen(OVER_IB.replace("/GDRDMA", ""))[0]
    assert chosen(OVER_IB.replace("/GDRDMA", ""), near=[0, 0]) == []


def test_a_node_of_other_hardware_is_named() -> None:
    down = [INFINIBAND[0], Port(name="mlx5_1:1", kind="InfiniBand", gigabits=400.0, active=False)]
    nodes = [Topology(node=name, ports=down if name == "n3" else INFINIBAND, gpus=8) for name in NODES]
    assert said(fabric(topologies=nodes)) == [
        "Hardware of n3: its port mlx5_1:1 (InfiniBand) is down: check the cable.",
        "Hardware of n3: it has 8 GPUs, 1x InfiniBand 400 Gb/s; most nodes have 8 GPUs, 2x InfiniBand 400"
        " Gb/s.",
    ]


HOSTILE = "n1\x1b[31m" + "x" * 300


def test_the_table_fits_a_terminal_and_no_host_name_escapes(tmp_path: Path) -> None:
    nodes = [HOSTILE, *(f"a-rather-long-host-name-{i}.cluster.example.org" for i in range(3))]
    parts = [*zip(nodes, range(4), strict=True)]
    measured = fabric(
        nodes=nodes,
        devices=[
            Device(
                rank=i, node=n, name=HOSTILE, tflops=712.3456, copy=2345.6, host_copy=51.2, clock_mhz=1755.0
            )
            for n, i in parts
        ],
        collectives=[
            Collective(operation="reduce_scatter", size=2**28, seconds=0.0123, origin="llama31_405b")
        ],
        links=[
            Link(sender=a, receiver=b, ranks=(i, j), bandwidth=45.0 + i)
            for a, i in parts
            for b, j in parts
            if i != j
        ],
        clocks=[Clock(node=n, ahead=0.0, within=0.0) for n in nodes],
        topologies=[
            Topology(node=n, ports=INFINIBAND, gpus=8, nvlink=[list(range(8))], near=[1] * 8) for n in nodes
        ],
        backend="nccl",
        nccl=[read_log(i, OVER_IB) for i in range(4)],
    )
    measured.write(tmp_path / "fabric.json")
    assert read_fabric(tmp_path / "fabric.json") == measured
    answer = fabric_answer(measured, 0.1)
    text = show(answer, "table")
    assert "\x1b" not in text
    tables = text[text.index("Operation") :]
    assert [line for line in tables.splitlines() if len(line) > 80 and not line.startswith("- ")] == []
    row = answer.rows[0]
    assert row["algorithm_bandwidth"] == pytest.approx(2**28 / 0.0123 / 1e9)
    assert row["bus_bandwidth"] == pytest.approx(row["algorithm_bandwidth"] * 3 / 4)
    cells = chart_of(answer)["rows"]
    assert len({(cell["sender"], cell["receiver"]) for cell in cells}) == 12
    assert short_names(["gpu-1.example.org", "gpu-2.example.org"])["gpu-2.example.org"] == "gpu-2.example.org"
    assert [*short_names([f"gpu-{i}.cluster.example.org" for i in (1, 2)]).values()] == ["gpu-1", "gpu-2"]
    assert [*short_names(["x" * 40 + "\x1b" + "y" * 40, "z" * 90]).values()] == [
        "xxxxxxxx…yyyyyyyyy",
        "zzzzzzzz…zzzzzzzzz",
    ]
    assert [*short_names(["x" * 40 + a + "y" * 9 for a in "12"]).values()] == ["node 0", "node 1"]
    assert (answer.facts["passed"], len(answer.more["findings"])) == (
        not answer.warnings,
        len(answer.warnings),
    )
