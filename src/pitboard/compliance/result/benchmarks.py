"""What MLCommons fixes for each benchmark: how many runs, how many of them are dropped, what counts."""

from functools import cache

from mlperf_logging.benchmark_meta import get_allowed_benchmarks, get_result_file_counts

from pitboard.compliance.log.rulesets import config
from pitboard.events import Evaluation, Run

# Where the official `rcp_checker` takes convergence from an evaluation's `samples_count`; elsewhere it
# counts in epochs (`epoch_num`).
_IN_SAMPLES = frozenset(
    {
        "deepseekv3_671b",
        "dlrmv4",
        "flux1",
        "gpt_oss_20b",
        "llama2_70b_lora",
        "llama31_405b",
        "llama31_8b",
        "qwen35_397b_grpo",
    }
)


# `epoch_num` beyond this holds samples, as bert's does and unet3d's in some rounds.
_MOST_EPOCHS = 10_000
# The official package checker makes no RCP test of these: the reference's convergence was never published.
_WITHOUT_RCP_TEST = frozenset({"minigo"})
# Whose two metrics are logged in lines of their own, in no order.
_TWO_METRICS = "stable_diffusion"


def official_runs(benchmark: str) -> int | None:
    """How many runs a training result of this benchmark has; `None` for one that MLCommons does not know."""
    count: int | None = get_result_file_counts("training").get(benchmark)
    return count


def official_drops(benchmark: str) -> int:
    """How many runs the olympic mean drops at either end (training rules, "Benchmark results")."""
    return 4 if benchmark == "unet3d" else 1


def allowed_benchmarks(ruleset: str) -> list[str]:
    """Name the benchmarks of a round, given by its ruleset ("5.1.0")."""
    return list(dict.fromkeys(get_allowed_benchmarks("training", ruleset)))


def has_rcp_test(benchmark: str) -> bool:
    """Whether the closed division's results of this benchmark are held against reference points."""
    return benchmark not in _WITHOUT_RCP_TEST


@cache
def counts_in_steps(benchmark: str | None, ruleset: str) -> bool:
    """Whether a round's rules join the metrics of an evaluation by its step; later ones do by its samples."""
    rules = config(f"training_{ruleset}/closed_{benchmark}.yaml") if benchmark == _TWO_METRICS else None
    joined = rules.keys.get("aggregated_eval_accuracy") if rules else None
    return joined is not None and any("step_num" in check.text for check in joined.checks)


def counts_in_epochs(benchmark: str | None) -> bool:
    """Whether the official `rcp_checker` counts this benchmark's convergence in epochs, not in samples."""
    return benchmark not in _IN_SAMPLES and benchmark is not None and official_runs(benchmark) is not None


def convergence_unit(benchmark: str | None, amount: float) -> str:
    """Name the unit of an amount of `convergence`, which is not the same in every round."""
    if not counts_in_epochs(benchmark) or amount > _MOST_EPOCHS:
        return "samples"
    return "steps" if benchmark == _TWO_METRICS else "epochs"


def convergence(run: Run, ruleset: str) -> float | None:
    """Samples (epochs, steps) that a successful run had consumed at its last evaluation before `run_stop`.

    `None` for a run that did not converge, or whose evaluations do not say. The unit is the one in which the
    official `rcp_checker` counts the benchmark; other benchmarks count in samples where the log has them.
    """
    if run.status != "success" or not run.evaluated:
        return None
    last = run.evaluations[run.evaluated - 1]
    if run.benchmark == _TWO_METRICS:
        return _first_passing(run.evaluations[: run.evaluated], counts_in_steps(run.benchmark, ruleset))
    if run.benchmark in _IN_SAMPLES:
        return last.samples
    if counts_in_epochs(run.benchmark):
        return None if last.epoch is None else round(last.epoch, 3)
    return run.samples_to_target


def _first_passing(evaluations: list[Evaluation], in_steps: bool) -> float | None:
    """Find the earliest evaluation at which both metrics pass: they are logged out of order."""
    steps: dict[float, dict[str | None, float]] = {}
    for evaluation in evaluations:
        at = evaluation.step if in_steps else evaluation.samples
        if at is not None:
            steps.setdefault(at, {})[evaluation.metric] = evaluation.quality
    passing = [
        step
        for step, quality in steps.items()
        if quality.get("FID", 91.0) <= 90.0 and quality.get("CLIP", 0.0) >= 0.15
    ]
    return min(passing, default=None)
