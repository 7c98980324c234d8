"""Write the table of questions in docs/results.md from their declarations: `make questions` runs this."""

from pathlib import Path

from pitboard.results import questions
from pitboard.results.question import Option, Question, kind_of

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN = "<!-- Written by `make questions` from src/pitboard/results/questions: change it there. -->\n"
END = "<!-- End of what `make questions` writes. -->\n"


def page(text: str) -> str:
    """Return the text of the page with the table as the declarations are now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.partition(END)[2]


def table() -> str:
    """Return the table: a row for each question and for each of its options."""
    lines = ["| question | option | what it does |", "| --- | --- | --- |"]
    for question in questions.declared():
        lines.append(f"| **{question.name}** | | {_escaped(_about(question))} |")
        lines += [
            f"| | `{_flag(option)}` | {_escaped(_means(question, option))} |" for option in question.options
        ]
    return "\n".join(lines) + "\n"


def _about(question: Question) -> str:
    charts = ", ".join(f"`{chart.name}`" for chart in question.charts)
    return question.help + (f" Charts: {charts}." if charts else "")


def _flag(option: Option) -> str:
    return option.name.upper() if option.argument else f"--{option.name.replace('_', '-')}"


def _means(question: Question, option: Option) -> str:
    own = question.parameters[option.name]
    kind = kind_of(own)
    default = own.default if own.default not in (None, False, own.empty) else option.otherwise
    notes = [
        *(["needed"] if option.name in question.required else []),
        *(
            [{"integer": "a whole number", "number": "a number"}[kind]]
            if kind in ("integer", "number")
            else []
        ),
        *([f"by default {default}"] if default else []),
    ]
    return option.help + (f" ({'; '.join(notes)})" if notes else "")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
