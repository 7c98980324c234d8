"""The static site: whole, relative, and never over what it did not write."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from fastapi import FastAPI

from pitboard.errors import PitboardError
from pitboard.web import site
from pitboard.web.site_files import file_of
from support import draw_nothing

# The group of the tests in the browser, one of which opens the site.
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def app(frozen_site: tuple[FastAPI, Path], monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Give an application that draws nothing, which is most of a build; it keeps its pages between builds."""
    draw_nothing(monkeypatch)
    return frozen_site[0]


@pytest.fixture(scope="module")
def built(frozen_site: tuple[FastAPI, Path]) -> Path:
    return frozen_site[1]


def test_every_link_leads_to_a_file_of_the_site(built: Path) -> None:
    pages = list(built.rglob("*.html"))
    assert built / "index.html" in pages
    for page in pages:
        links = re.findall(r'(?:href|src|srcset)="([^"#]+)', page.read_text())
        assert links
        for link in links:
            if link.startswith("https://github.com/mlcommons/"):
                continue
            at = built if link.startswith("/") else page.parent
            place = (at / unquote(link.partition("?")[0]).lstrip("/")).resolve()
            assert link.startswith("/") == (page.name == "404.html")
            assert place.is_file(), f"{page} links to {link}"
            assert place.is_relative_to(built)


def test_nothing_in_it_needs_a_server(built: Path) -> None:
    for page in built.rglob("*.html"):
        text = page.read_text()
        scripts = re.findall(r"<script[^>]*>", text)
        assert all(re.fullmatch(r'<script src="[./]*static/\w+/site.js" defer>', each) for each in scripts)
        assert not re.search(r"<form|<button|hx-", text)
    for name in ("check", "data"):
        assert "pitboard serve" in (built / name / "index.html").read_text()
    text = (built / "benchmarks" / "flux1" / "index.html").read_text()
    assert text.count('media="(max-width: 40rem)"') == text.count("<picture>") > 2
    menu = re.search(r"<nav.*?</nav>", (built / "index.html").read_text(), re.DOTALL)
    assert menu
    assert not re.search(r"/(check|api)/", menu[0])


def test_what_others_ask_for_is_there(built: Path) -> None:
    for name in ("404.html", "robots.txt", "favicon.ico", "rounds.atom", ".nojekyll", "compare/index.html"):
        assert (built / name).is_file(), name
    assert not (built / "sitemap.xml").exists()  # it would need to know where the site will be
    page = built / "benchmarks" / "flux1" / "index.html"
    assert "og:title" in page.read_text()
    assert "og:image" not in page.read_text()
    files = re.findall(r'<li><a href="([^"]+)" download="scale\.(\w+)"', page.read_text())
    assert [form for _, form in files[:3]] == ["csv", "json", "svg"]
    assert (page.parent / files[0][0]).read_text().count("\n") > 10


def test_a_site_is_replaced_whole(app: FastAPI, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    site.build(app, folder)
    (folder / "stale.html").write_text("")
    site.build(app, folder)
    assert not (folder / "stale.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_another_s_folder_is_left_alone(app: FastAPI, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PitboardError, match="was not written by"):
        site.build(app, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("address", ["/a/../b", "/%2e%2e/b"])
def test_no_address_leads_out_of_the_site(address: str) -> None:
    with pytest.raises(PitboardError, match="cannot be a file"):
        file_of(address)


def test_addresses_that_differ_have_files_that_differ() -> None:
    addresses = ["/", "/a", "/a?b=1", "/a?b=2", "/charts/x.svg?a=1", "/charts/x.svg?a=2", "/a%2Fb", "/a/b"]
    assert len({file_of(address) for address in addresses}) == len(addresses)
