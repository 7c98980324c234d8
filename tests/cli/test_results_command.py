"""The `pitboard results` commands as processes of their own."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import made_results
from support import Command

LENOVO = "5.1/Lenovo/SR680aV3-8xB200_SXM_180GB/llama31_8b"
NVIDIA = "5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31_8b"
LARGE = "5.1/NVIDIA/tyche_ngpu512_ngc25.09_nemo/llama31_8b"


def test_the_table_in_every_format(pitboard: Command) -> None:
    table = ("results", "table", "--round", "5.1", "--benchmark", "flux1")
    text, document, rows, markdown = (
        pitboard(*table, "--format", kind).stdout for kind in ("table", "json", "csv", "markdown")
    )

    assert "12.51" in text
    assert "flux1 (min)" in text
    parsed = json.loads(document)
    assert len(parsed["rows"]) == 16
    cells = list(csv.DictReader(io.StringIO(rows)))
    assert [float(row["flux1"]) for row in cells] == [row["flux1"] for row in parsed["rows"]]
    assert markdown.count("\n| ") == 18


def test_a_comparison_that_is_not_like_for_like_ends_with_1(pitboard: Command) -> None:
    like = pitboard("results", "compare", LENOVO, NVIDIA)
    unlike = pitboard("results", "compare", LENOVO, LARGE, "--normalise", "--format", "json")
    refused = pitboard("results", "compare", LENOVO, "5.1/NVIDIA/theia_ngpu16_ngc25.09_nemo/flux1")

    assert like.returncode == 0, like.stderr
    assert unlike.returncode == 1
    assert "8 and 512" in json.loads(unlike.stdout)["warnings"][0]
    assert refused.returncode == 2
    assert "different benchmarks" in refused.stderr


def test_explain_prints_the_definition_and_sql_that_runs(pitboard: Command) -> None:
    done = pitboard("results", "roster", "--explain")

    assert "65 systems from 20 organisations" in done.stdout
    assert "from results where round = $round" in done.stdout
    apart = pitboard("results", "roster", "--explain", "--format", "json")
    assert json.loads(apart.stdout)["facts"]["systems"] == 65
    assert "$round = '5.1'" in apart.stderr


@pytest.mark.parametrize(
    "question",
    [
        ("table", "--benchmark", "llama31_8b"),
        ("compare", LENOVO, NVIDIA),
        ("scale", "--benchmark", "llama31_8b"),
        ("converge", "--benchmark", "llama31_8b"),
        ("rounds", "--benchmark", "llama2_70b_lora"),
        ("why", LENOVO, NVIDIA),
    ],
    ids=lambda question: question[0],
)
def test_a_question_is_drawn_to_a_file(pitboard: Command, tmp_path: Path, question: tuple[str, ...]) -> None:
    done = pitboard("results", *question, "--chart", tmp_path / "chart.svg")

    assert done.returncode == 0, done.stderr
    assert ET.parse(tmp_path / "chart.svg").getroot().tag.endswith("svg")
    wrong = pitboard("results", *question, "--chart", tmp_path / "chart.gif")
    assert wrong.returncode == 2
    assert ".svg" in wrong.stderr


def test_a_submission_is_added_found_and_removed(pitboard: Command, tmp_path: Path) -> None:
    made_results.submit(tmp_path / "Acme")
    at = ("--store", tmp_path / "store")

    added = pitboard("results", "add", tmp_path / "Acme", "--round", "5.1", *at)
    again = pitboard("results", "add", tmp_path / "Acme", "--round", "5.1", *at)
    table = pitboard("results", "table", "--submitter", "Acme", "--format", "json", *at)
    gone = pitboard("results", "remove", "5.1", "Acme", *at)
    empty = pitboard("results", "table", "--submitter", "Acme", *at)

    assert "Results of v5.1: 1 new" in added.stdout
    assert "Results of v5.1: 0 new, 0 changed, 1 as they were" in again.stdout
    assert json.loads(table.stdout)["rows"][0]["accelerators"] == 16
    assert gone.returncode == 0
    assert empty.returncode == 2
    assert "Acme" in empty.stderr


@pytest.mark.slow
@pytest.mark.xdist_group("smoke")
def test_an_own_run_is_kept_apart_and_is_no_published_peer(
    pitboard: Command, smoke: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = smoke
    at = ("--store", tmp_path / "store")

    assert pitboard("results", "add", folder, *at).returncode == 0
    own = pitboard("results", "sql", "select preset, minutes from results where own", "--format", "json", *at)
    table = pitboard("results", "table", "--format", "json", *at)
    sanity = pitboard("results", "sanity", folder, *at)

    assert json.loads(own.stdout)["rows"][0]["preset"] == "smoke"
    assert len(json.loads(table.stdout)["rows"]) == 91
    assert sanity.returncode == 2
    assert "scaled-down" in sanity.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table", "--round", "9"), "round '9'"),
        (("add", "/nowhere"), "/nowhere"),
        (("compare", "a", "b"), "names no result"),
        (("sql", "drop table results"), "read-only"),
        (("roster", "--store", "https://127.0.0.1:9/none"), "Cannot read the store"),
        (("stack", "5.1/NVIDIA/nothing"), "no system"),
        (("roster", "--chart", "x.png"), "No such option"),
        (("scale", "--benchmark", "llama31_8b", "--highlight", "B200"), "--chart FILE"),
    ],
)
def test_bad_input_ends_with_2_and_a_sentence(
    pitboard: Command, arguments: tuple[str, ...], message: str
) -> None:
    done = pitboard("results", *arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_control_characters_of_a_name_do_not_reach_the_terminal(pitboard: Command, tmp_path: Path) -> None:
    made_results.submit(tmp_path / "Acme")
    made_results.describe(tmp_path / "Acme", framework="\x1b[31mred\x07 =cmd()")
    at = ("--store", tmp_path / "store")
    pitboard("results", "add", tmp_path / "Acme", "--round", "5.1", *at)

    text = pitboard("results", "table", "--submitter", "Acme", *at).stdout

    assert "\x1b" not in text
    assert "\x07" not in text
