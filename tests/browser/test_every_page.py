"""Every type of page in Chromium: it fits each width, both themes and paper, words are whole, axe is content.

Set PITBOARD_SCREENSHOTS to a folder to get a picture of all of each page, at three widths and in both themes.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from pitboard.web.app import create_app
from pitboard.web.rendering import NAVIGATION
from support import tick

Watched = Callable[..., Page]
Look = tuple[int, Literal["light", "dark"]]

pytestmark = pytest.mark.xdist_group("browser")

A, B = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"
# Of each kind of page that is about something, at least one, with few rows: axe looks at every cell.
EXAMPLES = {
    "/": ["/"],
    "/results": [
        "/results?submitter=Dell",
        f"/results?benchmark=llama31_8b&accelerators=8&r={A}",
        "/results?submitter=Nobody",
        "/results?view=official&accelerators=72",
        "/results?accelerators=72&columns=minutes,system,round,nodes,availability,framework,system_name,to_know",
    ],
    "/results/{round}/{submitter}/{system}/{benchmark}": [f"/results/{A}"],
    "/systems/{round}/{submitter}/{system}": [f"/systems/{A.rpartition('/')[0]}"],
    "/compare": ["/compare", f"/compare?r={A}&r={B}"],
    "/round/{round}": [],  # the front page, of another round
    "/precision/{round}": [],
    "/rounds/{benchmark}": ["/rounds/retinanet"],
    "/benchmarks/{name}": ["/benchmarks/llama31_405b"],
    "/questions/{name}": [
        "/questions/scale?benchmark=llama31_8b",
        "/questions/converge?benchmark=flux1",
        "/questions/sql?query=describe+rounds",
    ],
    "/embed/{question}/{kind}": ["/embed/scale/scale?benchmark=llama31_8b"],
}
LOOKS: list[Look] = [(1440, "light"), (390, "dark")]
ALL_LOOKS: list[Look] = [(width, theme) for width in (390, 1024, 1440) for theme in ("light", "dark")]

# A page that scrolls sideways, and words that are broken: one of more than twenty characters may be.
_WRONG = r"""() => {
  const wrong = [], wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) {
    const out = [...document.body.querySelectorAll('*')].filter(
      each => each.getBoundingClientRect().right > wide + 1 && !each.closest('.scroller, pre, .hidden'));
    const which = out.slice(0, 3).map(each => each.outerHTML.slice(0, 90));
    wrong.push(`wider than the page: ${which.join(' | ')}`);
  }
  for (const box of document.querySelectorAll('.scroller')) {
    // On a phone a table is cards, or fits; and nothing covers the box by which a result is selected.
    if (wide === 390 && box.scrollWidth > box.clientWidth) wrong.push(`scrolls: ${box.ariaLabel}`);
  }
  const range = document.createRange();
  let words = 0;
  for (const cell of document.querySelectorAll('th, td')) {
    if (words > 3000 || !cell.checkVisibility()) continue;
    if (getComputedStyle(cell.closest('thead, tbody')).position === 'absolute') continue;
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode());) {
      if (text.parentElement.closest('.hidden, option')) continue;
      for (const word of text.data.matchAll(/(?<!\S)[^\s\-\/–—]{2,20}(?!\S)/g)) {
        words += 1;
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        const lines = [...range.getClientRects()].map(each => each.top);
        if (Math.max(...lines) - Math.min(...lines) > 6) wrong.push(`broken: ${word[0]}`);
      }
    }
  }
  return wrong;
}"""
_WITH_PICTURES = """() => Promise.all([...document.images].map(each => {
  each.loading = 'eager';
  return each.decode().catch(() => null);
}))"""
_NO_CHART = '<svg xmlns="http://www.w3.org/2000/svg" width="960" height="540"/>'
# A colour on its way to another theme's is neither theme's, and cannot be read for as long as it takes.
_FADING = "() => document.getAnimations().map(each => each.effect.target.outerHTML.slice(0, 90))"
# On paper there is what a reader looks for, and nothing to press.
_ON_PAPER = """() => [...document.querySelectorAll('input, select, button, textarea, nav, .tools')]
  .filter(each => !each.closest('thead') && each.checkVisibility({checkVisibilityCSS: true}))
  .map(each => `printed: ${each.outerHTML.slice(0, 90)}`)"""


def _routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Give the routes of an application, those of the routers that it includes too."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif router := getattr(route, "original_router", None):
            yield from _routes(router.routes)


def _addresses() -> list[str]:
    """Give an address of every page that the application has, those that are yet to be written too."""
    app = create_app(Path("/nowhere/at/all"))
    found: list[str] = []
    with TestClient(app, base_url="http://localhost") as client:
        for route in _routes(app.routes):
            if "GET" not in (route.methods or ()):
                continue
            if route.path in EXAMPLES:
                found += EXAMPLES[route.path]
            elif PurePosixPath(route.path).suffix:
                continue  # a file, such as a picture
            elif "{" not in route.path:
                kind = (
                    "" if route.path.startswith("/api/") else client.get(route.path).headers["content-type"]
                )
                found += [route.path] if kind.startswith("text/html") else []
            else:
                page = isinstance(route.response_class, type) and issubclass(
                    route.response_class, HTMLResponse
                )
                assert not page, f"give EXAMPLES in {__file__} an address of {route.path}"
    assert {address for address, _ in NAVIGATION} <= {urlsplit(address).path for address in found}
    return list(dict.fromkeys(found))


def test_every_page_is_accessible_whole_and_fits(watched: Watched, tmp_path: Path) -> None:
    asked = os.environ.get("PITBOARD_SCREENSHOTS")
    folder = Path(asked or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    page = watched("/rules")
    if not asked:  # each question's charts are drawn elsewhere
        page.route("**/charts/*", lambda route: route.fulfill(content_type="image/svg+xml", body=_NO_CHART))
    for number, address in enumerate(_addresses()):
        name = re.sub(r"\W+", "-", address.replace("/", "_")).strip("-")[:80]
        page.set_viewport_size({"width": 1440, "height": 900})
        page.emulate_media(color_scheme="light", media="screen")
        page.goto(address)
        if asked:
            page.evaluate(_WITH_PICTURES)
        for width, theme in ALL_LOOKS if asked else LOOKS:
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=bool(asked))
        for width, theme in LOOKS:
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 900})
            wrong += [f"{address} in {theme}: fades: {each}" for each in page.evaluate(_FADING)]
            wrong += [f"{address} at {width}: {each}" for each in page.evaluate(_WRONG)]
            rules = {} if theme == "dark" else {"runOnly": ["color-contrast", "scrollable-region-focusable"]}
            found = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
            wrong += [
                f"{address} at {width}, {theme}: {each['id']}: {each['nodes'][0]['html']}"
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
        # Dark on a wide screen, by turns on one of the two: cells have the colours that they had at 390.
        page.set_viewport_size({"width": (1024, 1440)[number % 2], "height": 900})
        options = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
        found = Axe().run(page, {"exclude": ["tbody", ".endpoint"]}, options).response
        wrong += [f"{address} in dark: {each['help']}" for each in found["violations"]]
        for width in (1024, 320):
            page.set_viewport_size({"width": width, "height": 900})
            wrong += [f"{address} at {width}: {each}" for each in page.evaluate(_WRONG)]
        page.set_viewport_size({"width": 794, "height": 1123})
        page.emulate_media(media="print")
        wrong += [f"{address} on paper: {each}" for each in page.evaluate(_ON_PAPER)]
        wrong += [f"{address} on paper: {each}" for each in page.evaluate(_WRONG)]
        wide = page.evaluate("document.documentElement.scrollWidth")
        wrong += [f"{address} on paper: {wide} wide"] if wide > 794 else []
    assert not wrong, "\n".join(wrong)


def test_headings_and_the_first_column_stay_in_sight(watched: Watched) -> None:
    top = "document.querySelector('.results thead th').getBoundingClientRect().top"
    page = watched("/results", 1440)
    page.evaluate("window.scrollTo(0, 3000)")
    page.wait_for_function(f"Math.abs({top}) < 2")
    page.set_viewport_size({"width": 1024, "height": 900})
    page.goto("/results?columns=minutes,system,nodes,framework,system_name,availability,reference,round")
    box = page.evaluate("""() => {
      const box = document.querySelector('.scroller');
      box.scrollIntoView();
      box.scrollTo(400, 2000);
      const of = each => document.querySelector(each).getBoundingClientRect();
      const out = box.getBoundingClientRect();
      return [box.scrollLeft > 100, box.scrollTop > 1000, of('.results thead th').top - out.top,
        of('.results tbody tr:nth-child(50) .pick').left - out.left,
        of('.results thead .pick').left - out.left];
    }""")
    assert box[:2] == [True, True]
    assert all(abs(distance) < 2 for distance in box[2:])


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_sorting_filtering_and_columns_keep_each_other_and_the_picks(watched: Watched, scripts: bool) -> None:
    page = watched("/results?benchmark=llama31_8b", 1440, java_script_enabled=scripts)

    def settle() -> None:
        """Without scripts, what is chosen is sent by the button."""
        if not scripts:
            page.get_by_role("button", name="Show").click()

    tick(page.get_by_label(f"Compare {A}"))
    settle()
    page.get_by_role("button", name="System", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("System")
    if scripts:
        expect(page.get_by_role("button", name="System", exact=True)).to_be_focused()
    page.locator("summary", has_text="Accelerator count").press("Enter")
    box = page.locator("#accelerators-8")
    box.press("Space")
    settle()
    expect(page.get_by_text("8 accelerators, 20 results")).to_be_visible()
    if scripts:
        expect(box).to_be_focused()
        expect(page.locator("details[open] summary")).to_contain_text("Accelerator count 8")
    page.locator("summary", has_text="Columns").click()
    tick(page.get_by_role("checkbox", name="Nodes", exact=True))
    settle()
    expect(page.get_by_role("columnheader", name="Nodes")).to_be_visible()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("System")
    tick(page.get_by_label(f"Compare {B}"))
    settle()
    expect(page.get_by_role("button", name=re.compile("Compare"))).to_be_visible()
    if scripts:
        expect(page.get_by_role("button", name="Compare the 2 selected")).to_be_visible()
    assert "accelerators=8" in page.url
    assert "sort=system" in page.url
    page.get_by_role("button", name=re.compile("^Compare")).click()
    page.wait_for_url(re.compile(r"/compare\?"))
    assert set(parse_qs(urlsplit(page.url).query)["r"]) == {A, B}


def test_the_fastest_of_eight_is_two_clicks_from_the_front_page(watched: Watched) -> None:
    page = watched("/", 1440)
    page.get_by_role("link", name="Results", exact=True).click()
    page.goto("/")
    of = page.locator("a[href*='benchmark=llama31_8b'][href*='accelerators=8']").first
    of.click()
    first = page.locator(".results tbody tr").first
    expect(first).to_contain_text("67.37")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Time-to-train")
    first.locator("a").first.click()
    page.wait_for_url("**/results/5.1/**")


def test_a_phone_shows_the_first_rows_and_all_when_asked_and_selects_what_is_compared(
    watched: Watched,
) -> None:
    page = watched("/results", 390)
    rows = page.locator(".results tbody tr:visible")
    expect(rows).to_have_count(12)
    whole = page.get_by_label("All 184 rows")
    whole.check()
    expect(rows).to_have_count(184)
    assert urlsplit(page.url).query == ""  # which asks nothing of the server
    whole.uncheck()
    tick(page.locator(".pick input").first)
    expect(page.get_by_role("button", name="Compare the 1 selected")).to_be_visible()
    page.goto("/")
    expect(page.get_by_text("Organisation", exact=True).first).to_be_hidden()
    page.locator("summary", has_text="organisations one by one").click()
    expect(page.get_by_role("columnheader", name="Organisation")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollHeight") > 8000
    page.goto("/#roster-table")
    expect(page.locator("#roster-table")).to_be_visible()  # a link to what is folded opens it


def test_a_phone_shows_once_what_every_card_has(watched: Watched) -> None:
    page = watched("/results?benchmark=llama31_8b&accelerators=8", 390)
    expect(page.get_by_text("In every row: Benchmark llama31_8b, Count 8.")).to_be_visible()
    expect(page.locator("tbody td[data-label=Benchmark]").first).to_be_hidden()
    expect(page.locator("tbody td[data-label=Submitter]").first).to_be_visible()
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.get_by_text("In every row")).to_be_hidden()
    expect(page.get_by_role("columnheader", name="Benchmark")).to_be_visible()


def test_the_addresses_of_the_api_are_a_list_that_opens(watched: Watched) -> None:
    page = watched("/api", 390)
    parameters = page.get_by_role("region", name="Parameters of /api/scale", exact=True)
    expect(parameters).to_be_hidden()
    page.locator("summary", has_text="/api/scale Show").click()
    expect(parameters).to_be_visible()
    identity = page.locator("details[open] > p[id]").get_attribute("id")
    page.goto("about:blank")
    page.goto(f"/api#{identity}")
    expect(parameters).to_be_visible()  # a link to one opens it


def test_a_search_narrows_while_it_is_typed(watched: Watched) -> None:
    page = watched("/results", 390)
    page.get_by_label("Search").press_sequentially("nebius flux")
    expect(page.locator(".results tbody tr")).to_have_count(1)
    expect(page.get_by_label("Search")).to_be_focused()
    page.get_by_label("Search").fill("nobody at all")
    expect(page.get_by_text("No result matches")).to_be_visible()
    expect(page.locator("summary", has_text="Benchmark")).to_be_visible()
