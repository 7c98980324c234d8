"""`--rcp`: a run takes every setting of an official reference convergence point, as the rules demand it."""

import math
from pathlib import Path

import pytest
import torch

from made_logs import event, write_log
from official import official_messages
from pitboard import suite
from pitboard.errors import PitboardError
from pitboard.launch.plan import RunRequest, make_plan
from pitboard.suite import ReferenceConvergencePoint
from pitboard.training.distributed import World
from pitboard.training.log_header import log_header
from pitboard.training.output import Output, Plan
from pitboard.training.protocol import benchmark_class, raceable
from pitboard.training.runner import settings_of

ROUND = suite.NEWEST_RACED
POINTS = [
    pytest.param(benchmark, point, id=f"{benchmark}-{point.global_batch_size}")
    for benchmark in sorted(raceable())
    for point in suite.official_points(ROUND, benchmark)
]


def planned(benchmark: str, batch: int, **options: object) -> Plan:
    return make_plan(RunRequest(benchmark=benchmark, preset="full", rcp=batch, seed=1, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("benchmark", "point"), POINTS)
def test_a_run_has_all_that_the_point_states_and_the_official_ruleset_accepts_it(
    benchmark: str, point: ReferenceConvergencePoint, tmp_path: Path
) -> None:
    plan = planned(benchmark, point.global_batch_size, overrides={"precision": "bf16"})
    trained = benchmark_class(benchmark)(settings_of(plan))
    world = World(0, 1, torch.device("cpu"), None, 0, 1, 1)
    header = log_header(trained, plan, 1, world, "asked for")

    assert header["global_batch_size"] == point.global_batch_size
    for name, value in stated(point).items():
        assert header[name] == value, name

    raced = suite.benchmark(benchmark)
    for rule in raced.hyperparameters:
        if rule.kind == "computed":
            assert header[rule.name] == eval(rule.formula, {"ceil": math.ceil}, dict(header)), rule.name
        elif rule.kind == "fixed" and rule.name in header:
            assert header[rule.name] == rule.value, rule.name
    at = {"samples_count": 1, "epoch_num": 1}
    log = [event("cache_clear", True), event("init_start"), *(event(*each) for each in header.items())]
    log += [event("init_stop"), event("run_start"), event("block_start", **at), event("eval_start", **at)]
    log += [event(raced.metric_key, raced.target, **at), event("eval_stop", **at), event("block_stop", **at)]
    log += [event("run_stop", status="success"), event("train_samples", 1)]
    assert official_messages(write_log(tmp_path / "result_0.txt", log)) == set()


def stated(point: ReferenceConvergencePoint) -> dict[str, object]:
    """What a run of the point must log: in the log's names, and its units."""
    names = {"opt_max_grad_norm": "opt_gradient_clip_norm", "lora_r": "lora_rank"}
    values = {names.get(name, name): value for name, value in point.hyperparameters.items()}
    # How a batch is shared out is the machine's affair.
    values.pop("gradient_accumulation_steps", None)
    # LoRA's points have no warm-up and no drops of the rate.
    assert values.pop("opt_learning_rate_decay_boundary_epochs", []) == []
    if values.get("opt_learning_rate_warmup_epochs") == 0:
        values["opt_learning_rate_warmup_ratio"] = values.pop("opt_learning_rate_warmup_epochs")
        values["opt_learning_rate_training_steps"] = values.pop("max_steps")
    if (samples := values.pop("opt_learning_rate_warmup_samples", None)) is not None:
        values["opt_learning_rate_warmup_steps"] = samples // point.global_batch_size
    return values


def test_the_end_of_the_schedule_and_the_warm_up_follow_the_point() -> None:
    """The settings of the batches that docs and reports name, spelled out."""
    at_16, at_96 = (settings_of(planned("llama31_8b", batch)).model_dump() for batch in (16, 96))
    names = ("global_batch_size", "learning_rate", "end_learning_rate", "warmup_steps", "max_steps")
    assert [at_16[name] for name in names] == [16, 4e-4, pytest.approx(4e-5), 16, 1_200_000]
    assert [at_96[name] for name in names] == [96, 1e-3, pytest.approx(1e-4), 170, 1_200_000]
    flux = settings_of(planned("flux1", 4096)).model_dump()
    assert [flux[name] for name in names] == [4096, 4e-4, 4e-4, 100, 30_000]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rcp": 48}, "no official .* of llama31_8b at a global batch of 48; it has: 16, 32, 64, 96, 128"),
        ({"preset": "smoke"}, "not of preset smoke: give --preset full"),
        ({"overrides": {"learning_rate": "1e-3"}}, "--rcp 64 states learning_rate: leave it out of --set"),
        (
            {"overrides": {"warmup_steps": "1", "global_batch_size": "64"}},
            "states global_batch_size, warmup_steps: leave them out",
        ),
    ],
)
def test_what_is_no_point_or_no_longer_one_is_refused(options: dict[str, object], message: str) -> None:
    request = {"benchmark": "llama31_8b", "preset": "full", "rcp": 64, **options}
    with pytest.raises(PitboardError, match=message):
        make_plan(RunRequest(**request))  # type: ignore[arg-type]


def test_a_point_that_says_more_than_a_run_can_follow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer `mlperf-logging` may state what this Pitboard does not know: never half a point."""

    def more(name: str, value: object) -> None:
        (point, *_) = suite.official_points(ROUND, "llama31_8b")
        hyperparameters = {**point.hyperparameters, name: value}
        other = ReferenceConvergencePoint(
            global_batch_size=64, precision="bf16", hyperparameters=hyperparameters, samples_to_target=(1.0,)
        )
        with monkeypatch.context() as patch:
            patch.setattr(suite, "official_points", lambda *_: (other,))
            planned("llama31_8b", 64)

    more("opt_adamw_beta_1", 0.9)
    for name, value in (("opt_momentum", 0.5), ("opt_name", "lamb")):
        with pytest.raises(
            PitboardError, match=f"states {name} {value}, which a run of llama31_8b would not"
        ):
            more(name, value)


def test_a_repeated_run_keeps_its_point_until_a_setting_changes_and_can_get_another(tmp_path: Path) -> None:
    Output(tmp_path).start(planned("llama31_8b", 64))

    def again(**options: object) -> tuple[int | None, object, object]:
        plan = make_plan(RunRequest(like=tmp_path, **options))  # type: ignore[arg-type]
        assert plan.settings
        return plan.rcp, plan.settings["warmup_steps"], plan.settings["end_learning_rate"]

    assert again() == (64, 96, pytest.approx(8e-5))
    assert again(rcp=128) == (128, 256, pytest.approx(2e-4))
    assert again(overrides={"warmup_steps": "7"}) == (None, 7, pytest.approx(8e-5))
