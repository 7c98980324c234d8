"""Pages of results: what they show of the store, and that nothing in it can act."""

import re
from html import unescape
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import pytest
from fastapi.testclient import TestClient

from made_results import preset_log, run_output, submit, tell_steps
from pitboard import results
from pitboard.results import questions, sandbox
from pitboard.results.ingest import read_rows
from pitboard.results.store import Store
from pitboard.web import tables
from pitboard.web.app import create_app

A, B = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"


def _minutes(text: str) -> list[float]:
    return [float(found) for found in re.findall(r'<td class="num" [^>]*><a [^>]*>([\d.]+)\*?</a>', text)]


def test_a_benchmark_s_table_is_sorted_by_minutes_and_can_be_turned(client: TestClient) -> None:
    rising = client.get("/results?benchmark=llama31_8b&accelerators=8").text
    assert len(_minutes(rising)) == 20
    assert _minutes(rising) == sorted(_minutes(rising))
    falling = client.get("/results?benchmark=llama31_8b&accelerators=8&sort=-minutes").text
    assert _minutes(falling) == _minutes(rising)[::-1]
    assert 'aria-sort="descending"' in falling


def test_a_filtered_table_has_an_address_without_empty_values(client: TestClient) -> None:
    response = client.get("/results?round=5.1&benchmark=flux1&division=&sort=", follow_redirects=False)
    assert response.status_code == 303
    assert response.headers["location"] == "/results?round=5.1&benchmark=flux1"
    several = "accelerator=NVIDIA+B200&accelerator=NVIDIA+B300"
    response = client.get(f"/results?{several}&sort=", follow_redirects=False)
    assert response.headers["location"] == f"/results?{several}"
    text = client.get(f"/results?{several}").text
    assert 'value="NVIDIA B200" checked' in text
    assert 'value="NVIDIA B300" checked' in text
    assert 'value="NVIDIA H200" checked' not in text
    assert client.get(f"/api/table?{several}").json()["parameters"]["accelerator"] == [
        "NVIDIA B200",
        "NVIDIA B300",
    ]


def test_a_comparison_says_first_what_is_not_like_for_like(client: TestClient) -> None:
    text = client.get(f"/compare?r={A}&r={B}").text
    answer = results.compare(A, B)
    assert f"{answer.facts['speedup']:.3f}" in text
    assert text.count(answer.warnings[0]) == 1
    assert text.index(answer.warnings[0]) < text.index("<table")


def test_a_change_between_rounds_leads_to_its_comparison(client: TestClient) -> None:
    text = client.get("/rounds/llama2_70b_lora").text
    address = re.search(r'href="(/compare\?r=5\.0/[^"]*r=5\.1/[^"]*)"', text)
    assert address is not None
    compared = client.get(unescape(address[1]))
    assert compared.status_code == 200
    assert "The rounds differ: v5.0 and v5.1" in compared.text


def test_a_chart_is_an_image_without_a_foreign_reference(client: TestClient) -> None:
    response = client.get(f"/charts/compare.svg?a={A}&b={B}&kind=runs&theme=dark&width=400")
    assert response.headers["content-type"] == "image/svg+xml"
    assert not re.search(r"(href|src)=|<script|<foreignObject", response.text)
    assert client.get(f"/charts/compare.svg?a={A}&b={B}&kind=runs").text != response.text


