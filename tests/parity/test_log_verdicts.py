"""For every log of the published rounds our verdict is the official one, and the round is told right."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import official_checker
import pytest

from pitboard.compliance import check_tree
from pitboard.compliance.round import detect_ruleset
from pitboard.compliance.tree import find_logs

_SEED = 20251125
_SAMPLE = 30

# Ruleset: the round's logs, and how many of them the official checker (mlperf-logging 4.1.68) finds valid.
_ROUNDS = {"5.1.0": (1669, 1666), "5.0.0": (1717, 1707)}


@pytest.mark.slow
@pytest.mark.parametrize("ruleset", _ROUNDS)
def test_every_log_gets_the_official_verdict(ruleset: str, published: Callable[[str], Path]) -> None:
    root = published(ruleset.removesuffix(".0"))

    ours = {log.path: log.valid for log in check_tree(root, level="log").logs}

    assert (len(ours), sum(ours.values())) == _ROUNDS[ruleset]
    # Our count of valid logs is the official count. So if the official checker agrees on each log that we
    # find not valid, it agrees on all; a sample, and in CI every log, is looked at besides.
    names = [name for name, valid in ours.items() if not valid]
    rest = sorted(set(ours) - set(names))
    names += rest if os.environ.get("CI") == "true" else random.Random(_SEED).sample(rest, _SAMPLE)
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
    [("5.1.0", {}), ("5.0.0", {"krai": "4.0.0"})],
)
def test_the_round_of_a_submission_is_told_from_its_logs(
    ruleset: str, told_otherwise: dict[str, str], published: Callable[[str], Path]
) -> None:
    submitters = [folder for folder in published(ruleset.removesuffix(".0")).iterdir() if folder.is_dir()]

    told = {folder.name: detect_ruleset(find_logs(folder)[0]) for folder in submitters}

    assert len(told) == 19
    assert {name: other for name, other in told.items() if other != ruleset} == told_otherwise
