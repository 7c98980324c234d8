"""The page cache, around an application that counts how often it is asked."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.testclient import TestClient

from pitboard.web.cache import PageCache


class Counter:
    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self.asked: list[str] = []
        self.version = "1"
        inner = FastAPI()

        @inner.api_route("/{path:path}", methods=["GET", "POST"])
        def page(
            request: Request, path: str, status: int = 200, size: int = 2000, keep: bool = True
        ) -> Response:
            self.asked.append(str(request.url))
            headers = {} if keep else {"cache-control": "no-store"}
            text = f"{request.url} {request.headers.get('hx-request')} ".ljust(size, "x")
            return PlainTextResponse(text, status, headers)

        self.cache = PageCache(inner, lambda: self.version, max_bytes)
        self.client = TestClient(self.cache, base_url="http://localhost")

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(
            path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )


@pytest.fixture
def counter() -> Counter:
    return Counter()


def test_a_page_is_rendered_once_whatever_the_order_of_its_query(counter: Counter) -> None:
    first, second = counter.get("/a?x=1&y=2"), counter.get("/a?y=2&x=1")
    assert first.text == second.text
    assert len(counter.asked) == 1
    assert [r.headers["server-timing"].split('"')[1] for r in (first, second)] == ["miss", "hit"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a", "/b"),
        ("/a?x=1", "/a?x=2"),
        ("/a?x=", "/a"),
        ("/a?x=1&x=2", "/a?x=2&x=1"),
        ("/a?x=%ff", "/a?x=%fe"),
        ("/a?x=1%26y=2", "/a?x=1&y=2"),
    ],
)
def test_requests_that_differ_never_share_a_page(counter: Counter, one: str, other: str) -> None:
    assert counter.get(one).text != counter.get(other).text
    assert len(counter.asked) == 2


def test_hosts_and_htmx_have_pages_of_their_own(counter: Counter) -> None:
    texts = {
        counter.get("/a").text,
        counter.get("/a", host="127.0.0.1").text,
        counter.get("/a", hx_request="true").text,
    }
    assert len(texts) == 3
    assert "HX-Request" in counter.get("/a").headers["vary"]


def test_a_new_state_of_the_store_renders_anew(counter: Counter) -> None:
    counter.get("/a")
    counter.version = "2"
    counter.get("/a")
    assert len(counter.asked) == 2


def test_errors_posts_and_what_says_no_store_are_never_kept(counter: Counter) -> None:
    for _ in range(2):
        assert counter.get("/a?status=404").status_code == 404
        assert counter.client.post("/a").status_code == 200
        counter.get("/b?keep=false")
    assert len(counter.asked) == 6


def test_an_unchanged_page_is_not_sent_again(counter: Counter) -> None:
    tag = counter.get("/a").headers["etag"]
    again = counter.get("/a", if_none_match=f'"other", {tag}')
    assert (again.status_code, again.content) == (304, b"")
    assert counter.get("/a", if_none_match='"other"').status_code == 200


def test_gzip_only_for_those_who_take_it(counter: Counter) -> None:
    plain = counter.get("/a", accept_encoding="identity")
    assert "content-encoding" not in plain.headers
    refused = counter.get("/a", accept_encoding="gzip;q=0")
    assert "content-encoding" not in refused.headers
    packed = counter.get("/a", accept_encoding="br, gzip;q=0.5")
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert packed.text == plain.text


def test_head_has_the_headers_of_get_and_no_body(counter: Counter) -> None:
    head = counter.client.head("/a")
    assert head.content == b""
    assert head.headers["content-length"] == counter.get("/a").headers["content-length"]


def test_memory_is_bounded_and_the_least_used_page_goes_first() -> None:
    counter = Counter(max_bytes=50_000)
    counter.get("/kept")
    for number in range(60):
        counter.get(f"/{number}")
        counter.get("/kept")
    assert counter.asked.count("http://localhost/kept") == 1
    assert sum(page.size for page in counter.cache._pages.values()) <= 50_000
    counter.get("/0")
    assert counter.asked.count("http://localhost/0") == 2


def test_readers_at_once_wait_for_one_rendering() -> None:
    asked = 0

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        await JSONResponse({"n": asked})(scope, receive, send)

    cache = PageCache(slow, lambda: "")

    async def ask() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        await cache(scope, None, send)  # type: ignore[arg-type]
        return sent

    async def all_at_once() -> list[Any]:
        answers: list[Any] = await asyncio.gather(*(ask() for _ in range(20)))
        return answers

    answers = asyncio.run(all_at_once())
    assert asked == 1
    assert {each[1]["body"] for each in answers} == {b'{"n":1}'}
