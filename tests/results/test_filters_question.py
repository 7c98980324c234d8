"""What a filter could still be set to, and why lines and systems are counted apart."""

from collections import Counter

import pytest

from pitboard.errors import UnknownError
from pitboard.results.questions.entries import entries
from pitboard.results.questions.filters import OFFERED, filters
from pitboard.results.questions.roster import roster
from pitboard.results.questions.table import table
from pitboard.results.store import Store


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_a_value_counts_the_results_that_the_other_filters_leave(store: Store) -> None:
    chosen = {"benchmark": "llama2_70b_lora", "accelerators": [8, 16], "search": "NVIDIA"}
    answer = filters(**chosen, store=store)  # type: ignore[arg-type]
    for name in OFFERED:
        others = {key: value for key, value in chosen.items() if key != name}
        rows = entries(**(others | {"round": "5.1"}), store=store) if name != "round" else None  # type: ignore[arg-type]
        counted = {row["value"]: row["results"] for row in answer if row["filter"] == name}
        if rows is not None:
            assert counted == Counter(None if r[name] is None else str(r[name]) for r in rows), name
        else:
            assert "5.1" in counted
            assert len(counted) > 1
    with pytest.raises(UnknownError, match="Did you mean 'llama31_8b'"):
        filters(benchmark="llama31_8", store=store)


def test_the_lines_of_the_official_table_and_the_systems_that_mlcommons_counts_are_told_apart(
    store: Store,
) -> None:
    said = "65 systems by the names in their descriptions, which is how MLCommons counts, are 91 lines"
    for answer in (roster(round="5.1", store=store), table(round="5.1", store=store)):
        (note,) = [note for note in answer.notes if note.startswith(said)]
        assert note.endswith("NVIDIA's Tyche (1x NVIDIA GB200 NVL72) has 9.")
    one = table(round="5.1", submitter="ASUSTeK", store=store)
    assert not any("lines of the official table" in note for note in one.notes)
