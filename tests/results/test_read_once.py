"""Each log and each description of a tree is opened once, and each folder listed once, whoever asks."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import made_results
from pitboard.compliance import check_tree
from pitboard.compliance.submission.package import build_package
from pitboard.results.ingest import read_rows
from pitboard.scoring import score_tree

_counting: list[tuple[Path, Counter[str]]] = []


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("open", "os.scandir", "os.listdir") and _counting:
        root, counts = _counting[0]
        place = str(arguments[0])
        if place.startswith(str(root)):
            counts[place.removeprefix(str(root)).lstrip("/")] += 1


# An audit hook sees every opening, by whatever function, and stays for good: so there is one.
sys.addaudithook(_count)


@pytest.fixture
def round_folder(tmp_path: Path) -> Path:
    for submitter in ("Acme", "Bolt"):
        made_results.submit(tmp_path / "round" / submitter)
        made_results.submit(tmp_path / "round" / submitter, system="rack", runs=2, benchmark="dlrmv4")
    return tmp_path / "round"


@pytest.fixture
def everything(round_folder: Path) -> list[str]:
    """Name every file and folder of the round."""
    return [path.relative_to(round_folder).as_posix() for path in round_folder.rglob("*")]


@pytest.fixture
def opened(round_folder: Path, everything: list[str]) -> Iterator[Counter[str]]:
    """Count how often each is opened or listed from now on; the round's own folder is ''."""
    counts: Counter[str] = Counter()
    _counting.append((round_folder, counts))
    yield counts
    _counting.clear()


@pytest.mark.parametrize("root", ["Acme/results", "Acme", ""])
@pytest.mark.parametrize("round", ["5.1", None])
def test_a_check_and_a_score_open_everything_once(
    round_folder: Path, everything: list[str], opened: Counter[str], root: str, round: str | None
) -> None:
    score_tree(check_tree(round_folder / root, round))

    below = {root, *(name for name in everything if name.startswith(root))}
    if root == "Acme/results":
        below |= {"Acme/systems/box.json", "Acme/systems/rack.json"}
    assert opened == dict.fromkeys(below, 1)


def test_adding_to_the_store_opens_everything_once(
    round_folder: Path, everything: list[str], opened: Counter[str]
) -> None:
    rows = read_rows(round_folder)

    assert len(rows["results"]) == 4
    assert all(system["description"] for system in rows["systems"])
    assert opened == dict.fromkeys(["", *everything], 1)


def test_packing_lists_each_folder_once(round_folder: Path, opened: Counter[str], tmp_path: Path) -> None:
    build_package(round_folder / "Acme", tmp_path / "packed.tar.gz")

    results = {"Acme/results/box/llama31_8b", "Acme/results/rack/dlrmv4"}
    assert {name: opened[name] for name in results} == dict.fromkeys(results, 1)
    assert max(times for name, times in opened.items() if (round_folder / name).is_dir()) == 1


def test_a_result_given_by_itself_keeps_the_description_of_its_system(round_folder: Path) -> None:
    place = round_folder / "Acme"
    made_results.describe(place, framework="NeMo 25.04", sw_notes="FP8 Training")

    rows = read_rows(place / "results" / "box" / "llama31_8b", "5.1")

    (system,) = rows["systems"]
    assert (system["framework"], system["description"]["system_name"]) == ("NeMo 25.04", "box")
    assert rows["results"][0]["precision"] == "FP8"


def test_a_result_given_by_itself_takes_no_description_from_elsewhere(
    round_folder: Path, tmp_path: Path
) -> None:
    described = round_folder / "Acme" / "systems" / "box.json"
    (tmp_path / "private.json").write_bytes(described.read_bytes())
    described.unlink()
    described.symlink_to(tmp_path / "private.json")

    rows = read_rows(round_folder / "Acme" / "results" / "box" / "llama31_8b", "5.1")

    assert rows["systems"][0]["description"] is None
