"""The store against hands and disks: files that were changed are told, what ships still answers."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import made_results
from made_logs import event, write_log
from pitboard.compliance.submission.package import build_package
from pitboard.errors import PitboardError
from pitboard.results import sql
from pitboard.results import store as module
from pitboard.results.ingest import Names, read_rows
from pitboard.results.schema import VERSION
from pitboard.results.store import SHIPPED, Manifest, Store
from pitboard.web.app import create_app

_COUNT = "select count(*) as n from results"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made_results.submit(tmp_path / "Acme")
    Store(tmp_path / "store").add(read_rows(tmp_path / "Acme", "5.1"))
    return tmp_path / "store"


def generation(place: Path) -> Path:
    return place / str(json.loads((place / "store.json").read_text())["generation"])


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _another(file: Path) -> None:
    shutil.copy(file.with_name("systems.parquet"), file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


_DAMAGES = [_cut, _flip, _another, _folder, _pipe, Path.unlink]


# Without a digest, as an older Pitboard wrote none, nothing tells that a byte is another.
@pytest.mark.parametrize(
    ("damage", "summed"),
    [*((each, True) for each in _DAMAGES), *((each, False) for each in _DAMAGES if each is not _flip)],
)
def test_a_damaged_table_is_told_and_the_published_rounds_still_answer(
    place: Path, tmp_path: Path, damage: Callable[[Path], None], summed: bool
) -> None:
    published = Store("/nowhere/at/all").rows(_COUNT)
    file = generation(place) / "results.parquet"
    if not summed:
        (place / "store.json").write_text(json.dumps({"schema": VERSION, "generation": file.parent.name}))
    damage(file)
    store = Store(place)

    assert store.rows(_COUNT) == published == sql(_COUNT, store=store).rows
    assert store.damage is not None
    assert str(file) in store.damage
    assert "pitboard results add" in store.damage
    for write in (
        lambda: store.add(read_rows(tmp_path / "Acme", "5.1")),
        lambda: store.remove("5.1", "Acme"),
        lambda: store.export(tmp_path / "export"),
        lambda: Store(place, shipped=False),
    ):
        with pytest.raises(PitboardError, match=r"results\.parquet"):
            write()


def test_a_store_that_is_damaged_while_it_is_open_goes_on_with_what_ships(place: Path) -> None:
    store = Store(place)
    (own,) = store.rows(_COUNT)
    _cut(generation(place) / "results.parquet")

    (published,) = store.rows(_COUNT)

    assert published["n"] == own["n"] - 1
    assert store.damage is not None


def test_pages_of_a_damaged_store_say_so_without_telling_where_it_is(place: Path, tmp_path: Path) -> None:
    _cut(generation(place) / "results.parquet")
    client = TestClient(create_app(place), base_url="http://localhost")
    for address in ("/", "/results", "/benchmarks"):
        page = client.get(address)
        assert page.status_code == 200
        assert "results.parquet is not what was written" in page.text
        assert str(tmp_path) not in page.text
    assert client.get("/api/roster").json()["facts"]["systems"] == 65
    (place / "store.json").write_text("{")
    broken = client.get("/results")
    assert broken.status_code == 400
    assert "is damaged" in broken.text
    assert str(tmp_path) not in broken.text


def test_the_published_rounds_are_what_their_manifest_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((SHIPPED / "store.json").read_text())
    assert sorted(manifest["digests"]) == sorted(path.stem for path in SHIPPED.glob("*.parquet"))
    shutil.copytree(SHIPPED, tmp_path / "rounds")
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "rounds")
    Store("/nowhere/at/all")
    _flip(tmp_path / "rounds" / "runs.parquet")
    with pytest.raises(PitboardError, match=r"runs\.parquet is not what was written.*pip install"):
        Store("/nowhere/at/all")


@pytest.mark.parametrize(
    "query",
    [
        "explain analyze copy (select 1) to '{file}' (format parquet)",
        "explain (analyze, format json) copy (select 1) to '{file}'",
        "explain explain analyze copy (select 1) to '{file}'",
        "/* */ -- \n explain analyze select 1",
        "prepare p as copy (select 1) to '{file}'",
        "from query('copy (select 1) to ''{file}''')",
        "select 1; copy (select 1) to '{file}'",
        "select * from read_parquet('{file}')",
        "select * from glob('{folder}/*')",
        "attach '{folder}/x.db'",
        "set allowed_directories = ['/']",
    ],
)
def test_a_query_reads_and_writes_no_file_not_even_the_store_s_own(place: Path, query: str) -> None:
    file = generation(place) / "results.parquet"
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}

    with pytest.raises(PitboardError):
        sql(query.format(file=file, folder=file.parent), store=Store(place))

    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_plan_is_a_tree_with_a_line_for_each_operator() -> None:
    asked = "select round, count(*) from results join systems using (round, submitter, system) group by 1"
    lines = [row["plan"] for row in sql(f"explain {asked}", store=Store("/nowhere/at/all")).rows]

    assert lines[0].startswith("└─ ")
    assert any("├─ SEQ_SCAN  (Table: memory.main.results" in line for line in lines)
    assert any("HASH_JOIN  (Join Type: INNER; Conditions:" in line for line in lines)
    assert all("\n" not in line for line in lines)


def test_an_open_store_follows_quick_additions(place: Path, tmp_path: Path) -> None:
    reader, writer = Store(place), Store(place)
    (before,) = reader.rows(_COUNT)
    for name in ("a", "b", "c"):
        writer.add(read_rows(tmp_path / "Acme", "5.1", Names(system=name)))

    assert reader.rows(_COUNT) == [{"n": before["n"] + 3}]


def test_a_store_that_moves_on_while_it_is_opened_is_opened_anew(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, (before,) = Store(place), Store(place).rows(_COUNT)
    verify, further = module._verify, ["a", "b"]

    def overtaken(folder: Path, manifest: Manifest | None) -> None:
        names = [] if folder == SHIPPED else further[:]
        further[:] = [] if names else further
        for name in names:
            writer.add(read_rows(tmp_path / "Acme", "5.1", Names(system=name)))
        verify(folder, manifest)

    monkeypatch.setattr(module, "_verify", overtaken)
    assert Store(place).rows(_COUNT) == [{"n": before["n"] + 2}]


def test_a_quote_in_the_folder_for_temporary_files_and_in_the_store_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_results.submit(tmp_path / "Acme")
    (tmp_path / "it's").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "it's"))
    store = Store(tmp_path / "it's" / "store", shipped=False)
    assert store.add(read_rows(tmp_path / "Acme", "5.1")).new == 1
    assert store.remove("5.1") == 1


def test_a_folder_of_logs_alone_is_called_as_they_say(tmp_path: Path) -> None:
    for run in range(10):
        write_log(tmp_path / "bare" / f"result_{run}.txt", made_results.run_log(run, submission_org="Zeta"))
    (row,) = read_rows(tmp_path / "bare", "5.1")["results"]
    assert row["submitter"] == "Zeta"


def test_a_clock_that_was_set_back_gives_no_time(tmp_path: Path) -> None:
    folder = made_results.submit(tmp_path / "Acme")
    for run in range(10):
        log = made_results.run_log(run)
        start = next(each["time_ms"] for each in log if each["key"] == "run_start")
        next(each for each in log if each["key"] == "run_stop")["time_ms"] = start - 600_000
        write_log(folder / f"result_{run}.txt", log)
    rows = read_rows(tmp_path / "Acme", "5.1")
    assert [row["minutes"] for row in rows["results"]] == [None]
    assert {row["minutes"] for row in rows["runs"]} == {None}


def test_half_a_character_anywhere_in_a_log_is_kept_escaped(tmp_path: Path) -> None:
    half = "a\ud800"
    folder = made_results.submit(tmp_path / "Acme")
    (tmp_path / "Acme" / "systems" / "box.json").unlink()
    for run in range(10):
        log = made_results.run_log(run)
        for each in log:
            if isinstance(each["value"], str) and each["key"] != "submission_benchmark":
                each["value"] += half
            each["metadata"][half] = half
        log[4:4] = [event("tracked_stats", {half: 1.0}, 6, step=1), event(half, [{half: half}])]
        write_log(folder / f"result_{run}.txt", log)

    Store(tmp_path / "store").add(read_rows(tmp_path / "Acme", "5.1"))

    found = Store(tmp_path / "store").rows("select settings from results where own")
    assert r"a\\ud800" in str(found[0]["settings"])
    packed = build_package(tmp_path / "Acme", tmp_path / "acme.tar.gz", "Acme")
    assert r"a\\ud800" in packed.drafts[0].read_text()
