"""Draw the answer to a question about results, as its declaration says: which chart, of which rows."""

from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING

from pitboard import charts
from pitboard.charts import families
from pitboard.charts.scaling import ThemeName
from pitboard.charts.vega import Spec
from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.units import counted_in
from pitboard.suite import find_round, official_targets

if TYPE_CHECKING:
    from pitboard.results.answer import Answer
    from pitboard.results.question import Chart


# The answers of commands of their own, and the modules of `pitboard.results` that declare their charts.
_OF_COMMANDS = {"precision": "sweep", "ranks": "scaling", "fabric": "fabric"}


class Drawing(Spec):
    """A whole chart: Vega-Lite's specification, which a notebook shows as the picture that it is of."""

    def _repr_svg_(self) -> str:
        return charts.svg(self)


def draw(
    answer: "Answer",
    kind: str | None = None,
    theme: ThemeName = "light",
    width: int = 720,
    highlight: Sequence[str] = (),
) -> Drawing:
    """Draw an answer, `width` pixels wide; `kind` names one of `charts_of(answer)`, by default the first.

    Returns Vega-Lite's specification, which a notebook shows as a picture. What has the words of `highlight`
    keeps its colour, and the rest turns grey. Raises `PitboardError` for a question that has no such chart,
    an answer with nothing to draw, a chart that highlights nothing, or where nothing in it is called so.
    """
    known = charts_of(answer)
    chart = next((each for each in known if kind in (None, each.name)), None)
    if chart is None:
        charted = ", ".join(sorted(each.name for each in questions.declared() if each.charts))
        raise PitboardError(
            f"There is no {kind or 'chart'} of `results {answer.question}`; these have charts: {charted}."
        )
    given = chart.data(answer)
    maker = getattr(charts, chart.form or chart.name)
    words: dict[str, object] = {"title": answer.title, "caption": _source(answer), **given}
    words["subtitle"] = " ".join(filter(None, [_sides(answer), str(given.get("subtitle", ""))]))
    styles = _styles(answer) if "styles" in signature(maker).parameters else {}
    if styles and not (maker is charts.bars and "" in styles):  # bars of the result's peers
        words["styles"] = styles
    if maker is charts.convergence:
        words = {**_quality(answer), **{name: value for name, value in words.items() if value is not None}}
    if highlight:
        if not takes_highlight(chart):
            raise PitboardError(f"The chart '{chart.name}' has nothing to highlight.")
        words["highlight"] = highlight
    return Drawing(maker(**words, theme=theme, width=width))


def takes_highlight(chart: "Chart") -> bool:
    """Tell whether something in a chart can be highlighted."""
    return "highlight" in signature(getattr(charts, chart.form or chart.name)).parameters


def to_highlight(answer: "Answer", chart: "Chart") -> list[str]:
    """Return what a page may offer as `highlight` of a chart: its accelerators, or its benchmarks.

    Nothing where the chart highlights nothing, or has less than two of them.
    """
    if not takes_highlight(chart):
        return []
    found: dict[str, None] = {}
    for row in chart.data(answer)["rows"]:
        series = str(row.get("series") or "").partition(" (")[0]
        if name := series or row.get("accelerator"):
            found.setdefault(str(name))
    return sorted(found) if len(found) > 1 else []


def charts_of(answer: "Answer") -> "tuple[Chart, ...]":
    """Return the charts that a question declares, the one that says most first."""
    if answer.question in _OF_COMMANDS:
        return (import_module(f"pitboard.results.{_OF_COMMANDS[answer.question]}").CHART,)
    if answer.question not in questions.names():
        return ()
    return questions.question(answer.question).charts


def _sides(answer: "Answer") -> str:
    """Name what is compared, where an answer calls results by letters: both sides, with their rounds."""
    more = answer.more.get("results")
    rows = more.rows if more else answer.rows
    named = [(str(row.get("result") or row.get("role")), row.get("reference")) for row in rows]
    return " ".join(f"{letter}: {text}." for letter, text in sorted(named) if text and len(letter) == 1)


def _styles(answer: "Answer") -> dict[str, families.Style]:
    """Return the styles of results that an answer calls by letters, or of its only one, as ""."""
    letters = {str(row.get("result") or ""): str(row.get("accelerator") or "") for row in answer.rows}
    if all(len(letter) == 1 for letter in letters):
        return families.of_letters(letters)
    alone = len(answer.rows) == 1 and all(letters.values())
    return {"": families.of_accelerator(*letters.values())} if alone else {}


def _quality(answer: "Answer") -> dict[str, object]:
    """Say what the quality of a comparison's runs is, and on which side of the target it is met."""
    row = answer.rows[0]
    name, round = str(row.get("benchmark")), str(row.get("round"))
    counted = all({"samples_to_target", "global_batch_size"} <= row.keys() for row in answer.rows)
    try:
        raced = find_round(round)
        known = next((each for each in raced.benchmarks if each.id == name), None)
        targets = official_targets(raced, name)
    except PitboardError:
        known, targets = None, ()
    lower = known.lower_is_better if known else not any(each.comparison.startswith(">") for each in targets)
    return {
        "quality": known.metric if known else "quality",
        "direction": "lower" if lower else "higher",
        "target": targets[0].value if len(targets) == 1 else None,
        "unit": counted_in(answer.rows) if counted else "samples",
    }


def _source(answer: "Answer") -> str:
    """Say where the figures are from: every round that is drawn, and one's own runs where they may be."""
    found = _rounds(answer)
    if answer.question in _OF_COMMANDS or not found:
        return "Source: your own runs, not verified by MLCommons; drawn by Pitboard."
    rounds = f"v{', v'.join(found[:-1])} and v{found[-1]}" if len(found) > 1 else f"v{found[0]}"
    whose = "results published by MLCommons"
    if answer.parameters.get("with_own") or any(row.get("own") for row in answer.rows):
        whose += " and your own, which it has not verified"
    return f"Source: MLPerf Training {rounds}, {whose}; drawn by Pitboard."


def _rounds(answer: "Answer") -> list[str]:
    """Return the rounds that an answer's rows are of, the earliest first."""
    asked = [answer.parameters.get(name) for name in ("round", "rounds")]
    found = {each for value in asked if value for each in (value if isinstance(value, list) else [value])}
    for row in [*answer.rows, *(answer.more["results"].rows if "results" in answer.more else [])]:
        found |= {row.get(name) for name in ("round", "round_before", "round_after")}
        found.add(str(row.get("reference") or "").partition("/")[0])
    return sorted(
        filter(_is_round, map(str, found)), key=lambda text: [int(part) for part in text.split(".")]
    )


def _is_round(text: str) -> bool:
    return all(part.isdecimal() for part in text.split(".")) and "." in text
