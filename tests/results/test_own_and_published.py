"""What a user added is never taken for published: not in a table or a citation, and not in its place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import made_results
from pitboard.charts import as_json
from pitboard.charts.answers import draw
from pitboard.errors import PitboardError
from pitboard.results import find
from pitboard.results.answer import document
from pitboard.results.ingest import Names, read_rows
from pitboard.results.questions.compare import compare
from pitboard.results.questions.converge import converge
from pitboard.results.questions.roster import roster
from pitboard.results.questions.scale import scale
from pitboard.results.questions.stack import stack
from pitboard.results.questions.table import table
from pitboard.results.schema import TABLES
from pitboard.results.store import Store
from support import Command

PUBLISHED = "5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31_8b"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The published rounds; of Acme ten runs that have no preset's mark; and Acme's under NVIDIA's name."""
    store = Store(tmp_path / "store")
    made_results.submit(tmp_path / "Acme")
    store.add(read_rows(tmp_path / "Acme", "5.1"))
    _, submitter, system, _ = PUBLISHED.split("/")
    store.add(read_rows(tmp_path / "Acme", "5.1", Names(submitter, system)))
    return store


def test_it_is_in_no_table_roster_or_statistic(store: Store) -> None:
    before = Store("/nowhere/at/all")
    answers, expected = (
        [
            table("5.1", store=each),
            roster("5.1", store=each),
            scale("llama31_8b", "5.1", store=each),
            converge("llama31_8b", "5.1", store=each),
        ]
        for each in (store, before)
    )
    for mine, published in zip(answers, expected, strict=True):
        assert (mine.rows, mine.notes) == (published.rows, published.notes)


def test_it_takes_no_published_ones_place(store: Store) -> None:
    published = Store("/nowhere/at/all")
    assert find.result(store, PUBLISHED) == find.result(published, PUBLISHED)
    assert find.result(store, PUBLISHED.replace("NVIDIA", "NVIDIA (own)"))["minutes"] != pytest.approx(
        find.result(published, PUBLISHED)["minutes"]
    )
    for name in TABLES:
        rows = f"select * from {name} where not own order by all"
        assert store.rows(rows) == published.rows(rows), name


def test_asked_for_it_is_shown_and_marked(store: Store) -> None:
    for answer in (
        table("5.1", with_own=True, store=store),
        roster("5.1", with_own=True, store=store),
        scale("llama31_8b", "5.1", with_own=True, store=store),
        converge("llama31_8b", "5.1", with_own=True, store=store),
    ):
        text = json.dumps(document(answer), default=str)
        assert "Acme (own)" in text
        assert text.count("Acme") == text.count("Acme (own)")
        assert "not verified by MLCommons Association" in answer.notes[0]
    assert len(table("5.1", submitter="acme", store=store)) == 1
    assert len(table("5.1", submitter="NVIDIA", store=store)) > 1
    assert {row["submitter"] for row in table("5.1", submitter="NVIDIA", store=store)} == {"NVIDIA"}


