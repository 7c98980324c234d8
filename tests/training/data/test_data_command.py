"""`pitboard data` as users run it: a process, its output and its exit code."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pitboard.training.benchmarks.llama31_8b import downloads
from support import Command, command_environment

PAGE = Path(__file__).parents[3] / "docs" / "data.md"
COMMANDS = re.findall(r"^\$ pitboard data (.*)$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture
def data(pitboard: Command, cache: Path) -> Command:
    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return pitboard("data", *arguments, env=command_environment(cache) | variables)

    return run


def test_what_to_download(data: Command) -> None:
    done = data("llama31_8b")
    assert (done.returncode, done.stderr) == (0, "")
    for part in downloads.DOWNLOADS:
        assert f"-d {'DIR/' + part.folder if part.folder else 'DIR'} {part.uri}\n" in done.stdout
    assert done.stdout.endswith("Then verify it with: pitboard data llama31_8b --path DIR\n")


def test_a_whole_download(whole_download: Path, data: Command) -> None:
    done = data("llama31_8b", "--path", whole_download)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("  ok         ") == 6


def test_the_folder_of_the_environment_and_a_damaged_file(download: Path, data: Command) -> None:
    (download / f"{downloads.TRAIN.prefix}.idx").write_bytes(b"MMIDIDX")
    done = data("llama31_8b", "--format", "json", PITBOARD_DATA=str(download.parent))
    assert (done.returncode, done.stderr) == (1, "")
    answer = json.loads(done.stdout)
    assert answer["path"] == str(download)
    assert [file["status"] for file in answer["files"]] == ["wrong", "unchecked", "ok", "ok", "ok", "ok"]
    assert [part["licence"] for part in answer["downloads"]] == ["ODC-BY 1.0", "Llama 3.1 Community License"]


def test_a_folder_with_a_space_is_quoted(tmp_path: Path, data: Command) -> None:
    done = data("llama31_8b", "--path", tmp_path / "my data")
    assert done.returncode == 1
    assert f"-d '{tmp_path}/my data/tokenizer' https" in done.stdout
    assert done.stdout.count("  missing    ") == 6


def test_what_cannot_run(data: Command) -> None:
    for arguments, sentence in [
        (("llama31_8", "--format", "json"), "Did you mean 'llama31_8b'?"),
        (("bert",), "retired after round 5.0"),
        (("llama31_8b", "--path", __file__), "is not a folder"),
    ]:
        done = data(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Error: ")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", COMMANDS)
def test_the_commands_of_the_page(arguments: str, whole_download: Path, data: Command) -> None:
    words = [str(whole_download) if word == "DIR" else word for word in shlex.split(arguments)]
    done = data(*words)
    assert (done.returncode, done.stderr) == (0, "")
