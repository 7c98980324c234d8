"""Every command of docs/cluster.md runs on a real Slurm, and the script that it shows is the one written."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from forked import Door
from local_slurm import LocalSlurm
from support import Python, command_environment, the_run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

_PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
_COMMANDS = re.findall(
    r"^\$ (.*)$", "".join(re.findall(r"```console\n(.*?)```", _PAGE, re.DOTALL)), re.MULTILINE
)


def test_the_commands_of_the_page_run(
    slurm: LocalSlurm, door: Door, python: Python, cache: Path, tmp_path: Path
) -> None:
    environment = command_environment(cache) | slurm.environment
    environment["PATH"] = f"{door.executable.parent}:{environment['PATH']}"
    # Compiled ranks are tested elsewhere; where there are BF16 units these would compile for two minutes.
    environment["TORCHDYNAMO_DISABLE"] = "1"
    shown = []
    for command in _COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "pitboard":
            started = python("-c", door.code, *arguments, env=environment, cwd=tmp_path)
            out, errors = started.communicate(120)
            code = started.wait()
        else:
            ran = subprocess.run(
                [program, *arguments],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            out, errors, code = ran.stdout, ran.stderr, ran.returncode
        assert code == 0, f"{command}\n{out}{errors}"
        if "--dry-run" in arguments:
            shown.append(out.replace(str(door.executable), "/home/you/venv/bin/python"))

    (script,) = re.findall(r"```bash\n(.*?)```", _PAGE, re.DOTALL)
    assert shown[0] == script
    assert "--container-image='nvcr.io#nvidia/pytorch:25.10-py3'" in shown[1]
    outside = ["/results/first", f"{cache}/pitboard", "/data/llama31_8b"]
    assert f"--container-mounts={','.join(f'{path}:{path}' for path in outside)} " in shown[1]
    assert f"export XDG_CACHE_HOME={cache}\n" in shown[1]
    assert the_run(tmp_path / "by-hand").status == "success"
    assert [the_run(tmp_path / "several", number).status for number in range(2)] == ["success"] * 2
