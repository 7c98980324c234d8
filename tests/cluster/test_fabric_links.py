"""`pitboard fabric` over links whose bandwidth is known: network namespaces joined by shaped links."""

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import Python, command_environment

pytestmark = pytest.mark.slow

# Each node's process becomes one of its own: a network of its own, and a name of its own.
NODE = """
import ctypes, os, runpy, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUTS, CLONE_NEWNET = 0x04000000, 0x40000000
joined = libc.setns(os.open(f"/run/netns/{os.environ['NAMESPACE']}", os.O_RDONLY), CLONE_NEWNET)
assert joined == 0 and libc.unshare(CLONE_NEWUTS) == 0, os.strerror(ctypes.get_errno())
socket.sethostname(os.environ["NODE"])
sys.argv = ["pitboard", *os.environ["ARGUMENTS"].split()]
runpy.run_module("pitboard", run_name="__main__", alter_sys=True)
"""


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class Network:
    """Nodes on one switch, each on a link with a bandwidth of its own in both directions."""

    # The kernel takes a namespace down after `ip` has ended: another of its name may find its links there.
    _built = itertools.count()

    def __init__(self, megabits: list[int]) -> None:
        self.bridge = f"pb{os.getpid() % 10**7}x{next(self._built)}"
        self.megabits = megabits
        self.namespaces = [f"{self.bridge}n{index}" for index in range(len(megabits))]

    def build(self) -> None:
        _do("ip", "link", "add", self.bridge, "type", "bridge")
        _do("ip", "link", "set", self.bridge, "up")
        for index, (name, rate) in enumerate(zip(self.namespaces, self.megabits, strict=True), start=1):
            _do("ip", "netns", "add", name)
            _do("ip", "link", "add", name, "type", "veth", "peer", "name", "fab0", "netns", name)
            _do("ip", "link", "set", name, "master", self.bridge, "up")
            _do("ip", "-n", name, "address", "add", f"10.77.0.{index}/24", "dev", "fab0")
            for interface in ("fab0", "lo"):
                _do("ip", "-n", name, "link", "set", interface, "up")
            shape = ["root", "tbf", "rate", f"{rate}mbit", "burst", "64kb", "latency", "50ms"]
            _do("tc", "qdisc", "add", "dev", name, *shape)
            _do("tc", "-n", name, "qdisc", "add", "dev", "fab0", *shape)

    def remove(self) -> None:
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
        pytest.skip("network namespaces need root, and `ip` and `tc` of iproute2")
    made = Network(request.param)
    try:
        made.build()
        yield made
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no shaped links between namespaces here: {' '.join(error.cmd)}: {error.stderr.strip()}")
    finally:
        made.remove()


def measured(network: Network, python: Python, cache: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the answer of rank 0 of `pitboard fabric`, a rank a node."""
    nodes = []
    for rank, namespace in enumerate(network.namespaces):
        ranks = {"RANK": str(rank), "WORLD_SIZE": str(len(network.namespaces)), "LOCAL_RANK": "0"}
        meeting = {"MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29500", "GLOO_SOCKET_IFNAME": "fab0"}
        words = ["fabric", "--device", "cpu", "--format", "json", *arguments]
        ours = {"NAMESPACE": namespace, "NODE": f"node{rank + 1}", "ARGUMENTS": " ".join(words)}
        nodes.append(python("-c", NODE, env=command_environment(cache) | ranks | meeting | ours))
    ended = [node.communicate(120) for node in nodes]
    assert [node.returncode for node in nodes[1:]] == [0] * (len(nodes) - 1), ended
    assert nodes[0].returncode in (0, 1), ended
    return nodes[0].returncode or 0, json.loads(ended[0][0])


@pytest.mark.parametrize("network", [[200, 200]], indirect=True)
def test_a_link_reads_as_what_it_is(network: Network, python: Python, cache: Path) -> None:
    code, answer = measured(network, python, cache, "--sizes", "4M", "--seconds", "0.3", "--tolerance", "25")
    # What two processes compute on a busy machine may differ; what the links carry may not.
    assert [row for row in answer["more"]["findings"]["rows"] if row["what"] != "device"] == []
    assert code == (0 if answer["facts"]["passed"] else 1)
    assert (answer["facts"]["nodes"], answer["facts"]["backend"]) == (["node1", "node2"], "gloo")
    pairs = {(row["sender"], row["receiver"]): row["bandwidth"] for row in answer["more"]["pairs"]["rows"]}
    true = 200e6 / 8 / 1e9
    assert pairs == {
        ("node1", "node2"): pytest.approx(true, rel=0.1),
        ("node2", "node1"): pytest.approx(true, rel=0.1),
    }
    exchanged = next(row for row in answer["rows"] if row["operation"] == "send_recv")
    assert exchanged["bus_bandwidth"] == pytest.approx(true, rel=0.1)
    assert {row["operation"] for row in answer["rows"]} == {
        "all_reduce",
        "all_gather",
        "reduce_scatter",
        "send_recv",
    }
    assert all(0 < row["bus_bandwidth"] < true * 1.1 for row in answer["rows"])
    # One host's clock, told by messages that take milliseconds on a busy machine.
    (clock,) = [row for row in answer["more"]["clocks"]["rows"] if row["node"] == "node2"]
    assert abs(clock["ahead_ms"]) <= clock["within_ms"] + 1


@pytest.mark.parametrize("network", [[200, 200, 50, 200]], indirect=True)
def test_one_slow_link_among_four_is_named(network: Network, python: Python, cache: Path) -> None:
    code, answer = measured(network, python, cache, "--sizes", "1M", "--seconds", "0.1", "--tolerance", "40")
    assert code == 1
    found = {
        (row["where"], row["behind"]) for row in answer["more"]["findings"]["rows"] if row["what"] == "link"
    }
    assert {where for where, _ in found} == {"node3"}
    assert [behind for _, behind in found] == [pytest.approx(0.75, abs=0.1)] * 2
    assert any("node node3 sends to every other node" in warning for warning in answer["warnings"])
