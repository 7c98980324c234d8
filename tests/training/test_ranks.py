"""Several real ranks: the same loss curve as one, however the model is spread."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from support import TINY, Command, Python, command_environment, learning, near, the_run, tiny

pytestmark = pytest.mark.slow

SPREADS = {
    "accumulating, activations checkpointed": (
        2,
        ["--set", "micro_batch_size=2", "--set", "activation_checkpointing=true"],
    ),
    "sharded x tensor parallel": (4, ["--set", "tensor_parallel=2"]),
    "context parallel": (4, ["--set", "context_parallel=4"]),
    "context parallel x tensor parallel, activations checkpointed": (
        4,
        [
            "--set",
            "context_parallel=2",
            "--set",
            "tensor_parallel=2",
            "--set",
            "activation_checkpointing=selective",
        ],
    ),
    "replicas x context parallel": (4, ["--set", "context_parallel=2", "--set", "replicas=2"]),
    "pipeline of two, sharded": (4, ["--set", "pipeline_parallel=2"]),
    "pipeline of two x tensor parallel": (
        4,
        ["--set", "pipeline_parallel=2", "--set", "tensor_parallel=2", "--set", "micro_batch_size=2"],
    ),
    "replicas of shards": (4, ["--set", "replicas=2"]),
    "features sharded": (2, ["--set", "shard_features=true"]),
    "replicas of shards, accumulating": (4, ["--set", "replicas=2", "--set", "micro_batch_size=1"]),
}


# Four steps, each evaluated: each moves every weight by about its learning rate, whichever rank has it.
SHORT = ["--set", "max_samples=32", "--set", "evaluation_interval=8"]
# Each rank draws a dropout of its own: without it the ranks must agree.
EXACT = {
    # Learns in four steps what it must.
    "llama31_8b": ["--set", "warmup_steps=10"],
    "llama2_70b_lora": ["--set", "lora_dropout=0"],
    "rgat": ["--set", "dropout=0"],
    # To learn enough: who flew a flight is told by crossed features only, which a few samples do not show.
    "dlrm_dcnv2": [
        *("--set", "learning_rate=0.03", "--set", "global_batch_size=64"),
        *("--set", "max_samples=2048", "--set", "evaluation_interval=512"),
    ],
}
# Adagrad moves a row that is named for the first time by the whole rate, however small its gradient is. At
# the rate that teaches so quickly, BF16's rounding becomes 1 to 8 % of the loss within 32 steps, on one rank
# whose batch is cut in two as well; at this one 0.004 %, and a rank whose gradient is left out makes 0.4 %.
STEADY = {"dlrm_dcnv2": ["--set", "learning_rate=0.005"]}


def exact(benchmark: str) -> list[str]:
    return [*tiny(benchmark), *SHORT, *EXACT.get(benchmark, [])]


# The models are spread alike; Llama's plans of tensor, context and pipeline parallelism are its own, 405B
# also splits weights that are read, and R-GAT its features.
CASES = [("llama31_8b", spread) for spread in SPREADS if spread != "features sharded"]
CASES += [("llama31_405b", "sharded x tensor parallel"), ("llama2_70b_lora", "replicas x context parallel")]
CASES += [
    (benchmark, "accumulating, activations checkpointed") for benchmark in TINY if "llama31" not in benchmark
]
CASES += [("rgat", "features sharded")]
# Of its larger batch, too, a rank computes its share in two parts.
LARGER = {"dlrm_dcnv2": ["--set", "micro_batch_size=16"]}


@pytest.fixture(scope="module")
def one_rank(
    pitboard: Command, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[tuple[int, float]]]:
    """Return a function that gives a benchmark's curves on one rank, in FP32; trained once."""

    @cache
    def train(benchmark: str) -> list[tuple[int, float]]:
        folder = tmp_path_factory.mktemp("one") / "out"
        done = pitboard(*exact(benchmark), "--seed", 7, "--precision", "fp32", "--output", folder)
        assert done.returncode == 1, done.stderr
        assert len(learning(folder)) == 4
        return learning(folder)

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
    settings = [*settings, *LARGER.get(benchmark, [])]
    done = pitboard(*base, *settings, "--nproc", nproc, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    one = one_rank(benchmark)
    assert learning(tmp_path / "out") == near(one, 1e-5)
    assert one[0][1] - one[-1][1] > 0.02, "nothing was learned: the comparison says nothing"


# Up to the graphs of forward and backward: where they break at FSDP's hooks, what is recomputed. Inductor's
# C++ for them would take minutes to compile.
COMPILED = """
import os, runpy, torch
from torch._dynamo import lookup_backend

def noted(graph, inputs):
    with open(os.environ["GRAPHS"], "a") as file:
        file.write(f"{os.environ['RANK']}\\n")
    return lookup_backend("aot_eager")(graph, inputs)

compile = torch.nn.Module.compile
torch.nn.Module.compile = lambda module, **options: compile(module, backend=noted, **options)
runpy.run_module("pitboard", run_name="__main__", alter_sys=True)
"""


def test_compiled_ranks_train_as_one_that_is_not(
    one_rank: Callable[[str], list[tuple[int, float]]],
    python: Python,
    cache: Path,
    tmp_path: Path,
) -> None:
    """As `full` runs on GPUs: compilation sees what recomputation and accumulation change."""
    _, settings = SPREADS["accumulating, activations checkpointed"]
    base = [*exact("llama31_8b"), "--seed", 7, "--precision", "fp32", *settings, "--set", "compile=true"]
    environment = command_environment(cache) | {"GRAPHS": str(tmp_path / "graphs")}
    done = python("-c", COMPILED, *base, "--nproc", 2, "--output", tmp_path / "out", env=environment)
    _, errors = done.communicate(timeout=600)
    assert done.returncode == 1, errors
    assert learning(tmp_path / "out") == near(one_rank("llama31_8b"), 1e-5)
    assert set((tmp_path / "graphs").read_text().split()) == {"0", "1"}


@pytest.mark.parametrize(
    "spread",
    ["context parallel x tensor parallel, activations checkpointed", "pipeline of two x tensor parallel"],
)
def test_what_ranks_share_is_right_in_bf16_too(
    spread: str,
    one_rank: Callable[[str], list[tuple[int, float]]],
    pitboard: Command,
    tmp_path: Path,
) -> None:
    """What goes between ranks then has two types: states in BF16, losses and gradients' sums in FP32."""
    nproc, settings = SPREADS[spread]
    base = [*exact("llama31_8b"), "--seed", 7, "--precision", "bf16"]
    done = pitboard(*base, *settings, "--nproc", nproc, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert learning(tmp_path / "out") == near(one_rank("llama31_8b"), 2e-3)


@pytest.mark.parametrize("benchmark", TINY)
def test_torchrun_with_bf16_trains_as_one_rank_and_writes_one_log(
    benchmark: str, pitboard: Command, python: Python, tmp_path: Path
) -> None:
    """Forked as all commands are; the page of docs on ranks starts real interpreters by torchrun."""
    base = [*exact(benchmark), *STEADY.get(benchmark, []), "--precision", "bf16"]
    arguments = [*base, "--seed", "7", "--output"]
    pitboard(*arguments, tmp_path / "one")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pitboard"]
    done = python(*torchrun, *arguments, tmp_path / "two")
    printed, errors = done.communicate(timeout=300)
    assert done.returncode == 1, errors
    assert "A run ended without reaching its target." in errors
    assert len(list((tmp_path / "two").glob("results/*/*/*"))) == 1
    assert learning(tmp_path / "two") == near(learning(tmp_path / "one"), 1e-3)
    assert printed.count("Time-to-train") == 1


def test_a_failing_rank_is_told_in_one_sentence(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard(*tiny("llama31_8b"), "--nproc", 3, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "Error: global_batch_size 8 cannot be divided over 3 data-parallel ranks: choose a multiple of 3."
    ]
    assert the_run(tmp_path / "out").status == "aborted"
