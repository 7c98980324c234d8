"""Submissions made up for tests: a description and runs of llama31_8b that a test may break."""

import json
from pathlib import Path
from statistics import median_high

from made_logs import Event, event, valid_log, write_log
from pitboard import suite
from pitboard.compliance.submission.system import FIELDS

SAMPLES = (172032, 184320)
"""Around what the reference needs at batch size 16, so that the RCP test passes."""


def run_log(seed: int, samples: int = SAMPLES[0], minutes: float = 25.0, **settings: object) -> list[Event]:
    """Make a valid log of a run that converges after `samples` samples and `minutes` minutes."""
    log = [each for each in valid_log() if each["key"] not in ("eval_accuracy", "run_stop")]
    for each in log:
        if each["key"] == "seed":
            each["value"] = seed
        if each["key"] in settings:
            each["value"] = settings[each["key"]]
    done = 5 + minutes
    log += [
        event("eval_accuracy", 5.0, done - 1, samples_count=samples // 2),
        event("eval_accuracy", 3.2, done, samples_count=samples),
        event("run_stop", None, done, status="success"),
    ]
    return log


def describe(place: Path, system: str = "box", **fields: object) -> Path:
    """Write a complete description of a system; fields given as `None` are left out."""
    known = {
        **dict.fromkeys(FIELDS, ""),
        "submitter": place.name,
        "division": "closed",
        "status": "Available on-premise",
        "system_name": system,
        "number_of_nodes": "2",
        "host_processors_per_node": "2",
        "accelerators_per_node": "8",
        "accelerator_model_name": "Racer",
        **fields,
    }
    path = place / "systems" / f"{system}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: value for name, value in known.items() if value is not None}))
    return path


def submit(place: Path, runs: int = 10, system: str = "box", benchmark: str = "llama31_8b") -> Path:
    """Write a valid submission; give the folder of its result."""
    describe(place, system)
    folder = place / "results" / system / benchmark
    for run in range(runs):
        log = run_log(100 + run, SAMPLES[run % 2], minutes=20 + run)
        write_log(folder / f"result_{run}.txt", log)
    (place / "benchmarks" / benchmark).mkdir(parents=True)
    return folder


SMOKE = suite.benchmark("llama31_8b").preset("smoke")
SMOKE_TARGET = float(str(SMOKE.values["target"]))
SMOKE_POINT = SMOKE.reference_convergence[0]
SMOKE_SAMPLES = int(median_high(SMOKE_POINT.samples_to_target))
"""What the reference of the preset `smoke` needs, in the precision of its first point."""


def preset_log(
    samples: float = SMOKE_SAMPLES, quality: float = SMOKE_TARGET - 0.01, **settings: object
) -> list[Event]:
    """Make the log of a run of llama31_8b's preset `smoke`; other `settings` replace or add events."""
    changed = {
        "pitboard_round": "5.1",
        "pitboard_preset": "smoke",
        "pitboard_precision": SMOKE_POINT.precision,
        "pitboard_changed": [],
        "submission_division": "open",
        "global_batch_size": SMOKE.values["global_batch_size"],
        "target_accuracy": SMOKE_TARGET,
    } | settings
    log = [each for each in valid_log() if each["key"] not in ("eval_accuracy", "run_stop", *changed)]
    log[2:2] = [event(key, value) for key, value in changed.items()]
    return [
        *log,
        event("eval_accuracy", SMOKE_TARGET + 0.6, 10, samples_count=samples // 2, epoch_num=0),
        event("eval_accuracy", quality, 15, samples_count=samples, epoch_num=0),
        event("run_stop", None, 15, status="success"),
    ]


def run_output(place: Path, *logs: list[Event], plan: str | None = "smoke", system: str = "box") -> Path:
    """Write the output folder of `pitboard run`, with `run.json` where `plan` names a preset; give it."""
    describe(place, system, division="open")
    for run, log in enumerate(logs):
        write_log(place / "results" / system / "llama31_8b" / f"result_{run}.txt", log)
    if plan:
        (place / "run.json").write_text(json.dumps({"benchmark": "llama31_8b", "preset": plan}))
    return place


def tell_steps(folder: Path) -> None:
    """Add to the logs of a result where the time of a step goes, as runs of Pitboard's log it."""
    for log in folder.iterdir():
        stats: dict[str, object] = {"step_seconds": 0.5, "compute_seconds": 0.3}
        stats |= {"communication_seconds": 0.2, "rank_compute_seconds": [0.25, 0.35]}
        tracked = event("tracked_stats", stats, 6)
        first, _, rest = log.read_text().partition("eval_accuracy")
        before, _, line = first.rpartition("\n")
        log.write_text(f"{before}\n:::MLLOG {json.dumps(tracked)}\n{line}eval_accuracy{rest}")
