"""Results are named in full, by a part that no other has, or by five letters."""

import pytest

from pitboard.errors import PitboardError, UnknownError
from pitboard.results.find import reference, result
from pitboard.results.questions.compare import compare
from pitboard.results.questions.stack import stack
from pitboard.results.references import key, short
from pitboard.results.store import Store

LENOVO = "5.1/Lenovo/SR680aV3-8xB200_SXM_180GB/llama31_8b"


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_short_references_of_all_published_results_differ_and_stay_as_they_are(store: Store) -> None:
    names = [key(row) for row in store.rows("select round, submitter, system, benchmark from results")]
    assert len({short(name) for name in names}) == len(names) > 1000
    assert short(LENOVO) == "v56n2"


@pytest.mark.parametrize(
    "text", ["v56n2", " V56N2 ", "SR680aV3-8xB200_SXM_180GB/llama31_8b", "lenovo/SR680aV3/llama31_8b"]
)
def test_a_short_reference_or_a_part_names_a_result(text: str, store: Store) -> None:
    assert reference(result(store, text)) == LENOVO


def test_another_name_of_a_submitter_is_a_part(store: Store) -> None:
    assert result(store, "Datacrunch/b200_8x8_ngc25.09/llama31_8b")["submitter"] == "Verda"
    answer = stack("HPG/hpg.dgxb200x8.n1", store=store)
    assert "5.1/University-of-Florida/hpg.dgxb200x8.n1" in answer.title
    assert stack("v56n2", store=store).title == stack(LENOVO, store=store).title
    assert compare("v56n2", "gvttc", store=store).rows[0]["ref"] == "v56n2"


def test_what_may_be_several_is_answered_with_them(store: Store) -> None:
    with pytest.raises(PitboardError, match=r"'nvidia/llama31_8b' may mean \d+ of them: 5\.1/.*\(\w{5}\), "):
        result(store, "nvidia/llama31_8b")
    with pytest.raises(PitboardError, match=r"may mean \d+ of them: 5\.1/Lambda/\S+ and \d+ more|of them: "):
        stack("Lambda/ngc", store=store)
    with pytest.raises(UnknownError, match=r"names no result: expected .* such as \w{5}\.$"):
        result(store, "zzzzz")
