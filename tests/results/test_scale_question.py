"""Scale curves: the law on numbers with a known answer, the question on the rounds that are shipped."""

import math
from collections.abc import Iterable
from statistics import fmean

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pitboard.errors import PitboardError
from pitboard.results.answer import Answer
from pitboard.results.law import Law, fit
from pitboard.results.prediction import predict
from pitboard.results.questions.scale import scale
from pitboard.results.schema import Row
from pitboard.results.store import Store

COUNTS = st.lists(st.integers(0, 12), min_size=3, max_size=8, unique=True).map(lambda n: [2**k for k in n])
NOISE = st.floats(-0.3, 0.3)


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


@pytest.fixture(scope="module")
def llama(store: Store) -> Answer:
    return scale("llama31_8b", "5.1", store=store)


def fitted(points: Iterable[tuple[float, float]]) -> Law:
    law = fit(points)
    assert law is not None
    return law


def interval(law: Law, accelerators: float) -> tuple[float, float]:
    _, low, high = law.at(accelerators)
    assert low is not None
    assert high is not None
    return low, high


@given(COUNTS, st.floats(-0.5, 1.5), st.floats(0.1, 1e4))
def test_an_exact_power_law_gives_back_its_exponent(
    counts: list[int], exponent: float, minutes: float
) -> None:
    law = fitted((n, minutes * n**-exponent) for n in counts)

    assert law.exponent == pytest.approx(exponent, abs=1e-6)
    assert math.exp(law.intercept) == pytest.approx(minutes, rel=1e-5)
    middle, low, high = law.at(counts[0])
    assert low == pytest.approx(middle, rel=1e-4)
    assert high == pytest.approx(middle, rel=1e-4)


@given(COUNTS, st.lists(NOISE, min_size=8, max_size=8))
def test_the_interval_holds_the_exponent_and_shrinks_with_repeats(
    counts: list[int], noise: list[float]
) -> None:
    points = [(n, math.exp(error) / n) for n, error in zip(counts, noise, strict=False)]
    law, twice = fitted(points), fitted(points * 2)
    assert law.residual is not None
    assume(law.residual > 1e-9)
    assert law.exponent_low is not None
    assert law.exponent_high is not None
    assert twice.exponent_low is not None
    assert twice.exponent_high is not None

    assert law.exponent_low < law.exponent < law.exponent_high
    assert twice.exponent == pytest.approx(law.exponent, abs=1e-6)
    assert twice.exponent_high - twice.exponent_low < law.exponent_high - law.exponent_low
    widths = [high / low for low, high in (interval(law, math.exp(law.centre) * f) for f in (1, 2, 4))]
    assert 1 < widths[0] < widths[1] < widths[2]


@given(COUNTS, st.lists(NOISE, min_size=8, max_size=8), st.floats(1.01, 10))
def test_the_law_is_monotone(counts: list[int], noise: list[float], factor: float) -> None:
    law = fitted((n, math.exp(error) / n) for n, error in zip(counts, noise, strict=False))
    assume(abs(law.exponent) > 1e-9)

    nearer, further = (law.at(n)[0] for n in (law.least, law.least * factor))
    assert (further < nearer) == (law.exponent > 0)


def test_the_interval_is_that_of_a_worked_example() -> None:
    # y = 1, 2, 4 over x = 0, 1, 2: slope 1.5, residual √(1/6); t of one degree of freedom is tan(0.475 π).
    law = fitted((math.e**x, math.e**y) for x, y in ((0, 1), (1, 2), (2, 4)))

    assert law.exponent == pytest.approx(-1.5)
    assert law.residual == pytest.approx(math.sqrt(1 / 6))
    t = math.tan(0.475 * math.pi)
    assert law.exponent_high is not None
    assert law.exponent_high - law.exponent == pytest.approx(t * math.sqrt(1 / 6) / math.sqrt(2))
    middle, (_, high) = law.at(math.e)[0], interval(law, math.e)
    assert math.log(high / middle) == pytest.approx(t * math.sqrt(1 / 6) * math.sqrt(1 + 1 / 3))


def test_counts_that_lie_close_together_do_not_overflow() -> None:
    law = fitted([(9_998, 1.0), (9_999, 2.0), (10_000, 1.0)])

    assert all(math.isfinite(value) for value in (law.at(5_000)[0], *interval(law, 5_000)))


def test_two_counts_give_a_line_without_interval_and_one_gives_none() -> None:
    law = fitted([(8, 80.0), (8, 80.0), (16, 40.0)])

    assert law.exponent == pytest.approx(1)
    assert (law.exponent_low, law.exponent_high, law.residual) == (None, None, None)
    middle, low, high = law.at(32)
    assert middle == pytest.approx(20)
    assert (low, high) == (None, None)
    assert fit([(8, 80.0), (8, 81.0)]) is None


