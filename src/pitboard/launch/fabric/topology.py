"""The hardware that a node has for communication: its network ports, GPUs and what joins them.

Read from `/sys` and NVIDIA's `nvidia-smi`, where it is installed: unprivileged, and never failing.
"""

import re
import subprocess
from pathlib import Path
from typing import Any, Literal

from pitboard.launch.fabric.record import Port, Topology
from pitboard.training.host import Host, read_text

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_RDMA: dict[str, Literal["InfiniBand", "RoCE", "RDMA"]] = {"InfiniBand": "InfiniBand", "Ethernet": "RoCE"}
_NEAR = ("PIX", "PXB")
_IDLE = 0x01
# NVML's bits of the reasons for a lower clock; idling, a set clock and the power limit are how GPUs work.
_THROTTLED = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


def node_topology(node: str, root: Path = Path("/")) -> Topology:
    """Return what this node has; `root` is where its `/sys` lies."""
    matrix = nvidia_smi("topo", "-m")
    return Topology(node=node, ports=ports(root), domain=domain(nvidia_smi("-q")), **gpu_links(matrix))


def ports(root: Path = Path("/")) -> list[Port]:
    """Return the ports of network hardware: those with RDMA, and the Ethernet ports without."""
    host = Host(root)
    found = []
    for port in host.rdma_ports():
        kind = _RDMA.get(read_text(port / "link_layer"), "RDMA")
        rate = re.match(r"([\d.]+) Gb", read_text(port / "rate"))
        active = "ACTIVE" in read_text(port / "state")
        name = f"{port.parent.parent.name}:{port.name}"
        found.append(Port(name=name, kind=kind, gigabits=float(rate[1]) if rate else 0.0, active=active))
    for port in host.ethernet_ports():
        if (port / "device/infiniband").exists():
            continue
        speed = read_text(port / "speed")
        gigabits = int(speed) / 1000 if speed.isdecimal() else 0.0
        active = read_text(port / "operstate") == "up"
        found.append(Port(name=port.name, kind="Ethernet", gigabits=gigabits, active=active))
    return found


def gpu_links(matrix: str) -> dict[str, Any]:
    """Return the fields of a `Topology` that the table of `nvidia-smi topo -m` gives."""
    lines = [_ANSI.sub("", line).split() for line in matrix.splitlines()]
    header = next((words for words in lines if words[:1] == ["GPU0"] and "X" not in words), [])
    # The columns after the devices ("CPU Affinity", "NUMA Affinity") are of two words and more.
    columns = header[: header.index("CPU")] if "CPU" in header else header
    gpus = [name for name in columns if re.fullmatch(r"GPU\d+", name)]
    rows = {words[0]: dict(zip(columns, words[1:], strict=False)) for words in lines if words[:1] != []}
    rows = {name: rows[name] for name in gpus if name in rows}
    joined = {a: {b for b in gpus if rows.get(a, {}).get(b, "").startswith("NV")} for a in gpus}
    groups: list[list[int]] = []
    left = list(gpus)
    while left:
        group = [left.pop(0)]
        for name in group:
            group += [other for other in left if other in joined[name]]
            left = [other for other in left if other not in group]
        groups.append(sorted(gpus.index(name) for name in group))
    near = [sum(rows[name].get(nic) in _NEAR for nic in columns if nic not in gpus) for name in rows]
    return {"gpus": len(gpus), "nvlink": [group for group in groups if len(group) > 1], "near": near}


def domain(query: str) -> str:
    """Return the name of the NVLink domain across nodes that `nvidia-smi -q` gives; "" without one."""
    cluster, clique = (
        re.search(rf"^\s*{name}\s*: (\S+)\s*$", query, re.MULTILINE) for name in ("ClusterUUID", "CliqueId")
    )
    if cluster is None or clique is None or not re.search(r"[1-9a-f]", cluster[1]):
        return ""
    return f"{cluster[1]}.{clique[1]}"


def throttling(query: str) -> tuple[float | None, list[str]]:
    """Return a GPU's clock in MHz and the reasons for a lower one, as `clock_query` asks for them."""
    clock, _, reasons = query.strip().partition(",")
    bits = int(reasons.strip(), 16) if re.fullmatch(r"\s*0x[0-9a-fA-F]{1,16}", reasons) else 0
    named = [name for bit, name in _THROTTLED.items() if bits & bit]
    # An idle GPU's clock says nothing.
    known = re.fullmatch(r"\d{1,6}", clock) and not bits & _IDLE
    return float(clock) if known else None, named


def clock_query(gpu: str) -> list[str]:
    """Return the arguments with which `nvidia-smi` tells the clock of a GPU, named by its UUID."""
    what = "clocks.current.sm,clocks_throttle_reasons.active"
    return ["-i", gpu, f"--query-gpu={what}", "--format=csv,noheader,nounits"]


def processor_clock(root: Path = Path("/")) -> float | None:
    """Return the mean clock of the processors' cores in MHz; `None` where the kernel does not tell."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [int(text) / 1e3 for text in map(read_text, files) if text.isdecimal()]
    return sum(clocks) / len(clocks) if clocks else None


def nvidia_smi(*arguments: str) -> str:
    """Return what `nvidia-smi` prints; "" where it is not installed, fails or hangs."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