def test_one_accelerator_can_be_highlighted_in_the_charts_of_a_question(client: TestClient) -> None:
    plain = client.get("/questions/scale?benchmark=flux1").text
    link = '<a href="/questions/scale?benchmark=flux1&amp;highlight=NVIDIA+GB300"'
    assert link in plain
    assert "aria-current" not in plain.partition("highlights")[2].partition("</p>")[0]
    lit = client.get("/questions/scale?benchmark=flux1&highlight=NVIDIA%20GB300").text
    assert f'{link} aria-current="true">NVIDIA GB300</a>' in lit
    assert '<a href="/questions/scale?benchmark=flux1">nothing</a>' in lit
    (image,) = {unescape(each) for each in re.findall(r'<img src="([^"]*kind=scale[^"]*)"', lit)}
    assert "&highlight=NVIDIA+GB300&" in image
    assert client.get(image).text != client.get(image.replace("&highlight=NVIDIA+GB300", "")).text
    assert "/api/scale?benchmark=flux1&amp;format=csv" in lit
    of_benchmark = client.get("/benchmarks/flux1?highlight=NVIDIA%20GB300").text
    assert 'href="/benchmarks/flux1?highlight=NVIDIA+B200"' in of_benchmark
    assert '<a href="/benchmarks/flux1">nothing</a>' in of_benchmark
    shown = re.findall(r'<img src="([^"]*highlight=NVIDIA\+GB300[^"]*)"', of_benchmark)
    assert {question for each in shown for question in ("scale", "table") if f"/{question}.svg" in each} == {
        "scale",
        "table",
    }
    # What is made up lights nothing, and breaks nothing.
    made_up = client.get("/questions/scale?benchmark=flux1&highlight=%3Cb%3E")
    assert made_up.status_code == 200
    assert "kind=scale&amp;highlight" not in made_up.text


def test_what_cannot_be_drawn_is_said_in_the_image(client: TestClient) -> None:
    response = client.get("/charts/table.svg?round=5.1")
    assert response.status_code == 200
    assert "one benchmark" in response.text
    assert "nothing called" in client.get("/charts/scale.svg?benchmark=llama31_8b&highlight=B9000").text


OF_ONES_OWN = ("scale", "steps")
"""A chart of what was not published."""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (each.name, chart.name)
        for each in questions.declared()
        for chart in each.charts
        if (each.name, chart.name) != OF_ONES_OWN
    ],
)
def test_every_chart_that_a_question_declares_is_drawn(client: TestClient, name: str, kind: str) -> None:
    values = {
        "benchmark": "llama2_70b_lora",
        "a": A,
        "b": B,
        "reference": A,
    }  # in two rounds: `rounds` draws nothing else
    question = questions.question(name)
    asked: dict[str, Any] = {k: value for k, value in values.items() if k in question.parameters}
    asked |= {k: v for k, v in {"accelerator": "B200", "count": 16}.items() if k in question.required}
    response = client.get(f"/charts/{name}.svg", params=asked | {"kind": kind})
    assert response.status_code == 200, response.text
    assert response.text.count("<path") > 5  # a sentence in place of the chart has none


def test_the_steps_of_ones_own_are_drawn_on_the_page_of_their_scale(tmp_path: Path) -> None:
    tell_steps(submit(tmp_path / "Acme"))
    Store(tmp_path / "store").add(read_rows(tmp_path / "Acme", "5.1"))
    asked = "benchmark=llama31_8b&round=5.1&submitter=Acme"
    with TestClient(create_app(tmp_path / "store"), base_url="http://localhost") as client:
        page = client.get(f"/questions/scale?{asked}").text
        image = client.get(f"/charts/scale.svg?{asked}&kind=steps").text
        others = client.get("/questions/scale?benchmark=llama31_8b&round=5.1&submitter=Nebius").text
    assert "kind=steps" in page
    assert "Exposed communication" in page, "the table behind it"
    assert image.count("<path") > 5
    assert "box, 16 accelerators" in image
    assert "kind=steps" not in others


def test_the_api_answers_every_question_as_the_library_does(client: TestClient) -> None:
    answer = client.get(f"/api/compare?a={A}&b={B}").json()
    assert answer["facts"]["speedup"] == results.compare(A, B).facts["speedup"]
    assert [row["result"] for row in answer["rows"]] == ["A", "B"]
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {f"/api/{name}" for name in questions.names()} <= paths.keys()


