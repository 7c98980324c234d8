"""Files of strangers: no plain file is not read, what leads out is not followed, what was left is cleared."""

import os
import subprocess
from pathlib import Path

import pytest

from pitboard.errors import PitboardError
from pitboard.files import inside, open_plain, read_plain, scratch
from pitboard.launch.suite_race import read_suite_race
from pitboard.launch.sweep import read_sweep
from pitboard.results.store import Store
from pitboard.training.output import Output


def test_only_a_plain_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")

    assert read_plain(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        read_plain(tmp_path / "file", 4)
    for name in ("pipe", ".", "/dev/zero"):
        with pytest.raises(OSError, match="expected a file"):
            open_plain(tmp_path / name)
    with pytest.raises(OSError, match="symbolic links"):
        open_plain(tmp_path / "loop")
    with pytest.raises(OSError, match="found a folder, a link"):
        open_plain(tmp_path / "link", follow=False)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0", "../x"])
def test_a_name_out_of_a_file_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PitboardError, match="leads out of"):
        inside(tmp_path, "results", name)


def test_a_link_on_the_way_may_stay_inside_and_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "in").symlink_to("there")
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    (tmp_path / "root" / "loop").symlink_to("loop")
    assert inside(tmp_path / "root", "in", "x") == tmp_path / "root" / "in" / "x"
    for name in ("out", "loop"):
        with pytest.raises(PitboardError, match="leads out of"):
            inside(tmp_path / "root", name, "x")


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with scratch(tmp_path, ".work-") as mine:
        stale = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-"))
        elsewhere = tmp_path / f".work-another_machine-{gone.pid}-x"
        for folder in (stale, elsewhere, tmp_path / ".work-mine"):
            folder.mkdir()
        (stale / "file").touch()
        with scratch(tmp_path, ".work-") as second:
            left = set(tmp_path.iterdir())
        assert left == {mine, second, elsewhere, tmp_path / ".work-mine"}
    assert not mine.exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"system": "../../../escaped"},
        {"system": "/escaped"},
        {"benchmark": ".."},
        {"samples_grid": "/home/someone/.bashrc"},
        {"submitter": "\x1b[2J"},
        {"seeds": []},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_plan_from_elsewhere_names_no_place_outside_its_folder(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    import msgspec

    plan: dict[str, object] = {"benchmark": "llama31_8b", "preset": "smoke", "overrides": {}}
    plan |= {"seeds": [1], "system": "box"}
    plan |= {"submitter": "me", **changed}
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(plan))
    with pytest.raises(PitboardError, match=r"leads out of|is damaged"):
        Output(tmp_path).plan()


def test_a_run_that_is_resumed_draws_into_its_folder_whatever_its_plan_names(tmp_path: Path) -> None:
    import msgspec

    from pitboard.launch import series

    plan: dict[str, object] = {"benchmark": "flux1", "preset": "smoke", "overrides": {}, "seeds": [1]}
    plan |= {"system": "box", "submitter": "me", "samples_grid": "/home/someone/holiday.png"}
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(plan))
    said: list[str] = []

    kept = series._drawn_inside(Output(tmp_path), Output(tmp_path).plan(), said.append)

    assert kept.samples_grid == str(tmp_path / "holiday.png")
    assert Output(tmp_path).plan() == kept  # which the ranks that are launched read
    assert said == [f"the samples are drawn to {tmp_path / 'holiday.png'}"]
    assert series._drawn_inside(Output(tmp_path), kept, said.append) == kept


def test_no_reader_of_a_folder_waits_for_a_pipe(tmp_path: Path) -> None:
    for name in ("run.json", "suite.json", "sweep.json", "store.json"):
        os.mkfifo(tmp_path / name)
    for read in (Output(tmp_path).plan, lambda: read_suite_race(tmp_path), lambda: read_sweep(tmp_path)):
        with pytest.raises(PitboardError):
            read()
    with pytest.raises(PitboardError, match=r"store\.json is damaged"):
        Store(tmp_path)


@pytest.mark.parametrize("content", [b'{"\x80"', b"[" * 200_000, b"", b"null"])
def test_a_file_that_is_not_the_json_it_should_be_is_told(tmp_path: Path, content: bytes) -> None:
    for name in ("run.json", "suite.json", "sweep.json", "store.json"):
        (tmp_path / name).write_bytes(content)
    readers = (Output(tmp_path).plan, lambda: read_suite_race(tmp_path), lambda: read_sweep(tmp_path))
    for read in (*readers, lambda: Store(tmp_path)):
        with pytest.raises(PitboardError, match="is damaged"):
            read()
