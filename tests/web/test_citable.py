"""What others read of a page: its title, its preview, charts to take away and to embed, feeds and maps."""

import re
from datetime import datetime
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from pitboard.errors import PitboardError
from pitboard.web.addresses import at_root, base_address, in_files
from pitboard.web.feeds import ATOM, SITEMAP
from pitboard.web.security import HEADERS
from pitboard.web.site import _relative

SYSTEM = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo"
A, B = f"{SYSTEM}/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"
PAGES = [
    *(
        "/",
        "/round/5.0",
        "/results",
        "/results?round=5.1&benchmark=flux1",
        f"/results/{A}",
        f"/systems/{SYSTEM}",
    ),
    *("/compare", f"/compare?r={A}&r={B}", "/precision", "/claims", "/rounds", "/rounds/llama2_70b_lora"),
    *("/benchmarks", "/benchmarks/flux1", "/benchmarks/bert", "/check", "/rules", "/api"),
    *("/questions/scale?benchmark=flux1", "/questions/scale?benchmark=retinanet", "/nowhere"),
]
EMBEDDED = "/embed/scale/scale?benchmark=llama31_8b"


def _meta(text: str, name: str) -> str:
    found = re.search(rf'<meta (?:property|name)="{name}" content="([^"]*)"', text)
    assert found, name
    return found[1]


def test_titles_are_of_their_page_alone_and_previews_have_them(client: TestClient) -> None:
    texts = {page: client.get(page).text for page in PAGES}
    titles = {page: re.findall(r"<title>(.*)</title>", text)[0] for page, text in texts.items()}
    assert len(set(titles.values())) == len(PAGES)
    assert all(title.endswith(" · Pitboard") for title in titles.values())
    for page, words in {
        f"/results/{A}": ("llama31_8b", "5.1", "NVIDIA"),
        f"/systems/{SYSTEM}": ("Tyche", "5.1", "NVIDIA"),
        "/benchmarks/flux1": ("FLUX.1", "5.1"),
        "/round/5.0": ("5.0",),
    }.items():
        assert all(word in titles[page] for word in words), titles[page]
    for page, text in texts.items():
        assert f"{_meta(text, 'og:title')} · Pitboard" == titles[page]
        assert _meta(text, "og:description") == _meta(text, "description")
        assert _meta(text, "og:image").startswith("http://localhost/")
    assert _meta(texts["/rounds"], "og:url") == "http://localhost/rounds"


def test_a_page_s_chart_can_be_taken_away(client: TestClient) -> None:
    text = client.get("/benchmarks/flux1").text
    files = dict(re.findall(r'<li><a href="([^"]+)" download="scale\.(\w+)"', text)[:4])
    kinds = {}
    for address, form in files.items():
        response = client.get(address.replace("&amp;", "&"))
        assert response.status_code == 200
        kinds[form] = response.headers["content-type"].partition(";")[0]
    assert kinds == {
        "csv": "text/csv",
        "json": "application/json",
        "png": "image/png",
        "svg": "image/svg+xml",
    }
    picture = client.get(_meta(text, "og:image").replace("&amp;", "&"))
    assert picture.content.startswith(b"\x89PNG")
    card = client.get(_meta(client.get("/rules").text, "og:image"))
    assert card.content.startswith(b"\x89PNG")


def test_only_a_chart_to_embed_may_be_framed(client: TestClient) -> None:
    for path in (EMBEDDED, EMBEDDED.replace("scale?", "scale.svg?"), "/embed/style.css"):
        response = client.get(path)
        assert response.status_code == 200
        headers = response.headers
        assert "frame-ancestors *" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "x-frame-options" not in headers
        assert headers["access-control-allow-origin"] == "*"
        assert headers["cross-origin-resource-policy"] == "cross-origin"
    for path in ("/", "/charts/scale.svg?benchmark=llama31_8b&width=1", "/embed/scale/pie?benchmark=flux1"):
        headers = client.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS
        assert "access-control-allow-origin" not in headers
    text = client.get(EMBEDDED).text
    assert "MLCommons" in text
    assert 'href="http://localhost/benchmarks/llama31_8b"' in text
    assert not re.search(r"<script|<nav|\sstyle=", text)
    assert f"src=&quot;http://localhost{EMBEDDED}&quot;" in client.get("/benchmarks/llama31_8b").text


def test_the_feed_of_rounds_is_whole(client: TestClient) -> None:
    response = client.get("/rounds.atom")
    assert response.headers["content-type"] == "application/atom+xml"
    space = {"a": ATOM}
    feed = ElementTree.fromstring(response.content)
    entries = feed.findall("a:entry", space)
    ids = [each.findtext("a:id", "", space) for each in (feed, *entries)]
    assert len(set(ids)) == len(ids) > 6
    for each in (feed, *entries):
        assert datetime.fromisoformat(each.findtext("a:updated", "", space)).tzinfo
        assert each.findtext("a:title", "", space)
    assert feed.findtext("a:updated", "", space) == entries[0].findtext("a:updated", "", space)
    links = [each.get("href", "") for each in feed.iterfind(".//a:link", space) if each.get("rel") != "via"]
    assert len(links) == len(entries) + 2
    assert {client.get(link).status_code for link in links} == {200}
    assert 'type="application/atom+xml"' in client.get("/").text


def test_the_map_names_every_page(client: TestClient) -> None:
    site = ElementTree.fromstring(client.get("/sitemap.xml").content)
    places = [each.text or "" for each in site.iterfind("s:url/s:loc", {"s": SITEMAP})]
    assert len(places) == len(set(places))
    for page in PAGES[:-1]:
        assert "?" in page or f"http://localhost{page}" in places
    assert {client.get(place).status_code for place in places[::97]} == {200}
    robots = client.get("/robots.txt").text
    assert "Sitemap: http://localhost/sitemap.xml" in robots
    icon = client.get("/favicon.ico")
    assert icon.content[:4] == b"\0\0\1\0"


@pytest.mark.parametrize(
    "text", ["example.org", "ftp://example.org", "https://", "https://a.org/?b=1", "https://[/"]
)
def test_what_is_no_base_address_is_refused(text: str) -> None:
    with pytest.raises(PitboardError, match="no base address"):
        base_address(text)


def test_a_server_stands_at_the_root_of_its_host() -> None:
    assert at_root("https://example.org") == "https://example.org/"
    with pytest.raises(PitboardError, match="root of their host"):
        at_root("https://example.org/pitboard")


def test_files_below_a_path_find_each_other() -> None:
    assert in_files("/") == ""
    assert in_files("/benchmarks/flux1") == "benchmarks/flux1/"
    assert in_files("/results?round=5.1&benchmark=flux1") == "results/5.1/flux1/"
    assert in_files("/compare?r=a/b") == "compare/?r=a/b"
    page = '<a href="/rounds">Rounds</a> <a href="/questions/scale?at=1">Asked</a>'
    text, links = _relative(page, "/404.html", "/pitboard/")
    assert links == ["/rounds", "/questions/scale"]
    assert 'href="/pitboard/rounds/index.html"' in text
    assert 'href="../rounds/index.html"' in _relative(page, "/rules", "/pitboard/")[0]
