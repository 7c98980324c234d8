"""One file adds a question: the Python API, the command, the JSON API, the page and the docs test follow."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pitboard import cli, results
from pitboard.results import questions
from pitboard.results.answer import Answer
from pitboard.results.question import Option, Question
from pitboard.web.app import create_app

LAPS = '''
from pitboard.results.answer import Answer, Column
from pitboard.results.question import ROUND, Chart, Exit, Option, Question
from pitboard.results.store import Store

def laps(round: str | None = None, fewest: int = 3, *, store: Store | None = None) -> Answer:
    """Count the laps of a round."""
    rows = [{"family": "Acme", "accelerators": 8, "minutes": 2.0, "single": True, "laps": fewest}]
    return Answer(question="laps", title="Laps", definition="A lap is a lap.", sql="select 1",
        parameters={"round": round}, columns=[Column("laps", "Laps", "integer")], rows=rows)

QUESTION = Question(
    ask=laps, order=99, summary="Count the laps",
    options=(ROUND, Option("fewest", "The fewest laps that count.", otherwise="three")),
    charts=(Chart("speed", lambda answer: {"rows": answer.rows}, "Minutes by lap", form="scale"),),
    exits=(Exit(1, "where nobody drove", lambda answer: answer.rows[0]["laps"] == 0),),
)
'''


@pytest.fixture
def _laps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add one module to the questions, as a new file there would be."""
    (tmp_path / "laps.py").write_text(LAPS)
    monkeypatch.setattr(questions, "__path__", [*questions.__path__, str(tmp_path)])
    yield
    vars(questions).pop("laps", None)
    sys.modules.pop(f"{questions.__name__}.laps", None)


@pytest.mark.usefixtures("_laps")
def test_one_file_adds_a_question_everywhere(tmp_path: Path) -> None:
    run = CliRunner().invoke

    assert results.laps(fewest=5).rows[0]["laps"] == 5
    assert "laps" in dir(results)
    assert "Count the laps; exit 1 where nobody drove." in run(cli.app, ["results", "--help"]).output
    options = run(cli.app, ["results", "laps", "--help"], env={"COLUMNS": "120"}).output
    for said in ("--round", "--fewest", "The fewest laps that count.", "three", "--explain", "--chart"):
        assert said in options
    store = ["--store", str(tmp_path / "store")]
    assert run(cli.app, ["results", "laps", "--fewest", "0", *store]).exit_code == 1
    drawn = run(
        cli.app, ["results", "laps", "--chart", str(tmp_path / "laps.svg"), "--format", "json", *store]
    )
    assert (drawn.exit_code, json.loads(drawn.output)["rows"]) == (0, [{"laps": 3}])
    assert (tmp_path / "laps.svg").stat().st_size > 0
    with TestClient(create_app(tmp_path / "store"), base_url="http://localhost") as client:
        assert client.get("/api/laps?fewest=7").json()["rows"] == [{"laps": 7}]
        (operation,) = client.get("/api/openapi.json").json()["paths"]["/api/laps"].values()
        assert [each["description"] for each in operation["parameters"]] == [
            "The round, such as 5.1. By default the newest.",
            "The fewest laps that count. By default three.",
            "The whole answer as JSON, or its rows as CSV.",
        ]
        assert client.get("/api/laps?format=csv").text == "laps\n3\n"
        refused = client.get("/api/laps?fewst=7")
        assert (refused.status_code, refused.json()["error"]) == (
            400,
            "This address takes no parameter 'fewst'. Did you mean 'fewest'?"
            " It takes: round, fewest, format.",
        )
        twice = client.get("/api/laps?fewest=7&fewest=8")
        assert (twice.status_code, twice.json()["error"]) == (
            400,
            "'fewest' takes one value, and was given 2.",
        )
        page = client.get("/questions/laps?fewest=9").text
        assert 'name="fewest" type="number" value="9"' in page
        assert "/charts/laps.svg?fewest=9&amp;kind=speed" in page
        assert 'href="/questions/laps"' in client.get("/api").text
    source = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "questions_table.py"))
    assert "`--fewest`" in source["table"]()


def test_listing_the_questions_imports_nothing_that_only_answers_need() -> None:
    code = "import sys; from pitboard.results import questions; questions.declared(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    heavy = {"duckdb", "pitboard.compliance", "pitboard.results.ingest", "pitboard.charts", "torch"}
    assert heavy & set(done.stdout.split()) == set(), "import it in the function: `results --help` gets slow"


def test_a_question_declares_exactly_the_parameters_of_its_function() -> None:
    def lost(round: str | None = None) -> Answer:
        raise NotImplementedError

    with pytest.raises(TypeError, match="lost takes"):
        Question(ask=lost, order=1, summary="Lose", options=(Option("rounds", "The round."),))
