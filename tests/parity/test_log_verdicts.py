"""For every log of the published rounds our verdict is the official one, and the round is told right."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import official_checker
import pytest
import recorded

from pitboard.compliance import check_tree
from pitboard.compliance.inventory import Inventory
from pitboard.compliance.log.round import sampled, told_round
from pitboard.events import read_log

# Ruleset: the round's logs, and how many of them the official checker (mlperf-logging 4.1.68) finds valid.
_ROUNDS = {"5.1.0": (1669, 1666), "5.0.0": (1717, 1707)}


@pytest.mark.slow
@pytest.mark.parametrize("ruleset", _ROUNDS)
def test_every_log_gets_the_official_verdict(
    ruleset: str, archive: Callable[[str], Path], published: Callable[[str], Path]
) -> None:
    """All are compared with what `recorded` has of the official checker, or with the checker itself.

    In every run the checker is asked about each log that is not valid, a log of each submitter and one of
    each benchmark: a record that is not this checker's cannot stay.
    """
    round = ruleset.removesuffix(".0")
    root = published(round)

    ours = {log.path: log.valid for log in check_tree(root, level="log").logs}

    assert (len(ours), sum(ours.values())) == _ROUNDS[ruleset]
    names = sorted(ours)
    if answers := recorded.answers(round, archive(round)):
        assert recorded.names(ours) == answers["logs"]
        not_valid = [name for name in names if not ours[name]]
        assert not_valid == answers["logs_not_valid"]
        each = {part: name for name in names for part in (name.split("/")[0], name.split("/")[-2])}
        names = sorted({*not_valid, *each.values()})
    judge = partial(official_checker.verdict, ruleset=ruleset)
    with ProcessPoolExecutor() as pool:
        official = dict(
            zip(names, pool.map(judge, [root / name for name in names], chunksize=4), strict=True)
        )
    assert official == {name: ours[name] for name in names}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ruleset", "told_otherwise"),
    # krai entered runs of 2023 for round 5.0, on a benchmark whose rules had not changed since.
    [("5.1.0", {}), ("5.0.0", {"krai": "3.1.0"})],
)
def test_the_round_of_a_submission_is_told_from_its_logs(
    ruleset: str, told_otherwise: dict[str, str], published: Callable[[str], Path]
) -> None:
    submitters = [folder for folder in published(ruleset.removesuffix(".0")).iterdir() if folder.is_dir()]

    told = {
        folder.name: told_round([read_log(path) for path in sampled(Inventory(folder).logs)]).ruleset
        for folder in submitters
    }

    assert len(told) == 19
    assert {name: other for name, other in told.items() if other != ruleset} == told_otherwise