def test_where_the_step_of_ones_own_went_is_shown_beside_its_scale(tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    made_results.tell_steps(folder)
    store = Store(tmp_path / "store")
    assert store.add(read_rows(tmp_path / "Acme", "5.1")).problems == []
    answer = scale("llama31_8b", "5.1", with_own=True, store=store)
    (row,) = answer.more["steps"]
    assert row["reference"] == "5.1/Acme (own)/box/llama31_8b"
    assert (row["accelerators"], row["step_seconds"], row["imbalance_seconds"]) == (16, 0.5, None)
    assert row["communication_seconds"] == pytest.approx(0.2)
    assert row["slowest_rank_seconds"] == pytest.approx(0.35)
    drawn = as_json(draw(answer, "steps"))
    assert "box, 16 accelerators" in drawn
    assert "Exposed communication" in drawn
    without = scale("llama31_8b", "5.1", store=store)
    assert "steps" not in without.more
    with pytest.raises(PitboardError, match="No result of your own is shown"):
        draw(without, "steps")


def test_it_is_compared_as_not_verified_and_cited_so(store: Store) -> None:
    answer = compare("5.1/Acme/box/llama31_8b", PUBLISHED, store=store)

    assert any("not verified by MLCommons Association" in warning for warning in answer.warnings)
    own, published = (note for note in answer.notes if note.startswith("To cite"))
    assert own.startswith("To cite: Unverified MLPerf Training v5.1 closed division, llama31_8b, Acme box.")
    assert "Result not verified by MLCommons Association." in own
    assert "Result verified by MLCommons Association." in published
    assert answer.rows[0]["submitter"] == "Acme (own)"
    assert stack("5.1/Acme/box", store=store).title == "Software of 5.1/Acme (own)/box"


def test_runs_of_a_preset_are_not_beside_published_ones_even_if_asked_for(
    store: Store, tmp_path: Path
) -> None:
    store.add(read_rows(made_results.run_output(tmp_path / "Quixote", made_results.preset_log()), None))
    assert "Quixote" not in json.dumps(document(table("5.1", with_own=True, store=store)), default=str)


def test_an_exported_store_keeps_them_apart_whatever_its_files_say(store: Store, tmp_path: Path) -> None:
    store.export(tmp_path / "export")
    again = Store(tmp_path / "export")
    for name in TABLES:
        assert again.rows(f"select * from {name} order by all") == store.rows(
            f"select * from {name} order by all"
        ), name
    again.query(
        f"copy (select * replace (1.0 as minutes, false as own) from results) to"
        f" '{tmp_path / 'export' / 'results.parquet'}' (format parquet)"
    )
    assert find.result(Store(tmp_path / "export"), PUBLISHED) == find.result(store, PUBLISHED)


def test_an_older_store_took_published_ones_place_and_no_longer_does(store: Store, tmp_path: Path) -> None:
    everything = "select * from results order by all"
    expected = store.rows(everything)
    manifest = json.loads((tmp_path / "store" / "store.json").read_text())
    folder = tmp_path / "store" / manifest["generation"]
    for name in TABLES:
        kept = "* replace (false as own)" if name == "results" else "* exclude (own)"
        file = folder / f"{name}.parquet"
        store.query(f"copy (select {kept} from read_parquet('{file}')) to '{file}.old' (format parquet)")
        Path(f"{file}.old").replace(file)
    (tmp_path / "store" / "store.json").write_text(json.dumps(manifest | {"schema": 2}))

    migrated = Store(tmp_path / "store")

    assert migrated.rows(everything) == expected
    assert migrated.remove("5.1", "NVIDIA (own)") == 1
    assert find.result(migrated, PUBLISHED)["own"] is False
    assert migrated.remove("5.1", "Acme") == 1
    with pytest.raises(PitboardError, match="Nothing to remove"):
        migrated.remove("5.1", "NVIDIA")


@pytest.mark.slow
def test_a_copy_of_what_is_published_is_that_and_a_shortened_one_is_not(
    published: Callable[[str], Path], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    source = published("5.1") / "NVIDIA"
    name = "theia_ngpu8_ngc25.09_nemo"
    place = tmp_path / "NVIDIA"
    (place / "systems").mkdir(parents=True)
    (place / "systems" / f"{name}.json").write_bytes((source / "systems" / f"{name}.json").read_bytes())
    (place / "results" / name / "llama31_8b").mkdir(parents=True)
    for log in (source / "results" / name / "llama31_8b").glob("result_*.txt"):
        (place / "results" / name / "llama31_8b" / log.name).write_bytes(log.read_bytes())

    same = store.add(read_rows(place, "5.1"))
    assert (same.new, same.changed, same.same) == (0, 0, 1)
    assert store.rows("select * from results where own") == []


def test_the_command_says_under_which_name_it_is_kept(pitboard: Command, tmp_path: Path) -> None:
    made_results.submit(tmp_path / "Acme")
    done = pitboard("results", "add", tmp_path / "Acme", "--round", "5.1", "--store", tmp_path / "store")
    assert done.stdout.splitlines()[-1] == (
        "Kept apart from the published rounds, as Acme (own): not verified by MLCommons Association."
    )
