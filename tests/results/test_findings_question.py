"""What each shipped round shows, held against queries of the store and figures counted by hand."""

import pytest

from pitboard import results
from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.answer import Answer
from pitboard.results.find import rounds_of
from pitboard.results.schema import Row
from pitboard.results.store import Store


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def _of(answer: Answer, finding: str, about: str | None = None) -> Row:
    return next(row for row in answer if row["finding"] == finding and about in (None, row["about"]))


def _benchmarks(store: Store, round: str) -> set[str]:
    rows = store.rows("select distinct benchmark from results where round = $1 and not own", [round])
    return {row["benchmark"] for row in rows}


def test_every_round_that_ships_has_findings_that_agree_with_its_rows(store: Store) -> None:
    have = rounds_of(store)
    assert have == ["1.0", "2.0", "3.1", "4.0", "4.1", "5.0", "5.1"]
    for round in have:
        answer = results.findings(round, store=store)
        kinds = {row["finding"] for row in answer}
        # The first has none before it.
        assert ({"new", "first", "gains", "gain", "moore"} <= kinds) == (round != "1.0")
        assert {"multi_node", "precision", "fastest", "scaling"} <= kinds
        assert all(row["sentence"].endswith(".") for row in answer)
        (counted,) = store.rows(
            "select count(*) filter (nodes > 1) as several, count(*) as n, count(precision) as stated"
            " from results where round = $1 and not own",
            [round],
        )
        assert f"({counted['several']} of {counted['n']})" in _of(answer, "multi_node")["sentence"]
        said = _of(answer, "precision")
        assert f"{counted['stated'] or 'None'} of {counted['n']} results" in said["sentence"] + (
            said["caveat"] or ""
        )
    first = results.findings("1.0", store=store)
    assert "no round before v1.0" in first.notes[0]
    with pytest.raises(PitboardError, match=r"round '1\.1'"):
        results.findings("1.1", store=store)


def test_the_newest_round_is_told_as_it_was(store: Store) -> None:
    answer = results.findings(store=store)

    assert answer.facts == {"round": "5.1", "before": "5.0", "year_before": "4.1"}
    now, before = _benchmarks(store, "5.1"), _benchmarks(store, "5.0")
    assert (now - before, before - now) == ({"flux1", "llama31_8b"}, {"bert", "stable_diffusion"})
    assert _of(answer, "new")["sentence"] == (
        "New in v5.1 are flux1 (in the place of stable_diffusion) and llama31_8b (in the place of bert); "
        "5 benchmarks were in v5.0, too."
    )
    assert "MiTAC, University-of-Florida, Verda and Wiwynn" in _of(answer, "first")["sentence"]
    assert "it was 32% (50 of 154)" in _of(answer, "multi_node")["sentence"]
    assert {row["about"] for row in answer if row["finding"] == "gain"} == now & before
    fastest = [r for r in answer.more["fastest"] if (r["benchmark"], r["accelerators"]) == ("llama31_8b", 8)]
    (least,) = store.rows(
        """select min(minutes) as minutes, count(*) as entered from results
        where round = '5.1' and benchmark = 'llama31_8b' and accelerators = 8 and division = 'closed'"""
    )
    assert [(row["minutes"], row["entered"]) for row in fastest] == [(least["minutes"], least["entered"])]


def test_a_gain_is_never_an_rcp_factor_runs_entered_again_or_another_task(store: Store) -> None:
    answer = results.findings(store=store)

    gains = {row["benchmark"]: row for row in answer.more["gains"]}
    large = gains["llama31_405b"]
    sql = """select minutes, rcp_scale from results
    where concat_ws('/', round, submitter, system, benchmark) = $1"""
    then, now = (store.rows(sql, [large[side]])[0] for side in ("before", "after"))
    by_runs = (then["minutes"] / then["rcp_scale"]) / (now["minutes"] / now["rcp_scale"])
    assert by_runs < then["minutes"] / now["minutes"]  # the score gained more, by its factor
    assert _of(answer, "gain", "llama31_405b")["figure"] == pytest.approx(by_runs)
    # Nebius entered the runs of its two systems of v5.0 again.
    again = [row for row in results.rounds("llama31_405b", since="5.0", store=store) if row["same_runs"]]
    assert "2 more pairs are the same runs" in _of(answer, "gain", "llama31_405b")["caveat"]
    assert {large["label"]}.isdisjoint(row["label"] for row in again)
    # From v1.0 to v2.0 ssd became another task under the same name.
    earlier = results.findings("2.0", store=store)
    ssd = _of(earlier, "gain", "ssd")
    assert (ssd["figure"], "Not the same task" in ssd["sentence"]) == (None, True)
    assert "ssd" not in {row["benchmark"] for row in earlier.more["gains"]}


def test_the_evidence_of_a_finding_is_a_question_that_answers(store: Store) -> None:
    answer = results.findings(store=store)

    asked = {row["address"]: row for row in answer}
    for address, row in asked.items():
        question, options = row["question"], row["options"]
        assert questions.question(question).ask(**options, store=store).rows, address
        flags = " ".join(f"--{name} {value}" for name, value in options.items())
        assert row["evidence"] == f"pitboard results {question} {flags}".rstrip()


def test_an_answer_is_the_caller_s_own(store: Store) -> None:
    results.findings(store=store).rows.clear()

    assert results.findings(store=store).rows
