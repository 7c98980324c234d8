"""Uploads: what is judged, what is refused, and that nothing of it stays."""

import asyncio
import gzip
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from made_logs import as_text, valid_log, write_log
from made_results import preset_log, run_log, run_output, submit
from pitboard import cli, files
from pitboard.compliance import check_tree
from pitboard.errors import PitboardError
from pitboard.scoring import score_tree
from pitboard.web import check_page, checking, judge

LOG = as_text(valid_log()).encode()


@pytest.fixture(scope="module")
def system(published: Callable[[str], Path]) -> Path:
    """Give the results of a published system; unpacked before a test has a temporary folder of its own."""
    return min((published("5.1") / "AMD" / "results").iterdir())


@pytest.fixture(autouse=True)
def nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give checks a temporary folder of their own, which is empty again after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def send(client: TestClient, body: bytes, name: str = "run.txt", path: str = "/check", **headers: str) -> Any:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return client.post(path, files={"file": (name, body)}, headers=named)


def test_a_log_is_judged_and_scored(client: TestClient) -> None:
    response = send(client, LOG)
    assert response.status_code == 200
    assert ">Valid<" in response.text
    assert "25.000" in response.text
    assert response.headers["cache-control"] == "no-store"


def test_htmx_gets_the_verdict_alone(client: TestClient) -> None:
    text = send(client, LOG, hx_request="true").text
    assert "<html" not in text
    assert ">Valid<" in text


def packed(folder: Path, name: str = ".") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.add(folder, name)
    return content.getvalue()


def test_a_packed_submission_is_judged_as_its_folder_is(client: TestClient, tmp_path: Path) -> None:
    submit(tmp_path / "acme")
    answer = send(client, packed(tmp_path / "acme", "acme"), "acme.tar.gz", "/api/check").json()
    report = check_tree(tmp_path / "acme")
    (score,) = score_tree(report)
    assert answer["valid"] is report.valid is True
    assert answer["scores"][0]["minutes"] == score.minutes
    assert (answer["scores"][0]["submitter"], answer["scores"][0]["system"]) == ("acme", "box")


def as_by_the_commands(path: Path, answer: dict[str, Any]) -> dict[str, Any]:
    """Hold what the API says of a file against what `check` and `score` print, and return it."""
    run = CliRunner().invoke
    checked = run(cli.app, ["check", str(path), "--format", "json"])
    if "error" in answer:
        assert str(checked.exception).replace(f"{path.parent}/", "") == answer["error"]
        return answer
    report = {name: value for name, value in answer.items() if name not in ("name", "scores")}
    assert report == json.loads(checked.output)
    scored = run(cli.app, ["score", str(path), "--format", "json"])
    assert answer["scores"] == json.loads(scored.output)["results"]
    return answer


