"""Our reader and engine against the official parser and checker on generated logs."""

from pathlib import Path
from typing import Any

import official_checker
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from made_logs import as_text, valid_log, write_log
from pitboard.compliance import check_log
from pitboard.errors import PitboardError
from pitboard.events import Event, read_log
from pitboard.events.source import unpacked

_SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_MARK = b":::MLLOG "
_GOOD = b'{"key": "a", "time_ms": 1, "value": 2, "metadata": {}}'
_SCALARS = st.sampled_from(
    [
        *(b"1", b"-1.5", b"1e400", b"01", b"9" * 30, b"9" * 400, b"9" * 5000, b"NaN", b"-Infinity"),
        *(b"null", b"true", b"[]", b"[1]", b"{}", b'{"a": [NaN]}'),
        *(b'"x"', b'"12"', b'"\xe9"', b'"\xc3\xa9"', b'"\\ud800"', b'"\x01"'),
    ]
)
_OBJECTS = st.builds(
    lambda *values: b'{"key": %b, "time_ms": %b, "value": %b, "metadata": %b}' % values,
    st.sampled_from([b'"a"', b'"seed"', b"1", b"null", b"[]"]),
    _SCALARS,
    _SCALARS,
    st.sampled_from([b"{}", b'{"file": "f"}', b'{"n": NaN}']),
)
_PAYLOADS = st.one_of(st.just(_GOOD), _OBJECTS, st.binary(max_size=20), _SCALARS)
_STARTS = st.sampled_from(
    [_MARK, b"0: " + _MARK, b"\r" + _MARK, _MARK + _GOOD + _MARK, b"\xff" + _MARK, b"", b":::MLLOG"]
)
_ENDS = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" \n", b"\x0b\n", b"\x85\n", b"\xa0\n", b"\0\n", b"x\n", b""]
)
_LINES = st.tuples(_STARTS, _PAYLOADS, _ENDS).map(b"".join)
_LOGS = st.lists(_LINES, max_size=12).map(b"".join)


def _same(ours: Any, theirs: Any) -> bool:
    # The official parser reads Latin-1, ours UTF-8 where it is; no rule looks at other than ASCII.
    return repr(ours) == repr(theirs) or not repr(theirs).isascii()


def _is_line(event: Event, line: tuple[Any, ...]) -> bool:
    key, time_ms, value, metadata = line
    return (
        event.key == key
        and repr(float(event.time_ms)) == repr(time_ms)
        and _same(event.value, value)
        and _same(event.metadata, metadata)
    )


def _is_known(path: Path) -> bool:
    try:
        with path.open("rb") as raw:
            unpacked(raw, path.name)
    except PitboardError:
        return False
    return True


def _is_plain(path: Path) -> bool:
    with path.open("rb") as raw:
        return unpacked(raw, path.name) is raw


@_SETTINGS
@example(content=_MARK + b'{"key": "a", "time_ms": "x", "value": 1, "metadata": {}}\n')
@given(content=_LOGS)
def test_the_reader_takes_and_refuses_what_the_official_parser_does(content: bytes, tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.txt", content)
    # Packed logs are read here, or refused by the packing's name, and are noise to the official parser.
    assume(_is_known(path) and _is_plain(path))

    log = read_log(path)

    refused = any(problem.refused for problem in log.problems)
    try:
        lines, good = official_checker.parse(path)
    except Exception:
        assert refused
        return
    assert refused is not good
    named = [line for line in lines if isinstance(line[0], str)]
    # An event without a time is told and kept here; the official parser drops it.
    untimed = sum("time_ms" in problem.message for problem in log.problems)
    assert len(named) <= len(log.events) <= len(named) + untimed
    remaining = iter(log.events)
    for line in named:
        assert any(_is_line(event, line) for event in remaining)


@_SETTINGS
@example(content=b"7z\xbc\xaf'\x1c")
@given(
    content=st.one_of(
        st.binary(), st.lists(st.sampled_from([_MARK, _GOOD, b"\n", b"{", b"\r"])).map(b"".join)
    )
)
def test_no_bytes_make_the_checker_raise(content: bytes, tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.txt", content)

    if not _is_known(path):
        # It is refused by the packing's name, as what cannot be opened is.
        with pytest.raises(PitboardError, match="which Pitboard does not read"):
            check_log(path, "5.1.0")
        return
    report = check_log(path, "5.1.0")

    assert not report.valid


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["closed", "open", "common", "llama31_8b", "flux1", "../x", 0, 1, 16, 1.0, 0.1, "adamw", 3.2, 0.9]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["FID", "CLIP", "samples_count"]), st.floats(), max_size=2),
)
_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["drop", "copy", "swap", "value", "metadata", "time"]),
        st.integers(0, 100),
        st.integers(0, 100),
        _VALUES,
    ),
    min_size=1,
    max_size=4,
)
_BASES = st.sampled_from(
    [
        ("llama31_8b", "closed", "5.1.0"),
        ("llama31_8b", "open", "6.0.0"),
        ("stable_diffusion", "closed", "5.0.0"),
        ("stable_diffusion", "closed", "4.1.0"),
        ("dlrmv4", "closed", "6.1.0"),
    ]
)


def _changed(log: list[dict[str, Any]], changes: list[tuple[str, int, int, Any]]) -> list[dict[str, Any]]:
    for what, first, second, value in changes:
        if not log:
            break
        here, there = first % len(log), second % len(log)
        each = log[here]
        if what == "drop":
            del log[here]
        elif what == "copy":
            log.insert(there, each)
        elif what == "swap":
            log[here], log[there] = log[there], log[here]
        elif what == "value":
            log[here] = {**each, "value": value}
        elif what == "metadata":
            log[here] = {**each, "metadata": {"samples_count": value, "epoch_num": value, "status": value}}
        else:
            log[here] = {**each, "time_ms": each["time_ms"] + (second - 50) * 60_000}
    return log


@settings(_SETTINGS, max_examples=60)
@given(base=_BASES, changes=_CHANGES)
def test_broken_at_random_the_verdict_is_the_official_one(
    base: tuple[str, str, str], changes: list[tuple[str, int, int, Any]], tmp_path: Path
) -> None:
    benchmark, division, ruleset = base
    log = _changed(valid_log(benchmark, division), changes)
    # Where a log names its benchmark "common", the official checker goes on for ever.
    if any(each["value"] == "common" and each["key"].startswith("submission_") for each in log):
        return
    path = write_log(tmp_path / "log.txt", as_text(log))

    assert check_log(path, ruleset).valid == bool(official_checker.verdict(path, ruleset))
