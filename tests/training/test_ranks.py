"""Several real ranks: the same loss curve as one, however the model is spread."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import TINY, Command, command_environment, curve, the_run

pytestmark = pytest.mark.slow

SPREADS = {
    "two ranks": (2, []),
    "accumulating, activations checkpointed": (
        2,
        ["--set", "micro_batch_size=2", "--set", "activation_checkpointing=true"],
    ),
    "tensor parallel": (2, ["--set", "tensor_parallel=2"]),
    "sharded x tensor parallel": (4, ["--set", "tensor_parallel=2"]),
    "replicas of shards": (4, ["--set", "replicas=2"]),
}


@pytest.fixture(scope="module")
def one_rank(pitboard: Command, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, float]]:
    folder = tmp_path_factory.mktemp("one") / "out"
    done = pitboard("run", "llama31_8b", "--seed", 7, "--precision", "fp32", *TINY, "--output", folder)
    assert done.returncode == 1, done.stderr
    assert len(curve(folder)) == 4
    return curve(folder)


@pytest.mark.parametrize("spread", SPREADS)
def test_the_loss_curve_does_not_depend_on_the_ranks(
    spread: str, one_rank: list[tuple[int, float]], pitboard: Command, tmp_path: Path
) -> None:
    nproc, settings = SPREADS[spread]
    base = ["run", "llama31_8b", "--seed", 7, "--precision", "fp32", *TINY]
    done = pitboard(*base, *settings, "--nproc", nproc, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert curve(tmp_path / "out") == [(s, pytest.approx(q, rel=1e-5)) for s, q in one_rank]
    assert one_rank[0][1] - one_rank[-1][1] > 0.02, "nothing was learned: the comparison says nothing"


def test_torchrun_with_bf16_trains_as_one_rank_and_writes_one_log(
    pitboard: Command, cache: Path, tmp_path: Path
) -> None:
    arguments = ["run", "llama31_8b", "--seed", "7", *TINY, "--output"]
    pitboard(*arguments, tmp_path / "one")
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "pitboard",
    ]
    done = subprocess.run(
        [*torchrun, *arguments, str(tmp_path / "two")],
        env=command_environment(cache),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "two").glob("results/*/*/*"))) == 1
    assert curve(tmp_path / "two") == [(s, pytest.approx(q, rel=5e-3)) for s, q in curve(tmp_path / "one")]
    assert done.stdout.count("Time-to-train") == 1


def test_a_failing_rank_is_told_in_one_sentence(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("run", "llama31_8b", *TINY, "--nproc", 3, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "Error: global_batch_size 8 cannot be divided over 3 data-parallel ranks: choose a multiple of 3."
    ]
    assert the_run(tmp_path / "out").status == "aborted"