def judged_here(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Judge a file as the process for an upload does, without its limits."""
    folder = Path(tempfile.mkdtemp())
    try:
        with path.open("rb") as upload, monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", io.TextIOWrapper(upload))
            verdict = judge.verdict_of(folder, path.name)
    except PitboardError as error:
        return {"error": str(error)}
    finally:
        shutil.rmtree(folder)
    return check_page.document(msgspec.json.decode(msgspec.json.encode(verdict)))


def test_the_api_says_what_the_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeless = [{name: part for name, part in each.items() if name != "time_ms"} for each in valid_log()]
    submission, result = submit(tmp_path / "Acme"), submit(tmp_path / "Sub", runs=2)
    (submission / "result_3.txt").write_bytes(b"")
    whole = packed(tmp_path / "Acme", "Acme")
    files = {
        "run.txt": (LOG, True),
        "late.log": (as_text(valid_log()[:-1]).encode(), False),
        "timeless.txt": (as_text(timeless).encode(), False),
        "run.txt.gz": (gzip.compress(LOG), True),
        "cut.txt.gz": (gzip.compress(LOG)[:-9], False),
        "noise.txt": (bytes(range(256)) * 9, False),
        "Acme.tar.gz": (whole, False),
        "runs.tar.gz": (packed(result), False),
        "broken.tar.gz": (whole[:-200], None),
    }
    for name, (content, valid) in files.items():
        (tmp_path / name).write_bytes(content)
        answer = as_by_the_commands(tmp_path / name, judged_here(tmp_path / name, monkeypatch))
        assert answer.get("valid") is valid, name
        if name == "runs.tar.gz":
            (of_runs,) = answer["results"]
            assert (of_runs["submitter"], of_runs["system"]) == ("", "runs")


def test_the_api_says_what_the_command_says_of_a_published_result(
    client: TestClient, tmp_path: Path, system: Path
) -> None:
    upload = tmp_path / f"{system.name}.tar.gz"
    upload.write_bytes(packed(system, system.name))
    answer = send(client, upload.read_bytes(), upload.name, "/api/check").json()
    assert as_by_the_commands(upload, answer)["results"]


def test_a_packed_output_of_a_preset_is_marked(client: TestClient, tmp_path: Path) -> None:
    run_output(tmp_path / "mine", preset_log())

    text = send(client, packed(tmp_path / "mine"), "mine.tar.gz").text
    answer = send(client, packed(tmp_path / "mine"), "mine.tar.gz", "/api/check").json()

    assert "Preset smoke: not an MLPerf result." in text
    assert (answer["valid"], answer["kind"], answer["scores"][0]["preset"]) == (True, "preset", "smoke")


def test_a_verdict_says_what_is_wanting_where_and_what_to_paste_into_a_review(
    client: TestClient, tmp_path: Path
) -> None:
    text = send(client, LOG).text
    assert "1 of 10 runs: the score of llama31_8b needs 10." in text
    review = html.unescape(text.partition("<textarea")[2].partition("</textarea>")[0])
    assert "**`run.txt`: valid**" in review
    assert "- By the rules of round 5.1\n- 1 log, 1 valid\n- 1 of 10 runs" in review
    assert "25.000 min of 1 run that counts\n- 0 errors, 0 warnings\n" in review

    folder = submit(tmp_path / "Acme")
    for number in (3, 4):
        bad = run_log(seed=100 + number)
        next(event for event in bad if event["key"] == "opt_name")["value"] = "`<b>@joe"
        write_log(folder / f"result_{number}.txt", bad)
    text = send(client, packed(tmp_path / "Acme"), "Acme_v3.tar.gz").text
    assert [html.unescape(name) for name in re.findall("<h4>(.*?)</h4>", text)] == [
        "Acme · box · llama31_8b",
    ]
    named = re.findall(r'href="/rules#([\w-]+)"', text)
    assert len(named) > 1
    rules = client.get("/rules").text
    assert all(f'id="{code}"' in rules for code in named)
    review = html.unescape(text.partition("<textarea")[2].partition("</textarea>")[0])
    told = [line for line in review.splitlines() if "opt" in line and line.startswith("- error")]
    assert len(told) == 1, "each finding once"
    assert re.match(r"- error `log-value` `results/box/llama31_8b/result_3\.txt:\d+` and 1 more: ", told[0])
    assert "\\`&lt;b&gt;&#64;joe" in told[0]
    text = send(client, packed(folder), "one of ours.tar.gz").text
    assert re.findall("<h4>(.*?)</h4>", text)[0] == "one_of_ours · llama31_8b"


def test_a_hostile_log_s_text_is_shown_as_text(client: TestClient) -> None:
    bad = valid_log()
    for event in bad:
        if event["key"] in ("submission_org", "submission_platform", "opt_name"):
            event["value"] = "<script>alert(1)</script>\x1b[2J"
    text = send(client, as_text(bad).encode(), "<img src=x onerror=alert(1)>.txt").text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\x1b" not in text


def test_an_upload_from_another_site_is_refused(client: TestClient) -> None:
    for headers in (
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ):
        assert send(client, LOG, **headers).status_code == 403
    for headers in ({"sec_fetch_site": "same-origin"}, {"origin": "http://localhost"}):
        assert send(client, LOG, **headers).status_code == 200


@pytest.mark.parametrize("body", [b"", LOG], ids=["empty", "other-field"])
def test_a_form_without_a_file_is_refused(client: TestClient, body: bytes) -> None:
    field = "other" if body else "file"
    response = client.post("/api/check", files={field: ("run.txt", body)})
    assert response.status_code == 422
    assert "Choose a log" in response.json()["error"]


def test_a_body_that_is_no_form_is_refused(client: TestClient) -> None:
    response = client.post("/api/check", content=LOG, headers={"content-type": "text/plain"})
    assert (response.status_code, "multipart" in response.json()["error"]) == (422, True)


@pytest.mark.parametrize("says_its_length", [True, False])
def test_too_large_an_upload_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, says_its_length: bool
) -> None:
    monkeypatch.setattr(check_page, "MAX_UPLOAD_BYTES", 100_000)
    form = {"content-type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(300_000)
    content = body if says_its_length else iter([body[:150_000], body[150_000:]])
    response = client.post("/check", content=content, headers=form)
    assert response.status_code == 413


def test_a_third_upload_at_once_is_asked_to_come_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_page, "_places", checking.Places(0))
    response = send(client, LOG)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


def test_a_place_is_free_again_after_a_refusal(client: TestClient, tmp_path: Path) -> None:
    submit(tmp_path / "acme", runs=1)
    for _ in range(checking.AT_ONCE + 1):
        assert send(client, packed(tmp_path / "acme")[:-9], "cut.gz").status_code == 422
    assert send(client, LOG).status_code == 200


def judged(tmp_path: Path, body: bytes, seconds: float) -> dict[str, Any]:
    (tmp_path / "sent").write_bytes(body)
    with (tmp_path / "sent").open("rb") as upload:
        return asyncio.run(checking.judge_upload(upload, "run.txt", seconds))


def test_a_check_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="takes longer than"):
        judged(tmp_path, LOG, seconds=-checking._GRACE_SECONDS + 0.01)


def test_a_packed_bomb_is_refused_by_a_real_process(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="unpacks to more than 1,024 MiB"):
        # Packed in parts, as `cat` joins them: to pack all of it takes longer than to refuse it.
        judged(tmp_path, gzip.compress(bytes(1 << 24)) * 64 + gzip.compress(b"0"), seconds=600)


def test_folders_of_dead_servers_are_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    place = Path(tempfile.gettempdir())
    with files.scratch(place, "pitboard-check-") as alive:
        alive.with_name(alive.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")).mkdir()
        checking.sweep()
        assert list(place.iterdir()) == [alive]
