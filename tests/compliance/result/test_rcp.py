import functools
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlperf_logging.rcp_checker import rcp_checker

from pitboard.compliance import RcpVerdict
from pitboard.compliance.result.benchmarks import official_drops, official_runs
from pitboard.compliance.result.rcp import rcp_test
from pitboard.compliance.result.reference import ReferencePoint, load_points, parse_points
from pitboard.errors import PitboardError

_ROUNDS = ("4.0.0", "4.1.0", "5.0.0", "5.1.0", "6.0.0", "6.1.0")
_COUNTS = st.one_of(
    st.lists(st.integers(1, 40), min_size=10, max_size=30).map(lambda v: [x * 8192 for x in v]),
    st.lists(st.sampled_from([0.7, 0.75, 0.8, 0.85, 0.9, 0.95]), min_size=10, max_size=140),
)


_official_checker = functools.cache(rcp_checker.RCP_Checker)  # building one takes scipy seconds


def _official(
    samples: Sequence[float | None],
    batch_size: int | None,
    benchmark: str,
    ruleset: str,
    rcp_pass: str,
    *,
    points: dict[str, dict[str, Any]] | None = None,
    bypass: bool = False,
) -> tuple[bool, str, float]:
    """Run the official `check_directory` with the reading of the logs replaced by the given numbers."""
    numbers = [1e9 if s is None else s for s in samples]
    few = samples.count(None) <= (4 if benchmark == "unet3d" else 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            rcp_checker, "get_submission_epochs", lambda *_: (batch_size, numbers if few else None, benchmark)
        )
        if not points:
            patch.setattr(rcp_checker, "RCP_Checker", _official_checker)
        file = io.StringIO(json.dumps(points)) if points else None
        verdict: tuple[bool, str, float] = rcp_checker.check_directory(
            "none", "training", ruleset, False, False, rcp_file=file, rcp_pass=rcp_pass, rcp_bypass=bypass
        )
    return verdict


def _agree(ours: RcpVerdict, official: tuple[bool, str, float]) -> None:
    passed, verdict, scale = official
    assert (ours.passed, ours.verdict) == (bool(passed), verdict)
    assert ours.scale == pytest.approx(float(scale), rel=1e-12)


def test_the_number_of_runs_is_the_checkers_own() -> None:
    for benchmark, runs in rcp_checker.submission_runs["training"].items():
        assert official_runs(benchmark) == runs


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    benchmark=st.sampled_from(["dlrm_dcnv2", "llama2_70b_lora", "llama31_405b", "unet3d", "gpt3"]),
    bypass=st.booleans(),
)
def test_random_reference_files_get_the_official_verdict(
    data: st.DataObject, benchmark: str, bypass: bool
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    unit = "samples to converge" if benchmark == "llama2_70b_lora" else "Epochs to converge"
    points: dict[str, dict[str, Any]] = {
        f"ref_{i}": {"Benchmark": benchmark, "BS": size * 16, "Hyperparams": {}, unit: data.draw(_COUNTS)}
        for i, size in enumerate(sizes)
    }
    pool = [n for point in points.values() for n in point[unit]]
    runs = official_runs(benchmark)
    assert runs is not None
    samples = data.draw(st.lists(st.sampled_from([*pool, None]), min_size=runs, max_size=runs))
    batch_size = data.draw(st.integers(1, 13)) * 16
    known = parse_points(json.dumps(points).encode(), "random")
    for rcp_pass in ("pruned_rcps", "full_rcps"):
        ours = rcp_test(
            samples, batch_size, benchmark, known, pruned=rcp_pass == "pruned_rcps", bypass=bypass
        )
        _agree(
            ours, _official(samples, batch_size, benchmark, "5.1.0", rcp_pass, points=points, bypass=bypass)
        )


@pytest.mark.parametrize("ruleset", _ROUNDS)
def test_every_official_point_is_judged_as_the_official_checker_does(ruleset: str) -> None:
    folder = rcp_checker.os.path.dirname(rcp_checker.__file__)
    names = sorted(rcp_checker.glob.glob(f"{folder}/training_{ruleset}/rcps_*.json"))
    assert names
    for name in names:
        benchmark = name.rsplit("rcps_")[-1].removesuffix(".json")
        points = load_points(benchmark, ruleset)
        runs = official_runs(benchmark)
        assert points
        assert runs is not None
        for point in points:
            for batch_size in (point.batch_size - 1, point.batch_size, point.batch_size + 1):
                for share in (0.9, 0.97, 1.0, 1.05):
                    samples = [s * share for s in (point.samples * runs)[:runs]]
                    ours = rcp_test(samples, batch_size, benchmark, points, ruleset=ruleset)
                    _agree(ours, _official(samples, batch_size, benchmark, ruleset, "pruned_rcps"))


def test_equal_epochs_pass_however_the_last_bit_rounds() -> None:
    # All runs on one evaluation's epoch: mean and minimum are the same number but for rounding.
    for epochs in np.round(np.arange(0.05, 3.0, 0.05), 3):
        points = {
            "r": {"Benchmark": "rgat", "BS": 64, "Hyperparams": {}, "Epochs to converge": [epochs] * 20}
        }
        ours = rcp_test([epochs] * 10, 64, "rgat", [ReferencePoint(64, (epochs,) * 20)])
        _agree(ours, _official([epochs] * 10, 64, "rgat", "5.1.0", "pruned_rcps", points=points))


def test_own_points_and_a_single_run_can_be_held_against_each_other() -> None:
    points = [ReferencePoint(32, (900, 1000, 1000, 1100, 1200))]
    slower = rcp_test([1050], 32, "smoke", points, runs=1)
    assert (slower.verdict, slower.passed, slower.scale) == ("RCP found", True, 1.0)
    assert not rcp_test([300], 32, "smoke", points, runs=1).passed
    assert rcp_test([None], 32, "smoke", points, runs=1).verdict == "Insufficient convergence"


@pytest.mark.parametrize(
    ("samples", "batch_size", "benchmark", "verdict"),
    [
        ([1] * 10, None, "llama31_8b", "Could not detect global_batch_size"),
        ([1] * 10, 32, "no_such_benchmark", "Cannot find any RCPs"),
        ([1, 2], 32, "llama31_8b", "Too few runs"),
        ([1] * 8 + [None] * 2, 32, "llama31_8b", "Insufficient convergence"),
    ],
)
def test_what_cannot_be_tested_fails_by_name(
    samples: Sequence[float | None], batch_size: int | None, benchmark: str, verdict: str
) -> None:
    result = rcp_test(samples, batch_size, benchmark, load_points(benchmark, "5.1.0"))
    assert (result.verdict, result.passed, result.scale) == (verdict, False, 1.0)


@pytest.mark.parametrize("samples", [(5.0, 6.0), (0.0, 1.0, 2.0, 3.0), (1.0, math.nan, 2.0, 3.0)])
def test_points_that_are_none_are_refused_by_name(samples: tuple[float, ...]) -> None:
    with pytest.raises(PitboardError, match="batch size 32"):
        rcp_test([1.0] * 10, 32, "llama31_8b", [ReferencePoint(32, samples)])


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": {}}', b'{"a": {"BS": "x", "Epochs to converge": [1]}}'])
def test_a_file_that_holds_no_points_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(PitboardError, match=r"mine\.json"):
        parse_points(data, "mine.json")


def test_a_benchmark_name_cannot_leave_the_folder_of_points() -> None:
    assert load_points("../training_5.0.0/rcps_bert", "5.1.0") == ()


def test_the_official_drops() -> None:
    assert (official_drops("unet3d"), official_drops("rgat")) == (4, 1)
