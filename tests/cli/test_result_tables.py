"""Answers fit a terminal: what answers the question is whole, the least important left out and named."""

import csv
import io
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from pitboard import cli
from pitboard.cli.answers import Look, show
from pitboard.cli.tables import laid_out
from pitboard.results import questions
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.store import Store
from pitboard.results.view import shown
from support import Command

LENOVO = "5.1/Lenovo/SR680aV3-8xB200_SXM_180GB/llama31_8b"
NVIDIA = "5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31_8b"
PAIR = {"a": LENOVO, "b": NVIDIA}
BENCHMARK = {"benchmark": "llama31_8b"}
# A benchmark each has a column in the official table; two or three results stand upright, with all fields.
AS_MANY_AS_THERE_ARE = {"table", "compare", "sql"}
ASKED: dict[str, dict[str, Any]] = {
    "compare": PAIR,
    "why": PAIR,
    "stack": PAIR,
    "entry": {"reference": LENOVO},
    "scale": BENCHMARK | {"at": 64},
    "converge": BENCHMARK,
    "rounds": {"benchmark": "llama2_70b_lora"},
    "expect": BENCHMARK | {"accelerator": "B200", "count": 16},
    "sanity": {"run": LENOVO},
    "sql": {"query": "select * from results"},
}


def test_every_answer_fits_80_100_and_120_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("/nowhere/at/all")
    for question in questions.declared():
        answer = question.ask(**ASKED.get(question.name, {}), store=store)
        tables = [answer, *(table for table in answer.more.values() if not table.detail)]
        assert question.name in AS_MANY_AS_THERE_ARE or max(len(shown(table)) for table in tables) <= 8, (
            question.name
        )
        for width in (80, 100, 120):
            monkeypatch.setenv("COLUMNS", str(width))
            text = show(answer, "table", Look(limit=30))
            long = [line for line in text.splitlines() if len(line) > width and "://" not in line]
            assert long == [], (question.name, width)
            assert "--explain" in text
            if (question.name, width) == ("table", 80):  # seven columns of minutes leave no room beside them
                assert text.count("    Count: ") == text.count(" · Submitter: ") == 30
    monkeypatch.delenv("COLUMNS")
    piped = show(answer, "table", Look())
    assert max(map(len, piped.splitlines())) > 120


COLUMNS = [
    Column("minutes", "Time-to-train", "number", "min", mark="mark"),
    Column("benchmark", "Benchmark"),
    Column("system", "System"),
    Column("precision", "Precision"),
    Column("ref", "Ref", detail=True),
]


def _row(number: int) -> dict[str, Any]:
    return {
        "minutes": 1234.5 + number,
        "mark": "*",
        "benchmark": "llama2_70b_lora",
        "system": f"a_system_whose_name_is_long_{number}_and_longer",
        "precision": "FP8" if number else None,
        "ref": f"ref{number}",
    }


def test_what_does_not_fit_is_left_out_from_the_least_important_on() -> None:
    table = Table(title="", columns=COLUMNS, rows=[_row(number) for number in range(4)])
    wide = laid_out(table, COLUMNS, None)
    assert wide.same == []
    assert "a_system_whose_name_is_long_3_and_longer" in wide.lines[-1]

    fitted = laid_out(table, COLUMNS, 60)
    assert fitted.lines[-1].split() == ["1,237.50*", "a_system_whose_nam…nd_longer", "FP8", "ref3"]
    assert [(column.name, value) for column, value in fitted.same] == [("benchmark", "llama2_70b_lora")]
    assert fitted.lines[0].split() == ["Time-to-train"]
    assert max(map(len, fitted.lines)) <= 60

    narrow = laid_out(table, COLUMNS, 40)
    assert narrow.lines[-2].lstrip().startswith("1,237.50*")
    assert narrow.lines[-2].endswith("ref3")
    assert narrow.lines[-1] == "    Precision: FP8"
    assert laid_out(table, COLUMNS, 40, keep=True).lines[-1].endswith("ref3")
    tiny = laid_out(table, COLUMNS, 10).lines
    assert [line.strip() for line in tiny if "*" in line] == [f"{1234.5 + n:,.2f}*" for n in range(4)]


