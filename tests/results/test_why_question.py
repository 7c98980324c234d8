from itertools import pairwise
from math import isclose, log, prod
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pitboard.errors import PitboardError
from pitboard.results import attribution
from pitboard.results.bridges import CHANGES, path, software
from pitboard.results.find import reference, result
from pitboard.results.questions.why import why
from pitboard.results.store import Store

LAMBDA = "5.1/Lambda/gb300_n18_ngc25.04_nemo/llama2_70b_lora"
BEFORE = "5.0/NVIDIA/tyche_ngpu72_ngc25.04_nemo/llama2_70b_lora"
BRIDGE = "5.1/NVIDIA/tyche_ngpu72_ngc25.09_nemo/llama2_70b_lora"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def scored(store: Store) -> list[dict[str, Any]]:
    return store.rows("select * from results where not own and minutes is not null order by all")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_factors_multiply_to_the_speedup(store: Store, data: st.DataObject) -> None:
    every = {reference(row): row for row in scored(store)}
    first = data.draw(st.sampled_from(list(every)))
    second = data.draw(st.sampled_from([text for text in every if text.split("/")[3] == first.split("/")[3]]))
    a, b = every[first], every[second]
    answer = why(first, second, store=store)
    assert isclose(prod(row["factor"] for row in answer), a["minutes"] / b["minutes"], rel_tol=1e-9)
    assert isclose(answer.facts["speedup"], a["minutes"] / b["minutes"], rel_tol=1e-9)
    shares = [row["share"] for row in answer]
    assert None in shares or isclose(sum(shares), 1, abs_tol=1e-9)
    assert all(row["low"] is None or 0 < row["low"] <= row["high"] for row in answer)
    assert all(row["known"] == ("not separated" not in row["part"]) for row in answer)


def throughput(store: Store, text: str) -> float:
    """Samples a minute and accelerator by another way: sort the runs, leave out two, and divide."""
    row = result(store, text)
    found = store.rows(
        "select minutes, evaluation_minutes, samples_to_target from runs where round = $1 and submitter = $2 "
        "and system = $3 and benchmark = $4 and counted order by minutes",
        text.split("/"),
    )[1:-1]
    outside = mean(run["minutes"] - run["evaluation_minutes"] for run in found)
    return float(mean(run["samples_to_target"] for run in found) / outside / row["accelerators"])


def test_hardware_and_software_come_from_the_named_bridge(store: Store) -> None:
    answer = why(BEFORE, LAMBDA, store=store)
    factors = {row["part"]: row["factor"] for row in answer}
    assert answer.facts["bridges"] == [BRIDGE]
    assert isclose(factors["software"], throughput(store, BRIDGE) / throughput(store, BEFORE))
    assert isclose(factors["hardware"], throughput(store, LAMBDA) / throughput(store, BRIDGE))
    assert (round(factors["software"], 3), round(factors["hardware"], 3)) == (1.198, 1.101)
    assert any(BRIDGE in note for note in answer.notes)
    assert any("availability" in warning for warning in answer.warnings)


def test_what_has_no_bridge_is_said_to_be_not_separated(store: Store) -> None:
    answer = why("5.0/Lambda/1cc_b200_n1_ngc25.04_nemo/llama2_70b_lora", LAMBDA, store=store)
    (lumped,) = [row for row in answer if not row["known"]]
    assert lumped["part"] == "scale efficiency and hardware, not separated"
    assert any("Cannot be separated: scale efficiency, hardware" in note for note in answer.notes)
    assert any("batch size and of precision" in note for note in answer.notes)
    assert {row["part"]: row["factor"] for row in answer}["accelerator count"] == 9


def test_evaluation_outside_the_clock_is_no_part(store: Store) -> None:
    rows = [row for row in scored(store) if row["benchmark"] == "stable_diffusion"]
    answer = why(reference(rows[0]), reference(rows[1]), store=store)
    assert "evaluation" not in {row["part"] for row in answer}
    assert any("Evaluation time is not logged" in note for note in answer.notes)


