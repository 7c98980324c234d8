"""The official rulesets, as the installed `mlperf-logging` ships them, compiled on first use.

A ruleset is a folder such as `training_5.1.0` of YAML files: `common.yaml` for every log, one file for a
division, one for a benchmark in a division. A file is read once in a process, with the text of its scalars
as it stands (the official checker reads with PyYAML's `BaseLoader`) and with the line of each rule, so that
a finding can name it.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pitboard.compliance.log.expressions import Code, Function, all_of
from pitboard.errors import PitboardError
from pitboard.suite import ROUNDS, find_round
from pitboard.suite.official import package_folder


class KeyRule:
    """What a ruleset asks of one key."""

    __slots__ = (
        "at_least_one",
        "checks",
        "first_checks",
        "name",
        "passes",
        "post",
        "pre",
        "required",
        "uses_line",
        "where",
    )

    def __init__(self, record: dict[str, Any], where: str) -> None:
        self.name: str = record["NAME"]
        self.where = where
        self.required: str = record.get("REQ", "OPTIONAL")
        self.pre = _statements(record.get("PRE"), where)
        self.post = _statements(record.get("POST"), where)
        self.checks = _checks(record.get("CHECK"), where)
        self.first_checks = _checks(record.get("FIRST_CHECK"), where)
        self.passes: Function | None = all_of(self.checks) if self.checks else None
        wanted = record.get("ATLEAST_ONE_CHECK")
        self.at_least_one = Code(wanted, where) if wanted is not None else None
        codes = (self.pre, self.post, self.at_least_one, *self.checks, *self.first_checks)
        self.uses_line = any("ll" in code.names for code in codes if code)


class Config:
    """One YAML file of a ruleset: code that runs before, a rule for each key, checks that run at the end."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.keys: dict[str, KeyRule] = {}
        self.begin: Code | None = None
        self.end: Code | None = None
        self.end_checks: tuple[Code, ...] = ()
        for record, line in _records(path):
            where = f"{name}:{line}"
            if "KEY" in record:
                rule = KeyRule(record["KEY"], where)
                self.keys[rule.name] = rule
            elif "BEGIN" in record:
                self.begin = _statements(record["BEGIN"]["CODE"], where)
            elif "END" in record:
                self.end = _statements(record["END"].get("PRE"), where)
                self.end_checks = _checks(record["END"].get("CHECK"), where)


def folder() -> Path:
    """Return the folder of the rulesets in the installed `mlperf-logging`."""
    return package_folder() / "compliance_checker"


@cache
def rulesets() -> tuple[str, ...]:
    """Return the rulesets of the known rounds that are installed, oldest first."""
    return tuple(each.ruleset for each in ROUNDS if (folder() / f"training_{each.ruleset}").is_dir())


def ruleset_of(round: str) -> str:
    """Return the ruleset of a round: `"5.1"`, `"v5.1"` or `"5.1.0"` is `"5.1.0"`.

    Raises `PitboardError` for an unknown round, and for one that the installed `mlperf-logging` has no rules
    for.
    """
    wanted = find_round(round)
    if wanted.ruleset in rulesets():
        return wanted.ruleset
    raise PitboardError(
        f"The installed mlperf-logging has no rules for round {wanted.version}: install a newer one."
    )


@cache
def config_names() -> frozenset[str]:
    """Name every file of every ruleset, such as `training_5.1.0/common.yaml`: a log can ask for no other."""
    return frozenset(f"{path.parent.name}/{path.name}" for path in folder().glob("training_*/*.yaml"))


@cache
def config(name: str) -> Config | None:
    """Give one file of a ruleset, compiled, or `None` where there is no such file."""
    return Config(name, folder() / name) if name in config_names() else None


def preload(ruleset: str) -> None:
    """Compile all files of a ruleset, so that processes forked from this one need not."""
    for name in config_names():
        if name.startswith(f"training_{ruleset}/"):
            config(name)


def _records(path: Path) -> list[tuple[dict[str, Any], int]]:
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    with path.open(encoding="utf-8") as stream:
        top = yaml.compose(stream, Loader=loader)
    if top is None:
        return []
    return [(_plain(node), node.start_mark.line + 1) for node in top.value]


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {_plain(key): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return node.value


def _statements(text: str | None, where: str) -> Code | None:
    return Code(text, where, statements=True) if text is not None else None


def _checks(texts: str | list[str] | None, where: str) -> tuple[Code, ...]:
    if texts is None:
        return ()
    return tuple(Code(text, where) for text in ([texts] if isinstance(texts, str) else texts))
