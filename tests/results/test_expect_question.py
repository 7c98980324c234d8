"""What may be expected of hardware: worked by hand, and how far off it is."""

import math
from statistics import median

import pytest

from pitboard.errors import PitboardError
from pitboard.results.expecting import Error, backtest, estimate, interval, published
from pitboard.results.questions import question
from pitboard.results.questions.expect import expect
from pitboard.results.schema import Row
from pitboard.results.store import Store


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def row(count: int, minutes: float, who: str = "Acme", accelerator: str = "NVIDIA B200") -> Row:
    return {
        "benchmark": "flux1",
        "accelerator": accelerator,
        "accelerators": count,
        "minutes": minutes,
        "organisation": who,
    }


def test_results_are_moved_along_the_law_and_the_nearest_weighs_most() -> None:
    ideal = [row(8, 80.0), row(16, 40.0), row(32, 20.0)]
    found = estimate(ideal, "flux1", "NVIDIA B200", 24)
    assert found is not None
    assert found.minutes == pytest.approx(80 * 8 / 24)
    assert not found.borrowed
    assert found.distance == pytest.approx(math.log2(32 / 24))
    # One count only: the law is that of the other accelerator, b = 0.5.
    others = [row(8, 10.0), *(row(n, 100 / n**0.5, accelerator="AMD MI355X") for n in (8, 32))]
    found = estimate(others, "flux1", "NVIDIA B200", 32)
    assert found is not None
    assert found.borrowed
    assert found.minutes == pytest.approx(5.0)
    assert estimate([row(8, 10.0)], "flux1", "NVIDIA B200", 16) is None
    assert estimate(ideal, "flux1", "NVIDIA H200", 8) is None


def test_a_result_is_predicted_without_those_of_its_own_organisation() -> None:
    rows = [row(8, 10.0), row(8, 10.0), row(8, 20.0, "Zenith")]
    assert [error.ratio for error in backtest(rows)] == pytest.approx([0.5, 0.5, 2.0])
    assert len(backtest(rows[:2])) == 0
    assert len(backtest(rows[:2], strangers=False)) == 2
    errors = [Error(rows[0], 0.0, 1 + n / 100) for n in range(-10, 11)]
    assert interval(100.0, 0.0, errors) == pytest.approx((91, 109, 21))
    assert interval(100.0, 0.0, errors[:5]) is None


def test_published_results_are_predicted_within_a_few_percent(store: Store) -> None:
    errors = backtest(published(store, "5.1", "closed"))
    same = [error.off for error in errors if error.distance == 0]
    assert len(same) > 50
    assert median(same) < 0.06
    inside = [
        ends is not None and ends[0] <= error.ratio <= ends[1]
        for error in errors
        for ends in [interval(1.0, error.distance, errors)]
    ]
    assert sum(inside) / len(inside) > 0.85


def test_the_answer_has_hours_neighbours_and_says_when_not_to_believe_it(store: Store) -> None:
    answer = expect("llama31_8b", "B200", 16, "5.1", store=store)
    facts = answer.facts
    assert facts["low"] < facts["minutes"] < facts["high"]
    assert facts["accelerator_hours"] == pytest.approx(facts["minutes"] * 16 / 60)
    assert facts["hours"] == pytest.approx(facts["minutes"] / 60)
    assert facts["believe"] is True
    neighbours = answer.more["neighbours"].rows
    assert neighbours[0]["accelerators"] == 16
    assert neighbours[0]["moved"] == pytest.approx(neighbours[0]["minutes"])
    far = expect("llama31_8b", "B200", 100_000, "5.1", store=store)
    assert far.facts["believe"] is False
    assert "Do not plan with it" in far.warnings[0]
    for values, why in (
        (("llama31_8b", "Gaudi 2", 8), "nothing can be expected of it; it was published on"),
        (("llama31_8b", "B200", 0), "no system of 0 accelerators"),
    ):
        with pytest.raises(PitboardError, match=why):
            expect(*values, "5.1", store=store)


def test_what_is_expected_can_be_of_one_precision_or_software(store: Store) -> None:
    narrow = expect("llama31_8b", "B200", 16, "5.1", precision="NVFP4", store=store)
    assert {row["precision"] for row in narrow.more["neighbours"].rows} == {"NVFP4"}
    assert narrow.facts["minutes"] < expect("llama31_8b", "B200", 16, "5.1", store=store).facts["minutes"]
    nemo = expect("llama31_8b", "B200", 16, "5.1", software="nemo", store=store)
    assert len(nemo.more["neighbours"].rows) > 0
    with pytest.raises(PitboardError, match="nothing can be expected"):
        expect("flux1", "MI325X", 8, "5.1", precision="NVFP4", store=store)


def test_a_proxy_scales_it(store: Store) -> None:
    plain = expect("llama2_70b_lora", "B200", 64, "5.1", store=store)
    proxy = "5.1/University-of-Florida/hpg.dgxb200x8.n8/llama31_8b"
    scaled = expect("llama2_70b_lora", "B200", 64, "5.1", proxy=proxy, store=store)
    assert scaled.facts["minutes"] == pytest.approx(plain.facts["minutes"] / scaled.facts["proxy_ratio"])
    assert any(note.startswith(f"Proxy: {proxy} reached") for note in scaled.notes)
    # An address must not make this machine read its files.
    remote = question("expect").remote
    with pytest.raises(PitboardError, match="names no result"):
        remote("llama2_70b_lora", "B200", 64, "5.1", proxy="/etc", store=store)