@pytest.mark.parametrize(
    ("benchmark", "round"), [("llama31_8b", "5.1"), ("llama31_405b", "5.0"), ("stable_diffusion", "5.0")]
)
def test_efficiency_is_communication_by_convergence_and_rest(
    store: Store, benchmark: str, round: str
) -> None:
    answer = scale(benchmark, round, store=store)

    assert answer.facts["curves"] > 1
    first: dict[str, Row] = {}
    for row in answer:
        base = first.setdefault(row["family"], row)
        ratio = row["accelerators"] / base["accelerators"]
        assert ratio >= 1
        assert row["efficiency"] == pytest.approx(base["minutes"] / row["minutes"] / ratio)
        assert row["acts_like"] == pytest.approx(row["efficiency"] * row["accelerators"])
        if row["throughput"]:
            product = row["communication"] / row["convergence"] * row["rest"]
            assert row["efficiency"] == pytest.approx(product)
        assert row["minutes_low"] - 1e-9 <= row["minutes"] <= row["minutes_high"] + 1e-9
    assert all(row["efficiency"] == row["speedup"] == 1 for row in first.values())


def test_a_family_is_one_submitter_accelerator_and_framework(store: Store, llama: Answer) -> None:
    rows = [row for row in llama if row["family"] == "NVIDIA, NVIDIA GB200"]

    assert [row["accelerators"] for row in rows] == [8, 72, 512]
    assert {row["framework"] for row in rows} == {"NVIDIA NeMo Framework Release 25.09"}
    assert [row["minutes"] for row in rows] == sorted((row["minutes"] for row in rows), reverse=True)
    runs = store.rows(
        "select * from runs where submitter = 'NVIDIA' and system = $1 and benchmark = 'llama31_8b' "
        "and counted and not dropped",
        [rows[2]["system"]],
    )
    samples = fmean(run["samples_to_target"] for run in runs)
    seconds = 60 * fmean(run["minutes"] - run["evaluation_minutes"] for run in runs)
    assert rows[2]["throughput"] == pytest.approx(samples / seconds)
    assert rows[2]["minutes_low"] == pytest.approx(min(run["minutes"] for run in runs) * rows[2]["rcp_scale"])


def test_families_of_one_scale_are_flagged_and_have_no_law(llama: Answer) -> None:
    counts: dict[str, set[int]] = {}
    for row in llama:
        counts.setdefault(row["family"], set()).add(row["accelerators"])

    assert all(row["single"] == (len(counts[row["family"]]) == 1) for row in llama)
    curves = {family for family, found in counts.items() if len(found) > 1}
    assert (
        {row["family"] for row in llama.more["fits"]} == curves == {r["family"] for r in llama.more["fitted"]}
    )
    for row in llama.more["fits"]:
        assert (row["residual"] is None) == (len(counts[row["family"]]) == 2)
    drawn = {row["family"] for row in llama.more["fitted"] if row["low"] is not None}
    assert drawn == {"University-of-Florida, NVIDIA B200"}
    supermicro = [row for row in llama if row["family"] == "Supermicro, NVIDIA B200"]
    assert [(row["accelerators"], row["single"]) for row in supermicro] == [(8, True), (8, True)]
    assert any(
        "More than one result at one count" in n and "Supermicro, NVIDIA B200" in n for n in llama.notes
    )


def test_two_stacks_of_a_submitter_are_two_families(store: Store) -> None:
    families = {row["family"] for row in scale("llama2_70b_lora", "5.0", "Supermicro", "B200", store=store)}

    assert len(families) == 2
    assert all("Release 25.0" in family for family in families)


def test_a_prediction_inside_the_range_holds_the_measured_results(llama: Answer) -> None:
    for row in llama:
        if row["family"] == "University-of-Florida, NVIDIA B200":
            told = predict(llama, "university-of-florida, nvidia b200", row["accelerators"])
            assert told.low < row["minutes"] < told.high
            assert told.trust.startswith("Inside the measured 8 to 256 accelerators")
    beyond = predict(llama, "University-of-Florida, NVIDIA B200", 512)
    assert "extrapolation" in beyond.trust


@pytest.mark.parametrize(
    ("family", "accelerators", "message"),
    [
        ("University-of-Florida, NVIDIA B200", 513, "from 8 to 256 accelerators: 513 is too far"),
        ("University-of-Florida, NVIDIA B200", 3, "Ask for 4 to 512"),
        ("Oracle, NVIDIA B200", 16, "fewer than three counts"),
        ("Supermicro, NVIDIA B200", 8, "fewer than three counts"),
        ("NVIDIA, NVIDIA GB20", 8, "Did you mean 'NVIDIA, NVIDIA GB200'"),
    ],
)
def test_a_prediction_that_nothing_supports_is_refused(
    llama: Answer, family: str, accelerators: int, message: str
) -> None:
    with pytest.raises(PitboardError, match=message):
        predict(llama, family, accelerators)


def test_no_result_names_the_rounds_that_have_the_benchmark(store: Store) -> None:
    with pytest.raises(PitboardError, match=r"bert in v5\.1 matches .*entered in .*v5\.0"):
        scale("bert", store=store)
