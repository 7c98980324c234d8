"""What a reader wants to know, found from the front page in two clicks at most, by its links."""

import re
from html import unescape
from urllib.parse import urljoin

from fastapi.testclient import TestClient


class Reader:
    """Opens the front page and follows links by what they are called; counts the clicks."""

    def __init__(self, client: TestClient) -> None:
        self._client = client
        self.address, self.clicks = "/", 0
        self.text = client.get("/").text

    def click(self, pattern: str) -> None:
        """Follow the first link whose tag and words match."""
        found = next(
            link
            for link in re.finditer(r'<a [^>]*href="([^"]*)"[^>]*>.*?</a>', self.text, re.DOTALL)
            if re.search(pattern, link[0], re.DOTALL)
        )
        self.address = urljoin(self.address, unescape(found[1]))
        self.clicks += 1
        response = self._client.get(self.address.partition("#")[0])
        assert response.status_code == 200, self.address
        self.text = response.text

    @property
    def words(self) -> str:
        """The page's words, without its tags."""
        return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", self.text)))


def test_the_fastest_of_eight_accelerators_stands_on_the_front_page(client: TestClient) -> None:
    reader = Reader(client)
    row = re.search(
        r'<tr><th scope="row"[^>]*><a href="/benchmarks/llama31_8b">.*?</tr>', reader.text, re.DOTALL
    )
    assert row is not None
    assert re.findall(r'class="best"[^>]*>([\d.]+)', row[0])[0] == "67.37"  # the first count is 8
    reader.click(r'class="best".*67\.37')
    assert "67.37" in reader.words
    assert "NVIDIA" in reader.words
    assert reader.clicks == 1


def test_the_gain_on_the_same_hardware_and_its_evidence(client: TestClient) -> None:
    reader = Reader(client)
    assert "llama2_70b_lora: Dell, 8 × NVIDIA B200 is 1.27 × as fast as in v5.0" in reader.words
    reader.click(r'href="/rounds/llama2_70b_lora".*Evidence')
    assert "same submitter, accelerator and count" in reader.words
    assert "1.274" in reader.words
    assert reader.clicks == 1


def test_who_states_fp4_and_whether_it_needed_more_samples(client: TestClient) -> None:
    reader = Reader(client)
    assert "by 10 results of Nebius, Oracle, Supermicro, which needed 1.06 to 1.11 ×" in reader.words
    reader.click(r">Precision<")
    assert "9 of 10 significantly more" in reader.words
    assert reader.text.count("paid samples for speed") >= 3
    assert reader.clicks == 1


def test_which_of_two_systems_scales_better(client: TestClient) -> None:
    reader = Reader(client)
    assert "twice the accelerators make Nebius, NVIDIA B200 1.75 × as fast" in reader.words
    reader.click(r'href="/benchmarks/llama2_70b_lora#scale".*Evidence')
    assert "Exponent b (1 is ideal)" in reader.words
    assert reader.clicks == 1


def test_the_stack_of_one_system(client: TestClient) -> None:
    reader = Reader(client)
    reader.click(r'class="best".*67\.37')
    if "NGC container" not in reader.words:
        reader.click(r'href="/systems/5\.1/NVIDIA/')
    assert "NGC container" in reader.words
    assert reader.clicks <= 2


def test_every_round_has_a_front_page_and_its_precisions(client: TestClient) -> None:
    front = client.get("/").text
    assert re.findall(r'href="/round/([\d.]+)"', front) == ["5.0", "4.1", "4.0", "3.1", "2.0", "1.0"]
    page = client.get("/round/1.0").text
    assert "<h1>MLPerf Training v1.0</h1>" in page
    assert 'href="/round/1.0" aria-current="page"' in page
    assert "nothing can be said of it" in page
    assert 'id="shows-gains"' not in page
    assert "Precision in v5.0" in client.get("/precision/5.0").text
    missing = client.get("/round/1.1")
    assert (missing.status_code, "It has 1.0, 2.0, 3.1" in missing.text) == (404, True)


def test_each_claim_has_its_verdict_and_a_link_to_its_evidence(client: TestClient) -> None:
    text = client.get("/claims").text
    claims = re.findall(r"<li>\s*<h2>.*?</li>", text, re.DOTALL)
    assert len(claims) == 9
    assert sum('class="flag good"' in claim for claim in claims) == 5
    for claim in claims:
        address = re.search(r'href="(/[^"]*)"', claim)
        assert address is not None
        assert client.get(unescape(address[1])).status_code == 200
