"""One function per page: it asks one question of another room and gives the template with the answer.

The pages of results are shells until `pitboard.results` can be asked.
"""

from fastapi import HTTPException

from pitboard import suite
from pitboard.compliance.rules import RULES
from pitboard.errors import PitboardError
from pitboard.web.rendering import Page

_ROUND = suite.ROUNDS[-1]


def front() -> Page:
    """What the round shows."""
    return Page("front.html", {"round": _ROUND})


def results() -> Page:
    """The table of results, with its filters."""
    return Page("results.html", {}, "_results.html")


def compare() -> Page:
    """Two results side by side."""
    return Page("compare.html", {})


def rounds() -> Page:
    """The change from round to round."""
    return Page("rounds.html", {})


def benchmarks() -> Page:
    """The benchmarks of the round."""
    return Page("benchmarks.html", {"round": _ROUND})


def benchmark(name: str) -> Page:
    """One benchmark; an unknown one is not found."""
    try:
        benchmark = _ROUND.benchmark(name)
    except PitboardError as error:
        raise HTTPException(404, str(error)) from error
    return Page("benchmark.html", {"round": _ROUND, "benchmark": benchmark})


def rules() -> Page:
    """Every rule that a finding can carry."""
    return Page("rules.html", {"rules": list(RULES.values())})
