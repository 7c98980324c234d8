"""Valid logs broken in named ways: the official checker and ours agree, and our finding names the cause."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import official_checker
import pytest

from made_logs import Event, as_text, event, valid_log, write_log
from pitboard.compliance import check_log

Log = list[Event]
Break = Callable[[Log], Log | str | bytes]


def _at(log: Log, key: str) -> int:
    return next(place for place, each in enumerate(log) if each["key"] == key)


def _without(*keys: str) -> Break:
    return lambda log: [each for each in log if each["key"] not in keys]


def _twice(key: str, value: Any = None) -> Break:
    """Log a key again at once, with another value if one is given."""

    def change(log: Log) -> Log:
        place = _at(log, key)
        again = log[place] if value is None else {**log[place], "value": value}
        return [*log[: place + 1], again, *log[place + 1 :]]

    return change


def _value(key: str, value: Any) -> Break:
    return lambda log: [{**each, "value": value} if each["key"] == key else each for each in log]


def _moved(key: str, before: str) -> Break:
    def change(log: Log) -> Log:
        moved = log[_at(log, key)]
        rest = [each for each in log if each is not moved]
        place = _at(rest, before)
        return [*rest[:place], moved, *rest[place:]]

    return change


def _no_metadata(key: str, *names: str) -> Break:
    def strip(each: Event) -> Event:
        return {
            **each,
            "metadata": {name: value for name, value in each["metadata"].items() if name not in names},
        }

    return lambda log: [strip(each) if each["key"] == key else each for each in log]


def _metadata(key: str, **fields: Any) -> Break:
    return lambda log: [
        {**each, "metadata": {**each["metadata"], **fields}} if each["key"] == key else each for each in log
    ]


def _field(key: str, name: str, value: Any) -> Break:
    return lambda log: [{**each, name: value} if each["key"] == key else each for each in log]


def _lacking(key: str, name: str) -> Break:
    return lambda log: [
        {field: value for field, value in each.items() if each["key"] != key or field != name} for each in log
    ]


def _with(*events: Event) -> Break:
    return lambda log: [*log, *events]


def _shifted(key: str, minutes: float) -> Break:
    return lambda log: [
        {**each, "time_ms": each["time_ms"] + minutes * 60_000} if each["key"] == key else each
        for each in log
    ]


def _line(key: str, change: Callable[[str], str]) -> Break:
    """Change the text of a key's first line."""

    def broken(log: Log) -> str:
        lines = as_text(log).splitlines(keepends=True)
        place = _at(log, key)
        return "".join([*lines[:place], change(lines[place]), *lines[place + 1 :]])

    return broken


def _text(change: Callable[[str], str]) -> Break:
    return lambda log: change(as_text(log))


def _raw_value(key: str, json_text: str) -> Break:
    return _line(key, lambda line: line.replace('"value": ', f'"value": {json_text}, "old": '))


def _glue(text: str) -> str:
    return text.replace("\n:::MLLOG", ":::MLLOG", 1)


_NEST = "[" * 5000 + "]" * 5000

