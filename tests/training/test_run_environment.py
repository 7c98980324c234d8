"""What a run.json keeps of the machine that made it, and what it never keeps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pitboard.provenance import Difference, differences
from pitboard.training import environment
from pitboard.training.distributed import World
from pitboard.training.host import Host


def test_secrets_are_never_stored_and_other_variables_are_no_ones_business() -> None:
    given_ = {
        "NCCL_ALGO": "Ring",
        "GLOO_SOCKET_IFNAME": "eth0",
        "UCX_TLS": "rc",
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "4",
        "NCCL_AUTH_TOKEN": "s",
        "UCX_key_file": "s",
        "CUDA_SECRET": "s",
        "OMP_PASSWORD": "s",
        "GLOO_CREDENTIALS": "s",
        "HOME": "/home/me",
        "HF_TOKEN": "s",
    }
    assert list(environment.variables(given_)) == [
        "CUDA_VISIBLE_DEVICES",
        "GLOO_SOCKET_IFNAME",
        "NCCL_ALGO",
        "OMP_NUM_THREADS",
        "UCX_TLS",
    ]


def test_the_container_is_known_by_its_image_and_its_id(tmp_path: Path) -> None:
    number = "0f" * 32
    (tmp_path / "proc/self").mkdir(parents=True)
    assert environment.container({}, tmp_path) == {}
    (tmp_path / "proc/self/mountinfo").write_text(
        f"10 9 8:1 /var/lib/docker/containers/{number}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
    )
    image = {"APPTAINER_CONTAINER": "/images/pytorch.sif"}
    assert environment.container(image, tmp_path) == {"image": "/images/pytorch.sif", "id": number}
    other = "ab" * 32
    (tmp_path / "proc/self/cgroup").write_text(f"0::/kubepods/pod1/cri-containerd-{other}.scope\n")
    assert environment.container({}, tmp_path) == {"id": other}


def test_gpus_and_adapters_are_read_from_the_kernel(tmp_path: Path) -> None:
    files = {
        "sys/bus/pci/devices/0000:1b:00.0/class": "0x030200",
        "sys/bus/pci/devices/0000:1b:00.0/vendor": "0x10de",
        "sys/bus/pci/devices/0000:1b:00.0/device": "0x2330",
        "sys/bus/pci/devices/0000:1b:00.0/numa_node": "1",
        "sys/bus/pci/devices/0000:02:00.0/class": "0x020000",
        "proc/driver/nvidia/gpus/0000:1b:00.0/information": "Model: \t NVIDIA H100\nGPU Firmware: \t 570.1\n",
        "sys/class/infiniband/mlx5_0/fw_ver": "28.39",
        "sys/class/infiniband/mlx5_0/ports/1/rate": "400 Gb/sec (4X NDR)",
        "sys/class/infiniband/mlx5_0/ports/1/link_layer": "InfiniBand",
        "sys/class/infiniband/mlx5_0/device/numa_node": "1",
        "sys/class/net/lo/speed": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert Host(tmp_path).gpus() == [
        {
            "address": "0000:1b:00.0",
            "id": "0x10de:0x2330",
            "numa_node": "1",
            "model": "NVIDIA H100",
            "firmware": "570.1",
        }
    ]
    assert Host(tmp_path).adapters() == [
        {
            "name": "mlx5_0",
            "numa_node": "1",
            "rate": "400 Gb/sec (4X NDR)",
            "link_layer": "InfiniBand",
            "firmware": "28.39",
        }
    ]


def test_versions_and_the_commit_are_those_of_this_interpreter_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.installed_packages()["torch"].startswith(torch.__version__.partition("+")[0])
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(
            ["git", "-C", str(tmp_path), *command], check=True, env=os.environ | {"HOME": "/nowhere"}
        )
    monkeypatch.chdir(tmp_path)
    clean = environment.git_states()["working folder"]
    assert len(clean) == 40
    (tmp_path / "file").write_text("2")
    assert environment.git_states()["working folder"] == f"{clean} with changes"
    found = environment.describe_environment(World(0, 1, torch.device("cpu"), None, 0, 1, 1))
    assert found["hosts"] == list(found["nodes"]) == [os.uname().nodename]
    assert found["python"] == sys.version.split()[0]
    monkeypatch.setenv("SLURMD_NODENAME", "node-7")  # as messages about a rank call it
    found = environment.describe_environment(World(0, 1, torch.device("cpu"), None, 0, 1, 1))
    assert found["hosts"] == list(found["nodes"]) == ["node-7"]


RECORD = st.recursive(
    st.integers() | st.text(),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=3), RECORD), st.dictionaries(st.text(max_size=3), RECORD))
def test_records_that_differ_are_told_apart(a: dict[str, object], b: dict[str, object]) -> None:
    assert differences(a, a) == []
    assert bool(differences(a, b)) == (a != b)
    assert sorted(map(repr, differences(b, a))) == sorted(
        repr(each._replace(a=each.b, b=each.a)) for each in differences(a, b)
    )


def test_a_difference_within_a_record_is_named_by_its_path() -> None:
    a = {"python": "3.11", "nodes": {"n1": {"gpus": {"driver": "1"}}}, "packages": {"torch": "1"}}
    b = {"python": "3.12", "nodes": {"n1": {"gpus": {"driver": "2"}}}, "packages": {}}
    assert differences(a, b) == [
        Difference("environment", "python", "3.11", "3.12"),
        Difference("nodes", "n1.gpus.driver", "1", "2"),
        Difference("packages", "torch", "1", None),
    ]
