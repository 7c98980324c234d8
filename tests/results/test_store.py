"""The store's promises: adding twice changes nothing, a killed add loses nothing, nothing is trusted."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pytest

import made_results
from made_logs import write_log
from pitboard import results
from pitboard.errors import PitboardError
from pitboard.results.ingest import Names, read_rows
from pitboard.results.schema import TABLES, VERSION, Row
from pitboard.results.store import SHIPPED, Store
from pitboard.suite import ROUNDS


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made_results.submit(tmp_path / "Acme")
    return tmp_path / "Acme"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", shipped=False)


def content(store: Store) -> dict[str, list[Row]]:
    return {table: store.rows(f"select * from {table} order by all") for table in TABLES}


def test_a_submission_is_added_with_its_system_runs_and_evaluations(place: Path, store: Store) -> None:
    added = store.add(read_rows(place, "5.1"))

    assert (added.new, added.changed, added.same) == (1, 0, 0)
    (row,) = store.rows("select * from results")
    assert (row["submitter"], row["system"], row["benchmark"]) == ("Acme", "box", "llama31_8b")
    assert row["minutes"] == pytest.approx(24.5 * row["rcp_scale"])
    assert row["accelerators"] == 16
    assert row["precision"] is None
    runs = store.rows("select * from runs order by run")
    assert [run["minutes"] for run in runs] == [20 + run for run in range(10)]
    assert [run["run"] for run in runs if run["dropped"]] == [0, 9]
    (system,) = store.rows("select * from systems")
    assert system["accelerator_text"] == "Racer"
    assert json.loads(system["description"])["host_processors_per_node"] == "2"
    assert len(store.rows("select * from evaluations where quality = 3.2")) == 10


def test_adding_twice_changes_nothing(place: Path, store: Store) -> None:
    store.add(read_rows(place, "5.1"))
    before, version = content(store), store.version

    added = store.add(read_rows(place, "5.1"))

    assert (added.new, added.changed, added.same) == (0, 0, 1)
    assert content(store) == before
    assert store.version == version


def test_a_changed_result_takes_the_place_of_the_old_one(place: Path, store: Store) -> None:
    store.add(read_rows(place, "5.1"))
    slower = made_results.run_log(100, made_results.SAMPLES[0], minutes=29)
    write_log(place / "results" / "box" / "llama31_8b" / "result_0.txt", slower)

    assert store.add(read_rows(place, "5.1")).changed == 1
    assert len(store.rows("select * from results")) == 1
    assert len(store.rows("select * from runs")) == 10


def test_another_submitter_is_added_beside_the_first_and_can_be_removed(place: Path, store: Store) -> None:
    store.add(read_rows(place, "5.1"))
    before = content(store)
    store.add(read_rows(place, "5.1", Names(submitter="Bolt")))
    assert len(store.rows("select distinct submitter from runs")) == 2

    assert store.remove("5.1", "Bolt") == 1
    assert content(store) == before
    with pytest.raises(PitboardError, match="Nothing to remove"):
        store.remove("5.1", "Bolt")


def test_a_damaged_log_is_kept_as_damaged_and_the_rest_is_read(place: Path, store: Store) -> None:
    log = place / "results" / "box" / "llama31_8b" / "result_3.txt"
    log.write_bytes(b"\x00\xff" * 300)

    added = store.add(read_rows(place, "5.1"))

    assert any("1 of 10 logs are not valid" in problem for problem in added.problems)
    assert len(store.rows("select * from runs where counted")) == 9


@pytest.mark.parametrize("description", ["[1]", "{", '{"accelerator_model_name": 7, "number_of_nodes": []}'])
def test_a_damaged_description_does_not_stop_an_add(place: Path, store: Store, description: str) -> None:
    (place / "systems" / "box.json").write_text(description)

    store.add(read_rows(place, "5.1"))

    assert len(store.rows("select * from results")) == 1


def test_a_precision_that_only_the_description_states_is_kept_with_its_source(
    place: Path, store: Store
) -> None:
    made_results.describe(place, sw_notes="FP8 Training\x1b")

    store.add(read_rows(place, "5.1"))

    (row,) = store.rows("select precision, precision_source from results")
    assert row == {"precision": "FP8", "precision_source": r"description: sw_notes: FP8 Training\x1b"}
    assert store.rows("select distinct precision from runs") == [{"precision": None}]


def test_hostile_names_stay_data(tmp_path: Path, store: Store) -> None:
    name = "it's; drop table results; --"
    made_results.submit(tmp_path / "Acme")

    names = Names(submitter=name, system="../../../etc")
    store.add(read_rows(tmp_path / "Acme", "5.1", names, published=True))

    (row,) = results.table("5.1", submitter=name, store=store)
    assert row["system"] == "../../../etc"


_INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from pitboard.results import store as module
from pitboard.results.ingest import read_rows
place, folder, point = sys.argv[1:]
store = module.Store(folder, shipped=False)
def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
if point == "copy":
    module.Store._copy = die
else:
    module.write_atomically = die
store.add(read_rows(Path(place), "5.1"))
"""


@pytest.mark.parametrize("point", ["copy", "manifest"])
def test_a_killed_add_leaves_the_old_state_and_a_store_that_works(
    place: Path, tmp_path: Path, point: str
) -> None:
    folder = tmp_path / "store"
    store = Store(folder, shipped=False)
    store.add(read_rows(place, "5.1"))
    before = content(store)
    made_results.submit(tmp_path / "Bolt")

    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, tmp_path / "Bolt", folder, point],
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(results.__file__).parents[2])},
    )

    assert done.returncode == -signal.SIGKILL
    assert content(Store(folder, shipped=False)) == before
    again = Store(folder, shipped=False)
    assert again.add(read_rows(tmp_path / "Bolt", "5.1")).new == 1
    assert len(list(folder.glob("generation-*"))) <= 2


