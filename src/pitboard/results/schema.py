"""The store's tables: one Parquet file each. A change to a column is a new `VERSION` and a migration."""

from typing import Any

Row = dict[str, Any]
Rows = dict[str, list[Row]]
"""Rows by table."""

VERSION = 4

OWN = " (own)"
"""What follows the names of submitter and organisation of all that is not one of the published rounds."""

KEY = {"round": "VARCHAR", "submitter": "VARCHAR", "system": "VARCHAR", "benchmark": "VARCHAR"}

TABLES: dict[str, dict[str, str]] = {
    "rounds": {
        "round": "VARCHAR",
        "name": "VARCHAR",
        "published": "DATE",
        "source": "VARCHAR",
        "licence": "VARCHAR",
        "archive": "VARCHAR",
        "own": "BOOLEAN",
    },
    "systems": {
        "round": "VARCHAR",
        "submitter": "VARCHAR",
        "system": "VARCHAR",
        "organisation": "VARCHAR",
        "system_name": "VARCHAR",
        "division": "VARCHAR",
        "availability": "VARCHAR",
        "nodes": "INTEGER",
        "accelerators_per_node": "INTEGER",
        "accelerators": "INTEGER",
        "accelerator": "VARCHAR",
        "accelerator_vendor": "VARCHAR",
        "accelerator_model": "VARCHAR",
        "accelerator_generation": "VARCHAR",
        "accelerator_memory_gb": "INTEGER",
        "accelerator_text": "VARCHAR",
        "framework": "VARCHAR",
        "described": "BOOLEAN",
        "description": "JSON",
        "code_url": "VARCHAR",
        "results_url": "VARCHAR",
        "system_url": "VARCHAR",
        "own": "BOOLEAN",
        "digest": "VARCHAR",
    },
    "results": {
        **KEY,
        "organisation": "VARCHAR",
        "system_name": "VARCHAR",
        "division": "VARCHAR",
        "availability": "VARCHAR",
        "nodes": "INTEGER",
        "accelerator": "VARCHAR",
        "accelerators": "INTEGER",
        "framework": "VARCHAR",
        "minutes": "DOUBLE",
        "valid": "BOOLEAN",
        "runs": "INTEGER",
        "runs_counted": "INTEGER",
        "rcp_scale": "DOUBLE",
        "rcp_verdict": "VARCHAR",
        "global_batch_size": "INTEGER",
        "target": "DOUBLE",
        "samples_to_target": "DOUBLE",
        "joules": "DOUBLE",
        "precision": "VARCHAR",
        "precision_source": "VARCHAR",
        "emulated": "BOOLEAN",
        "preset": "VARCHAR",
        "own": "BOOLEAN",
        "settings": "JSON",
        "digest": "VARCHAR",
    },
    "runs": {
        **KEY,
        "run": "INTEGER",
        "log": "VARCHAR",
        "counted": "BOOLEAN",
        "dropped": "BOOLEAN",
        "status": "VARCHAR",
        "started": "TIMESTAMP",
        "minutes": "DOUBLE",
        "init_minutes": "DOUBLE",
        "evaluation_minutes": "DOUBLE",
        "seed": "VARCHAR",
        "global_batch_size": "INTEGER",
        "samples_to_target": "DOUBLE",
        "joules": "DOUBLE",
        "precision": "VARCHAR",
        "precision_source": "VARCHAR",
        "emulated": "BOOLEAN",
        "own": "BOOLEAN",
    },
    "evaluations": {
        **KEY,
        "run": "INTEGER",
        "samples": "DOUBLE",
        "epoch": "DOUBLE",
        "quality": "DOUBLE",
        "minutes": "FLOAT",
        "metric": "VARCHAR",
        "own": "BOOLEAN",
    },
    "statistics": {
        **KEY,
        "run": "INTEGER",
        "name": "VARCHAR",
        "count": "INTEGER",
        "minimum": "FLOAT",
        "median": "FLOAT",
        "maximum": "FLOAT",
        "own": "BOOLEAN",
    },
    "stack": {
        "round": "VARCHAR",
        "submitter": "VARCHAR",
        "system": "VARCHAR",
        "key": "VARCHAR",
        "value": "VARCHAR",
        "source": "VARCHAR",
        "own": "BOOLEAN",
    },
    "incomplete": {**KEY, "what": "VARCHAR", "own": "BOOLEAN"},
}
"""Minutes are minutes, `started` is UTC, `evaluations.minutes` count from `run_start`.
Those of a result whose precision was `emulated` are comparable with nothing.
`samples_to_target` and `evaluations.samples` are samples; a benchmark that counts
in epochs has epochs in `samples_to_target` and `evaluations.epoch`.
`own` is all that is not of a published round; `archive` is the SHA-256 of what a published one was made of.
`joules` is the energy to target, where the entry has power files.
`statistics` summarises each number that a run logged as `tracked_stats`, in the log's own unit."""

OF_RESULTS = ("results", "runs", "evaluations", "statistics")
"""The tables whose rows belong to one result, and are replaced with it."""

SUBMISSIONS = """select round, submitter, own,
  list(distinct organisation order by organisation) as organisations,
  list(distinct division order by division) as divisions, count(distinct system) as systems,
  count(distinct benchmark) as benchmarks, count(*) as results, count(*) filter (valid) as valid
from results group by round, submitter, own"""
"""A view: what each submitter entered in each round; its organisations may have other names."""
