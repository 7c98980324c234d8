"""Who states which number format, on the shipped rounds and on a log that discloses its own."""

from pathlib import Path

import pytest

import made_results
from made_logs import event, write_log
from pitboard.results import converge, formats
from pitboard.results.ingest import Names, read_rows
from pitboard.results.questions import formats as module
from pitboard.results.store import Store

LORA, SMALL = "llama2_70b_lora", "llama31_8b"


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_every_result_is_in_one_class_and_what_is_not_stated_is_one(store: Store) -> None:
    answer = formats(store=store)

    (counted,) = store.rows(
        """select count(*) as n, count(precision) as stated,
        count(*) filter (precision = 'NVFP4') as fp4, count(distinct benchmark) as benchmarks
        from results where round = '5.1' and not own"""
    )
    classes = answer.more["classes"].rows
    silent = [row for row in classes if row["precision"] == "not stated"]
    assert sum(row["results"] for row in classes) == counted["n"] == 184
    assert len(answer) == answer.facts["stated"] == counted["stated"] == 49
    assert sum(row["results"] for row in silent) == answer.facts["not_stated"] == 135
    assert len(silent) == counted["benchmarks"]
    assert answer.facts["formats"] == {"NVFP4": counted["fp4"], "FP8": 35, "MXFP8": 4}
    assert "135 of 184 results do not state their format" in answer.notes[-1]


def test_fp4_is_asked_for_by_its_family_and_its_samples_are_those_of_the_reference(store: Store) -> None:
    answer = formats(precision="fp4", store=store)

    assert {row["precision"] for row in answer} == {"NVFP4"}
    assert answer.title == (
        "Precision in v5.1: NVFP4 is stated by 10 results of Nebius, Oracle, Supermicro, which needed 1.06 to"
        " 1.11 × the reference's samples at their batch sizes, 9 of 10 significantly more"
    )
    rows = {row["reference"]: row for row in answer}
    lora = rows[f"5.1/Nebius/nebius_b200_n1/{LORA}"]
    # Reference runs at batch size 8 converge after a mean of 3178.67 samples; 2960.63 pass the RCP test.
    assert lora["against_reference"] == pytest.approx(3456 / 3178.6667, rel=1e-6)
    assert lora["reference_most"] == pytest.approx(2 * 3178.6667 - 2960.6340, abs=0.01)
    assert (lora["verdict"], lora["peer"]) == (module.PAID, f"5.1/Supermicro/AS-A126GS-TNBR/{LORA}")
    assert lora["peer_differs"] == "availability: Available cloud and Available on-premise"
    assert rows[f"5.1/Nebius/nebius_b300_n1/{LORA}"]["verdict"] == module.NO_MORE
    assert rows[f"5.1/Oracle/1xBM.GPU.B200.8/{SMALL}"]["verdict"] == module.NO_PEER
    # Its peer in FP8 needed 1.099 × the reference's samples, and so even more than it.
    assert rows[f"5.1/Nebius/nebius_b200_n2/{SMALL}"]["verdict"] == module.AS_PEER
    assert answer.facts["paid"] == [
        f"5.1/Nebius/nebius_b200_n2/{LORA}",
        f"5.1/Nebius/nebius_b200_n1/{LORA}",
        f"5.1/Nebius/nebius_b300_n1/{SMALL}",
    ]
    small = formats(benchmark=SMALL, precision="FP4", store=store)
    assert len(small) == 7
    assert small.title.startswith("Precision in v5.1, llama31_8b: NVFP4 is stated by 7 results")
    assert len(formats(benchmark=[SMALL, LORA], precision="FP4", store=store)) == 10
    measured = {row["reference"]: row for row in converge(SMALL, store=store)}
    assert all(
        row["samples_to_target"] == measured[name]["samples_to_target"]
        for name, row in rows.items()
        if name.endswith(SMALL)
    )


def test_a_round_that_states_nothing_and_a_batch_without_a_reference_are_said(store: Store) -> None:
    none = formats("3.1", store=store)

    assert (none.rows, none.title) == ([], "Precision in v3.1: none of 209 results states its number format")
    (row,) = [r for r in formats("4.0", store=store) if r["verdict"] == module.NO_REFERENCE]
    assert (row["submitter"], row["benchmark"], row["against_reference"]) == (
        "Fujitsu",
        "stable_diffusion",
        None,
    )
    described = [row for row in formats(store=store) if row["source"].startswith("description")]
    assert {row["submitter"] for row in described} == {"AMD"}
    assert all("all benchmarks of the system" in row["stated_by"] for row in described)


def test_what_a_log_discloses_of_each_part_is_shown_beside_what_is_published(tmp_path: Path) -> None:
    own = Store(tmp_path / "store")
    folder = made_results.submit(tmp_path / "Acme")
    disclosed = {"linear": "nvfp4", "attn": "fp8", "comm": "bfloat16"}
    for run in range(10):
        log = made_results.run_log(run, minutes=20 + run)
        log[2:2] = [event(f"lowest_numerical_precision_in_{part}", name) for part, name in disclosed.items()]
        write_log(folder / f"result_{run}.txt", log)
    own.add(read_rows(tmp_path / "Acme", "5.1", Names(system="box")))

    (row,) = formats("5.1", submitter="Acme", store=own)

    assert (row["precision"], row["attention"], row["communication"]) == ("NVFP4", "fp8", "bfloat16")
    assert row["stated_by"] == "its log: a disclosure"
    assert row["peer"] is None  # a published result is no peer of one's own
    assert len(formats("5.1", store=own)) == 49
    assert len(formats("5.1", with_own=True, store=own)) == 50
