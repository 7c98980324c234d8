"""The smoke preset of Llama 2 70B LoRA, end to end: it reaches its target; the frozen base does not."""

from pathlib import Path

import pytest

from official import messages_as_closed, official_messages
from pitboard import suite
from pitboard.events import read_events
from support import Command, number, the_log, the_run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lora")]

# One of the quickest of the twenty reference convergence points (`suite/reference`), in FP32 and in BF16.
SEED = 16
SMOKE = suite.benchmark("llama2_70b_lora").preset("smoke").values


@pytest.fixture(scope="module")
def smoke(pitboard: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Pre-train the base and run the smoke preset to its target, once; return its folder and what it said."""
    folder = tmp_path_factory.mktemp("lora") / "out"
    done = pitboard("run", "llama2_70b_lora", "--seed", SEED, "--output", folder, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return folder, done.stdout


def test_it_reaches_the_target(smoke: tuple[Path, str]) -> None:
    run = the_run(smoke[0])
    assert run.status == "success"
    assert run.evaluations[-1].quality <= number(SMOKE, "target") < run.evaluations[-2].quality
    first = 4 * int(number(SMOKE, "evaluation_interval"))
    assert run.evaluations[0].samples == first


def test_what_the_base_cost_is_said_and_not_timed(smoke: tuple[Path, str]) -> None:
    assert "Not timed: pre-training the base" in smoke[1]
    events = list(read_events(the_log(smoke[0])))
    (cost,) = [event.value for event in events if event.key == "pitboard_base_pretraining_seconds"]
    times = {event.key: event.time_ms for event in events}
    assert times["init_stop"] - times["init_start"] > 1000 * cost


def test_the_frozen_base_does_not_meet_the_target(
    smoke: tuple[Path, str], pitboard: Command, tmp_path: Path
) -> None:
    words = ["--set", "max_samples=8", "--set", "learning_rate=1e-12", "--set", "evaluations_skipped=0"]
    words += ["--set", "evaluations_skipped_per_batch_sample=0", "--set", "compile=false"]
    done = pitboard("run", "llama2_70b_lora", *words, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert "pre-training" not in done.stdout, "the base was not taken from the cache"
    (evaluation,) = the_run(tmp_path / "out").evaluations
    assert evaluation.quality > number(SMOKE, "target") + 1


def test_the_official_checker_names_exactly_the_scaled_values(
    smoke: tuple[Path, str], tmp_path: Path
) -> None:
    # The open ruleset too wants a loss below 1, which bears on nothing that is open: nats of another text.
    assert official_messages(the_log(smoke[0])) == {"Failed checks for eval_accuracy : v['value'] < 1.0"}
    assert messages_as_closed(the_log(smoke[0]), tmp_path) == {
        "Failed checks for eval_accuracy : (v['value'] <= 0.925) and v['value'] > 0.0"
    }