def test_an_interval_can_be_repeated_and_has_the_width_of_the_runs(store: Store) -> None:
    first = why(BEFORE, LAMBDA, store=store)
    attribution._resampled.cache_clear()
    assert why(BEFORE, LAMBDA, store=store).rows == first.rows
    convergence = first.rows[0]
    # The standard error of a mean of eight runs whose samples to target scatter by 6 to 9 %.
    assert 0.05 < log(convergence["high"] / convergence["low"]) < 0.25
    few = [row for row in scored(store) if row["benchmark"] == "llama31_405b"]
    answer = why(reference(few[0]), reference(few[-1]), store=store)
    assert answer.facts["low"] is None
    assert "A result has too few runs for an interval." in answer.notes


def test_a_result_over_itself_has_no_speedup_to_share(store: Store) -> None:
    answer = why(LAMBDA, LAMBDA, store=store)
    assert {row["factor"] for row in answer} == {1}
    assert {row["share"] for row in answer} == {None}


def test_results_that_cannot_be_compared_are_refused(store: Store) -> None:
    with pytest.raises(PitboardError, match="different benchmarks"):
        why(LAMBDA, "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", store=store)


def entry(name: str, place: tuple[int, str, str], organisation: str = "One") -> dict[str, Any]:
    return {
        "round": "5.1",
        "submitter": organisation,
        "organisation": organisation,
        "system": name,
        "benchmark": "bert",
        "accelerators": place[0],
        "accelerator": place[1],
        "framework": place[2],
        "global_batch_size": 8,
        "precision": None,
    }


places = st.tuples(st.sampled_from([8, 16]), st.sampled_from("xy"), st.sampled_from("st"))
pools = st.lists(st.tuples(places, st.sampled_from(["One", "Two"])), max_size=12)


@given(places, places, pools)
def test_a_path_makes_every_change_once_and_scales_within_a_family(
    a: tuple[int, str, str], b: tuple[int, str, str], found: list[tuple[tuple[int, str, str], str]]
) -> None:
    first, last = entry("a", a), entry("b", b)
    pool = [entry(f"p{number}", place, who) for number, (place, who) in enumerate(found)]
    steps = path(first, last, pool)
    assert (steps[0].before, steps[-1].after) == (first, last)
    assert all(step.after is after.before for step, after in pairwise(steps))
    made = [change for step in steps for change in step.changes]
    differ = [name for name, x, y in zip(CHANGES, a, b, strict=True) if x != y]
    assert sorted(made) == sorted(differ)
    for step in steps:
        ends = [(row["accelerators"], row["accelerator"], software(row)) for row in (step.before, step.after)]
        assert {name for name, x, y in zip(CHANGES, *ends, strict=True) if x != y} == set(step.changes)
        if step.changes == ("accelerators",):
            assert step.before["organisation"] == step.after["organisation"]


def test_a_path_takes_the_bridge_that_is_there() -> None:
    a, b = entry("a", (8, "x", "s")), entry("b", (8, "y", "t"))
    assert [step.changes for step in path(a, b, [])] == [("accelerator", "software")]
    bridge = entry("bridge", (8, "x", "t"))
    assert [step.changes for step in path(a, b, [bridge])] == [("software",), ("accelerator",)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PyTorch NVIDIA Release 25.09", "NVIDIA release 25.09"),
        ("NVIDIA NeMo Framework Release 25.09", "NVIDIA release 25.09"),
        ("NGC Pytorch 25.04, NVIDIA Nemo 25.09", "NGC Pytorch 25.04, NVIDIA Nemo 25.09"),
        ("PyTorch 2.6.0, ROCm 6.4", "PyTorch 2.6.0, ROCm 6.4"),
        (None, "not stated"),
    ],
)
def test_software_is_the_release_that_descriptions_share(text: str | None, name: str) -> None:
    assert software({"framework": text}) == name