def test_a_long_sentence_goes_below_its_row_and_a_name_without_a_reference_stays_whole() -> None:
    columns = [Column("part", "Part"), Column("system", "System"), Column("how", "How")]
    rows = [{"part": "hardware", "system": "one_long_name_of_a_system", "how": "as the logs say " * 8}] * 4
    lines = laid_out(Table(title="", columns=columns, rows=rows), columns, 40).lines
    assert lines[2:4] == ["hardware  one_long_name_of_a_system", "    How: as the logs say as the logs say"]
    assert "one_long_name_of_a_system" in lines[2]
    plain = laid_out(Table(title="", columns=columns[:2], rows=rows), columns[:2], 30).lines
    assert "".join(part.strip() for part in (plain[2][8:], plain[3])) == "one_long_name_of_a_system"


def test_options_choose_sort_and_limit_in_every_format(pitboard: Command) -> None:
    entries = ("results", "entries", "--benchmark", "llama31_8b", "--accelerators", "8")
    text = pitboard(*entries, "--columns", "precision,minutes", "--sort", "-minutes", "--limit", "2").stdout
    lines = text.splitlines()
    assert lines[2].split() == ["Precision", "Time-to-train", "(min)"]
    first, second = (float(line.split()[-1].rstrip("*")) for line in lines[4:6])
    assert first > second
    assert "2 of 20 rows." in text
    rows = list(csv.DictReader(io.StringIO(pitboard(*entries, "--format", "csv", "--limit", "3").stdout)))
    assert (len(rows), rows[0]["reference"]) == (3, NVIDIA)
    document = json.loads(pitboard(*entries, "--format", "json", "--columns", "ref,system").stdout)
    assert set(document["rows"][0]) == {"ref", "system"}
    assert pitboard(*entries, "--format", "markdown").stdout.count("Framework") == 0
    assert "Framework" in pitboard(*entries, "--wide").stdout
    wrong = pitboard(*entries, "--columns", "system,precison")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "Error: There is no column 'precison'. Did you mean 'precision'?\n",
    )


def completed(*words: str) -> list[str]:
    typed = {"COMP_WORDS": " ".join(("pitboard", *words)), "COMP_CWORD": str(len(words))}
    done = CliRunner().invoke(
        cli.app,
        [],
        prog_name="pitboard",
        env=typed | {"_PITBOARD_COMPLETE": "complete_bash", "PITBOARD_STORE": "/nowhere/at/all"},
    )
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


def test_the_tab_key_offers_what_the_store_has_and_never_a_traceback() -> None:
    entries = ("results", "entries")
    assert completed(*entries, "--benchmark", "llama31") == ["llama31_405b", "llama31_8b"]
    assert completed(*entries, "--round", "5") == ["5.1", "5.0"]
    assert completed(*entries, "--submitter", "Leno") == ["Lenovo"]
    assert completed(*entries, "--accelerator", "B3") == ["B300"]
    assert completed(*entries, "--accelerator", "RTX") == ["RTX\\ 4090", "RTX\\ A5000", "RTX\\ Pro\\ 6000"]
    assert completed(*entries, "--precision", "NV") == ["NVFP4"]
    assert completed(*entries, "--division", "o") == ["open"]
    assert completed(*entries, "--columns", "minutes,prec") == ["minutes,precision"]
    assert "flux1" in completed("results", "table", "--benchmark", "flux1", "--sort", "fl")
    assert completed(*entries, "--sort", "-min") == ["-minutes"]
    assert completed(*entries, "--sort", "--wid") == ["--wide"]
    assert completed("results", "compare", "v56") == ["v56n2"]
    assert completed("results", "compare", LENOVO, "5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31") == [NVIDIA]
    assert completed("results", "scale", "--sort", "eff") == []  # without a benchmark it has no answer
    assert completed(*entries, "--round", "9.9", "--columns", "min") == []


def test_an_answer_of_another_command_says_where_every_column_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    answer = Answer(
        question="ranks",
        title="Ranks",
        definition="",
        sql="",
        parameters={},
        columns=COLUMNS,
        rows=[_row(number) for number in range(4)],
    )
    text = show(answer, "table")
    assert text.count("    Precision: FP8\n") == 3  # the first states none
    assert "--wide" not in text
