"""Callers who wish the server ill: slow, many, or asking for what no cache has met."""

import asyncio
import contextlib
import io
import socket
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

import made_results
from made_logs import as_text, valid_log
from pitboard.compliance import check
from pitboard.errors import BusyError
from pitboard.web import check_page, checking, judge
from pitboard.web.connections import GuardedProtocol
from pitboard.web.turns import Turns

FORM = "multipart/form-data; boundary=xx"
BODY = (
    b'--xx\r\nContent-Disposition: form-data; name="file"; filename="result_0.txt"\r\n\r\n'
    + as_text(valid_log()).encode()
    + b"\r\n--xx--\r\n"
)
Ask = Callable[[], socket.socket]


@pytest.fixture
def connect(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Serve the application with little patience; give what connects to it."""
    monkeypatch.setattr(GuardedProtocol, "seconds_to_ask", 1.5)
    monkeypatch.setattr(GuardedProtocol, "most", 12)
    monkeypatch.setattr(check_page, "_PIECE_SECONDS", 0.5)
    config = uvicorn.Config(app, http=GuardedProtocol, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as opened:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield lambda: opened.enter_context(socket.create_connection(listening.getsockname(), timeout=60))
        server.should_exit = True
        thread.join()


def answer(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            said += piece
    return said


def get(connection: socket.socket, address: str = "/rules") -> bytes:
    connection.sendall(f"GET {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return answer(connection)


def test_who_does_not_finish_asking_is_given_up_and_keeps_nobody_out(connect: Ask) -> None:
    half = [connect() for _ in range(40)]
    for each in half:
        with contextlib.suppress(ConnectionError):
            each.sendall(b"GET / HTTP/1.1\r\nHost: localh")

    assert get(connect()).startswith(b"HTTP/1.1 200")
    assert [answer(each) for each in half] == [b""] * 40
    kept = connect()
    kept.sendall(b"GET /rules HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(12) == b"HTTP/1.1 200"
    kept.sendall(b"GET /rul")
    assert b"HTTP/1.1" not in answer(kept)[12:]


def test_who_sends_a_body_slowly_is_given_up_and_keeps_no_place(connect: Ask, client: TestClient) -> None:
    slow = [connect() for _ in range(checking.AT_ONCE + 1)]
    head = "POST /api/check HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n"
    head += f"Content-Type: {FORM}\r\n\r\n"
    for each in slow:
        each.sendall(head.encode() + BODY[:60])

    sent = client.post("/api/check", content=BODY, headers={"content-type": FORM})
    assert (sent.status_code, sent.json()["valid"]) == (200, True)
    for each in slow:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):  # a byte now and then is no better
                each.sendall(b"x")
                time.sleep(0.02)
        assert answer(each).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "kind",
    ["MULTIPART/FORM-DATA; boundary=xx", "Multipart/Form-Data ; boundary=xx", f"{FORM}; charset=nonsense"],
)
def test_a_form_is_known_however_it_is_spelt(client: TestClient, kind: str) -> None:
    response = client.post("/api/check", content=BODY, headers={"content-type": kind})
    assert response.json().get("valid") is True, response.text


@pytest.mark.parametrize(
    "kind", [f"{FORM}; charset=undefined", f"{FORM}; charset=a\0b", "multipart/form-datax; boundary=xx"]
)
def test_a_form_that_cannot_be_read_is_refused_with_a_sentence(client: TestClient, kind: str) -> None:
    response = client.post("/api/check", content=BODY, headers={"content-type": kind})
    assert response.status_code == 422
    assert "charset" in response.json()["error"] or "multipart form" in response.json()["error"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/?a=1", "It takes none."),
        ("/rules?fbclid=1", "It takes none."),
        ("/benchmarks/llama31_8b?x=", "It takes: highlight"),
        ("/api/rules?x=1", "It takes none."),
        ("/results?benchmrk=flux1", "Did you mean &#39;benchmark&#39;?"),
        ("/compare?c=1", "It takes: r, benchmark"),
        ("/questions/scale?benchmark=llama31_8b&x=1", "no parameter &#39;x&#39;"),
        ("/charts/scale.svg?benchmark=llama31_8b&x=1", "no parameter &#39;x&#39;"),
    ],
)
def test_a_parameter_that_an_address_does_not_take_is_refused_before_anything_is_made(
    client: TestClient, address: str, said: str
) -> None:
    response = client.get(address)
    assert response.status_code == 400
    assert said in response.text
    assert response.headers["cache-control"] == "no-store"


def test_so_many_have_their_turn_and_so_many_wait() -> None:
    async def crowd() -> None:
        turns, most, now = Turns(2, waiting=3), 0, 0

        async def one() -> str:
            nonlocal most, now
            try:
                async with turns.take():
                    now += 1
                    most = max(most, now)
                    await asyncio.sleep(0.01)
                    now -= 1
                    return "done"
            except BusyError:
                return "busy"

        together = [asyncio.ensure_future(one()) for _ in range(7)]
        await asyncio.sleep(0)
        together[2].cancel()  # one that waits goes away; its turn is not lost
        said = await asyncio.gather(*together, return_exceptions=True)
        assert [each for each in said if isinstance(each, str)] == ["done"] * 4 + ["busy"] * 2
        assert most == 2
        assert list(await asyncio.gather(one(), one())) == ["done", "done"]

    asyncio.run(crowd())


def test_an_upload_is_checked_in_one_process_whatever_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_results.submit(tmp_path / "acme")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(tmp_path / "acme", "acme")
    packed.seek(0)
    monkeypatch.setattr(check, "_processors", lambda: 64)
    monkeypatch.setattr(check, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(check, "ProcessPoolExecutor", None)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(packed))
    assert judge.verdict_of(tmp_path, "acme.tar")["report"]["valid"] is True
    assert judge.MEMORY_BYTES * checking.AT_ONCE == 4 << 30
