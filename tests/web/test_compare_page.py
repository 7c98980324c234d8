"""Up to six results on one page, picked and kept in the address; the pages of a system and of a result."""

import re
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pitboard import results
from pitboard.web.app import create_app

A, B = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"
C, D = "5.1/NVIDIA/theia_ngpu512_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n4/llama31_8b"
E, F = "5.1/Cisco/hpf_n8/llama31_8b", "5.1/Nebius/nebius_b300_n1/llama31_8b"
G = "5.1/Dell/1xXE9680Lx8B200-SXM-180GB/llama31_8b"
LOG = "https://github.com/mlcommons/training_results_v5.1/blob/main/NVIDIA/results/tyche_ngpu8_ngc25.09_nemo/"


def _address(*references: str) -> str:
    return "/compare?" + "&".join(f"r={reference}" for reference in references)


def _links(text: str, label: str) -> list[str]:
    return [unescape(found) for found in re.findall(rf'href="([^"]+)">{label}', text)]


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        (f"/compare?a={A}&b={B}&normalise=1", f"{_address(A, B)}&normalise=1"),
        (f"{_address(A, B, A)}&r=", _address(A, B)),
        (f"/compare?r=v{A}/&benchmark=flux1", _address(A)),
        ("/compare?benchmark=&r=", "/compare"),
    ],
)
def test_an_address_has_each_pick_once(client: TestClient, address: str, plain: str) -> None:
    response = client.get(address, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, plain)
    assert client.get(plain, follow_redirects=False).status_code == 200


def test_six_are_compared_with_the_guard_first_and_can_be_taken_away(client: TestClient) -> None:
    text = client.get(_address(A, B, C, D, E, F)).text
    answer = results.compare(A, B, C, D, E, F)
    assert all(text.index(warning) < text.index("<figure") for warning in answer.warnings)
    for row in answer:
        assert f"{row['minutes']:,.3f}" in text
    for pair in answer.more["pairs"]:
        assert f"{pair['faster']} is {pair['speedup']:,.3f} × as fast as {pair['slower']}" in text
    assert text.count("flag good") == answer.facts["like_for_like"] == 1
    assert "/charts/compare.svg?a=" in text
    assert answer.facts["citation"] in unescape(text)
    scale = results.scale(
        "llama31_8b", submitter=["NVIDIA", "Nebius", "Cisco"], accelerator=["GB200", "B200", "H100"]
    )
    for law in scale.more["fits"]:  # which of them scales better
        assert f"{law['exponent']:.3f}" in text
    removed = _links(text, 'Remove<span class="hidden"> C</span>')
    assert removed == [_address(A, B, D, E, F)]
    assert 'name="r"' not in text  # there is no room for a seventh
    assert _links(text, "Make this A, the baseline")[0] == _address(B, A, C, D, E, F)


@pytest.mark.parametrize(
    ("picks", "status", "sentence", "stays"),
    [
        ((A, B, C, D, E, F, G), 400, "At most 6 results can be compared at once", "Remove"),
        ((A, A.replace("31_8b", "2_70b_lora")), 400, "different benchmarks", 'name="r"'),
        ((A, B + "x"), 404, "Did you mean", 'name="r"'),
    ],
)
def test_what_cannot_be_compared_is_said_beside_the_picks(
    client: TestClient, picks: tuple[str, ...], status: int, sentence: str, stays: str
) -> None:
    response = client.get(_address(*picks))
    assert response.status_code == status
    assert sentence in unescape(response.text)
    assert stays in response.text
    assert response.text.count('<span class="acts">') == len(picks)


def test_one_pick_offers_what_is_like_for_like_with_it(client: TestClient) -> None:
    text = client.get(_address(A)).text
    offered = [address for address in _links(text, 'Add<span class="hidden"> [^<]*</span>') if address]
    peers = [row["reference"] for row in results.entry(A).more["peers"] if not row["this"]]
    assert offered == [_address(A, peer) for peer in peers[:6]]
    assert all(results.compare(A, peer).warnings == [] for peer in peers[:2])


def test_a_result_keeps_its_address_and_leads_to_its_logs(client: TestClient) -> None:
    text = client.get(f"/results/{A}").text
    answer = results.entry(A)
    assert f"{answer.rows[0]['minutes']:.3f}" in text
    assert answer.facts["citation"] in unescape(text)
    assert text.count(f'href="{LOG}llama31_8b/result_') == 10
    assert f'href="/compare?r={A}"' in text
    assert client.get(f"/results/{A}x").status_code == 404
    system = client.get(f"/systems/{A.rpartition('/')[0]}").text
    assert f'href="/results/{A}"' in system
    assert system.count(f'href="{LOG}') == 20
    assert "/charts/scale.svg?benchmark=llama31_8b&amp;round=5.1&amp;submitter=NVIDIA" in system
    other = re.search(r'<option value="(5\.1/Nebius/nebius_b200_n1)">', system)
    assert other is not None
    differs = client.get(f"/questions/stack?a={A.rpartition('/')[0]}&different=1&b={other[1]}").text
    assert "NVIDIA kernel driver" in differs
    assert "cuDNN" not in differs.partition("<table")[2]


def test_as_files_the_pages_of_a_result_ask_nothing(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path, frozen=True), base_url="http://localhost") as frozen:
        for path in (f"/results/{A}", f"/systems/{A.rpartition('/')[0]}"):
            text = frozen.get(path).text
            assert LOG in text
            assert not re.search(r'<form|href="/(compare|questions)[^"]*\?', text)
