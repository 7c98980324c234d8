"""The official compliance checker, called as its package checker calls it; a crash is no verdict."""

import logging
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import yaml
from mlperf_logging.compliance_checker import mlp_compliance, mlp_parser


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)


def _load(file: TextIO, **options: object) -> Any:
    assert options == {"Loader": yaml.BaseLoader}
    return deepcopy(_parsed(file.read()))


# For every log the checker parses the same few files of rules, four fifths of its time for a made one.
mlp_compliance.yaml = SimpleNamespace(load=_load, BaseLoader=yaml.BaseLoader)


def verdict(path: Path, ruleset: str, rules: str | None = None) -> bool | None:
    """Give the official verdict on a log: valid, not valid, or `None` where it ends in a traceback.

    `rules` is the file of rules to begin with, by default that of the ruleset.
    """
    logging.disable(logging.CRITICAL)
    # The queue of rule files outlives a crash of the checker, and would be served to the next log.
    mlp_compliance.enqueued_configs.clear()
    checker = mlp_compliance.make_checker("training", ruleset, quiet=False, werror=False)
    try:
        return bool(checker.check_file(str(path), rules or f"training_{ruleset}/common.yaml"))
    except Exception:
        return None
    finally:
        logging.disable(logging.NOTSET)


def parse(path: Path) -> tuple[list[tuple[str, float, object, object]], bool]:
    """Give what the official parser reads (key, time, value, metadata), and whether it takes every line."""
    lines, errors = mlp_parser.parse_file(str(path), ruleset="5.1.0")
    return [
        (line.key, line.timestamp, line.value["value"], line.value["metadata"]) for line in lines
    ], not errors
