"""What is known of a published round as a whole: when it came out and where from."""

from typing import Any

from pitboard.suite import ROUNDS

_LICENCE = "Apache-2.0"


def round_row(round: str) -> dict[str, Any] | None:
    """Return a published round's row of the `rounds` table; `None` for a round that has no results.

    A date of which only the month is known is left out.
    """
    for known in ROUNDS:
        if known.version == round and known.published is not None:
            exact = known.published_by is not None and known.published == known.published_by.isoformat()
            return {
                "round": round,
                "name": f"MLPerf Training v{round}",
                "published": known.published if exact else None,
                "source": known.source,
                "licence": _LICENCE,
                "archive": known.archive,
            }
    return None
