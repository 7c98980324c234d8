"""The rounds held against the official package: rulesets, counts, targets, reference convergence points."""

import json
import math
from dataclasses import replace
from datetime import date
from importlib.resources import files
from typing import Any, Literal

import pytest
import yaml
from mlperf_logging.benchmark_meta import get_allowed_benchmarks, get_result_file_counts

from pitboard import suite
from pitboard.errors import PitboardError
from pitboard.suite import Benchmark, Hyperparameter

ROUND = suite.round("5.1")
OFFICIAL = files("mlperf_logging")
every_benchmark = pytest.mark.parametrize("benchmark", ROUND.benchmarks, ids=lambda benchmark: benchmark.id)


def ruleset(benchmark: Benchmark) -> dict[str, dict[str, Any]]:
    """The official rules of a benchmark's closed division by the key of the log that they check, in order."""
    folder = OFFICIAL / "compliance_checker" / f"training_{ROUND.ruleset}"
    rules = {}
    for name in ("closed_common.yaml", f"closed_{benchmark.id}.yaml"):
        for entry in yaml.safe_load((folder / name).read_text()):
            rules[entry["KEY"]["NAME"]] = entry["KEY"]
    del rules["submission_benchmark"]
    return rules


def accepted(check: str | list[str] | None, value: Any, state: dict[str, Any]) -> bool:
    checks = [check] if isinstance(check, str) else check or []
    return all(eval(c.strip(), {"math": math}, {"v": {"value": value}, "s": state}) for c in checks)


def reference_points(benchmark: Benchmark) -> list[dict[str, Any]]:
    folder = OFFICIAL / "rcp_checker" / f"training_{ROUND.ruleset}"
    return list(json.loads((folder / f"rcps_{benchmark.id}.json").read_text()).values())


def value_at(hyperparameter: Hyperparameter, logged: dict[str, Any]) -> Any:
    if hyperparameter.kind == "computed":
        return eval(hyperparameter.formula, {"ceil": math.ceil}, logged)
    return hyperparameter.value if hyperparameter.kind == "fixed" else 1152


def test_the_table_has_every_round_that_there_are_rules_for() -> None:
    folders = {entry.name for entry in (OFFICIAL / "compliance_checker").iterdir()}
    installed = {name.removeprefix("training_") for name in folders if name.startswith("training_")}
    before = {"0.6.0", "0.7.0", "0.7.0_warn"}
    assert [known.ruleset for known in suite.ROUNDS] == sorted(installed - before)


@pytest.mark.parametrize("known", suite.ROUNDS, ids=lambda known: known.version)
def test_a_rounds_benchmarks_are_those_of_the_official_package(known: suite.Round) -> None:
    official = suite.official_benchmarks(known)
    assert {each.id for each in official} == set(get_allowed_benchmarks("training", known.ruleset))
    assert {each.id: each.runs for each in official}.items() <= get_result_file_counts("training").items()


# As MLCommons' pages of results list them, in words of its own for the quality; 6.1 as the ruleset has it.
@pytest.mark.parametrize(
    ("version", "targets"),
    [
        (
            "1.1",
            "resnet ≥ 0.759, unet3d ≥ 0.908, ssd ≥ 0.23, maskrcnn BBOX ≥ 0.377 SEGM ≥ 0.339, rnnt ≤ 0.058, "
            "bert ≥ 0.72, dlrm ≥ 0.8025, minigo ≥ 0.5",
        ),
        (
            "4.0",
            "resnet ≥ 0.759, unet3d ≥ 0.908, ssd ≥ 0.34, bert ≥ 0.72, gpt3 ≤ 2.69, llama2_70b_lora ≤ 0.925, "
            "dlrm_dcnv2 ≥ 0.80275, stable_diffusion FID ≤ 90 CLIP ≥ 0.15, gnn ≥ 0.72",
        ),
        (
            "6.1",
            "llama31_8b ≤ 3.3, flux1 ≤ 0.586, llama2_70b_lora ≤ 0.925, gpt_oss_20b ≤ 3.34, "
            "deepseekv3_671b ≤ 3.6, qwen35_397b_grpo > 0.69, dlrmv4 ≥ 0.75",
        ),
    ],
)
def test_targets_are_read_from_the_official_rules(version: str, targets: str) -> None:
    official = suite.official_benchmarks(suite.round(version))
    assert {f"{each.id} {' '.join(map(str, each.targets))}" for each in official} == set(targets.split(", "))


@every_benchmark
def test_a_described_benchmark_has_the_official_target(benchmark: Benchmark) -> None:
    (official,) = [each for each in suite.official_benchmarks(ROUND) if each.id == benchmark.id]
    comparison: Literal["<=", ">="] = "<=" if benchmark.lower_is_better else ">="
    assert official.targets == (suite.Target(comparison=comparison, value=benchmark.target),)


def test_rounds_follow_one_another() -> None:
    days = [known.published_by for known in suite.ROUNDS[:-1]]
    assert all(days)
    assert days == sorted(days)  # type: ignore[type-var]
    assert suite.round("4.1").published_by == date(2024, 11, 30), "only the month is known: at the latest"
    assert suite.round("6.1").published_by is None


