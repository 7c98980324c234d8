"""Samples to target against the reference, on the rounds that are shipped."""

from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitboard.compliance import load_points, rcp_test
from pitboard.compliance.result.rcp import reference_convergence
from pitboard.errors import PitboardError
from pitboard.results.answer import Answer
from pitboard.results.questions.converge import converge
from pitboard.results.schema import Row
from pitboard.results.store import Store


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


@pytest.fixture(scope="module")
def llama(store: Store) -> Answer:
    return converge("llama31_8b", store=store)


# The review committee gave it a factor (scaling.json) though it needed more samples than the reference.
BY_COMMITTEE = "5.1/Supermicro/AS-4126GS-NBR-LCC/llama31_8b"


@pytest.mark.parametrize("round", ["5.0", "5.1"])
def test_the_ratio_is_the_rcp_scaling_factor_of_every_published_result(store: Store, round: str) -> None:
    found = store.rows("select distinct benchmark from results where round = $1 and not own", [round])
    rows = [row for name in found for row in converge(name["benchmark"], round, store=store)]

    results = store.rows("select count(*) as n from results where round = $1 and not own", [round])
    assert len(rows) == results[0]["n"]
    for row in rows:
        if row["reference"] != BY_COMMITTEE:
            assert max(1.0, 1 / row["against_reference"]) == pytest.approx(row["rcp_scale"], abs=1e-12)


def test_samples_and_their_cost_are_those_of_the_runs(store: Store, llama: Answer) -> None:
    row = next(row for row in llama if row["system"] == "hpg.dgxb200x8.n32")
    runs = store.rows(
        "select * from runs where system = $1 and submitter = $2 and benchmark = 'llama31_8b' and counted",
        [row["system"], row["submitter"]],
    )
    samples = sorted(run["samples_to_target"] for run in runs)
    training = [run["minutes"] - run["evaluation_minutes"] for run in runs if not run["dropped"]]

    assert row["samples_to_target"] == pytest.approx(fmean(samples[1:-1]))
    assert (row["low"], row["high"]) == (samples[0], samples[-1])
    beyond = 1 - row["reference_samples"] / row["samples_to_target"]
    assert row["extra_minutes"] == pytest.approx(beyond * fmean(training))


def test_between_two_reference_points_the_reference_is_on_a_line(llama: Answer) -> None:
    points = {p["global_batch_size"]: p["samples"] for p in llama.more["reference"]}
    row = next(row for row in llama if row["global_batch_size"] == 36)

    assert list(points) == [16, 32, 64, 96, 128]
    assert row["rcp_verdict"] == "RCP Interpolation"
    assert row["reference_samples"] == pytest.approx(points[32] + (points[64] - points[32]) * 4 / 32)


def test_who_paid_convergence_for_speed(llama: Answer) -> None:
    paid = max(llama, key=lambda row: row["samples_to_target"])

    assert llama.facts["largest_batch_size"] == paid["global_batch_size"] == 128
    assert llama.facts["largest_batch"] == llama.facts["paid_most"] == paid["reference"]
    assert llama.facts["largest_batch_against_fewest"] == pytest.approx(2.136, abs=5e-4)
    assert llama.facts["fewest_batch_size"] == 16
    assert any(paid["reference"] in note and "2.14 × the samples" in note for note in llama.notes)


def test_precisions_are_compared_at_equal_batch_and_none_is_guessed(store: Store, llama: Answer) -> None:
    stated = [row for row in llama if row["precision"] != "not stated"]
    compared = llama.more["precisions"].rows

    assert llama.facts["not_stated"] == len(llama) - len(stated) > 0
    assert any(f"{llama.facts['not_stated']} of {len(llama)} results do not state" in n for n in llama.notes)
    assert "not stated" not in {row["precision"] for row in compared}
    for row in compared:
        alike = [r["samples_to_target"] for r in stated if _place(r) == _place(row)]
        assert (row["results"], row["samples_to_target"]) == (len(alike), pytest.approx(fmean(alike)))
    assert {_place(row) for row in compared} == {(16, "FP8"), (16, "NVFP4"), (32, "FP8"), (32, "NVFP4")}
    assert not converge("dlrm_dcnv2", "5.1", store=store).more["precisions"].rows


def test_a_benchmark_that_counts_in_epochs_says_so(store: Store) -> None:
    answer = converge("retinanet", "5.1", store=store)

    titles = {column.name: column.title for column in answer.columns}
    assert titles["samples_to_target"] == "Epochs to target"
    assert "epochs" in answer.title


def test_results_in_another_unit_than_the_others_are_left_out(store: Store) -> None:
    """Of v3.1's unet3d three logged epochs: 217 × the epochs of another would be a figure of nothing."""
    answer = converge("unet3d", "3.1", store=store)
    left_out = [note for note in answer.notes if note.startswith("Left out")]
    assert len(left_out) == 1
    assert left_out[0].count("3.1/") == 3
    assert "3.1/Quanta_Cloud_Technology/D74H-7U/unet3d" in left_out[0]
    assert min(row["samples_to_target"] for row in answer) > 100_000
    assert "× the samples of" in answer.title
    assert "× the epochs of" in converge("unet3d", "1.0", store=store).title


def test_a_benchmark_that_the_round_lacks_is_refused(store: Store) -> None:
    with pytest.raises(PitboardError, match=r"No result of bert in v5\.1"):
        converge("bert", store=store)


@pytest.mark.parametrize(
    ("benchmark", "ruleset"), [("llama31_8b", "5.1.0"), ("llama31_405b", "5.0.0"), ("bert", "5.0.0")]
)
@given(share=st.floats(0, 1))
def test_the_fewest_allowed_is_where_the_rcp_test_turns(benchmark: str, ruleset: str, share: float) -> None:
    points = load_points(benchmark, ruleset)
    curve = reference_convergence(benchmark, points, ruleset)
    point = curve[round(share * (len(curve) - 1))]
    runs = 3 if benchmark == "llama31_405b" else 10

    def passes(samples: float) -> bool:
        verdict = rcp_test([samples] * runs, point.batch_size, benchmark, points, ruleset=ruleset)
        return verdict.passed

    assert passes(point.minimum * (1 + 1e-9))
    assert not passes(point.minimum * (1 - 1e-9))


def test_reference_points_lie_in_order_and_above_what_is_allowed() -> None:
    curve = reference_convergence("llama31_8b", load_points("llama31_8b", "5.1.0"))

    assert all(a.batch_size < b.batch_size and a.mean < b.mean for a, b in pairwise(curve))
    assert all(point.minimum <= point.mean for point in curve)
    assert reference_convergence("llama31_8b", ()) == []


def _place(row: Row) -> tuple[int, str]:
    return row["global_batch_size"], row["precision"]
