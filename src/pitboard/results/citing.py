"""How a result may be cited, after MLCommons' policy for messages about MLPerf results."""

from pitboard.results.likeness import preset_of
from pitboard.results.schema import OWN, Row

DERIVED = (
    "Accelerator-hours and figures per accelerator are derived by Pitboard; they are not an official metric "
    "of MLPerf Training, whose one metric is time-to-train."
)

_TRADEMARK = (
    "The MLPerf name and logo are trademarks of MLCommons Association in the United States and other "
    "countries. See www.mlcommons.org for more information."
)


def citation(*rows: Row) -> str:
    """Give the sentences that a text which uses the results must carry; the entries' numbers are to be added.

    The public result files do not hold the entry numbers (such as 5.1-0001): look them up at mlcommons.org.
    """
    claims = dict.fromkeys(map(_claim, rows))
    trademark = any(preset_of(row) is None for row in rows)
    return " ".join([*claims, *([_TRADEMARK] if trademark else [])])


def _claim(row: Row) -> str:
    what = f"{row['division'] or 'unknown'} division, {row['benchmark']}"
    if preset := preset_of(row):
        return f"Preset {preset} of {row['benchmark']}, run with Pitboard; not an MLPerf result."
    system = row["system_name"] or row["system"]
    what = f"MLPerf Training v{row['round']} {what}, {row['submitter'].removesuffix(OWN)} {system}"
    if row["own"]:
        return f"Unverified {what}. Result not verified by MLCommons Association."
    return f"{what}, entry number to be looked up at mlcommons.org. Result verified by MLCommons Association."