def test_a_run_is_of_the_newest_round_that_can_be_raced_or_of_the_one_asked_for() -> None:
    assert suite.raceable_round() is suite.raceable_round("v5.1") is suite.NEWEST_RACED
    with pytest.raises(PitboardError, match=r"cannot race round 6\.1 yet; it can race 5\.1"):
        suite.raceable_round("6.1")


def test_the_round_races_what_the_official_package_allows() -> None:
    assert {b.id for b in ROUND.benchmarks} == set(get_allowed_benchmarks("training", ROUND.ruleset))
    assert {r.id for r in ROUND.retired} == set(get_allowed_benchmarks("training", "5.0.0")) - {
        b.id for b in ROUND.benchmarks
    }
    assert {r.id: r.replaced_by for r in ROUND.retired} == {
        b.replaces: b.id for b in ROUND.benchmarks if b.replaces
    }


@every_benchmark
def test_runs_that_count(benchmark: Benchmark) -> None:
    assert benchmark.runs == get_result_file_counts("training")[benchmark.id]


@every_benchmark
def test_every_key_of_the_ruleset_is_a_hyperparameter_of_ours(benchmark: Benchmark) -> None:
    keys = set(ruleset(benchmark)) - {benchmark.metric_key}
    ours = {h.name for h in benchmark.hyperparameters}
    assert keys <= ours
    assert {h.name for h in benchmark.hyperparameters if h.source == "ruleset"} <= keys


@every_benchmark
def test_the_official_checks_accept_our_values(benchmark: Benchmark) -> None:
    ours = {h.name: h for h in benchmark.hyperparameters}
    logged: dict[str, Any] = {name: value_at(h, {}) for name, h in ours.items() if h.kind != "computed"}
    logged |= {name: value_at(h, logged) for name, h in ours.items() if h.kind == "computed"}
    state: dict[str, Any] = {}
    for key, rule in ruleset(benchmark).items():
        if key == benchmark.metric_key:
            continue
        check, value, hyperparameter = rule.get("CHECK"), logged[key], ours[key]
        assert accepted(check, value, state), f"{key} = {value}: {check}"
        if hyperparameter.source == "ruleset" and hyperparameter.kind != "free":
            other = value + 1 if isinstance(value, int | float) else f"{value}?"
            assert not accepted(check, other, state), f"the ruleset leaves {key} free"
        if hyperparameter.kind == "free":
            assert accepted(check, 7, state), f"the ruleset does not leave {key} free: {check}"
        exec(rule.get("POST", "").strip(), {"math": math}, {"v": {"value": value}, "s": state})


@every_benchmark
def test_the_target_is_the_one_of_the_ruleset(benchmark: Benchmark) -> None:
    rule = ruleset(benchmark)[benchmark.metric_key]
    assert f"'{benchmark.progress_key}' in v['metadata']" in " ".join(rule["CHECK"])
    for quality in (
        benchmark.target,
        math.nextafter(benchmark.target, math.inf),
        math.nextafter(benchmark.target, -math.inf),
    ):
        assert benchmark.reached(quality) is accepted(rule["ATLEAST_ONE_CHECK"], quality, {})


@every_benchmark
def test_facts_given_twice_agree(benchmark: Benchmark) -> None:
    fixed = {h.name: h.value for h in benchmark.hyperparameters if h.kind == "fixed"}
    assert fixed.get("opt_name", benchmark.optimizer) == benchmark.optimizer
    assert fixed.get("eval_samples", benchmark.evaluation_samples) == benchmark.evaluation_samples
    assert fixed.get("evaluation_frequency", benchmark.evaluation.samples) == benchmark.evaluation.samples


@pytest.mark.parametrize("name", ["llama31_8b", "flux1", "llama2_70b_lora", "llama31_405b"])
def test_the_reference_converged_at_evaluations_of_our_schedule(name: str) -> None:
    evaluation = ROUND.benchmark(name).evaluation
    for point in reference_points(ROUND.benchmark(name)):
        batch = point["BS"]
        # The reference itself evaluated Llama 3.1 8B every 129 steps at this batch size, where 128 are due.
        interval = 129 * 96 if (name, batch) == ("llama31_8b", 96) else evaluation.interval(batch)
        for samples in point.get("Epochs to converge") or point["samples to converge"]:
            assert samples % interval == 0, f"batch {batch}: {samples} is no multiple of {interval}"
            assert samples >= evaluation.first(batch), (
                f"batch {batch}: {samples} is before the first evaluation"
            )


