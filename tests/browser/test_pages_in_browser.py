"""Every page in Chromium: nothing foreign, nothing broken, readable at every width and in both themes."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from made_logs import as_text, valid_log, write_log
from support import tick

Watched = Callable[..., Page]

pytestmark = pytest.mark.xdist_group("browser")

A, B = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"


@pytest.fixture
def unfair_log(tmp_path: Path) -> Path:
    log = valid_log()
    for event in log:
        if event["key"] == "submission_org":
            event["value"] = "<script>alert(1)</script>"
        if event["key"] == "opt_adamw_beta_1":
            event["value"] = 0.5
    return write_log(tmp_path / "run.txt", as_text(log))


def _image_is_there(page: Page, name: str) -> None:
    image = page.get_by_alt_text(name)
    image.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_buyer_finds_compares_and_shares(watched: Watched, scripts: bool) -> None:
    page = watched("/", java_script_enabled=scripts)
    page.get_by_role("link", name="Results", exact=True).click()
    page.locator("summary", has_text="Benchmark").click()
    tick(page.locator("#benchmark-llama31_8b"))
    page.locator("summary", has_text="Accelerator count").click()
    tick(page.locator("#accelerators-8"))
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("8 accelerators, 20 results")).to_be_visible()
    assert "benchmark=llama31_8b&accelerators=8" in page.url
    tick(page.get_by_label(f"Compare {A}"))
    tick(page.get_by_label(f"Compare {B}"))
    page.get_by_role("button", name=re.compile("^Compare")).click()
    heading = page.get_by_role("heading", level=2).first
    expect(heading).to_contain_text("as fast as")
    expect(page.get_by_role("alert")).to_contain_text("availability")
    if scripts:  # without them, Playwright cannot ask an image either
        _image_is_there(page, "Quality over samples")
    shared = watched(page.url, width=375, theme="dark")
    expect(shared.get_by_role("heading", level=2).first).to_have_text(heading.inner_text())
    shared.get_by_text("How this is worked out").first.click()
    expect(shared.get_by_text("percentile bootstrap").first).to_be_visible()


def test_sorting_keeps_the_reader_s_place(watched: Watched) -> None:
    page = watched("/results?benchmark=llama31_8b&accelerators=8")
    page.evaluate("window.stayed = true")
    page.get_by_role("button", name="Submitter").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Submitter")
    assert "sort=submitter" in page.url
    assert page.evaluate("window.stayed")
    page.go_back()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Time-to-train (min)")


def test_another_round_offers_its_own_choices_and_keeps_the_focus(watched: Watched) -> None:
    page = watched("/results")
    page.locator("summary", has_text="Round").press("Enter")
    page.locator("#round-5\\.0").press("Space")
    expect(page.get_by_text("MLPerf Training v5.1 and v5.0: 385 results")).to_be_visible()
    # Not the other way round: without any the newest is shown, and its box is set.
    page.locator("#round-5\\.1").press("Space")
    expect(page.get_by_text("MLPerf Training v5.0: 201 results")).to_be_visible()
    expect(page.locator("#round-5\\.1")).to_be_focused()
    assert "bert" in (page.locator("#choices-benchmark").text_content() or "")


def test_a_system_leads_to_its_logs_and_to_a_comparison(watched: Watched) -> None:
    page = watched(f"/systems/{A.rpartition('/')[0]}")
    link = page.get_by_role("link", name="https://github.com/mlcommons/").first
    assert link.get_attribute("rel") == "noopener"
    page.get_by_role("link", name="Compare the llama31_8b result").click()
    page.wait_for_url(re.compile(r"/compare\?"))
    assert parse_qs(urlsplit(page.url).query)["r"] == [A]
    expect(page.get_by_text("tyche_ngpu8_ngc25.09_nemo").first).to_be_visible()


def test_the_keyboard_reaches_the_content_first(watched: Watched) -> None:
    page = watched("/benchmarks")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_log_is_checked(watched: Watched, unfair_log: Path, scripts: bool) -> None:
    page = watched("/check", java_script_enabled=scripts)
    page.get_by_label("A log, or a submission").set_input_files(unfair_log)
    page.get_by_role("button", name="Check").click()
    verdict = page.get_by_role("heading", level=2)
    expect(verdict).to_contain_text("Not valid")
    expect(page.get_by_role("cell", name="<script>alert(1)</script>").first).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".findings a").first.click()
    assert "/rules#" in page.url


def test_a_dropped_file_is_checked_without_leaving_the_page(watched: Watched) -> None:
    page = watched("/check")
    page.evaluate("window.stayed = true")
    data = page.evaluate_handle(
        "text => { const d = new DataTransfer(); d.items.add(new File([text], 'dropped.txt')); return d; }",
        as_text(valid_log()),
    )
    page.dispatch_event("form[data-drop]", "drop", {"dataTransfer": data})
    expect(page.get_by_role("heading", level=2)).to_contain_text("dropped.txt")
    expect(page.locator("#verdict")).to_contain_text("25.000")
    assert page.evaluate("window.stayed")


def test_a_refusal_is_said_in_place(watched: Watched, tmp_path: Path) -> None:
    page = watched("/check")
    page.get_by_label("A log, or a submission").set_input_files(write_log(tmp_path / "cut.zip", b"PK\3\4cut"))
    with page.expect_response("**/check") as answer:
        page.get_by_role("button", name="Check").click()
    assert answer.value.status == 422
    expect(page.get_by_role("alert")).to_contain_text("damaged or cut off")


def test_the_static_site_opens_from_disk(browser: Browser, frozen_site: tuple[FastAPI, Path]) -> None:
    page = browser.new_page()
    failed: list[tuple[str, str | None]] = []
    page.on("requestfailed", lambda request: failed.append((request.url, request.failure)))
    page.goto((frozen_site[1] / "index.html").as_uri())
    page.get_by_role("link", name="Benchmarks", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Benchmarks")
    page.get_by_role("link", name="Llama 3.1 8B").click()
    _image_is_there(page, "Minutes over accelerators")
    page.get_by_role("link", name="tyche_ngpu8_ngc25.09_nemo", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Tyche")
    # The words of a page are there before its style is: this waits for it.
    expect(page.locator(".top")).to_have_css("background-color", "rgb(12, 14, 18)")
    page.close()
    # A page that is left gives up the images that it was still reading.
    assert [each for each in failed if each[1] != "net::ERR_ABORTED"] == []
