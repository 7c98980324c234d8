"""The main job, end to end: a real run of the smoke preset to its target, and what it leaves behind."""

import json
from pathlib import Path

import pytest
from mlperf_logging.system_desc_checker.system_desc_checker import check_system_desc

from official import messages_as_closed, official_messages
from pitboard import suite
from pitboard.events import read_events
from support import number, the_log, the_run

# The group keeps the one smoke run in one worker.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("smoke")]

SMOKE = suite.benchmark("llama31_8b").preset("smoke").values


def test_it_reaches_the_target_and_says_how_long_it_took(smoke: tuple[Path, str]) -> None:
    folder, printed = smoke
    run = the_run(folder)
    assert run.status == "success"
    assert run.evaluations[-1].quality <= number(SMOKE, "target") < run.evaluations[-2].quality
    assert run.samples_to_target == run.evaluations[-1].samples
    assert f"{run.minutes:.3f} minutes" in printed
    assert f"{run.samples_to_target:,}" in printed
    assert "tokens/s" in printed
    assert f"Log  {the_log(folder)}\n" in printed


def test_the_clock_starts_after_initialisation_and_before_training(smoke: tuple[Path, str]) -> None:
    keys = [event.key for event in read_events(the_log(smoke[0]))]
    order = [
        "cache_clear",
        "init_start",
        "init_stop",
        "run_start",
        "block_start",
        "eval_accuracy",
        "run_stop",
    ]
    assert [keys.index(key) for key in order] == sorted(keys.index(key) for key in order)


def test_evaluations_come_at_the_benchmarks_interval(smoke: tuple[Path, str]) -> None:
    samples = [e.samples for e in the_run(smoke[0]).evaluations]
    interval = int(number(SMOKE, "evaluation_interval"))
    assert samples == list(range(interval, int(samples[-1] or 0) + 1, interval))


def test_the_log_is_honest_about_itself(smoke: tuple[Path, str]) -> None:
    values = {event.key: event.value for event in read_events(the_log(smoke[0]))}
    assert values["submission_division"] == "open"
    assert values["pitboard_preset"] == "smoke"


def test_as_open_the_official_checker_has_only_its_known_oversight(smoke: tuple[Path, str]) -> None:
    assert official_messages(the_log(smoke[0])) == {"Failed checks for eval_accuracy : v['value'] < 1.0"}


def test_as_closed_the_official_checker_names_exactly_the_scaled_values(
    smoke: tuple[Path, str], tmp_path: Path
) -> None:
    assert messages_as_closed(the_log(smoke[0]), tmp_path) == {
        "CHECK for 'max_sequence_length'  v['value'] == 8192 ",
        "CHECK for 'opt_learning_rate_decay_steps' "
        " v['value'] == 1_200_000 - s['opt_learning_rate_warmup_steps'] ",
        "CHECK for 'eval_samples'  v['value'] == 1024 ",
        "CHECK for 'max_steps'  v['value'] == 1200000 ",
        "Failed checks for eval_accuracy : (v['value'] <= 3.3) and v['value'] > 0.0",
    }


def test_the_output_has_the_official_layout(smoke: tuple[Path, str]) -> None:
    folder, _ = smoke
    (log,) = folder.glob("results/*/*/*")
    (description,) = folder.glob("systems/*")
    assert log.name == "result_0.txt"
    assert log.parent.name == "llama31_8b"
    assert description.stem == log.parent.parent.name


def test_the_official_checker_accepts_the_system_description(smoke: tuple[Path, str]) -> None:
    (path,) = (smoke[0] / "systems").iterdir()
    assert check_system_desc(str(path), "training", "5.1.0")[0]
    description = json.loads(path.read_text())
    assert description["submitter"] == "Test"
    assert description["division"] == "open"
    assert "PyTorch" in description["framework"]
