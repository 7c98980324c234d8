"""Headers, hosts, error pages and the API's description."""

import re

import pytest
from fastapi.testclient import TestClient

from pitboard.web.security import HEADERS

A, B = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"
PAGES = [
    "/",
    "/round/1.0",
    "/precision/4.0",
    "/claims",
    "/results",
    "/results?benchmark=llama31_8b&accelerators=8",
    "/systems/5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo",
    "/compare",
    f"/compare?r={A}&r={B}&normalise=1",
    f"/results/{A}",
    "/rounds",
    "/rounds/llama2_70b_lora",
    "/benchmarks",
    "/benchmarks/flux1",
    "/benchmarks/bert",
    "/check",
    "/rules",
    "/api",
    "/questions/table?benchmark=flux1",
    "/questions/scale?benchmark=llama31_8b&at=64",
    "/questions/compare",
]


@pytest.mark.parametrize("path", [*PAGES, "/api/rules", "/api/openapi.json", "/nowhere", "/test/broken"])
def test_every_response_has_the_security_headers(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in response.headers["content-security-policy"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_and_need_nothing_inline(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.text.count("<h1") == 1
    assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", response.text)
    assert not re.search(r'(src|srcset|action)="(?!/)', response.text)
    assert not re.search(r'href="(?!/|#|https://github\.com/mlcommons/[^"]*" rel="noopener")', response.text)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""])
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:1", "[::1]:8000"])
def test_this_machine_s_own_hosts_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/results", 405),
        ("POST", "/check", 422),
        ("GET", "/test/broken", 500),
    ],
)
def test_errors_are_pages_that_say_what_happened(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert f"<strong>{status}</strong>" in response.text
    assert "secret" not in response.text
    assert response.headers["cache-control"] == "no-store"


def test_an_error_page_escapes_what_was_asked(client: TestClient) -> None:
    response = client.get("/benchmarks/<script>alert(1)</script>x")
    assert response.status_code == 404
    assert "<script>alert" not in response.text
    response = client.get("/benchmarks/%3Cimg src=x onerror=alert(1)%3E")
    assert "&lt;img" in response.text
    assert "<img src=x" not in response.text


def test_errors_under_the_api_are_json(client: TestClient) -> None:
    response = client.get("/api/nowhere")
    assert response.status_code == 404
    assert "no such page" in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/results?submitter=Nvidai", 404, "Did you mean"),
        ("/results?accelerators=eight", 400, "whole number"),
        ("/results?sort=colour", 404, "no column"),
        ("/results?benchmark=a%00b", 404, "No result has"),
        ("/systems/5.1/NVIDIA/nothing", 404, "no system"),
        (f"/compare?r={A}&r=5.1/Nebius/nebius_b200_n2000/llama31_8b", 404, "no result"),
        (
            f"/compare?r={A}&r=5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama2_70b_lora",
            400,
            "different benchmarks",
        ),
        ("/rounds/llama", 404, "No result has the benchmark"),
        ("/charts/tabel.svg", 404, "no question"),
        ("/charts/roster.svg", 404, "no chart"),
        (f"/charts/compare.svg?a={A}&b={B}&kind=pie", 404, "no chart"),
        (f"/charts/compare.svg?a={A}", 400, "needs a value"),
        ("/charts/table.svg?benchmark=flux1&width=100000", 400, "width"),
        ("/charts/sanity.svg?run=/etc/passwd", 404, "no chart"),
        ("/charts/sql.svg?query=select+1", 404, "no chart"),
        (f"/api/compare?a={A}&b=nothing", 404, "names no result"),
        ("/api/table?round=9.9", 404, "No result has the round"),
        ("/api/table?accelerators=eight", 422, "integer"),
        ("/api/sanity?run=/etc/passwd", 404, "names no result"),
        ("/questions/tabel", 404, "Did you mean"),
        ("/questions/scale?benchmark=llama31_8b&at=many", 400, "whole number"),
        ("/questions/why?a=&b=", 400, "needs a value"),
    ],
)
def test_what_is_not_there_is_said(client: TestClient, path: str, status: int, sentence: str) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert sentence in response.text


def test_the_api_page_lists_what_the_openapi_document_holds(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    assert "/api/check" in paths
    text = client.get("/api").text
    assert all(path in text for path in paths)


def test_static_files_are_kept_for_good_under_their_hash(client: TestClient) -> None:
    address = re.search(r'href="(/static/[0-9a-f]{12}/pitboard\.css)"', client.get("/").text)
    assert address is not None
    assert "immutable" in client.get(address[1]).headers["cache-control"]
    assert client.get("/static/000000000000/pitboard.css").status_code == 404
    assert client.get("/static/000000000000/..%2f__init__.py").status_code == 404