def test_an_older_schema_is_brought_up_to_date_without_losing_rows(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    Store(folder, shipped=False).add(read_rows(place, "5.1"))
    generation = folder / json.loads((folder / "store.json").read_text())["generation"]
    file = generation / "results.parquet"
    duckdb.sql(f"copy (select * exclude (framework) from '{file}') to '{tmp_path}/old.parquet'")
    (tmp_path / "old.parquet").replace(file)
    (generation / "stack.parquet").unlink()
    (folder / "store.json").write_text(json.dumps({"schema": 0, "generation": generation.name}))

    store = Store(folder, shipped=False)

    (row,) = store.rows("select * from results")
    assert row["framework"] is None
    assert row["minutes"] is not None
    assert store.rows("select * from stack") == []
    assert json.loads((folder / "store.json").read_text())["schema"] == VERSION


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ('{"schema": 1, "generation": "../../elsewhere"}', "out of the store"),
        ('{"schema": 99, "generation": "x"}', "newer Pitboard"),
        ("{", "damaged"),
    ],
)
def test_a_bad_manifest_is_refused_with_a_sentence(tmp_path: Path, manifest: str, message: str) -> None:
    (tmp_path / "store.json").write_text(manifest)

    with pytest.raises(PitboardError, match=message):
        Store(tmp_path, shipped=False)


def test_an_exported_store_is_read_over_http(place: Path, store: Store, tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_httpfs")
    store.add(read_rows(place, "5.1"))
    store.export(tmp_path / "export")
    handler = partial(_Ranges, directory=str(tmp_path / "export"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        remote = Store(f"http://127.0.0.1:{server.server_port}", shipped=False)
        table = results.table("5.1", store=remote)
        asked = results.sql("select count(*) as n from results", store=remote)
        with pytest.raises(PitboardError, match="read-only"):
            remote.add(read_rows(place, "5.1"))
        server.shutdown()

    assert table.rows == results.table("5.1", store=store).rows
    assert asked.rows == [{"n": 1}]


class _Ranges(SimpleHTTPRequestHandler):
    """A file server that knows `Range`, as object stores do: DuckDB reads Parquet by pieces."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        first, last = 0, len(content) - 1
        if wanted := self.headers.get("Range"):
            first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        piece = content[first : last + 1]
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece)

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


def test_the_shipped_rounds_are_small_whole_and_have_their_source() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 5_000_000
    store = Store("/nowhere/at/all")
    counts = store.rows("select round, count(*) as n from results group by all order by all")
    results = {"1.0": 141, "2.0": 262, "3.1": 209, "4.0": 203, "4.1": 154, "5.0": 201, "5.1": 184}
    assert {row["round"]: row["n"] for row in counts} == results
    sources = store.rows(
        "select round, archive from rounds where source like 'https://github.com/mlcommons/%'"
    )
    assert {row["round"]: row["archive"] for row in sources} == {
        each.version: each.archive for each in ROUNDS if each.archive
    }
    assert len(sources) == len(results)
    # A round that counts stable diffusion in steps is kept in samples all the same.
    sd = store.rows(
        "select min(samples_to_target) as least, count(*) as n from results"
        " where benchmark = 'stable_diffusion' and round = '3.1' and samples_to_target is not null"
    )
    assert sd == [{"least": 5000 * 512, "n": 5}]
    lost = store.rows("select * from incomplete where what like '%missing%' and round >= '5'")
    assert [(row["submitter"], row["benchmark"]) for row in lost] == [("Dell", "llama2_70b_lora")]


@pytest.mark.slow
@pytest.mark.parametrize("round", ["5.0", "5.1"])
def test_the_shipped_rounds_are_what_this_code_reads(
    published: Callable[[str], Path], round: str, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store", shipped=False)
    store.add(read_rows(published(round), published=True))
    shipped = Store("/nowhere/at/all")

    for table in ("results", "runs", "systems", "stack", "rounds", "incomplete"):
        sql = f"select * from {table} where round = $round order by all"
        assert store.rows(sql, {"round": round}) == shipped.rows(sql, {"round": round}), table


def test_a_store_held_in_memory_answers_as_the_files_do_and_keeps_no_more_than_it_may(
    place: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(read_rows(place, "5.1"))
    monkeypatch.setattr("pitboard.results.store._MOST_CELLS", 3000)
    files, held = Store(store.folder), Store(store.folder, held=True)
    for table in ("results", "systems", "stack", "rounds", "incomplete", "submissions"):
        asked = f"select * from {table} where round = $round order by all limit 9"
        plain = files.rows(asked, {"round": "5.1"})
        first = held.rows(asked, {"round": "5.1"})
        assert first == plain
        first[0]["round"] = "changed by whoever asked"
        assert held.rows(asked, {"round": "5.1"}) == plain
    assert held._held is not None
    for number in range(200):
        held.rows(f"select {number}, round from results limit 9")
    assert 0 < held._held._cells <= 3000
    assert held._held._cells == sum(held._held._size(*each) for each in held._held._found.items())
    counted = "select count(*) as n from results where own"
    before = held.rows(counted)
    held.remove("5.1")
    assert (before, held.rows(counted)) == ([{"n": 1}], [{"n": 0}])
