"""Reading a log: what counts as an event, what is wrong with the rest, and that nothing raises."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd

from pitboard.errors import PitboardError
from pitboard.events import Event, Problem, read_events, read_log, reader, source

_EVENT = b':::MLLOG {"key": "seed", "time_ms": 5, "value": 7, "metadata": {"lineno": 1}}'


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "result_0.txt"


def _read(path: Path, content: bytes) -> tuple[list[tuple[str, int]], list[tuple[str, int | None, bool]]]:
    path.write_bytes(content)
    log = read_log(path)
    events = [(event.key, event.line) for event in log.events]
    return events, [(problem.kind, problem.line, problem.refused) for problem in log.problems]


def test_an_event_has_all_that_its_line_says(log_path: Path) -> None:
    log_path.write_bytes(
        b'noise\n7: :::MLLOG {"namespace": "n", "time_ms": 1.5, "event_type": "INTERVAL_END", '
        b'"key": "k", "value": {"a": [1]}, "metadata": {"lineno": 3}}\n'
    )

    (event,) = read_events(log_path)

    assert event == Event(
        key="k",
        time_ms=1.5,
        value={"a": [1]},
        metadata={"lineno": 3},
        event_type="INTERVAL_END",
        namespace="n",
        line=2,
    )


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"a\nb\n", [], id="no event"),
        pytest.param(_EVENT, [1], id="no newline at the end"),
        pytest.param(b"\n\n" + _EVENT + b"\n", [3], id="after empty lines"),
        pytest.param(_EVENT + b"\r\n" + _EVENT + b"\r\n", [1, 2], id="CRLF"),
        pytest.param(b"10%\r20%\r" + _EVENT + b"\r30%\n" + _EVENT, [1, 2], id="progress bars"),
        pytest.param(b"\xff\xfe " + _EVENT + b"\n\x80\n" + _EVENT, [1, 3], id="not UTF-8 around it"),
        pytest.param(b"\0" * 100 + _EVENT + b"\n", [1], id="NUL before it"),
    ],
)
def test_events_are_found_with_their_lines(content: bytes, lines: list[int], log_path: Path) -> None:
    events, problems = _read(log_path, content)

    assert events == [("seed", line) for line in lines]
    assert problems == []


@pytest.mark.parametrize(
    ("content", "events", "problem"),
    [
        pytest.param(_EVENT[:-9], 0, ("truncated", 1, True), id="truncated"),
        pytest.param(_EVENT[:-9] + b"\n", 0, ("bad-json", 1, True), id="damaged"),
        pytest.param(_EVENT + _EVENT + b"\n", 1, ("glued", 1, False), id="glued"),
        pytest.param(_EVENT.replace(b"7", b"NaN"), 1, ("odd-json", 1, False), id="NaN"),
        pytest.param(_EVENT.replace(b"7", b'"\xe9"'), 1, ("odd-json", 1, False), id="Latin-1"),
        pytest.param(_EVENT.replace(b'"value": 7, ', b""), 0, ("bad-event", 1, True), id="no value"),
        pytest.param(_EVENT.replace(b"7", b"[" * 9000), 0, ("too-deep", 1, True), id="bomb"),
        pytest.param(_EVENT.replace(b"7", b"[" * 300 + b"]" * 300), 1, ("odd-json", 1, False), id="deep"),
        pytest.param(_EVENT.replace(b"7", b"9" * 5000) + b"\n", 0, ("bad-json", 1, True), id="huge integer"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    content: bytes, events: int, problem: tuple[str, int, bool], log_path: Path
) -> None:
    found, problems = _read(log_path, content)

    assert len(found) == events
    assert problems == [problem]


def test_lines_that_span_pieces_are_whole(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"\n".join(b"noise" * number + _EVENT for number in range(20))
    whole = _read(log_path, content)

    for size in (1, 7, 100):
        monkeypatch.setattr(source, "PIECE", size)
        assert _read(log_path, content) == whole
    assert [line for _, line in whole[0]] == list(range(1, 21))


def test_a_line_too_long_to_hold_is_dropped_and_told(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PIECE", 64)
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 1000)
    long = b" " * 3000

    assert _read(log_path, _EVENT + long + b"\n" + _EVENT) == ([("seed", 2)], [("too-long", 1, True)])
    # Noise of any length is no event, so it is no problem.
    assert _read(log_path, long + _EVENT + b"\n" + _EVENT) == ([("seed", 1), ("seed", 2)], [])


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_packed_logs_are_read_alike(pack: "type[bytes]", log_path: Path) -> None:
    content = b"\n".join([_EVENT] * 100)

    assert _read(log_path, pack(content)) == _read(log_path, content)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_damaged_archive_is_told_and_what_came_before_is_kept(pack: "type[bytes]", log_path: Path) -> None:
    packed = pack(b"\n".join(b"%d " % number + _EVENT for number in range(100_000)))

    events, problems = _read(log_path, packed[: len(packed) // 2])

    assert problems == [("unreadable", len(events) + 1, True)]


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_bomb_stops_at_the_bound(
    pack: "type[bytes]", log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_LOG_BYTES", 4 << 20)

    events, problems = _read(log_path, pack(_EVENT + b"\n" + b"\0" * (64 << 20)))

    assert (events, problems) == ([("seed", 1)], [("unreadable", 2, True)])


def test_events_stop_at_the_bound_of_memory(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PIECE", 1000)
    monkeypatch.setattr(reader, "MAX_EVENT_BYTES", 5000)

    events, problems = _read(log_path, b"\n".join([_EVENT] * 1000))

    assert len(events) < 200
    assert [kind for kind, _, _ in problems] == ["unreadable"]


def test_problems_are_counted_and_not_all_kept(log_path: Path) -> None:
    log_path.write_bytes(b":::MLLOG {\n" * 1000 + _EVENT + _EVENT + b"\n")

    log = read_log(log_path)

    assert log.counts == {"bad-json": 1000, "glued": 1}
    assert len(log.problems) == reader.MAX_PROBLEMS + 1
    assert isinstance(log.problems[0], Problem)


@pytest.mark.parametrize("name", ["missing.txt", ".", "nul\0.txt"])
def test_what_cannot_be_opened_is_said_in_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="Cannot read the log"):
        read_log(tmp_path / name)


def test_events_stream(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pieces(_: Path) -> Iterator[bytes]:
        yield _EVENT + b"\n"
        raise AssertionError("read on before it was asked to")

    monkeypatch.setattr(reader, "read_pieces", pieces)

    assert next(iter(read_events(log_path))).key == "seed"
