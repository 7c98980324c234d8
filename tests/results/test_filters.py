"""Filters of several values, the names that people know, and what is marked where a figure stands."""

import json

import pytest

from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.answer import document
from pitboard.results.bridges import implausible, software
from pitboard.results.find import known_all, result
from pitboard.results.questions.compare import compare
from pitboard.results.questions.converge import converge
from pitboard.results.questions.formats import formats
from pitboard.results.questions.roster import roster
from pitboard.results.questions.rounds import rounds
from pitboard.results.questions.scale import scale
from pitboard.results.questions.stack import stack
from pitboard.results.questions.table import table
from pitboard.results.questions.trend import trend
from pitboard.results.questions.why import why
from pitboard.results.store import Store
from pitboard.web import asking

LENOVO = "5.1/Lenovo/SR680aV3-8xB200_SXM_180GB/llama31_8b"
NVIDIA = "5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31_8b"


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def systems(**filters: object) -> set[tuple[str, str, str]]:
    answer = table(store=Store("/nowhere/at/all"), **filters)  # type: ignore[arg-type]
    return {(row["round"], row["submitter"], row["system"]) for row in answer.rows}


def test_several_values_of_a_filter_are_their_union(store: Store) -> None:
    b200, b300 = (systems(accelerator=name, round="5.1") for name in ("B200", "NVIDIA B300"))
    assert systems(accelerator=["B200", "B300"], round="5.1") == b200 | b300
    assert b200
    assert b300
    both = systems(round=["5.0", "5.1"], benchmark="retinanet", accelerators=[8, 16])
    assert both == {
        each
        for round in ("5.0", "5.1")
        for count in (8, 16)
        for each in systems(round=round, benchmark="retinanet", accelerators=count)
    }
    precisions = {
        row["precision"] for row in converge("llama31_8b", "5.1", precision=["FP8", "NVFP4"], store=store)
    }
    assert precisions == {"FP8", "NVFP4"}
    frameworks = {row["framework"] for row in table("5.1", software="25.09", store=store)}
    assert frameworks
    assert all("25.09" in framework for framework in frameworks)
    curves = scale("llama2_70b_lora", ["5.0", "5.1"], accelerator="GB200", submitter="NVIDIA", store=store)
    assert {row["family"][:12] for row in curves} == {"v5.0 NVIDIA,", "v5.1 NVIDIA,"}
    with pytest.raises(PitboardError, match="No result's framework has 'Fortran'"):
        table(software="Fortran", store=store)
    with pytest.raises(PitboardError, match="Did you mean"):
        table(accelerator=["B200", "B3000"], store=store)


def test_every_question_about_many_results_takes_a_precision_and_a_software() -> None:
    names = {each.name: {option.name for option in each.options} for each in questions.declared()}
    # Of results that are named, of sentences that were published, of a whole round, and SQL with its `where`.
    without = {"compare", "entry", "stack", "why", "claims", "findings", "sql"}
    assert {name for name, options in names.items() if not {"precision", "software"} <= options} == without


def test_the_filters_hold_for_both_rounds_that_are_compared(store: Store) -> None:
    count = "select count(*) n, count(distinct organisation) who from results where not own and round = $1"
    fp8 = " and precision = 'FP8' and contains(lower(framework), 'nemo')"
    answer = roster("5.1", "5.0", precision="FP8", software="nemo", store=store)
    now, then = (store.rows(count + fp8, [round])[0] for round in ("5.1", "5.0"))
    assert (answer.facts["results"], len(answer)) == (now["n"], now["who"])
    assert answer.facts["before"]["results"] == then["n"] > 0
    assert answer.title.startswith("MLPerf Training v5.1, FP8, nemo: ")
    assert "Dell" not in answer.facts["first_timers"]
    # Nothing has no share of anything, and none that another could have changed from.
    new = roster("5.1", "5.0", precision="NVFP4", store=store).more["change"].rows
    share = next(row for row in new if row["figure"] == "multi-node share of results, %")
    assert (share["before"], share["now"], share["change"]) == (None, pytest.approx(30), None)

    whole = rounds("llama2_70b_lora", "5.0", store=store)
    narrow = rounds("llama2_70b_lora", "5.0", accelerator="H200", software="24.", store=store)
    assert {row["accelerator_before"] for row in narrow} == {"NVIDIA H200"}
    assert all("24." in row[f"framework_{side}"] for row in narrow for side in ("before", "after"))
    assert whole.more
    assert not narrow.more  # a published claim is not about a part of the results
    assert narrow.title.startswith("llama2_70b_lora, NVIDIA H200, 24., v5.0 → v5.1: ")
    with pytest.raises(PitboardError, match="no published result of rgat, NVFP4 in the closed division"):
        rounds("rgat", precision="NVFP4", store=store)

    h100 = trend("llama2_70b_lora", accelerator="H100", store=store)
    assert {row["round"] for row in h100} == {"4.0", "4.1", "5.0", "5.1"}
    best = store.rows(
        "select min(minutes) m from results where round = '5.1' and accelerator = 'NVIDIA H100'"
        " and benchmark = 'llama2_70b_lora' and division = 'closed' and not own"
    )
    assert h100.rows[-1]["minutes_any"] == best[0]["m"]
    assert h100.title.startswith("NVIDIA H100: llama2_70b_lora (v4.0 to v5.1) ")
    states = formats("5.1", software="25.09", store=store)
    assert 0 < len(states) < len(formats("5.1", store=store))
    assert all("25.09" in row["framework"] for row in states)


