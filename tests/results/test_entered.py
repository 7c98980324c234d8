"""A server's store answers from memory what any other asks of DuckDB: the same rows, in the same order."""

from pathlib import Path
from typing import Any

import pytest

import made_results
from pitboard.results.answer import document
from pitboard.results.find import result
from pitboard.results.ingest import read_rows
from pitboard.results.questions.compare import compare
from pitboard.results.questions.entries import entries
from pitboard.results.questions.entry import entry
from pitboard.results.questions.filters import filters
from pitboard.results.questions.stack import stack
from pitboard.results.questions.table import table
from pitboard.results.store import Store

_NARROWED: list[dict[str, Any]] = [
    {},
    {"round": ["5.0", "5.1"], "benchmark": "llama2_70b_lora", "precision": ["FP8", "FP4"]},
    {"round": "2.0", "availability": ["onprem", "Available on-premise"], "division": "closed"},
    {"accelerators": [8, 512], "accelerator": "NVIDIA B200", "software": "nemo"},
    {"benchmark": ["flux1", "rgat"], "submitter": ["NVIDIA", "Dell"], "with_own": True},
    {"round": "5.1", "submitter": "Acme"},
]


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    """A store with an entry of one's own, as a command opens it and as a server does."""
    made_results.submit(tmp_path / "round" / "Acme")
    store = Store(tmp_path / "store")
    store.add(read_rows(tmp_path / "round"))
    return Store(store.folder), Store(store.folder, held=True)


def test_filters_and_searches_find_the_same_in_memory(stores: tuple[Store, Store]) -> None:
    plain, held = stores
    for values in _NARROWED:
        for question in (table, entries, filters):
            made = [document(question(**values, store=store)) for store in stores]
            assert made[0] == made[1], (question, values)
    further: list[tuple[Any, dict[str, Any]]] = [
        (table, {"round": ["4.0", "5.0"], "energy": True}),
        (entries, {"search": "nvidia NeMo 25", "accelerators": 8}),
        (filters, {"search": "nvidia NeMo 25", "accelerators": 8}),
        (entries, {"search": "Ümlaut", "with_own": True}),
    ]
    for question, values in further:
        made = [document(question(**values, store=store)) for store in stores]
        assert made[0] == made[1], (question, values)
    assert (plain.held, held.held) == (False, True)


def test_a_key_finds_the_same_in_memory(stores: tuple[Store, Store]) -> None:
    plain, held = stores
    rows = entries(benchmark="llama31_8b", store=plain).rows
    names = [row["reference"] for row in rows if row["minutes"]][::15]
    own = [row["reference"] for row in entries(submitter="Acme", with_own=True, store=plain).rows]
    for name in [*names, *own]:
        for question in (entry, stack):
            made = [document(question(name, store=store)) for store in stores]
            assert made[0] == made[1], (question, name)
    made = [document(compare(*names[:3], store=store, untrusted=True)) for store in stores]
    assert made[0] == made[1]
    # The spelling of a submitter, and its other names.
    round, submitter, system, benchmark = names[0].split("/")
    for store in stores:
        assert result(store, f"v{round}/{submitter.upper()}/{system}/{benchmark}")["submitter"] == submitter
    for store in stores:
        assert len(store.having("system", "results", {"round": "5.1", "precision": None})) > 1
        assert store.having("*", "systems", {"round": "made up", "system": "box"}) == []
    assert held._held is not None
    assert held._held._cells == sum(held._held._size(*each) for each in held._held._found.items())
