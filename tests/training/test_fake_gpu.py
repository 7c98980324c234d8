"""A step and an evaluation of each benchmark on a GPU, as far as that can be told where there is none.

The layers have their full size. `fake_gpu/race.py` says what is looked at, and takes any other case by hand.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import pitboard as package

# In one worker: every worker that has one of them would run all cases.
# The first test runs all cases: a minute of a core, which a busy machine may take long to give.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fake_gpu"), pytest.mark.timeout(1200)]

HERE = Path(__file__).parent / "fake_gpu"
TORCH = Path(torch.__file__).parent
# By benchmark and precision, whether layers are converted and whether a Hopper only emulates that.
CASES = {
    "llama31_8b bf16": (False, False),
    "llama31_8b fp8": (True, False),
    "llama31_8b mxfp4": (True, True),
    "flux1 bf16": (False, False),
    "llama2_70b_lora bf16": (False, False),
    "llama2_70b_lora fp8": (True, False),
    "llama31_405b mxfp8": (True, True),
    "retinanet bf16": (False, False),
    "rgat bf16": (False, False),
    "dlrm_dcnv2 nvfp4": (True, True),
}


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Run all cases in one interpreter of its own: the stand-in for CUDA has to be there before torch is."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "c++", "clang++"))), None)
    if compiler is None:
        pytest.skip("the stand-in for CUDA needs a C++ compiler")
    if torch.version.cuda or torch.version.hip:
        pytest.skip("this build of PyTorch has CUDA of its own")
    library = tmp_path_factory.mktemp("gpu") / "stand_in.so"
    building = [compiler, "-shared", "-fPIC", "-O0", "-std=c++20", f"-I{TORCH / 'include'}"]
    linking = [f"-L{TORCH / 'lib'}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{TORCH / 'lib'}"]
    files = [str(HERE / "stand_in.cpp"), "-o", str(library)]
    subprocess.run([*building, *files, *linking], check=True)
    done = subprocess.run(
        [sys.executable, HERE / "race.py", library, "refused", *CASES],
        env=os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for case in found:
        assert "error" not in case, f"{case}\n{done.stderr}"
    return {case.pop("case"): case for case in found}


@pytest.mark.parametrize("case", CASES)
def test_a_step_and_an_evaluation_are_all_on_the_gpu_and_never_wait(
    case: str, raced: dict[str, dict[str, Any]]
) -> None:
    low, emulated = CASES[case]
    (samples,) = raced[case].pop("evaluated")
    assert samples > 0
    assert raced[case] == {
        "devices": ["cuda:0"],
        "trained": ["torch.float32"],
        "optimizer": ["torch.float32"],
        "low": low,
        "emulated": emulated,
    }


def test_the_stand_in_refuses_what_a_gpu_would_refuse_or_wait_for(raced: dict[str, dict[str, Any]]) -> None:
    assert raced["refused"] == {
        "read back": "refused",
        "branch": "refused",
        "copy to the host": "refused",
        "copy that waits": "refused",
        "two devices": "refused",
        "two types": "refused",
        "mask": "refused",
        "count": "refused",
        "asynchronous copy": "taken",
    }
