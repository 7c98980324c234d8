"""A task of srun's is a rank; a shell in an allocation is not."""

import os
import socket
import subprocess

import pytest

from pitboard.launch.srun import become_rank, first_node

TASK = {
    "SLURM_JOB_ID": "41",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_STEP_NODELIST": "localhost,n[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
    "SLURM_PROCID": "11",
    "SLURM_LOCALID": "3",
}


def test_a_task_of_several_is_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    environment = dict(TASK)
    assert become_rank(environment)
    assert {name: environment[name] for name in environment.keys() - TASK.keys()} == {
        "RANK": "11",
        "WORLD_SIZE": "16",
        "LOCAL_RANK": "3",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(20_000 + 41 * 8 + 2),
        "OMP_NUM_THREADS": "8",
    }
    chosen = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "9", "OMP_NUM_THREADS": "1"}
    environment = TASK | chosen
    assert become_rank(environment)
    assert environment.items() >= chosen.items()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"SLURM_GPUS_PER_TASK": "1", "CUDA_VISIBLE_DEVICES": "5"}, {"LOCAL_RANK": "0"}),
        ({"SLURM_GPUS_PER_TASK": "2", "CUDA_VISIBLE_DEVICES": "4,5"}, {"LOCAL_RANK": "3"}),
        ({"CUDA_VISIBLE_DEVICES": "5"}, {"LOCAL_RANK": "3"}),
        ({"SLURM_CPUS_PER_TASK": "12"}, {"OMP_NUM_THREADS": "12"}),
    ],
)
def test_a_task_uses_what_is_bound_to_it(changed: dict[str, str], expected: dict[str, str]) -> None:
    environment = TASK | changed
    assert become_rank(environment)
    assert environment.items() >= expected.items()


@pytest.mark.parametrize(
    "changed",
    [
        {"RANK": "0"},  # torchrun's, one on each node
        {"SLURM_STEP_NUM_TASKS": "1"},
        {"SLURM_STEP_NUM_TASKS": "", "SLURM_NTASKS": "16"},  # the shell of a batch script, or of salloc
        {"SLURM_PROCID": ""},
        {"SLURM_PTY_PORT": "1234"},
    ],
)
def test_any_other_command_is_the_users_own(changed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: True)
    environment = TASK | changed
    assert not become_rank(environment)
    assert environment == TASK | changed


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("n[1-4]", "n1"),
        ("gpu-[003,007-011],x1", "gpu-003"),
        ("x1,gpu-[003,007-011]", "x1"),
        ("rack[2-3]node[04-05]-ib,z", "rack2node04-ib"),
        ("", ""),
    ],
)
def test_the_first_node_of_a_short_list(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_a_name_that_only_slurm_knows_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError

    def shown(command: list[str], **_: object) -> object:
        assert command[-1] == "n1"
        return type("Done", (), {"stdout": "NodeName=n1 NodeAddr=10.1.2.3 NodeHostName=h\n"})

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(subprocess, "run", shown)
    environment = TASK | {"SLURM_STEP_NODELIST": "n[1-2]"}
    become_rank(environment)
    assert environment["MASTER_ADDR"] == "10.1.2.3"
