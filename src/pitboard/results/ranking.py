"""Results as ranked bars: the minutes of one benchmark, in groups of as many accelerators."""

from collections import Counter
from typing import Any

from pitboard.errors import PitboardError
from pitboard.results.schema import Row

_AGAIN = "entered again"


def ranked(rows: list[Row], minutes: str = "minutes", told: str = "marks") -> dict[str, Any]:
    """Return what `charts.bars` draws of results of one benchmark, the most accelerators last.

    `minutes` names the field of the figure, `told` that of what must be known of it: runs of an earlier round
    that were entered again, and results of the open division, are not like for like with the others. Raises
    `PitboardError` where no row has a figure, or rows are of several benchmarks.
    """
    scored = [row for row in rows if row[minutes]]
    if len({row.get("benchmark") for row in scored}) > 1:
        raise PitboardError("Ranked bars are of one benchmark: choose it with --benchmark.")
    if not scored:
        raise PitboardError("No result here has minutes to rank.")
    rounds = len({row["round"] for row in scored if row.get("round")}) > 1
    names = [_name(row, rounds=rounds) for row in scored]
    twice = Counter((name, row["accelerators"]) for name, row in zip(names, scored, strict=True))
    bars = [
        {
            "label": f"{name}, {row['system']}" if twice[name, row["accelerators"]] > 1 else name,
            "value": row[minutes],
            "accelerator": row["accelerator"],
            "group": _group(row["accelerators"]),
            "unlike": _unlike(row, told),
            "count": row["accelerators"] or 0,
        }
        for name, row in zip(names, scored, strict=True)
    ]
    bars.sort(key=lambda bar: bar["count"])
    return {"rows": bars, "subtitle": "Fastest first, among results of as many accelerators."}


def _name(row: Row, *, rounds: bool) -> str:
    name = f"{row['submitter']}, {row['accelerator'] or 'unknown accelerator'}"
    return f"v{row['round']} {name}" if rounds else name


def _group(count: int | None) -> str:
    return f"{count:,} accelerator{'' if count == 1 else 's'}" if count else "Count not stated"


def _unlike(row: Row, told: str) -> str:
    said = [part for part in str(row[told] or "").split("; ") if _AGAIN in part]
    words = ["runs of " + said[0].partition("runs of ")[2].partition(",")[0] + " again"] if said else []
    return ", ".join([*words, *(["open division"] if row["division"] == "open" else [])])
