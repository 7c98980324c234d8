"""Whatever comes from strangers, made up at random: an answer or a sentence, and nothing else.

A few examples each with the other tests, the same each time; `make fuzz MINUTES=30` goes on with new ones for
that long.
"""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import made_results
from made_logs import as_text, valid_log
from pitboard.compliance import check_tree
from pitboard.compliance.archives import Limits, unpack
from pitboard.compliance.output.document import as_document
from pitboard.compliance.output.sarif import to_sarif
from pitboard.compliance.submission.system import FIELDS, read_system
from pitboard.errors import PitboardError
from pitboard.results import questions, sql
from pitboard.results.ingest import read_rows
from pitboard.results.store import Store
from pitboard.scoring import score_tree
from pitboard.text import json_text
from pitboard.training.output import Output

EXAMPLES = int(os.environ.get("PITBOARD_FUZZ_EXAMPLES", "25"))
some = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
few = settings(max_examples=max(8, EXAMPLES // 4), suppress_health_check=list(HealthCheck))

HOSTILE = st.sampled_from(
    [
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "\0",
        "../../etc/passwd",
        "'; drop table results; --",
        "<script>",
        "NaN",
        "=1+1",
    ]
)
TEXTS = st.one_of(st.text(max_size=20), HOSTILE)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 2**63, 10**400, 1e308, -0.0]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)
LOG = as_text(valid_log()).encode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    made_results.submit(folder / "Acme")
    Store(folder / "store").add(read_rows(folder / "Acme", "5.1"))
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[TestClient]:
    from pitboard.web.app import create_app

    with TestClient(
        create_app(place / "store"), base_url="http://localhost", raise_server_exceptions=False
    ) as made:
        yield made


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Give bytes with some of them changed, cut out, doubled or put in."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(0, 40))
        content[at : at + length] = draw(
            st.one_of(st.binary(max_size=20), st.just(bytes(content[at : at + 2 * length])))
        )
    return bytes(content)


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Give a log with values, keys, times and metadata of any kind in place of some of its own."""
    log = valid_log()
    for _ in range(draw(st.integers(1, 5))):
        event = log[draw(st.integers(0, len(log) - 1))]
        name = draw(st.sampled_from(["value", "key", "time_ms", "metadata", "event_type"]))
        event[name] = draw(VALUES if name != "key" else TEXTS)
    return as_text(log).encode("utf-8", "surrogatepass")


def judge(path: Path) -> None:
    """Check, show and score as the commands do."""
    report = check_tree(path, processes=1)
    assert json.loads(json_text(as_document(report)))
    assert json.loads(json_text(to_sarif(report, path)))
    json_text({"results": score_tree(report)})


@some
@given(content=st.one_of(logs(), damaged(LOG), st.binary(max_size=200)))
def test_logs(place: Path, content: bytes) -> None:
    log = place / "fuzzed.txt"
    log.write_bytes(content)
    judge(log)
    submission = place / "log" / "Acme"
    shutil.rmtree(submission, ignore_errors=True)
    folder = made_results.submit(submission, runs=3)
    shutil.copy(log, folder / "result_1.txt")
    rows = read_rows(submission, "5.1")
    assert msgspec.json.encode(rows)  # as it is handed to the store


@some
@given(
    fields=st.dictionaries(st.one_of(st.sampled_from(FIELDS), TEXTS), VALUES, max_size=8),
    raw=damaged(b'{"a": 1}'),
)
def test_descriptions(place: Path, fields: dict[str, Any], raw: bytes) -> None:
    submission = place / "description" / "Acme"
    shutil.rmtree(submission, ignore_errors=True)
    made_results.submit(submission, runs=1)
    described = made_results.describe(submission, **{k: v for k, v in fields.items() if k.isidentifier()})
    assert msgspec.json.encode(read_rows(submission, "5.1"))
    described.write_text(json.dumps(fields))
    assert msgspec.json.encode(read_rows(submission, "5.1"))
    described.write_bytes(raw)
    read_system(described, "box.json", "5.1.0")


def _archives() -> list[bytes]:
    import gzip
    import tarfile
    import zipfile

    packed, zipped = io.BytesIO(), io.BytesIO()
    with (
        tarfile.open(fileobj=packed, mode="w") as tar,
        zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in ("acme/results/box/llama31_8b/result_0.txt", "acme/systems/box.json"):
            member = tarfile.TarInfo(name)
            member.size = len(LOG)
            tar.addfile(member, io.BytesIO(LOG))
            archive.writestr(name, LOG)
    return [packed.getvalue(), zipped.getvalue(), gzip.compress(packed.getvalue())]


@some
@given(data=st.data(), good=st.sampled_from(_archives()), name=TEXTS)
def test_archives(data: st.DataObject, good: bytes, name: str) -> None:
    content = data.draw(damaged(good))
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder, "in")
        inside.mkdir()
        try:
            found = unpack(io.BytesIO(content), name, inside, Limits(1 << 20, 50))
        except PitboardError:
            found = inside
        assert found.resolve().is_relative_to(inside.resolve())
        assert list(Path(folder).iterdir()) == [inside]
        assert not any(path.is_symlink() for path in inside.rglob("*"))


@few
@given(data=st.data(), table=st.sampled_from(["results.parquet", "runs.parquet", "store.json"]))
def test_store_files(place: Path, data: st.DataObject, table: str) -> None:
    whole = Store(place / "store").rows("select count(*) as n from results")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(place / "store", Path(folder, "store"))
        file = next(Path(folder, "store").rglob(table))
        good = file.read_bytes()
        content = data.draw(damaged(good))
        file.write_bytes(content)
        try:
            store = Store(Path(folder, "store"))
        except PitboardError:
            if table != "store.json":
                raise
            return
        rows = store.rows("select count(*) as n from results")
        assert rows == whole or store.damage or table == "store.json"
        assert store.damage or content == good or table == "store.json"


@some
@given(
    plan=st.dictionaries(
        st.sampled_from(["system", "benchmark", "samples_grid", "seeds", "round", "x"]), VALUES
    )
)
def test_plans(place: Path, plan: dict[str, Any]) -> None:
    whole = {"benchmark": "llama31_8b", "preset": "smoke", "overrides": {}, "seeds": [1], "system": "box"}
    folder = place / "plan"
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({**whole, "submitter": "me", **plan}))
    output = Output(folder)
    try:
        read = output.plan()
    except PitboardError:
        return
    for path in (output.log(read, 0), output.checkpoints(read, 0), output.summary(0)):
        assert path.resolve().is_relative_to(folder.resolve())


_WORDS = st.sampled_from(
    [
        *(
            "select",
            "*",
            "from",
            "results",
            "where",
            "round = '5.1'",
            "explain",
            "analyze",
            "describe",
            "with",
        ),
        *("copy", "to", "'x.parquet'", ";", "--", "/*", "*/", "(", ")", "union all", "values (1)", "limit 1"),
        *("read_text('/etc/passwd')", "glob('/*')", "pragma", "set", "attach"),
    ]
)


@few
@given(words=st.lists(st.one_of(_WORDS, TEXTS), max_size=10))
def test_queries(place: Path, words: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (place / "store").rglob("*")}
    for query in (" ".join(words), "explain select * from results where " + " ".join(words)):
        try:
            answer = sql(query, store=Store(place / "store"))
        except PitboardError:
            continue
        json_text(answer.rows)
        assert "root:" not in str(answer.rows)
    assert {path: path.stat().st_mtime_ns for path in (place / "store").rglob("*")} == before


_QUESTIONS = [name for name in questions.names() if name != "sql"]  # which has limits of its own to test


@few
@given(data=st.data(), name=st.sampled_from(_QUESTIONS), way=st.sampled_from(["/api/{}", "/questions/{}"]))
def test_addresses(place: Path, server: TestClient, data: st.DataObject, name: str, way: str) -> None:
    names = st.one_of(st.sampled_from([*questions.question(name).parameters, "x"]), TEXTS)
    known = st.sampled_from(
        ["5.1", "llama31_8b", "NVIDIA", "B200", "true", "8", "5.1/Acme (own)/box/llama31_8b"]
    )
    values = data.draw(st.dictionaries(names, st.one_of(known, TEXTS), max_size=4))
    query = [(k.encode("utf-8", "replace"), v.encode("utf-8", "surrogatepass")) for k, v in values.items()]
    answer = server.get(way.format(name), params=query)  # type: ignore[arg-type]
    assert answer.status_code in (200, 400, 404, 422)
    assert str(place) not in answer.text
    if answer.headers["content-type"].startswith("text/html"):
        assert "<script>\n" not in answer.text
        assert "\x1b" not in answer.text
