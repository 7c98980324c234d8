"""Predict a time-to-train from a family's scale curve, and say how far to trust it."""

from math import log

import msgspec

from pitboard.errors import PitboardError, near
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.law import Law
from pitboard.results.schema import Row


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes that a family's law gives for a count, its 95 % prediction interval, and its trust.

    `neighbour` names the family's result at the nearest count, measured.
    """

    family: str
    accelerators: int
    minutes: float
    low: float
    high: float
    neighbour: str
    trust: str


_COLUMNS = [
    Column("family", "Family"),
    Column("accelerators", "Accelerators", "integer"),
    Column("minutes", "Predicted", "number", "min"),
    Column("low", "95 % low", "number", "min"),
    Column("high", "95 % high", "number", "min"),
    Column("neighbour", "Measured nearest to it"),
    Column("trust", "How far to trust it"),
]


def predictions(answer: Answer, accelerators: int) -> tuple[Table, list[str]]:
    """Predict every family of `scale`'s answer that can be, in minutes; say why not the others.

    Families of fewer than three counts are only counted.
    """
    rows, refused, few = [], [], 0
    predictable = {row["family"] for row in answer.more["fits"].rows if row["residual"] is not None}
    for family in dict.fromkeys(str(row["family"]) for row in answer.rows):
        if family not in predictable:
            few += 1
            continue
        try:
            rows.append(msgspec.structs.asdict(predict(answer, family, accelerators)))
        except PitboardError as error:
            refused.append(str(error))
    if few:
        refused.append(f"No prediction for {few} families measured at fewer than three counts.")
    title = f"Predicted for {accelerators} accelerators"
    return Table(title=title, columns=_COLUMNS, rows=rows), refused


def predict(answer: Answer, family: str, accelerators: int) -> Prediction:
    """Predict the minutes of a family of `scale`'s answer at a count of accelerators.

    Raises `PitboardError` for a count below 1, a family that the answer lacks, for one whose law has no
    interval (fewer than three counts), and for a count beyond twice the most or below half the fewest that it
    was measured at.
    """
    if accelerators < 1:
        raise PitboardError(f"There is no system of {accelerators} accelerators: ask for 1 or more.")
    fits = {str(row["family"]): row for row in answer.more["fits"]}
    names = list(dict.fromkeys(str(row["family"]) for row in answer.rows))
    wanted = next((name for name in names if name.casefold() == family.strip().casefold()), None)
    if wanted is None:
        raise PitboardError(f"No family is called '{family:.100}'.{near(family, names)}")
    row = fits.get(wanted)
    if row is None or row["residual"] is None:
        raise PitboardError(
            f"{wanted} was measured at fewer than three counts of accelerators: that gives no interval, and "
            "nothing to predict from. Choose a family of three counts or more."
        )
    law = Law(**{name: row[name] for name in Law.__struct_fields__})
    if not law.least / 2 <= accelerators <= law.most * 2:
        raise PitboardError(
            f"{wanted} was measured from {law.least} to {law.most} accelerators: {accelerators} is too far "
            f"outside. Ask for {-(-law.least // 2)} to {law.most * 2}."
        )
    minutes, low, high = law.at(accelerators)
    assert low is not None
    assert high is not None
    return Prediction(
        family=wanted,
        accelerators=accelerators,
        minutes=minutes,
        low=low,
        high=high,
        neighbour=_neighbour([row for row in answer.rows if row["family"] == wanted], accelerators),
        trust=_trust(law, accelerators, high / low),
    )


def _neighbour(rows: list[Row], accelerators: int) -> str:
    """Name the result whose count is nearest to one on a logarithmic scale, the fastest of equals."""
    near = min(rows, key=lambda row: (abs(log(row["accelerators"] / accelerators)), row["minutes"]))
    return f"{near['accelerators']} in {near['minutes']:.2f} min ({near['reference']})"


def _trust(law: Law, accelerators: int, width: float) -> str:
    measured = f"the measured {law.least} to {law.most} accelerators"
    inside = law.least <= accelerators <= law.most
    where = f"Inside {measured}" if inside else f"An extrapolation, outside {measured}"
    degrees = law.points - 2
    rests = f"the interval rests on {law.points} results ({degrees} degree{'s' * (degrees > 1)} of freedom)"
    if width > 2:
        what = "an order of magnitude at best" if width >= 10 else "a rough estimate"
        return f"{where}; {rests}, its ends a factor of {width:,.1f} apart: {what}, not a figure."
    if not inside:
        return f"{where}; {rests} and assumes that the law goes on, which no result shows."
    return f"{where}; {rests} and assumes batch sizes chosen as there."
