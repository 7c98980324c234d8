"""Several results side by side, and one with what is known of it: figures against the store's raw rows."""

from itertools import combinations
from statistics import fmean

import pytest

from pitboard import results
from pitboard.charts import as_json
from pitboard.charts.answers import draw
from pitboard.errors import PitboardError
from pitboard.results.find import reference, result
from pitboard.results.likeness import unlike
from pitboard.results.questions.compare import QUESTION
from pitboard.results.store import Store
from pitboard.stats import olympic_interval

NVIDIA = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b"
NEBIUS = "5.1/Nebius/nebius_b200_n1/llama31_8b"
LARGE = "5.1/NVIDIA/theia_ngpu512_ngc25.09_nemo/llama31_8b"
B300 = "5.1/Nebius/nebius_b300_n1/llama31_8b"
SLOW = "5.1/Cisco/1xC885A_M8-8xMI350X-OAM-288GB/llama31_8b"
SIX = (NVIDIA, NEBIUS, LARGE, B300, SLOW, "5.1/Cisco/hpf_n8/llama31_8b")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), held=True)


def _score(store: Store, name: str) -> float:
    """Work out a score from the runs as the store has them."""
    row = result(store, name)
    runs = store.rows(
        "select minutes from runs where round = $1 and submitter = $2 and system = $3 and benchmark = $4"
        " and counted and not dropped",
        name.split("/"),
    )
    return fmean(run["minutes"] for run in runs) * float(row["rcp_scale"] or 1)


def _in_order(store: Store, name: str) -> list[float]:
    return [
        run["minutes"]
        for run in store.rows(
            "select minutes from runs where round = $1 and submitter = $2 and system = $3 and benchmark = $4"
            " and counted order by run",
            name.split("/"),
        )
    ]


def test_up_to_six_are_ranked_and_each_pair_is_as_it_would_be_alone(store: Store) -> None:
    answer = results.compare(*SIX, store=store)
    named = dict(zip("ABCDEF", SIX, strict=True))
    assert {row["result"]: row["reference"] for row in answer} == named
    minutes = [row["minutes"] for row in answer]
    assert minutes == sorted(minutes)
    for row in answer:
        assert row["minutes"] == pytest.approx(_score(store, row["reference"]))
        assert row["low"] <= row["minutes"] <= row["high"]
        assert row["speedup"] == pytest.approx(_score(store, NVIDIA) / row["minutes"])
    pairs = answer.more["pairs"].rows
    assert {frozenset((pair["faster"], pair["slower"])) for pair in pairs} == {
        frozenset(pair) for pair in combinations("ABCDEF", 2)
    }
    for pair in pairs[::4]:
        alone = results.compare(named[pair["slower"]], named[pair["faster"]], store=store)
        assert [pair[name] for name in ("speedup", "low", "high")] == [
            alone.facts[name] for name in ("speedup", "low", "high")
        ]
        assert pair["like"] is (alone.warnings == [])
    like = [(pair["after"], pair["before"]) for pair in pairs if pair["like"]]
    assert like == [(B300, NEBIUS), (NVIDIA, SLOW)]
    assert answer.facts["like_for_like"] == 2
    assert (answer.facts["fastest"], answer.facts["pairs"]) == (LARGE, 15)
    assert any("8 (A, B, D, E), 512 (C) and 64 (F)" in warning for warning in answer.warnings)
    assert QUESTION.exit_code(answer) == 1
    assert sum(not column.detail for column in answer.columns) == 8
    assert answer.facts["citation"].count("entry number to be looked up") == 6
    assert answer.facts["citation"].count("trademarks") == 1
    drawn = as_json(draw(answer, "ranked"))
    assert all(f"{letter} " in drawn for letter in named)


def test_several_that_cannot_be_compared_are_refused(store: Store) -> None:
    flux = "5.1/NVIDIA/theia_ngpu16_ngc25.09_nemo/flux1"
    with pytest.raises(PitboardError, match="different benchmarks, llama31_8b and flux1"):
        results.compare(NVIDIA, NEBIUS, flux, store=store)
    like = results.compare(NEBIUS, B300, store=store)
    assert (like.warnings, QUESTION.exit_code(like)) == ([], 0)


def test_the_olympic_mean_of_a_ratio_drops_as_many_as_the_score(store: Store) -> None:
    found = store.rows(
        "select * from results where benchmark = 'unet3d' and round = '4.0' and runs = 40 order by minutes"
    )
    answer = results.compare(reference(found[0]), reference(found[1]), store=store)
    for row in answer:
        assert row["minutes"] == pytest.approx(_score(store, row["reference"]))
        times = [float(text) for text in row["each_run"].split(", ")]
        runs = [minutes * row["rcp_scale"] for minutes in _in_order(store, row["reference"])]
        assert (row["low"], row["high"]) == pytest.approx(olympic_interval(runs, 4))
        assert row["high"] - row["low"] < times[-5] - times[4]


def test_the_software_of_several_systems_says_who_states_what(store: Store) -> None:
    three = results.stack(NVIDIA, NEBIUS, LARGE, store=store)
    differing = results.stack(NVIDIA, NEBIUS, LARGE, different=True, store=store)
    two = {row["key"]: row for row in results.stack(NVIDIA, NEBIUS, store=store)}
    for row in three:
        assert (row["a"], row["b"]) == (two[row["key"]]["a"], two[row["key"]]["b"])
    assert [row["key"] for row in differing] == ["kernel", "NVIDIA kernel driver"]
    assert all(row["difference"] == "differs" for row in differing)
    assert {row["difference"] for row in three} - {"differs"} == {"same"}
    states = results.stack(SIX[5], NVIDIA, NEBIUS, store=store)
    assert next(row for row in states if row["key"] == "NeMo")["difference"] == "only B and C state it"


def test_a_result_has_its_peers_its_logs_and_its_citation(store: Store) -> None:
    answer = results.entry(NVIDIA, store=store)
    (row,) = answer.rows
    peers = answer.more["peers"].rows
    assert len(peers) > 10
    assert [peer["place"] for peer in peers] == list(range(1, len(peers) + 1))
    assert row["place"] == f"{answer.facts['place']} of {len(peers)}"
    for peer in peers:
        assert unlike(row, peer) == []
        assert peer["speedup"] == row["minutes"] / peer["minutes"]
    runs = answer.more["runs"].rows
    assert runs[3]["address"] == (
        "https://github.com/mlcommons/training_results_v5.1/blob/main/NVIDIA/results/tyche_ngpu8_ngc25.09_nemo/"
        "llama31_8b/result_3.txt"
    )
    assert sum(run["dropped"] for run in runs) == 2
    assert answer.facts["citation"] in answer.notes[-1]
    assert as_json(draw(answer, "ranked")).count("others") > 0


def test_a_result_without_a_score_is_shown_and_says_so(store: Store) -> None:
    (found,) = store.rows("select * from results where minutes is null order by all limit 1")
    answer = results.entry(reference(found), store=store)
    assert "no score" in answer.title
    assert (answer.facts["place"], answer.more["peers"].rows) == (None, [])
