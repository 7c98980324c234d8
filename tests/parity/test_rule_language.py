"""The language of the rulesets: rules made up at random give the verdict of the official checker."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import official_checker
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlperf_logging.compliance_checker import mlp_compliance

from made_logs import Event, as_text, event, write_log
from pitboard.compliance.log import rulesets
from pitboard.compliance.log.engine import check_events
from pitboard.events import read_log

_KEYS = ("a", "b", "submission_c")
_CHECK = st.sampled_from(
    [
        "v['value'] > 1",
        "v['value'] == 1",
        "'x' in v['metadata']",
        "s['n'] < 3",
        "s['later'] == 1",
        "is_integer(v['value'])",
        "ll.timestamp > 0",
        "math.floor(v['value'] / 2) * 2 == v['value']",
        "False",
    ]
)
_ENQUEUE = "enqueue_config('training_9.9.0/second.yaml')"
_CODE = st.sampled_from(
    [
        "s['n'] = s['n'] + 1",
        "s['later'] = v['value']",
        "s['n'] += 1; s['n'] = s['absent']",
        "if v['value'] > 1:\n    s['n'] = 0",
    ]
)
_REQUIRED = st.sampled_from(
    ["OPTIONAL", "EXACTLY_ONE", "AT_LEAST_ONE", "AT_LEAST(2)", "AT_LEAST_ONE_OR(a)", "AT_LEAST_ONE_OR(a, b)"]
)


def _key_rules(code: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    parts = {
        "REQ": _REQUIRED,
        "PRE": code,
        "CHECK": st.one_of(_CHECK, st.lists(_CHECK, min_size=1, max_size=3)),
        "POST": code,
        "FIRST_CHECK": _CHECK,
        "ATLEAST_ONE_CHECK": _CHECK,
    }
    return st.fixed_dictionaries({"NAME": st.sampled_from(_KEYS)}, optional=parts)


_BEGIN = {"BEGIN": {"CODE": "s.update({'n': 0})"}}
_END = st.fixed_dictionaries({"CHECK": _CHECK.filter(lambda check: "v[" not in check and "ll" not in check)})


def _file(rules: list[dict[str, Any]], end: list[dict[str, Any]]) -> list[Any]:
    """Make a file in which each key that a rule names as an alternative has a rule, as in shipped ones."""
    named = " ".join(rule.get("REQ", "") for rule in rules)
    spare = [{"NAME": key} for key in ("a", "b") if f"({key}" in named or f", {key}" in named]
    return [_BEGIN, *({"KEY": rule} for rule in [*spare, *rules]), *({"END": part} for part in end)]


def _files(code: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.builds(_file, st.lists(_key_rules(code), max_size=4), st.lists(_END, max_size=1))


# The second file enqueues nothing: one that enqueues itself keeps the official checker busy for ever.
_COMMON, _SECOND = _files(st.one_of(_CODE, st.just(_ENQUEUE))), _files(_CODE)
_EVENTS = st.lists(
    st.builds(
        event,
        st.sampled_from([*_KEYS, "unknown"]),
        st.sampled_from([0, 1, 1.0, 2, 2.5, "1", None, True]),
        st.just(0),
        x=st.integers(0, 1),
    ),
    min_size=1,
    max_size=6,
)

Rules = list[dict[str, dict[str, Any]]]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[bool, bool]]]:
    """Give our verdict and the official one on events, by rules that are written for the occasion."""
    monkeypatch.setattr(rulesets, "folder", lambda: tmp_path)
    monkeypatch.setattr(mlp_compliance, "__file__", str(tmp_path / "checker.py"))

    def both(common: Rules, second: Rules, log: list[Event]) -> tuple[bool, bool]:
        for name, rules in (("common", common), ("second", second)):
            # JSON is YAML.
            write_log(tmp_path / "training_9.9.0" / f"{name}.yaml", json.dumps(rules))
        rulesets.config.cache_clear()
        rulesets.config_names.cache_clear()
        path = write_log(tmp_path / "log.txt", as_text(log))
        findings = check_events(read_log(path).events, "9.9.0")
        ours = all(finding.severity != "error" for finding in findings)
        return ours, bool(official_checker.verdict(path, "5.1.0", "training_9.9.0/common.yaml"))

    yield both
    rulesets.config.cache_clear()
    rulesets.config_names.cache_clear()


def _key(name: str, **rule: Any) -> dict[str, dict[str, Any]]:
    return {"KEY": {"NAME": name, **rule}}


_BARE = [event("a", 1)]
_TWICE = [event("submission_c", 1)] * 2
_ONCE = _key("submission_c", CHECK="s['n'] < 1", POST="s['n'] = s['n'] + 1")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.tuples(_COMMON, _SECOND, _EVENTS))
# A later file's rule for a key withdraws what an earlier one said of it.
@example(case=([_BEGIN, _key("a", CHECK="False", POST=_ENQUEUE)], [_key("a")], _BARE))
# A rule of a key of submission_* runs once, and its occurrences are still counted.
@example(case=([_BEGIN, _ONCE], [], _TWICE))
# Of two rules for a key in a file the later one holds.
@example(case=([_BEGIN, _key("a", CHECK="False"), _key("a", CHECK="v['value'] == 1")], [], _BARE))
# What fails at the end stays.
@example(case=([_BEGIN, {"END": {"PRE": "s['n'] = 3", "CHECK": ["s['n'] < 3"]}}], [], _BARE))
def test_made_up_rules_give_the_official_verdict(
    case: tuple[Rules, Rules, list[Event]], judge: Callable[..., tuple[bool, bool]]
) -> None:
    ours, official = judge(*case)

    assert ours is official
