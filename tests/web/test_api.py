"""The JSON API: what its description says, and that it is so."""

import html
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from pitboard.results import questions
from pitboard.web.app import create_app

# The description does not list the names that there are: a text of the right form may be refused.
_NOT_HELD = ("positive_data_acceptance",)
EXAMPLES = int(os.environ.get("PITBOARD_FUZZ_EXAMPLES", "3"))


@pytest.fixture(scope="module")
def described(client: TestClient) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/api/openapi.json").json()
    return document


@pytest.mark.slow
def test_what_the_api_does_is_what_its_description_says(tmp_path: Path) -> None:
    """Schemathesis asks each address with its example, with values of the right kind, and with wrong ones."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", create_app(tmp_path, ["testserver"]))
    checks = [check for check in CHECKS.get_all() if check.__name__ not in _NOT_HELD]
    met: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        dear = "chart" in operation.path or operation.path in ("/api/sql", "/api/check")
        made = st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode])
        count = max(1, EXAMPLES // 4) if dear else EXAMPLES
        for cases, most in [(each, 1) for each in operation.get_strategies_from_examples()] + [(made, count)]:

            @settings(
                max_examples=most,
                derandomize=True,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=cases)
            def ask(case: Any) -> None:
                response = case.call()
                met.setdefault(case.path, set()).add(response.status_code)
                case.validate_response(response, checks=checks)

            ask()
    assert {path for path, statuses in met.items() if 200 not in statuses} == set()
    assert {f"/api/{name}" for name in questions.names()} < met.keys()


def test_the_description_is_written_for_those_who_use_it(
    client: TestClient, described: dict[str, Any]
) -> None:
    page = client.get("/api").text
    text = html.unescape(re.sub("<[^>]*>", "", page))
    said = json.dumps(described)
    for question in questions.declared():
        operation = described["paths"][f"/api/{question.name}"]["get"]
        assert question.about, "say in `about` what it answers"
        assert operation["description"] == question.about
        assert question.about.partition("`")[0] in text
        docstring = (question.ask.__doc__ or "").splitlines()[0]
        assert docstring not in said
        assert docstring not in text
        answer = operation["responses"]["200"]["content"]["application/json"]["example"]
        assert answer["question"] == question.name
        assert len(answer["rows"]) == 1
        address = f"/api/{question.name}"
        asked = f"{address}?{urlencode(question.example)}" if question.example else address
        assert f'href="{html.escape(asked)}"' in page
    assert not re.search(r"Raises|PitboardError|\bNone\b|own_runs|`facts`", said + text)
    assert {"Answer", "Error", "Finding", "Report", "Score"} <= described["components"]["schemas"].keys()
    assert all(path.format(form="{form}") in page for path in described["paths"])


def test_charts_are_endpoints_with_the_parameters_of_their_question(client: TestClient) -> None:
    asked = {"benchmark": "llama31_8b", "submitter": "NVIDIA", "chart": "efficiency", "width": "400"}
    image = client.get("/api/scale/chart.svg", params=asked)
    assert image.headers["content-type"] == "image/svg+xml"
    assert image.text.startswith("<svg")
    assert image.text != client.get("/api/scale/chart.svg", params=asked | {"theme": "dark"}).text
    pixels = client.get("/api/scale/chart.png", params=asked)
    assert (pixels.headers["content-type"], pixels.content[:4]) == ("image/png", b"\x89PNG")
    specification = client.get("/api/scale/chart.json", params=asked).json()
    assert "vega-lite" in specification["$schema"]
    assert any(layer["data"]["values"] for layer in specification["vconcat"][0]["layer"])


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/api/scale/chart.svg?benchmark=flux1&kind=scale", 400, "takes no parameter 'kind'"),
        ("/api/scale/chart.svg?benchmark=flux1&chart=pie", 422, "'scale', 'efficiency' or 'steps'"),
        ("/api/scale/chart.gif?benchmark=flux1", 422, "'svg', 'png' or 'json'"),
        ("/api/scale/chart.svg?benchmark=flux1&width=100000", 400, "width"),
        ("/api/table/chart.svg", 400, "choose it"),
        ("/api/sql/chart.svg?query=select+1", 404, "no such page"),
        ("/api/rules?colour=red", 400, "It takes none."),
        ("/api?colour=red", 400, "It takes none."),
        ("/results?colour=red", 400, "takes no parameter 'colour'"),
        ("/api/expect?benchmark=flux1&accelerator=B200&count=-1", 422, "greater than or equal to 0"),
    ],
)
def test_what_an_address_does_not_take_is_refused_in_the_same_words(
    client: TestClient, address: str, status: int, sentence: str
) -> None:
    response = client.get(address)
    assert response.status_code == status
    assert sentence in html.unescape(response.text)