@pytest.mark.parametrize(
    ("name", "submitters"),
    [
        ("Datacrunch", ["Verda"]),
        ("HiPerGator", ["University-of-Florida"]),
        ("Kinabalu", ["Wiwynn"]),
        ("quanta cloud technology", ["QCT", "Quanta_Cloud_Technology"]),
        ("KRAI", ["Krai", "krai"]),
        ("SMC", ["smc", "smc-ac-power", "smc-dc-power"]),
    ],
)
def test_names_that_people_know_find_their_entries(name: str, submitters: list[str], store: Store) -> None:
    assert set(submitters) <= set(known_all(store, "submitter", name) or [])


def test_systems_that_share_a_name_are_told_apart(store: Store) -> None:
    rows = table("4.0", submitter="Sustainable Metal Cloud", store=store).rows
    assert len({row["submitter"] for row in rows}) == 3
    names = {row["system_name"] for row in rows}
    assert len(names) < len({(row["submitter"], row["system"]) for row in rows}) == len(rows)


def test_a_result_is_found_by_another_name_of_its_submitter(store: Store) -> None:
    assert result(store, "5.1/Datacrunch/b200_8x8_ngc25.09/llama31_8b")["submitter"] == "Verda"


def test_what_must_be_known_of_a_figure_stands_where_it_stands(store: Store) -> None:
    answer = table("5.1", benchmark="llama31_8b", submitter="University-of-Florida", store=store)
    column = next(column for column in answer.columns if column.name == "llama31_8b")
    marked = {row["system"]: (column.cell(row)[-1], row["marks"]) for row in answer.rows}
    assert marked["hpg.dgxb200x8.n1"] == ("*", "llama31_8b: RCP scaling factor 1.0085")
    assert marked["hpg.dgxb200x8.n4"][1] is None
    assert marked["hpg.dgxb200x8.n4"][0] != "*"
    assert any(note.startswith("* ") for note in answer.notes)
    assert {row["system"]: row["marks"] for row in document(answer)["rows"]} == {  # type: ignore[attr-defined]
        name: words for name, (_, words) in marked.items()
    }
    again = [row["marks"] for row in table("5.1", store=store) if "entered again" in (row["marks"] or "")]
    assert again


def test_compare_shows_the_score_the_factor_and_the_runs(store: Store) -> None:
    answer = compare(
        "5.0/AMD/MI300X_EPYC_9575F_pytorch/llama2_70b_lora",
        LENOVO.replace("31_8b", "2_70b_lora"),
        store=store,
    )
    row = answer.rows[0]
    assert row["rcp_scale"] == pytest.approx(1.0347, abs=1e-4)
    runs = [float(text) for text in row["each_run"].split(", ")]
    mean = sum(runs[1:-1]) / (len(runs) - 2)
    assert mean * row["rcp_scale"] == pytest.approx(row["minutes"], abs=1e-3)
    assert row["marks"] == "RCP scaling factor 1.0347"
    assert any("times the RCP factor 1.0347" in note for note in answer.notes)


def test_versions_that_cannot_be_true_together_tell_nothing(store: Store) -> None:
    answer = why(NVIDIA, LENOVO, store=store)
    assert any("release 23.09 beside CUDA 13.0" in warning for warning in answer.warnings)
    parts = {row["part"]: row["known"] for row in answer.rows}
    assert parts["software of implausible versions, not separated"] is False
    assert answer.title.startswith("A is 1.27 × as fast as B")
    assert compare(NVIDIA, LENOVO, store=store).title.startswith("A is 1.27 × as fast as B (Lenovo")
    true = {"framework": "PyTorch NVIDIA Release 25.09", "cuda": "13.0.1.012"}
    assert (implausible(true), software(true)) == ("", "NVIDIA release 25.09")
    assert implausible(true | {"cuda": "13.1"}) == ""
    assert implausible(true | {"framework": "PyTorch NVIDIA Release 24.04", "cuda": "12.8"})


def test_a_version_given_more_precisely_is_no_difference(store: Store) -> None:
    rows = stack(LENOVO, NVIDIA, store=store).rows
    assert {row["key"]: row["difference"] for row in rows}["CUDA driver"] == "the same, as far as stated"


def test_a_prediction_names_what_was_measured_and_refuses_nonsense(store: Store) -> None:
    answer = scale("llama31_8b", "5.1", submitter="NVIDIA", at=64, store=store)
    rows = answer.more["predictions"].rows
    assert rows
    assert all(" min (5.1/NVIDIA/" in row["neighbour"] for row in rows)
    for row in rows:
        assert ("order of magnitude" in row["trust"]) == (row["high"] / row["low"] >= 10)
    with pytest.raises(PitboardError, match="no system of 0 accelerators"):
        scale("llama31_8b", "5.1", at=0, store=store)


def test_an_address_gives_several_values_and_a_question_takes_what_it_knows() -> None:
    from starlette.datastructures import QueryParams

    query = QueryParams("accelerator=B200&accelerator=B300&accelerator=&accelerators=8&kind=x")
    assert asking.read("table", query) == {"accelerator": ["B200", "B300"], "accelerators": 8}
    assert json.dumps(asking.read("scale", QueryParams("benchmark=flux1"))) == '{"benchmark": "flux1"}'
