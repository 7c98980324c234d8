"""Ranks under Slurm's `srun`: a task of a step with several tasks is a rank, without torchrun.

Light to import, and to be asked before torch is imported, which reads how many threads it may have.
"""

import os
import re
import socket
import subprocess
from collections.abc import MutableMapping

# Below the ports that Linux hands out by itself.
_FIRST_PORT, _PORTS = 20_000, 12_000
_STEPS = 8


def become_rank(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Say in torchrun's variables which rank this task is, and return whether it is one of several.

    Nothing is changed where a launcher has said so already, for the shell of a batch script, a step of one
    task, or a terminal (`srun --pty`, `salloc`), in all of which a command is the user's own. `MASTER_ADDR`,
    `MASTER_PORT` and `OMP_NUM_THREADS` are left as they are where they are set.
    """
    tasks, task = environment.get("SLURM_STEP_NUM_TASKS", ""), environment.get("SLURM_PROCID", "")
    if not (tasks.isdecimal() and task.isdecimal() and int(tasks) > 1) or "RANK" in environment:
        return False
    if "SLURM_PTY_PORT" in environment and os.isatty(0):
        return False
    job, step = (int(environment.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    environment.update(RANK=task, WORLD_SIZE=tasks, LOCAL_RANK=_local_rank(environment))
    if "MASTER_ADDR" not in environment:
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
        environment["MASTER_ADDR"] = _address(first_node(nodes))
    environment.setdefault("MASTER_PORT", str(_FIRST_PORT + (job * _STEPS + step) % _PORTS))
    environment.setdefault("OMP_NUM_THREADS", str(_threads(environment)))
    return True


def first_node(nodes: str) -> str:
    """Return the first node of Slurm's short list of them, such as `n[03-08,11],gpu1`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0] if first else "")


def _local_rank(environment: MutableMapping[str, str]) -> str:
    """Return the number of this task's GPU among those that it sees."""
    bound = environment.keys() & {"SLURM_GPUS_PER_TASK", "SLURM_GPU_BIND"}
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    if bound and visible and "," not in visible:
        return "0"
    return environment.get("SLURM_LOCALID", "0")


def _threads(environment: MutableMapping[str, str]) -> int:
    """Return how many threads this task may use without taking those of its neighbours."""
    given = environment.get("SLURM_CPUS_PER_TASK", "")
    if given.isdecimal():
        return int(given)
    # "2(x3),1": how many tasks the step has on each of its nodes.
    here = re.findall(r"\d+(?=\(|,|$)", environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    return max(1, len(os.sched_getaffinity(0)) // max(1, *map(int, here), 1))


def _address(node: str) -> str:
    """Return what a node is reached by: its name, or where that is only Slurm's, the address that it has."""
    try:
        socket.getaddrinfo(node, None)
    except OSError:
        command = ["scontrol", "--oneliner", "show", "node", node]
        try:
            shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
        except (OSError, subprocess.SubprocessError):
            shown = ""
        found = re.search(r"\bNodeAddr=(\S+)", shown)
        return found[1] if found else node
    return node
