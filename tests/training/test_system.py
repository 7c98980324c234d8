"""The system description: what the official checker demands, from machines rich, bare and strange."""

import json
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mlperf_logging.system_desc_checker.system_desc_checker import check_system_desc

from pitboard.errors import PitboardError
from pitboard.training.host import Host
from pitboard.training.system import (
    Availability,
    checked_system_name,
    describe_system,
    node_count,
    system_name,
    write_system,
)


def lay(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


@pytest.fixture
def server(tmp_path: Path) -> Host:
    """Two processors of two cores and two threads each, as a GPU server shows them."""
    files = {
        "proc/cpuinfo": "model name\t: AMD EPYC 9575F 64-Core Processor\ncpu MHz\t\t: 1500.000\n",
        "proc/meminfo": "MemTotal:       2377630720 kB\nMemFree: 1 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/base_frequency": "3300000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "5000000\n",
        "sys/block/loop0/size": "8\n",
        "sys/block/sda/size": "0\n",
        "sys/block/sdb/size": "937703088\n",
        "sys/block/sdb/queue/rotational": "0\n",
        "sys/class/net/lo/type": "772\n",
        "sys/class/net/ib0/type": "32\n",
        "sys/class/net/ib0/device/vendor": "0x15b3\n",
        "sys/class/net/eth0/type": "1\n",
        "sys/class/net/eth0/speed": "25000\n",
        "sys/class/net/eth0/device/vendor": "0x15b3\n",
        "sys/class/net/eth0v0/type": "1\n",
        "sys/class/net/eth0v0/device/physfn/vendor": "0x15b3\n",
        "sys/class/net/eth1/type": "1\n",
        "sys/class/net/eth1/speed": "-1\n",
        "sys/class/net/eth1/device/vendor": "0x15b3\n",
    }
    for cpu in range(8):
        socket, core = cpu // 4, cpu // 2
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        siblings = f"{core * 2}-{core * 2 + 1}"
        files |= {
            f"{folder}/topology/physical_package_id": f"{socket}\n",
            f"{folder}/topology/thread_siblings_list": siblings,
            f"{folder}/cache/index0/level": "1",
            f"{folder}/cache/index0/type": "Data",
            f"{folder}/cache/index0/size": "48K",
            f"{folder}/cache/index0/shared_cpu_list": siblings,
            f"{folder}/cache/index3/level": "3",
            f"{folder}/cache/index3/type": "Unified",
            f"{folder}/cache/index3/size": "262144K",
            f"{folder}/cache/index3/shared_cpu_list": f"{socket * 4}-{socket * 4 + 3}",
        }
    for disk in range(2):
        files[f"sys/block/nvme{disk}n1/size"] = "7501476528\n"
        files[f"sys/block/nvme{disk}c0n1/size"] = "7501476528\n"
        files[f"sys/block/nvme{disk}c0n1/hidden"] = "1\n"
    for adapter in range(4):
        files[f"sys/class/infiniband/mlx5_{adapter}/ports/1/link_layer"] = "InfiniBand\n"
        files[f"sys/class/infiniband/mlx5_{adapter}/ports/1/rate"] = "400 Gb/sec (4X NDR)\n"
    lay(tmp_path, files)
    return Host(tmp_path)


def test_a_server_is_described_by_what_its_kernel_tells(server: Host) -> None:
    description = describe_system(name="server", submitter="us", nodes=4, host=server)
    told = {
        key: value
        for key, value in description.items()
        if key.startswith(("host_", "number_")) and value != ""
    }
    assert told == {
        "number_of_nodes": "4",
        "host_processors_per_node": "2",
        "host_processor_model_name": "AMD EPYC 9575F 64-Core Processor",
        "host_processor_core_count": "2",
        "host_processor_vcpu_count": "4",
        "host_processor_frequency": "3.3 GHz (base); 5.0 GHz (max)",
        "host_processor_caches": "L1d: 192 KiB (4 instances); L3: 512 MiB (2 instances)",
        "host_memory_capacity": "2.2 TiB",
        "host_storage_type": "NVMe SSD, SSD",
        "host_storage_capacity": "2x 3.84 TB NVMe SSD + 1x 480 GB SSD",
        "host_networking": "4x InfiniBand 400 Gb/sec (4X NDR) + 1x Ethernet 25 Gb/s + 1x Ethernet",
    }


@pytest.mark.parametrize("status", get_args(Availability))
def test_the_official_checker_accepts_this_machine(status: Availability, tmp_path: Path) -> None:
    description = describe_system(name=system_name(), submitter="Pitboard", division="closed", status=status)
    path = write_system(tmp_path, description)
    valid, name, *_ = check_system_desc(str(path), "training", "5.1.0")
    assert valid
    assert path == tmp_path / "systems" / f"{name}.json"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert json.loads(path.read_text()) == description
    for key, value in description.items():
        told = value.values() if isinstance(value, dict) else [value]
        assert all(isinstance(fact, str) for fact in told), key


def test_a_machine_that_tells_nothing_is_still_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    description = describe_system(name="bare", submitter="us", host=Host(tmp_path))
    host = {key: value for key, value in description.items() if key.startswith("host_")}
    assert host.pop("host_processors_per_node") == "1"  # the official summarizer reads it as a number
    assert set(host.values()) == {""}
    assert check_system_desc(str(write_system(tmp_path, description)), "training", "5.1.0")[0]


FILES = (
    "proc/cpuinfo",
    "proc/meminfo",
    "sys/devices/system/cpu/cpu0/topology/physical_package_id",
    "sys/devices/system/cpu/cpu0/cpufreq/base_frequency",
    "sys/devices/system/cpu/cpu0/cache/index0/size",
    "sys/block/sda/size",
    "sys/class/net/eth0/type",
    "sys/class/net/eth0/speed",
    "sys/class/net/eth0/device/vendor",
    "sys/class/infiniband/a/ports/1/link_layer",
)
strange = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        ["-1", "1", "9" * 5000, "²", "1e9", "InfiniBand", "32K", "K", "model name : ", "cpu MHz : 1.2.3"]
    ).map(str.encode),
    st.integers().map(lambda number: f"MemTotal: {number} kB".encode()),
)


