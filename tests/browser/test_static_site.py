"""The static site behind a plain server of files: filtered, sorted and compared in the browser."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.xdist_group("browser")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def files(frozen_site: tuple[FastAPI, Path]) -> Iterator[str]:
    """Serve the folder above the site, which so has a path of its own; give its address."""
    handler = partial(_Quiet, directory=str(frozen_site[1].parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{frozen_site[1].name}"
        server.shutdown()


def test_a_reader_filters_sorts_and_compares(browser: Browser, files: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    wrong: list[str] = []
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(f"{files}/index.html")
    page.get_by_role("link", name="Results", exact=True).click()
    rows = page.locator("table.results tbody tr")
    expect(page.get_by_role("searchbox")).to_be_visible()
    whole = rows.count()

    page.locator("summary", has_text="Benchmark").click()
    page.locator("[id='benchmark-llama31_8b']").check()
    page.locator("summary", has_text="Benchmark").click()
    page.locator("summary", has_text="Accelerator count").click()
    page.locator("[id='accelerators-8']").check()
    expect(page.locator(".finding").first).to_have_text("MLPerf Training v5.1: 20 results")
    assert 0 < rows.count() < whole
    assert "benchmark=llama31_8b&accelerators=8" in page.url

    minutes = [
        float(text.strip("*")) for text in page.locator("td[data-label^='Time-to-train']").all_inner_texts()
    ]
    assert minutes == sorted(minutes)
    page.get_by_role("button", name="Submitter").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Submitter")
    page.locator("summary", has_text="Columns").click()
    page.locator("#column-framework").check()
    expect(page.get_by_role("columnheader", name="Framework")).to_be_visible()
    shared = page.url
    page.get_by_label("Compare 5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b").check()
    page.get_by_label("Compare 5.1/Nebius/nebius_b200_n1/llama31_8b").check()
    page.get_by_role("link", name="Compare 2").click()
    expect(page.get_by_role("heading", level=2).first).to_contain_text("as fast as")
    expect(page.get_by_role("alert")).to_contain_text("availability")
    expect(page.get_by_role("heading", name="Software:")).to_be_visible()
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []

    page.goto(shared)
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Submitter")
    expect(page.get_by_role("columnheader", name="Framework")).to_be_visible()
    page.get_by_role("link", name="tyche_ngpu8_ngc25.09_nemo", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Tyche")
    assert wrong == []
    page.close()


def test_every_entry_of_the_menu_leads_to_a_page_that_fits_a_phone(browser: Browser, files: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(f"{files}/index.html")
    entries = page.get_by_role("navigation", name="Main").get_by_role("link").all()
    addresses = [link.evaluate("link => link.href") for link in entries]
    assert f"{files}/data/index.html" in addresses
    for address in addresses:
        answer = page.goto(address)
        assert answer is not None
        assert answer.ok, address
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
    page.close()


def test_without_scripts_every_table_is_there(frozen_site: tuple[FastAPI, Path]) -> None:
    folder = frozen_site[1]
    shown = 0
    for file in sorted((folder / "data").glob("*.json")):
        data = msgspec.json.decode(file.read_bytes())
        benchmarks = next(column for column in data["columns"] if column["name"] == "benchmark")
        for number, name in enumerate(benchmarks["texts"]):
            text = (folder / "results" / file.stem / name / "index.html").read_text()
            assert text.count('<td class="num" data-label="Time-to-train (min)">') == benchmarks[
                "values"
            ].count(number)
            shown += benchmarks["values"].count(number)
        assert data["rows"] == len(benchmarks["values"])
    assert shown > 100
