"""Questions, options and exit codes stand in docs/results.md, the columns of the store in docs/store.md."""

import re
import runpy
from pathlib import Path

from pitboard.results import questions
from pitboard.results.schema import TABLES
from pitboard.results.store import Store

_ROOT = Path(__file__).parents[2]


def test_the_table_of_questions_is_up_to_date() -> None:
    written = (_ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    source = runpy.run_path(str(_ROOT / "tools" / "questions_table.py"))

    assert written == source["page"](written), "docs/results.md is out of date: run `make questions`"
    for question in questions.declared():
        section = written.partition(f"| **{question.name}** |")[2].partition("| **")[0]
        assert section.count("\n| | `") == len(question.options)
        assert all(f"exit {exit.code} {exit.when}" in section for exit in question.exits)


def test_every_column_of_the_store_is_described() -> None:
    text = (_ROOT / "docs" / "store.md").read_text(encoding="utf-8").partition("## The tables")[2]
    described = {
        name: re.findall(r"^\| `(\w+)` \| \S", section, re.MULTILINE)
        for name, section in re.findall(r"^### (\w+)$(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    }
    submissions = Store("/nowhere/at/all").query("select * from submissions").columns

    assert described == {name: list(columns) for name, columns in TABLES.items()} | {
        "submissions": submissions
    }