@given(contents=st.lists(strange, min_size=len(FILES), max_size=len(FILES)))
@settings(max_examples=60, deadline=None)
def test_strange_files_never_stop_a_description(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in zip(FILES, contents, strict=True):
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        host = Host(Path(folder))
        counts = (host.cores_per_processor(), host.threads_per_processor())
        facts = (host.frequency(), host.caches(), host.memory(), *host.storage(), host.networking(), *counts)
        model, processors = host.processor_model(), host.processors()
    assert all(isinstance(fact, str) and fact.isprintable() for fact in facts)
    assert isinstance(model, str)
    assert processors == 1


def test_gpus_name_and_describe_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimpleNamespace(name="NVIDIA H100 80GB HBM3", total_memory=85_520_809_984)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    assert system_name() == "8x-nvidia-h100-80gb-hbm3"
    assert system_name(nodes=4) == "4n-8x-nvidia-h100-80gb-hbm3"
    description = describe_system(name=system_name(), submitter="us")
    assert description["accelerators_per_node"] == "8"
    assert description["accelerator_model_name"] == "NVIDIA H100 80GB HBM3"
    assert description["accelerator_memory_capacity"] == "81559 MiB"
    # A run of two ranks takes two of them, and one on the processor none.
    assert system_name(nodes=2, accelerators=2) == "2n-2x-nvidia-h100-80gb-hbm3"
    assert describe_system(name="two", submitter="us", accelerators=2)["accelerators_per_node"] == "2"
    assert "nvidia" not in system_name(accelerators=0)
    assert describe_system(name="cpu", submitter="us", accelerators=0)["accelerator_memory_capacity"] == ""


@pytest.mark.parametrize(
    ("environment", "nodes"),
    [
        ("", 1),
        ("SLURM_NNODES=4", 1),  # a command in an allocation of four nodes runs on its own
        ("RANK=3 WORLD_SIZE=32 LOCAL_WORLD_SIZE=8 GROUP_WORLD_SIZE=4", 4),
        ("RANK=3 WORLD_SIZE=12 LOCAL_WORLD_SIZE=8 GROUP_WORLD_SIZE=2", 2),  # nodes of eight ranks and four
        ("RANK=3 WORLD_SIZE=32 LOCAL_WORLD_SIZE=8", 4),
        ("RANK=3 WORLD_SIZE=32 SLURM_NNODES=4", 4),
        ("RANK=3 WORLD_SIZE=32 SLURM_NNODES=4 SLURM_STEP_NUM_NODES=2", 2),
        ("RANK=0 WORLD_SIZE=1", 1),
    ],
)
def test_the_nodes_of_a_launch_are_counted(
    environment: str, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "SLURM_NNODES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (fact.split("=") for fact in environment.split()):
        monkeypatch.setenv(name, value)
    assert node_count() == nodes


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("AMD EPYC 9575F 64-Core Processor", "2x-amd-epyc-9575f-2c-cpu"),
        ("Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz", "2x-intel-xeon-platinum-8480c-2c-cpu"),
        ("../../etc/passwd", "2x-etc-passwd-2c-cpu"),
    ],
)
def test_a_processor_names_the_system(
    model: str, name: str, server: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.root / "proc/cpuinfo").write_text(f"model name\t: {model}\n")
    monkeypatch.setattr("pitboard.training.system.Host", lambda: server)
    assert system_name() == name == checked_system_name(name)


def test_the_name_of_this_machine_is_safe_and_the_same_at_every_call() -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", system_name())
    assert system_name() == system_name()


@pytest.mark.parametrize(
    "name", ["", "..", "../up", "a/b", ".hidden", "-flag", "two words", "a\n", "x" * 101]
)
def test_a_name_that_could_leave_the_output_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="cannot name a system"):
        write_system(tmp_path, {"system_name": name})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "systems").write_text("a file where the folder should be")
    with pytest.raises(PitboardError, match="Cannot write"):
        write_system(tmp_path, {"system_name": "box"})