@pytest.mark.parametrize(
    ("name", "batch", "first", "interval"),
    [
        # As published logs of the round show them.
        ("llama31_405b", 960, 288_000, 19_200),
        ("llama31_8b", 36, 12_312, 12_312),
        ("llama2_70b_lora", 64, 4_224, 384),
        ("llama2_70b_lora", 72, 5_184, 432),
        ("llama2_70b_lora", 9, 1_548, 387),
        ("flux1", 2304, 262_656, 262_656),
        ("retinanet", 256, 4572 * 256, 4572 * 256),
        ("dlrm_dcnv2", 135_168, 1551 * 135_168, 1551 * 135_168),
    ],
)
def test_the_schedule_of_a_published_run(name: str, batch: int, first: int, interval: int) -> None:
    evaluation = ROUND.benchmark(name).evaluation
    assert (evaluation.first(batch), evaluation.interval(batch)) == (first, interval)


def test_llama_full_preset_is_the_reference_at_its_batch_size() -> None:
    benchmark = ROUND.benchmark("llama31_8b")
    full = benchmark.preset("full").values
    (point,) = [p for p in reference_points(benchmark) if p["BS"] == full["global_batch_size"]]
    batch, warmup = full["global_batch_size"], full["warmup_steps"]
    assert full["learning_rate"] == point["Hyperparams"]["opt_base_learning_rate"]
    assert isinstance(batch, int)
    assert isinstance(warmup, int)
    assert batch * warmup == point["Hyperparams"]["opt_learning_rate_warmup_samples"]
    assert full["target"] == benchmark.target
    assert full["evaluation_interval"] == benchmark.evaluation.samples
    assert full["evaluation_samples"] == benchmark.evaluation_samples
    assert full["end_learning_rate"] == pytest.approx(0.1 * full["learning_rate"])  # type: ignore[operator]


@pytest.mark.parametrize("name", ["llama31_8b", "flux1", "llama2_70b_lora"])
def test_what_follows_from_the_rules_is_in_every_preset_that_does_not_change_it(name: str) -> None:
    benchmark = ROUND.benchmark(name)
    fixed = {h.name: h.value for h in benchmark.hyperparameters if h.kind == "fixed"}
    ends = {"llama31_8b": 0.1, "flux1": 1, "llama2_70b_lora": 0}
    for preset in benchmark.presets:
        values = preset.values
        assert values["weight_decay"] == fixed["opt_adamw_weight_decay"]
        assert values["gradient_clip_norm"] == fixed["opt_gradient_clip_norm"]
        assert values["end_learning_rate"] == pytest.approx(ends[name] * values["learning_rate"])  # type: ignore[operator]
        assert values["division"] == ("closed" if preset.name == "full" else "open")


@pytest.mark.parametrize(
    "name", ["llama31_8b", "flux1", "llama2_70b_lora", "retinanet", "dlrm_dcnv2", "rgat", "llama31_405b"]
)
@pytest.mark.parametrize("division", ["open", "closed"])
def test_quality_is_logged_under_the_keys_of_the_divisions_ruleset(name: str, division: str) -> None:
    keys = ROUND.benchmark(name).metric_keys(division)
    folder = OFFICIAL / "compliance_checker" / f"training_{ROUND.ruleset}"
    rules = yaml.safe_load((folder / f"{division}_{name}.yaml").read_text())
    judged = {entry["KEY"]["NAME"] for entry in rules if "ATLEAST_ONE_CHECK" in entry.get("KEY", {})}
    # The key that `common.yaml` requires of every log, and the division's own where it has another.
    assert set(keys) == judged | {"eval_accuracy"}


@pytest.mark.parametrize("batch", [4, 36, 1152])
def test_evaluations_are_due_at_every_interval_from_the_first_on(batch: int) -> None:
    schedule = ROUND.benchmark("llama31_405b").evaluation
    interval, first = schedule.interval(batch), schedule.first(batch)
    due = [samples for samples in range(batch, 3 * first, batch) if schedule.due(samples, batch)]
    assert due == list(range(first, 3 * first, interval))


def test_presets_name_the_same_settings() -> None:
    smoke, *others = (set(preset.values) for preset in ROUND.benchmark("llama31_8b").presets)
    assert all(settings == smoke for settings in others)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: suite.round("6.9"), "There is no round '6.9'. The nearest are 6.0 and 6.1."),
        (lambda: suite.round("3.2"), "There is no round '3.2'. The nearest are 3.0 and 3.1."),
        (lambda: suite.round("newest"), "There is no round 'newest'. Known: 1.0, 1.1, 2.0,"),
        (lambda: suite.round("6.1").benchmark("dlrmv4"), "`pitboard suite --round 6.1` lists them"),
        (lambda: suite.benchmark("lama31_8b"), "no benchmark 'lama31_8b'. Did you mean 'llama31_8b'?"),
        (lambda: suite.benchmark("bert"), "retired after round 5.0; round 5.1 races 'llama31_8b'"),
        (lambda: suite.benchmark("llama31_8b").preset("smok"), "no preset 'smok'. Did you mean 'smoke'?"),
        (lambda: replace(suite.benchmark("flux1"), presets=()).preset("full"), "has no presets"),
    ],
)
def test_an_unknown_name_is_answered_with_a_near_one(ask: Any, sentence: str) -> None:
    with pytest.raises(PitboardError) as error:
        ask()
    assert sentence in str(error.value)
