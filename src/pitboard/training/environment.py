"""What decides a run beside its settings: versions, variables, hosts, devices; kept in its `run.json`."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pitboard
from pitboard.processes import node_name
from pitboard.training.distributed import World
from pitboard.training.host import Host

_PREFIXES = ("NCCL_", "GLOO_", "UCX_", "CUDA_", "OMP_", "RCCL_", "HIP_", "MKL_", "KMP_", "PYTORCH_")
_SECRET = re.compile("TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_IMAGES = ("PITBOARD_CONTAINER", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "NVIDIA_BUILD_ID")
_CONTAINER = re.compile(r"(?:docker|containers|libpod|crio|kubepods)\S*?[/-]([0-9a-f]{64})\b")
_INSTALLED = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)\.dist-info")


def describe_environment(world: World) -> dict[str, Any]:
    """Return what decides a run beside its settings, on every rank; all ranks call it.

    `hosts` is by rank, `nodes` by host; the rest is the main rank's. What the machine does not tell is left
    out. Variables whose name could be a secret's are not looked at.
    """
    host = Host()
    node = {
        "gpus": host.gpus(),
        "adapters": host.adapters(),
        "gpu_driver": host.first_line("proc/driver/nvidia/version")
        or host.first_line("sys/module/amdgpu/version"),
        "kernel": platform.release(),
    }
    found = world.everyones((node_name(), node))
    main = {
        "python": platform.python_version(),
        "packages": installed_packages(),
        "container": container(os.environ, Path("/")),
        "git": git_states(),
        "variables": variables(os.environ),
    }
    return {**main, "hosts": [name for name, _ in found], "nodes": dict(reversed(found))}


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that steer libraries of communication and computation, but for secrets."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(_PREFIXES) and not _SECRET.search(name)
    }


def installed_packages() -> dict[str, str]:
    """Return the versions of all installed packages, by their normalised names."""
    found: dict[str, str] = {}
    for folder in map(Path, sys.path):
        # Their metadata need not be read, which takes as long as a short run.
        for place in sorted(folder.glob("*.dist-info")):
            if match := _INSTALLED.fullmatch(place.name):
                name = re.sub(r"[-_.]+", "-", match["name"]).lower()
                found.setdefault(name, match["version"])
    return dict(sorted(found.items()))


def container(environment: Mapping[str, str], root: Path) -> dict[str, str]:
    """Return the image and the id of the container that this process is in, as far as either is told."""
    found = {}
    if image := next((environment[name] for name in _IMAGES if environment.get(name)), None):
        found["image"] = image
    for file in ("proc/self/cgroup", "proc/self/mountinfo"):
        try:
            match = _CONTAINER.search((root / file).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if match:
            found["id"] = match[1]
            break
    return found


def git_states() -> dict[str, str]:
    """Return the commits of Pitboard's sources and of the working folder, where they are repositories."""
    places = {"pitboard": Path(pitboard.__file__).parent, "working folder": Path.cwd()}
    return {
        name: state
        for name, folder in places.items()
        if "site-packages" not in folder.parts and (state := _git_state(folder))
    }


def _git_state(folder: Path) -> str:
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return ""
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = shown.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    changed = any(not line.startswith("#") for line in lines)
    return commit + (" with changes" if changed else "")