# Name: the log it is done to, what is done, and the rule of the finding that must name it. A rule in brackets
# is a warning and `None` is no finding: the log stays valid.
LLAMA = ("llama31_8b", "closed", "5.1.0")
LLAMA_OPEN = ("llama31_8b", "open", "5.1.0")
DIFFUSION = ("stable_diffusion", "closed", "5.0.0")
DLRM = ("dlrmv4", "closed", "6.1.0")
BROKEN: dict[str, tuple[tuple[str, str, str], Break, str | None]] = {
    # nothing broken
    "untouched": (LLAMA, lambda log: log, None),
    "untouched open": (LLAMA_OPEN, lambda log: log, None),
    "untouched stable diffusion": (DIFFUSION, lambda log: log, None),
    "untouched dlrm": (DLRM, lambda log: log, None),
    # missing keys
    "no submission_org": (LLAMA, _without("submission_org"), "log-missing-key"),
    "no submission_division": (LLAMA, _without("submission_division"), "log-missing-key"),
    "no submission_benchmark": (LLAMA, _without("submission_benchmark"), "log-missing-key"),
    "no cache_clear": (LLAMA, _without("cache_clear"), "log-missing-key"),
    "no init_start": (LLAMA, _without("init_start"), "log-missing-key"),
    "no init_stop": (LLAMA, _without("init_stop"), "log-missing-key"),
    "no run_start": (LLAMA, _without("run_start"), "log-missing-key"),
    "no run_stop": (LLAMA, _without("run_stop"), "log-missing-key"),
    "no block_start": (LLAMA, _without("block_start"), "log-missing-key"),
    "no block_stop": (LLAMA, _without("block_stop"), "log-missing-key"),
    "no evaluation at all": (LLAMA, _without("eval_start", "eval_accuracy", "eval_stop"), "log-missing-key"),
    "no eval_start, which block_start stands in for": (LLAMA, _without("eval_start"), None),
    "no learning rate": (LLAMA, _without("opt_base_learning_rate"), "log-missing-key"),
    "no warm-up steps": (LLAMA, _without("opt_learning_rate_warmup_steps"), "log-order"),
    "no seed, which only a result needs": (LLAMA, _without("seed"), None),
    # doubled keys
    "submission_org twice": (LLAMA, _twice("submission_org"), "(log-repeated-same)"),
    "submission_org twice, differing": (LLAMA, _twice("submission_org", "Other"), "log-repeated-key"),
    "second benchmark": (LLAMA, _twice("submission_benchmark", "flux1"), "log-repeated-key"),
    "run_start twice": (LLAMA, _twice("run_start"), "(log-repeated-same)"),
    "run_stop twice": (LLAMA, _twice("run_stop"), "(log-repeated-same)"),
    "two batch sizes": (LLAMA, _twice("global_batch_size", 32), "log-repeated-key"),
    "two seeds": (LLAMA, _twice("seed", 1), None),
    # values
    "empty submission_org": (LLAMA, _value("submission_org", ""), "log-value"),
    "unknown division": (LLAMA, _value("submission_division", "half-open"), "log-unknown-rules"),
    "unknown benchmark": (LLAMA, _value("submission_benchmark", "llama4"), "log-unknown-rules"),
    "benchmark of another round": (LLAMA, _value("submission_benchmark", "bert"), "log-value"),
    "benchmark that climbs out of the folder": (
        LLAMA,
        _value("submission_benchmark", "x/../../../../../../etc/passwd"),
        "log-unknown-rules",
    ),
    "division that is a number": (LLAMA, _value("submission_division", 1), "log-unknown-rules"),
    "other optimizer": (LLAMA, _value("opt_name", "sgd"), "log-value"),
    "other beta": (LLAMA, _value("opt_adamw_beta_2", 0.999), "log-value"),
    "decay steps not tied to warm-up": (LLAMA, _value("opt_learning_rate_decay_steps", 1200000), "log-value"),
    "sequence length of a trial": (LLAMA, _value("max_sequence_length", 512), "log-value"),
    "evaluation on fewer samples": (LLAMA, _value("eval_samples", 64), "log-value"),
    "no gradient accumulation": (LLAMA, _value("gradient_accumulation_steps", 0), "log-value"),
    "text for a number": (LLAMA, _value("gradient_accumulation_steps", "one"), "log-type"),
    "null for a number": (LLAMA, _value("gradient_accumulation_steps", None), "log-type"),
    "a list for a number": (LLAMA, _value("gradient_accumulation_steps", [1]), "log-type"),
    "true for one, which equals it": (LLAMA, _value("opt_gradient_clip_norm", True), None),
    "whole number for 1.0": (LLAMA, _value("opt_gradient_clip_norm", 1), None),
    "warm-up as text": (LLAMA, _value("opt_learning_rate_warmup_steps", "200"), "log-type"),
    # order
    "init_start after run_start": (LLAMA, _moved("init_start", "block_start"), "log-order"),
    "second init_start after run_start": (LLAMA, _with(event("init_start", minute=31)), "log-order"),
    "init_stop before init_start": (LLAMA, _moved("init_stop", "init_start"), "log-order"),
    "run_start before init_stop": (LLAMA, _moved("run_start", "init_stop"), "log-order"),
    "run_stop before run_start": (LLAMA, _moved("run_stop", "run_start"), "log-order"),
    "block before run_start": (LLAMA, _moved("block_start", "run_start"), "log-order"),
    "settings after the run": (LLAMA, _moved("opt_name", "run_stop"), None),
    "warm-up logged after what needs it": (
        LLAMA,
        _moved("opt_learning_rate_warmup_steps", "opt_adamw_beta_1"),
        "log-order",
    ),
    "division at the end": (LLAMA, _moved("submission_division", "run_stop"), "log-order"),
    # metadata
    "eval without samples": (LLAMA, _no_metadata("eval_accuracy", "samples_count"), "log-metadata"),
    "eval_start without samples": (LLAMA, _no_metadata("eval_start", "samples_count"), "log-metadata"),
    "block without samples": (LLAMA, _no_metadata("block_start", "samples_count"), "log-metadata"),
    "block of negative samples": (LLAMA, _metadata("block_start", samples_count=-1), "log-value"),
    "block of no epochs": (LLAMA, _metadata("block_start", epoch_count=0, first_epoch_num=0), "log-value"),
    "block of epochs from nowhere": (LLAMA, _metadata("block_start", epoch_count=1), "log-metadata"),
    "run_stop without status": (LLAMA, _no_metadata("run_stop", "status"), "log-metadata"),
    "run_stop aborted, which only scoring minds": (
        LLAMA,
        _metadata("run_stop", status="aborted"),
        "(log-aborted)",
    ),
    "open eval without epoch": (LLAMA_OPEN, _no_metadata("eval_accuracy", "epoch_num"), "log-metadata"),
    "metadata null where it is needed": (LLAMA, _field("eval_accuracy", "metadata", None), "log-metadata"),
    "metadata null where it is not": (LLAMA, _field("seed", "metadata", None), "(log-odd-json)"),
    # target and clock
    "target not reached": (LLAMA, _value("eval_accuracy", 3.31), "log-target"),
    "target passed by a negative loss": (LLAMA, _value("eval_accuracy", -1.0), "log-target"),
    "quality NaN": (LLAMA, _raw_value("eval_accuracy", "NaN"), "(log-odd-json)"),
    "every quality NaN": (LLAMA, _value("eval_accuracy", float("nan")), "log-target"),
    "every quality infinite": (LLAMA, _value("eval_accuracy", float("-inf")), "log-target"),
    "quality as text": (LLAMA, _value("eval_accuracy", "3.2"), "log-type"),
    "init too long": (LLAMA, _shifted("init_start", -26), "log-init-time"),
    "init too long for closed, not for open": (LLAMA_OPEN, _shifted("init_start", -26), None),
    "init too long for open": (LLAMA_OPEN, _shifted("init_start", -236), "log-init-time"),
    "clock going backwards": (LLAMA, _shifted("run_stop", -60), "(log-clock)"),
    # fields of an event
    "event without a time": (LLAMA, _lacking("seed", "time_ms"), "log-bad-event"),
    "event without a key": (
        LLAMA,
        _line("seed", lambda line: line.replace('"key"', '"kee"')),
        "log-bad-event",
    ),
    "event without a value": (LLAMA, _lacking("seed", "value"), "log-bad-event"),
    "event without metadata": (LLAMA, _lacking("seed", "metadata"), "log-bad-event"),
    "event without a type": (LLAMA, _lacking("seed", "event_type"), None),
    "time that is text": (LLAMA, _field("seed", "time_ms", "noon"), "log-bad-event"),
    "time that is a number in text": (LLAMA, _field("seed", "time_ms", "1760000000000"), None),
    "time null": (LLAMA, _field("seed", "time_ms", None), "log-bad-event"),
    "time too large for a float": (LLAMA, _field("seed", "time_ms", 10**400), "log-bad-event"),
    "key that is a number": (LLAMA, _field("seed", "key", 7), "(log-odd-json)"),
    "key that is an object": (LLAMA, _field("seed", "key", {}), "(log-odd-json)"),
    "event that is a list": (LLAMA, _line("seed", lambda _: ":::MLLOG [1, 2]\n"), "log-bad-event"),
    "event that is null": (LLAMA, _line("seed", lambda _: ":::MLLOG null\n"), "log-bad-event"),
    # lines
    "launcher prefix": (
        LLAMA,
        _text(lambda text: text.replace(":::MLLOG", "[rank 0]: 12:01 :::MLLOG")),
        None,
    ),
    "noise between events": (LLAMA, _text(lambda text: text.replace("\n", "\nstep 1 of 2\n\n")), None),
    "CRLF": (LLAMA, _text(lambda text: text.replace("\n", "\r\n")), None),
    "lone CR, as progress bars write": (LLAMA, _text(lambda text: text.replace("\n", "\r 10% \r")), None),
    "two events on one line": (LLAMA, lambda log: _glue(as_text(log)), "(log-glued)"),
    "noise after an event": (LLAMA, _line("seed", lambda line: line.rstrip() + " rank 1\n"), "log-bad-json"),
    "an event cut by another rank": (
        LLAMA,
        _line("seed", lambda line: line[:40] + "\n" + line[40:]),
        "log-bad-json",
    ),
    "the mark inside a value": (LLAMA, _value("submission_org", "a :::MLLOG b"), "log-bad-json"),
    "single quotes": (LLAMA, _line("seed", lambda line: line.replace('"', "'")), "log-bad-json"),
    "nothing after the mark": (LLAMA, _text(lambda text: text + ":::MLLOG \n"), "log-bad-json"),
    "mark without a space": (
        LLAMA,
        _text(lambda text: text.replace(":::MLLOG ", ":::MLLOG")),
        "log-no-events",
    ),
    "older mark": (LLAMA, _text(lambda text: text.replace(":::MLLOG", ":::MLL")), "log-no-events"),
    "no newline at the end": (LLAMA, _text(str.rstrip), None),
    "cut inside the last event": (LLAMA, _text(lambda text: text[:-30]), "log-truncated"),
    "cut in the middle of the file": (LLAMA, _text(lambda text: text[: len(text) // 2]), "log-missing-key"),
    "blanks around the JSON": (
        LLAMA,
        _text(lambda text: text.replace("{", " \t{", 1).replace("\n", " \t\n")),
        None,
    ),
    "Latin-1 in a value": (
        LLAMA,
        lambda log: as_text(log).replace("Pitboard", "B\xfcll").encode("latin-1"),
        "(log-odd-json)",
    ),
    "UTF-8 in a value": (LLAMA, lambda log: as_text(log).replace("Pitboard", "Büll").encode(), None),
    "UTF-16": (LLAMA, lambda log: as_text(log).encode("utf-16"), "log-no-events"),
    "empty file": (LLAMA, lambda _: b"", "log-no-events"),
    "binary file": (LLAMA, lambda _: bytes(range(256)) * 64, "log-no-events"),
    "NUL bytes between events": (LLAMA, _text(lambda text: text.replace("\n", "\0\n")), "log-bad-json"),
    # bombs
    "nested JSON bomb": (LLAMA, _raw_value("seed", _NEST), "log-too-deep"),
    "nested objects, bearable": (
        LLAMA,
        _value("seed", json.loads('{"a":' * 300 + "1" + "}" * 300)),
        "(log-odd-json)",
    ),
    "huge integer": (LLAMA, _raw_value("seed", "9" * 5000), "log-bad-json"),
    "large integer": (LLAMA, _raw_value("seed", "9" * 4000), None),
    "huge exponent": (LLAMA, _raw_value("seed", "1e999"), None),
    "large integer as batch size": (LLAMA, _value("global_batch_size", 10**300), None),
    "long string": (LLAMA, _value("submission_org", "x" * 20_000), None),
    "lone surrogate": (LLAMA, _raw_value("submission_org", '"\\ud800"'), "(log-odd-json)"),
    # rules of other benchmarks: lines made up from several, state between lines
    "diffusion: one metric only": (
        DIFFUSION,
        lambda log: [e for e in log if e["metadata"].get("metric") != "FID"],
        "log-metadata",
    ),
    "diffusion: target not reached": (DIFFUSION, _value("eval_accuracy", 0.1), "log-target"),
    "diffusion: metric without samples": (
        DIFFUSION,
        _no_metadata("eval_accuracy", "samples_count"),
        "log-type",
    ),
    "diffusion: one evaluation": (
        DIFFUSION,
        lambda log: [e for e in log if e["metadata"].get("samples_count") != 512000],
        "log-too-few",
    ),
    "dlrm: first evaluation too early": (
        DLRM,
        _metadata("eval_accuracy", samples_count=8192 * 280),
        "log-value",
    ),
    "dlrm: learning rate out of its band": (DLRM, _value("opt_base_learning_rate", 2e-6), "log-value"),
    "dlrm: learning rate before batch size": (
        DLRM,
        _moved("opt_base_learning_rate", "global_batch_size"),
        "log-order",
    ),
    "dlrm: format string as samples": (
        DLRM,
        _metadata("eval_accuracy", samples_count="%9999d"),
        "log-type",
    ),
    "dlrm: batch size zero": (DLRM, _value("global_batch_size", 0), "log-value"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_official_and_ours_agree_and_the_cause_is_named(name: str, tmp_path: Path) -> None:
    (benchmark, division, ruleset), change, named = BROKEN[name]
    path = write_log(tmp_path / "result_0.txt", change(valid_log(benchmark, division)))

    report = check_log(path, ruleset)

    official = official_checker.verdict(path, ruleset)
    assert report.valid == bool(official), report.findings
    told = {
        finding.rule if finding.severity == "error" else f"({finding.rule})" for finding in report.findings
    }
    assert named in told if named else not told


def test_at_least_sixty_ways_to_break_a_log() -> None:
    assert sum(rule is not None for _, _, rule in BROKEN.values()) >= 60
