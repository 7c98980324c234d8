"""What is known of a published round as a whole: when it came out and where from."""

from typing import Any

_PUBLISHED = {"5.0": "2025-06-04", "5.1": "2025-11-12"}
_SOURCE = "https://github.com/mlcommons/training_results_v{round}"
_LICENCE = "Apache-2.0"


def round_row(round: str) -> dict[str, Any] | None:
    """Give a published round's row of the `rounds` table; `None` for a round that this does not know.

    The dates are those of MLCommons' announcements; the source is its public repository of the results.
    """
    if round not in _PUBLISHED:
        return None
    return {
        "round": round,
        "name": f"MLPerf Training v{round}",
        "published": _PUBLISHED[round],
        "source": _SOURCE.format(round=round),
        "licence": _LICENCE,
    }
