"""Draw the answer to a question about results, as its declaration says: which chart, of which rows."""

from typing import TYPE_CHECKING

import altair as alt

from pitboard import charts
from pitboard.charts.scaling import ThemeName
from pitboard.errors import PitboardError
from pitboard.results import fabric, questions, scaling, sweep

if TYPE_CHECKING:
    from pitboard.results.answer import Answer
    from pitboard.results.question import Chart


# The answers of commands of their own.
_OF_COMMANDS = {"precision": sweep.CHART, "ranks": scaling.CHART, "fabric": fabric.CHART}


def draw(
    answer: "Answer", kind: str | None = None, theme: ThemeName = "light", width: int = 720
) -> alt.TopLevelMixin:
    """Draw an answer, `width` pixels wide; `kind` names one of `charts_of(answer)`, by default the first.

    Raises `PitboardError` for a question that has no such chart, or an answer with nothing to draw.
    """
    known = charts_of(answer)
    chart = next((each for each in known if kind in (None, each.name)), None)
    if chart is None:
        charted = ", ".join(sorted(each.name for each in questions.declared() if each.charts))
        raise PitboardError(
            f"There is no {kind or 'chart'} of `results {answer.question}`; these have charts: {charted}."
        )
    words = {"title": answer.title, "caption": _source(answer)} | chart.data(answer)
    drawn: alt.TopLevelMixin = getattr(charts, chart.form or chart.name)(**words, theme=theme, width=width)
    return drawn


def charts_of(answer: "Answer") -> "tuple[Chart, ...]":
    """Return the charts that a question declares, the one that says most first."""
    if answer.question in _OF_COMMANDS:
        return (_OF_COMMANDS[answer.question],)
    if answer.question not in questions.names():
        return ()
    return questions.question(answer.question).charts


def _source(answer: "Answer") -> str:
    round = answer.parameters.get("round")
    rounds = f"v{round}" if round else "published rounds"
    return f"Source: MLPerf Training {rounds}, results published by MLCommons; drawn by Pitboard."
