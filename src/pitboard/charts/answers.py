"""Draw the answer to a question about results: which chart, with what title, from which of its tables."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import altair as alt

from pitboard.charts.converging import convergence, samples_to_target
from pitboard.charts.factors import attribution
from pitboard.charts.scaling import ThemeName, efficiency, scale
from pitboard.charts.slopes import rounds
from pitboard.charts.strips import runs
from pitboard.charts.sweep import precision_sweep
from pitboard.errors import PitboardError
from pitboard.results.sweep import chart_of

if TYPE_CHECKING:
    from pitboard.results.answer import Answer

Row = dict[str, Any]

_WIDEST = 5
"""A law whose interval is wider than this factor is not drawn: the points are joined instead."""

Draw = Callable[["Answer", ThemeName, int], alt.TopLevelMixin]


def draw(
    answer: "Answer", kind: str | None = None, theme: ThemeName = "light", width: int = 720
) -> alt.TopLevelMixin:
    """Draw an answer, `width` pixels wide; `kind` is one of `kinds(answer)`, by default the first.

    Raises `PitboardError` for a question that has no such chart, or an answer with nothing to draw.
    """
    known = kinds(answer)
    kind = kind or next(iter(known), None)
    if kind not in known:
        charted = ", ".join(sorted(question for question in _CHARTS if _CHARTS[question]))
        raise PitboardError(
            f"There is no {kind or 'chart'} of `results {answer.question}`; these have charts: {charted}."
        )
    return _CHARTS[answer.question][kind](answer, theme, width)


def kinds(answer: "Answer") -> list[str]:
    """Name the charts that a question has, the one that says most first."""
    return list(_CHARTS.get(answer.question, {}))


def _source(answer: "Answer") -> str:
    round = answer.parameters.get("round")
    rounds = f"v{round}" if round else "published rounds"
    return f"Source: MLPerf Training {rounds}, results published by MLCommons; drawn by Pitboard."


def _table(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    benchmark = answer.parameters.get("benchmark")
    if not benchmark:
        raise PitboardError("A chart of the table is of one benchmark: choose it with --benchmark.")
    rows = [
        {
            "family": f"{row['submitter']}, {row['accelerator']}",
            "accelerators": row["accelerators"],
            "minutes": row[benchmark],
            "single": True,
        }
        for row in answer.rows
        if row[benchmark] and row["accelerators"]
    ]
    return scale(rows, title=answer.title, caption=_source(answer), theme=theme, width=width)


def _scale(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    laws: dict[str, list[Row]] = {}
    for row in answer.more["fitted"].rows:
        laws.setdefault(row["family"], []).append(row)
    return scale(
        answer.rows,
        fitted=[row for rows in laws.values() if _narrow(rows) for row in rows],
        title=answer.title,
        subtitle="Dashed grey: ideal scaling from a family's fewest accelerators. Band: 95 % interval.",
        caption=_source(answer),
        theme=theme,
        width=width,
    )


def _narrow(law: list[Row]) -> bool:
    """Say whether a law's interval says anything: one of three results spans orders of magnitude."""
    return all(row["low"] and row["high"] / row["low"] < _WIDEST for row in law)


def _efficiency(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    title = "Scaling efficiency falls with scale: how much of each added accelerator is used"
    return efficiency(answer.rows, title=title, caption=_source(answer), theme=theme, width=width)


def _runs(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    rows = [row for row in answer.more["runs"].rows if row["minutes"]]
    return runs(
        rows,
        title=answer.title,
        caption=_source(answer),
        theme=theme,
        width=width,
    )


def _curves(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    rows = [row for row in answer.more["curves"].rows if row["samples"] and row["quality"] is not None]
    return convergence(
        rows,
        title="How each run converged",
        caption=_source(answer),
        target=answer.rows[0].get("target"),
        theme=theme,
        width=width,
    )


def _converge(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    return samples_to_target(
        [
            row | {"result": f"{row['submitter']}, {row['accelerators']} × {row['accelerator']}"}
            for row in answer.rows
        ],
        reference=answer.more["reference"].rows,
        title=answer.title,
        caption=_source(answer),
        theme=theme,
        width=width,
    )


def _rounds(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    newest = answer.rows[-1]["round_after"] if answer.rows else None
    pairs = [row for row in answer.rows if row["round_after"] == newest]
    same = [row for row in pairs if row["kind"].startswith("same submitter")]
    chosen = [row for row in pairs if row["kind"] == "best"] + (same or pairs[1:])
    slopes = [
        {
            "label": row["label"],
            "round": f"v{row[f'round_{side}']}",
            "minutes": row[f"minutes_{side}"],
            "like_for_like": row["like_for_like"],
        }
        for row in chosen
        for side in ("before", "after")
    ]
    return rounds(slopes, title=answer.title, caption=_source(answer), theme=theme, width=width)


def _why(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    return attribution(answer.rows, title=answer.title, caption=_source(answer), theme=theme, width=width)


def _precision(answer: "Answer", theme: ThemeName, width: int) -> alt.TopLevelMixin:
    return precision_sweep(**chart_of(answer), theme=theme, width=width)


_CHARTS: dict[str, dict[str, Draw]] = {
    "table": {"table": _table},
    "scale": {"scale": _scale, "efficiency": _efficiency},
    "compare": {"runs": _runs, "convergence": _curves},
    "converge": {"samples_to_target": _converge},
    "rounds": {"rounds": _rounds},
    "why": {"attribution": _why},
    "precision": {"precision_sweep": _precision},
}