def test_what_reads_files_or_runs_code_in_a_terminal_is_answered_within_limits(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = client.get("/api/sql", params={"query": "select count(*) as n from results"}).json()
    assert count["rows"] == results.sql("select count(*) as n from results").rows
    refused = client.get("/api/sql", params={"query": "select * from read_text('/etc/passwd')"})
    assert (refused.status_code, "root:" in refused.text) == (400, False)
    monkeypatch.setattr(sandbox, "_free", BoundedSemaphore(1))
    with sandbox._free:
        busy = client.get("/questions/sql", params={"query": "select 2"})
    assert (busy.status_code, "Try again" in busy.text) == (503, True)
    wrong = client.get("/questions/sql", params={"query": "select *\nfrom <nowhere>"})
    assert (wrong.status_code, "\\n" in wrong.text) == (400, False)
    assert "select *\nfrom &lt;nowhere&gt;</textarea>" in wrong.text
    # A folder that has the shape of a reference is no result, even where the server could read it.
    run_output(tmp_path / "5.1" / "a" / "b" / "llama31_8b", preset_log())
    monkeypatch.chdir(tmp_path)
    assert client.get("/api/sanity?run=5.1/a/b/llama31_8b").status_code == 404
    beside = client.get(f"/api/sanity?run={A}").json()
    assert beside["facts"] == results.sanity(A).facts
    predicted = client.get("/api/scale?benchmark=llama31_8b&at=64").json()["more"]["predictions"]["rows"]
    assert predicted == results.scale("llama31_8b", at=64).more["predictions"].rows


def test_the_api_describes_parameters_and_answers(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    operation = document["paths"]["/api/table"]["get"]
    count = next(each for each in operation["parameters"] if each["name"] == "accelerators")
    assert (count["schema"]["type"], count["schema"]["items"]["type"]) == ("array", "integer")
    shape = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert "warnings" in document["components"]["schemas"][shape.rpartition("/")[2]]["properties"]


def test_a_question_that_is_not_there_leaves_its_section_out(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(questions, "names", lambda: ["table"])
    with TestClient(create_app(tmp_path), base_url="http://localhost") as other:
        for path in ("/", "/benchmarks/flux1", "/rounds/llama2_70b_lora"):
            assert other.get(path).status_code == 200
        assert 'id="convergence"' not in other.get("/benchmarks/flux1").text


def test_what_is_added_while_it_serves_is_seen(tmp_path: Path) -> None:
    submit(tmp_path / "5.1" / "Latecomer")
    with TestClient(create_app(tmp_path / "store"), base_url="http://localhost") as client:
        assert client.get("/results?submitter=Latecomer").status_code == 404
        before = client.get("/results").text
        Store(tmp_path / "store").add(read_rows(tmp_path / "5.1" / "Latecomer"))
        assert "Latecomer" in client.get("/results?submitter=Latecomer").text
        assert "Latecomer" not in before
        assert "Latecomer" not in client.get("/results").text
        assert "Latecomer (own)" in client.get("/results?with_own=true").text


def test_a_long_table_is_cut_and_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 5)
    text = client.get("/results?round=5.0&view=official").text
    assert text.count("<tr>") == 1 + 5
    assert "The first 5 of 94 rows" in text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a submission whose names are markup, as far as a folder can have such a name."""
    folder = tmp_path_factory.mktemp("hostile")
    place = folder / "5.1" / "<script>alert(1)<"
    submit(place, system='"><img src=x onerror=alert(1)>')
    store = Store(folder / "store")
    store.add(read_rows(place))
    return folder / "store"


def test_names_that_are_markup_stay_text(hostile: Path) -> None:
    with TestClient(create_app(hostile), base_url="http://localhost") as client:
        table = client.get("/results?benchmark=llama31_8b&with_own=true")
        assert "&lt;script&gt;alert(1)&lt;" in table.text
        system = re.search(r'href="(/systems/[^"]*script[^"#]*)', table.text)
        assert system is not None
        page = client.get(system[1])
        assert page.status_code == 200
        for text in (table.text, page.text, client.get("/").text, client.get("/compare").text):
            assert "<script>alert" not in text
            assert "<img src=x" not in text


def test_a_form_offers_what_the_store_has_and_keeps_what_was_asked(client: TestClient) -> None:
    text = client.get("/questions/scale?benchmark=flux1&round=5.1&accelerator=").text
    assert '<option selected value="flux1">' in text
    assert '<option selected value="5.1">' in text
    assert '<option value="">the newest</option>' in text
    division = text[text.index('id="option-division"') :].partition("</select>")[0]
    assert re.findall(r"<option([^>]*)>", division) == [' selected value="closed"', ' value="open"']
    assert "<img src" not in client.get("/questions/table").text.partition("<main")[2]  # needs one benchmark
    assert client.get("/questions/scale").text.count(" selected") == 1  # nothing is asked before it is sent
