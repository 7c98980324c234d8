"""Submissions made up for tests: a description and runs of llama31_8b that a test may break."""

import json
from pathlib import Path

from made_logs import Event, event, valid_log, write_log
from pitboard.compliance.system import FIELDS

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
