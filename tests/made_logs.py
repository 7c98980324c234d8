"""Logs made up for tests: valid ones of several benchmarks, as lists of events that a test may break."""

import json
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_START_MS = 1_760_000_000_000
_COMMON = {
    "submission_org": "Pitboard",
    "submission_platform": "1xCPU",
    "submission_status": "onprem",
    "train_samples": 1574207408,
    "gradient_accumulation_steps": 1,
    "seed": 1234,
}
_SETTINGS: dict[str, dict[str, Any]] = {
    "llama31_8b": {
        "global_batch_size": 16,
        "eval_samples": 1024,
        "max_sequence_length": 8192,
        "opt_name": "adamw",
        "opt_base_learning_rate": 0.001,
        "opt_end_learning_rate": 0.0001,
        "opt_learning_rate_warmup_steps": 200,
        "opt_learning_rate_decay_steps": 1199800,
        "opt_learning_rate_decay_schedule": "cosine with linear warmup",
        "opt_adamw_beta_1": 0.9,
        "opt_adamw_beta_2": 0.95,
        "opt_adamw_epsilon": 1e-05,
        "opt_adamw_weight_decay": 0.1,
        "opt_gradient_clip_norm": 1.0,
        "max_steps": 1200000,
    },
    "stable_diffusion": {
        "global_batch_size": 1024,
        "eval_samples": 30000,
        "opt_name": "adamw",
        "opt_base_learning_rate": 0.000125,
        "opt_learning_rate_warmup_steps": 1000,
        "opt_adamw_beta_1": 0.9,
        "opt_adamw_beta_2": 0.999,
        "opt_adamw_epsilon": 1e-08,
        "opt_adamw_weight_decay": 0.01,
    },
    "dlrmv4": {
        "global_batch_size": 8192,
        "train_samples": 2290835423,
        "eval_samples": 2058204,
        "max_sequence_length": 4096,
        "opt_name": "Adam",
        "opt_base_learning_rate": 1e-6,
        "opt_adam_beta_1": 0.95,
        "opt_adam_beta_2": 0.999,
        "opt_adam_epsilon": 1e-8,
        "opt_weight_decay": 0.0,
        "opt_gradient_clip_norm": 1.0,
        "opt_sparse_name": "RowWiseAdagrad",
        "opt_sparse_base_learning_rate": 1e-6,
        "opt_learning_rate_warmup_steps": 24000,
        "opt_learning_rate_warmup_start_lr": 0.0,
        "eval_every_data_pct": 0.001,
        "tensor_parallelism": 1,
        "pipeline_parallelism": 1,
        "context_parallelism": 1,
        "expert_parallelism": 1,
        "micro_batch_size": 1,
        "lowest_numerical_precision_in_linear": "fp32",
        "lowest_numerical_precision_in_attn": "fp32",
        "lowest_numerical_precision_in_comm": "fp32",
        "config_filename": "config.sh",
    },
}
# The first two evaluations and the last: (samples, metric, quality).
_COURSES: dict[str, list[tuple[int, str | None, float]]] = {
    "llama31_8b": [(12288, None, 5.1), (24576, None, 3.9), (36864, None, 3.2)],
    "stable_diffusion": [
        (512000, "FID", 140.0),
        (512000, "CLIP", 0.1),
        (1024000, "FID", 80.0),
        (1024000, "CLIP", 0.2),
    ],
    "dlrmv4": [(8192 * 280 * 25, None, 0.74), (8192 * 280 * 26, None, 0.76)],
}


def event(key: str, value: Any = None, minute: float = 0, **metadata: Any) -> Event:
    """Make one event, `minute` minutes after the log begins."""
    return {
        "namespace": "",
        "time_ms": _START_MS + round(minute * 60_000),
        "event_type": "POINT_IN_TIME",
        "key": key,
        "value": value,
        "metadata": {"file": "train.py", "lineno": 1, **metadata},
    }


def valid_log(benchmark: str = "llama31_8b", division: str = "closed") -> list[Event]:
    """Make a valid log, a list of events: `llama31_8b` of 5.1, `stable_diffusion` of 5.0, `dlrmv4` of 6.1."""
    head = {
        "submission_benchmark": benchmark,
        "submission_division": division,
        **_COMMON,
        **_SETTINGS[benchmark],
    }
    log = [event("cache_clear", True), event("init_start")]
    log += [event(key, value) for key, value in head.items()]
    log += [
        event("init_stop", minute=5),
        event("run_start", minute=5),
        event("block_start", minute=5, samples_count=0),
    ]
    for minute, (samples, metric, closed_quality) in enumerate(_COURSES[benchmark], start=10):
        quality = closed_quality / 4 if division == "open" else closed_quality
        named = {} if metric is None else {"metric": metric}
        log += [
            event("eval_start", minute=minute, samples_count=samples),
            event("eval_accuracy", quality, minute, samples_count=samples, epoch_num=1, **named),
            event("eval_stop", minute=minute, samples_count=samples),
        ]
    return [
        *log,
        event("block_stop", minute=30, samples_count=1),
        event("run_stop", minute=30, status="success"),
    ]


def as_text(log: list[Event]) -> str:
    """Write events as the lines of a log."""
    return "".join(f":::MLLOG {json.dumps(each)}\n" for each in log)


def write_log(path: Path, log: list[Event] | str | bytes) -> Path:
    """Write events, text or bytes to a file, and its folder where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(log, list):
        log = as_text(log)
    path.write_bytes(log.encode() if isinstance(log, str) else log)
    return path
