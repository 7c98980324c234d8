from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pitboard.errors import PitboardError
from pitboard.results.find import reference, result
from pitboard.results.questions.rounds import ANY_SUBMITTER, SAME_SUBMITTER, rounds
from pitboard.results.store import Store
from pitboard.results.tracing import trace

LAMBDA = "5.1/Lambda/gb300_n18_ngc25.04_nemo/llama2_70b_lora"
BOTH = ["dlrm_dcnv2", "llama2_70b_lora", "llama31_405b", "retinanet", "rgat"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def entries(store: Store, benchmark: str, number: str) -> list[dict[str, Any]]:
    values: list[object] = [benchmark, number]
    return store.rows(
        "select * from results where benchmark = $1 and round = $2 and not own and minutes > 0", values
    )


def who(row: dict[str, Any]) -> tuple[object, ...]:
    name = {"QCT": "Quanta_Cloud_Technology"}.get(row["organisation"], row["organisation"])
    return name.casefold(), row["accelerator"], row["accelerators"]


@pytest.mark.parametrize("benchmark", BOTH)
def test_pairs_are_the_fastest_of_each_round(store: Store, benchmark: str) -> None:
    answer = rounds(benchmark, store=store)
    old, new = (entries(store, benchmark, number) for number in ("5.0", "5.1"))
    for kind, group in ((SAME_SUBMITTER, who), (ANY_SUBMITTER, lambda row: who(row)[1:])):
        expected = set()
        for key in {group(row) for row in old} & {group(row) for row in new}:
            fastest = [min(r["minutes"] for r in rows if group(r) == key) for rows in (old, new)]
            expected.add((round(fastest[0], 9), round(fastest[1], 9)))
        found = [row for row in answer if row["kind"] == kind]
        assert {(round(r["minutes_before"], 9), round(r["minutes_after"], 9)) for r in found} == expected
    best = min(r["minutes"] for r in old) / min(r["minutes"] for r in new)
    assert answer.facts["best_speedup"] == pytest.approx(best)


@pytest.mark.parametrize("benchmark", BOTH)
def test_rows_are_what_their_references_say(store: Store, benchmark: str) -> None:
    answer = rounds(benchmark, store=store)
    for row in answer:
        before, after = result(store, row["before"]), result(store, row["after"])
        assert row["speedup"] == pytest.approx(before["minutes"] / after["minutes"])
        assert (before["round"], after["round"]) == ("5.0", "5.1")
        alike = all(before[name] == after[name] for name in ("accelerators", "availability"))
        alike = alike and (before["target"] or after["target"]) == (after["target"] or before["target"])
        assert row["like_for_like"] == alike == (row["reasons"] == "")
        assert row["kind"] == "best" or before["accelerators"] == after["accelerators"]
    pairs = [r for r in answer if r["kind"] == SAME_SUBMITTER and r["like_for_like"]]
    own = [r["speedup"] for r in pairs if not r["same_runs"]]
    assert answer.facts["median_same_submitter"] == (median(own) if own else None)


def test_one_organisation_under_two_names_is_one(store: Store) -> None:
    pairs = {(row["before"], row["after"]) for row in rounds("llama2_70b_lora", store=store)}
    name = "D75T-7U/llama2_70b_lora"
    assert (f"5.0/QCT/{name}", f"5.1/Quanta_Cloud_Technology/{name}") in pairs


def test_runs_that_were_entered_again_are_no_change(store: Store) -> None:
    answer = rounds("llama31_405b", store=store)
    again = {row["label"]: row for row in answer if row["same_runs"] and row["kind"] == SAME_SUBMITTER}
    assert set(again) == {"Nebius, 512 × NVIDIA H200", "Nebius, 1,024 × NVIDIA H200"}
    for row in again.values():
        # The two rounds scaled the same runs by 7/6 and by 17/15.
        assert row["speedup"] == pytest.approx((7 / 6) / (17 / 15))
        assert row["speedup_of_runs"] == pytest.approx(1)
    assert answer.facts["same_submitter_pairs"] == 1
    starts = (
        "select started from runs where benchmark = 'llama31_405b' and round = $1 and submitter = 'Nebius'"
    )
    before, after = ({row["started"] for row in store.rows(starts, [number])} for number in ("5.0", "5.1"))
    assert before & after


def test_a_new_generation_is_set_against_the_one_before(store: Store) -> None:
    labels = {row["label"]: row for row in rounds("llama2_70b_lora", store=store)}
    row = labels["72 × NVIDIA Blackwell → Blackwell Ultra"]
    assert (row["accelerator_before"], row["accelerator_after"]) == ("NVIDIA GB200", "NVIDIA GB300")
    assert "8 × AMD CDNA 3 → CDNA 4" in labels


@pytest.mark.parametrize(
    ("benchmark", "since", "said"),
    [
        ("bert", "5.0", "bert was retired after v5.0; llama31_8b replaced it."),
        ("llama31_8b", None, "llama31_8b replaces bert"),
        ("flux1", None, "No result of flux1 in v1.0, v2.0, v3.1, v4.0, v4.1, v5.0."),
    ],
)
def test_a_benchmark_of_one_round_says_why(
    store: Store, benchmark: str, since: str | None, said: str
) -> None:
    answer = rounds(benchmark, since, store=store)
    assert answer.rows == []
    assert any(said in note for note in answer.notes)


def test_rounds_since_an_earlier_one_are_set_against_it_and_one_after_another(store: Store) -> None:
    answer = rounds("llama2_70b_lora", "4.1", store=store)
    spans = list(dict.fromkeys((row["round_before"], row["round_after"]) for row in answer))
    assert spans == [("4.1", "5.1"), ("4.1", "5.0"), ("5.0", "5.1")]
    best = [min(row["minutes"] for row in entries(store, "llama2_70b_lora", n)) for n in ("4.1", "5.1")]
    assert answer.facts["best_speedup"] == pytest.approx(best[0] / best[1])
    assert "v4.1 → v5.1" in answer.title
    changed = rounds("ssd", "1.0", store=store).notes
    assert any("target of ssd was ≥ 0.23 in v1.0 and is ≥ 0.34 in v2.0" in note for note in changed)
    with pytest.raises(PitboardError, match=r"its last is v4\.0"):
        rounds("resnet", "5.0", store=store)


def test_the_lambda_claim_is_not_in_the_data(store: Store) -> None:
    answer = trace(LAMBDA, 1.66, store=store)
    minutes = result(store, LAMBDA)["minutes"]
    old = [row for n in ("4.0", "4.1", "5.0") for row in entries(store, "llama2_70b_lora", n)]
    old = [row for row in old if row["division"] == "closed"]
    same = sorted(row["minutes"] / minutes for row in old if row["accelerators"] == 72)
    assert len(answer) == len(old)
    assert answer.facts["gives"] == []
    assert [answer.facts["same_count_low"], answer.facts["same_count_high"]] == [same[0], same[-1]]
    assert [round(ratio, 3) for ratio in same] == [1.267, 1.309, 1.329]
    assert list(answer.facts["like_for_like"]) == ["5.0/Oracle/18xBM.GPU.GB200.4/llama2_70b_lora"]
    assert answer.facts["nearest"] == "4.0/smc/64xSMC-H100-SXM-80GB/llama2_70b_lora"
    assert any("state FP8" in note and "FP4 over FP8 is not in these runs" in note for note in answer.notes)
    parts = {row["candidate"] for row in answer.more["split"]}
    assert parts == {reference(row) for row in old if row["accelerators"] == 72}


def test_rounds_traces_the_claims_about_its_benchmark(store: Store) -> None:
    answer = rounds("llama2_70b_lora", store=store)
    assert {row["claimed"] for row in answer.more["claims"]} == {1.66}
    assert any("1.66 × as fast" in note for note in answer.notes)
    assert rounds("rgat", store=store).more == {}


@settings(max_examples=15, deadline=None)
@given(claimed=st.floats(0.05, 50))
def test_candidates_come_nearest_first(store: Store, claimed: float) -> None:
    answer = trace("5.1/Nebius/nebius_b200_n4/llama2_70b_lora", claimed, store=store)
    assert all(abs(x["off"]) <= abs(y["off"]) for x, y in pairwise(answer))
    assert {row["candidate"].split("/")[0] for row in answer} == {"4.0", "4.1", "5.0"}
    assert set(answer.facts["gives"]) == {
        row["candidate"] for row in answer if abs(row["ratio"] - claimed) <= 0.005
    }


def test_a_true_claim_is_found(store: Store) -> None:
    oracle = "5.0/Oracle/18xBM.GPU.GB200.4/llama2_70b_lora"
    answer = trace(LAMBDA, 1.27, store=store)
    assert answer.facts["gives"] == [oracle]
    assert answer.rows[0]["candidate"] == oracle


def test_a_claim_that_cannot_be_is_refused(store: Store) -> None:
    for claimed in (0, -1.5, float("nan"), float("inf")):
        with pytest.raises(PitboardError, match="expected a ratio above 0"):
            trace(LAMBDA, claimed, store=store)
    with pytest.raises(PitboardError, match="No result has the benchmark"):
        rounds("gnmt", store=store)
