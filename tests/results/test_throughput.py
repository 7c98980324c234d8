"""The one definition of throughput: the same in SQL as in Python, and the same wherever it is shown."""

import pytest

from pitboard.errors import PitboardError
from pitboard.results.questions.sanity import sanity
from pitboard.results.questions.scale import scale
from pitboard.results.store import Store
from pitboard.results.throughput import TIMED_RUNS, per_second, throughput


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_sql_and_python_agree_on_every_published_run(store: Store) -> None:
    rate = per_second("samples_to_target", "training")
    rows = store.rows(f"select *, {rate} as throughput from ({TIMED_RUNS}) where samples_to_target > 0")

    assert [row["throughput"] for row in rows] == [pytest.approx(throughput(row)) for row in rows]
    unknown = {row["benchmark"] for row in rows if row["throughput"] is None}
    untold = {"bert", "gpt3", "llama2_70b_lora", "llama31_405b", "resnet", "unet3d"}
    assert unknown == untold, "their logs do not all tell evaluation"


def test_a_result_lies_within_its_runs_of_another_question(store: Store) -> None:
    """`scale` gives a result's throughput, `sanity` that of its runs: apart, they once could disagree."""
    of_results = {row["reference"]: row["throughput"] for row in scale("llama31_8b", "5.1", store=store)}

    for row in sanity("5.1/Lenovo/SR680aV3-8xB200_SXM_180GB/llama31_8b", store=store):
        assert row["slowest"] <= of_results[row["reference"]] <= row["fastest"]


def test_a_result_whose_log_does_not_tell_evaluation_has_no_throughput(store: Store) -> None:
    untold = "5.0/krai/7920T_2xA5000_hdd/bert"

    (row,) = (row for row in scale("bert", "5.0", store=store) if row["reference"] == untold)
    assert row["throughput"] is None
    with pytest.raises(PitboardError, match="nothing to compare"):
        sanity(untold, "5.0", store=store)
