"""Several real ranks: the same loss curve as one, however the model is spread."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from support import TINY, Command, Python, curve, near, the_run, tiny

pytestmark = pytest.mark.slow

SPREADS = {
    "accumulating, activations checkpointed": (
        2,
        ["--set", "micro_batch_size=2", "--set", "activation_checkpointing=true"],
    ),
    "sharded x tensor parallel": (4, ["--set", "tensor_parallel=2"]),
    "replicas of shards": (4, ["--set", "replicas=2"]),
    "replicas of shards, accumulating": (4, ["--set", "replicas=2", "--set", "micro_batch_size=1"]),
}


# Each rank draws a dropout of its own: without it the ranks must agree.
EXACT = ["--set", "lora_dropout=0"]


def exact(benchmark: str) -> list[str]:
    return [*tiny(benchmark), *(EXACT if benchmark == "llama2_70b_lora" else [])]


# The transformers are spread alike; Llama's tensor parallelism is the only plan of its own.
CASES = [("llama31_8b", spread) for spread in SPREADS] + [
    (benchmark, "accumulating, activations checkpointed") for benchmark in TINY if benchmark != "llama31_8b"
]


@pytest.fixture(scope="module")
def one_rank(
    pitboard: Command, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[tuple[int, float]]]:
    """Return a function that gives a benchmark's curve on one rank, in FP32; trained once."""

    @cache
    def train(benchmark: str) -> list[tuple[int, float]]:
        folder = tmp_path_factory.mktemp("one") / "out"
        done = pitboard(*exact(benchmark), "--seed", 7, "--precision", "fp32", "--output", folder)
        assert done.returncode == 1, done.stderr
        assert len(curve(folder)) == 4
        return curve(folder)

    return train


@pytest.mark.parametrize(("benchmark", "spread"), CASES)
def test_the_loss_curve_does_not_depend_on_the_ranks(
    benchmark: str,
    spread: str,
    one_rank: Callable[[str], list[tuple[int, float]]],
    pitboard: Command,
    tmp_path: Path,
) -> None:
    nproc, settings = SPREADS[spread]
    base = [*exact(benchmark), "--seed", 7, "--precision", "fp32"]
    done = pitboard(*base, *settings, "--nproc", nproc, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    one = one_rank(benchmark)
    assert curve(tmp_path / "out") == near(one, 1e-5)
    assert one[0][1] - one[-1][1] > 0.02, "nothing was learned: the comparison says nothing"


@pytest.mark.parametrize("benchmark", TINY)
def test_torchrun_with_bf16_trains_as_one_rank_and_writes_one_log(
    benchmark: str, pitboard: Command, python: Python, tmp_path: Path
) -> None:
    """Forked as all commands are; the page of docs on ranks starts real interpreters by torchrun."""
    arguments = [*exact(benchmark), "--seed", "7", "--output"]
    pitboard(*arguments, tmp_path / "one")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pitboard"]
    done = python(*torchrun, *arguments, tmp_path / "two")
    printed, errors = done.communicate(timeout=300)
    assert done.returncode == 1, errors
    assert "A run ended without reaching its target." in errors
    assert len(list((tmp_path / "two").glob("results/*/*/*"))) == 1
    assert curve(tmp_path / "two") == near(curve(tmp_path / "one"), 1e-3)
    assert printed.count("Time-to-train") == 1


def test_a_failing_rank_is_told_in_one_sentence(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard(*tiny("llama31_8b"), "--nproc", 3, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "Error: global_batch_size 8 cannot be divided over 3 data-parallel ranks: choose a multiple of 3."
    ]
    assert the_run(tmp_path / "out").status == "aborted"
