"""The shared statistics, held against the official tools, scipy and numpy."""

import math
from random import Random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from mlperf_logging.result_summarizer import result_summarizer

from pitboard.stats import mean_interval, olympic_mean, pairwise_sum, t_cdf, t_critical

_MINUTES = st.floats(0.01, 1e5)
_DROPS = st.sampled_from([1, 4])


@given(st.lists(_MINUTES, max_size=40), st.integers(0, 6), _DROPS)
def test_the_mean_is_the_official_one(counted: list[float], missing: int, drops: int) -> None:
    official = None
    if missing <= drops:
        official = result_summarizer._compute_olympic_average(list(counted), missing, drops)

    assert olympic_mean([*counted, *[None] * missing], drops) == official


@given(st.lists(_MINUTES, min_size=3, max_size=20), st.randoms(), st.booleans())
def test_the_order_of_the_runs_does_not_matter(
    minutes: list[float], random: Random, one_failed: bool
) -> None:
    runs = [*minutes, None] if one_failed else minutes
    shuffled = list(runs)
    random.shuffle(shuffled)

    assert olympic_mean(shuffled, 1) == olympic_mean(runs, 1)


@given(st.lists(_MINUTES, min_size=3, max_size=20), st.floats(0, 1), st.floats(1, 1e3))
def test_the_best_and_the_worst_run_do_not_count(minutes: list[float], faster: float, slower: float) -> None:
    ordered = sorted(minutes)
    extreme = [ordered[0] * faster, *ordered[1:-1], ordered[-1] * slower]

    assert olympic_mean(extreme, 1) == olympic_mean(minutes, 1)


@given(st.lists(_MINUTES, min_size=3, max_size=20), st.sampled_from([0.5, 2.0, 1024.0]))
def test_the_mean_scales_with_the_minutes(minutes: list[float], factor: float) -> None:
    mean = olympic_mean(minutes, 1)
    assert mean is not None
    assert olympic_mean([m * factor for m in minutes], 1) == mean * factor


@given(st.lists(_MINUTES, min_size=3, max_size=20))
def test_a_run_that_does_not_count_is_the_slowest(minutes: list[float]) -> None:
    assert olympic_mean([*minutes, None], 1) == olympic_mean([*minutes, math.inf], 1)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300))
def test_a_pairwise_sum_is_numpys_to_the_last_bit(values: list[float]) -> None:
    assert pairwise_sum(values) == np.sum(np.array(values))


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 10, 24, 31, 180])
def test_students_t_agrees_with_scipy(df: int) -> None:
    assert t_critical(df, 0.05) == pytest.approx(scipy.stats.t.isf(0.05, df), rel=1e-12)
    assert t_cdf(-1.3, df) == pytest.approx(scipy.stats.t.cdf(-1.3, df), abs=1e-12)


def test_the_interval_of_a_mean_is_students() -> None:
    """The 95 % interval of 1 to 5: 3 ± 2.7764 × sqrt(2.5 / 5)."""
    assert mean_interval([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx((1.0368, 4.9632), abs=1e-4)
    assert mean_interval([1.0]) is None
