"""Every command that the documentation shows is run, in the order of its page."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import Python, command_environment

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# These have a test of their own, which makes the files that their commands name.
ELSEWHERE = {"check", "cluster", "data", "score"}
# The smoke run to its target is made once for all tests; the pages' copy of it is that one.
SMOKE = "pitboard run llama31_8b"
# Programs that are no more than a module's `main`: forked, with all imports done.
MODULES = {"pitboard": "pitboard", "torchrun": "torch.distributed.run"}


def commands(page: Path) -> list[str]:
    """Return the commands of a page's console blocks."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


WITH_COMMANDS = [
    pytest.param(
        page, id=page.stem, marks=[pytest.mark.xdist_group("smoke")] if SMOKE in commands(page) else []
    )
    for page in PAGES
    if commands(page) and page.stem not in ELSEWHERE
]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_of_a_page_work(
    page: Path, request: pytest.FixtureRequest, python: Python, cache: Path, tmp_path: Path
) -> None:
    environment = command_environment(cache)
    environment["TORCHDYNAMO_DISABLE"] = "1"  # compiled runs are tested elsewhere; compiling takes a minute
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for command in commands(page):
        if command == SMOKE:
            folder, _ = request.getfixturevalue("smoke")
            shutil.copytree(folder, tmp_path / "output" / "first", dirs_exist_ok=True)
            continue
        program, *arguments = shlex.split(command)
        if module := MODULES.get(program):
            started = python("-m", module, *arguments, cwd=tmp_path, env=environment)
            try:
                _, errors = started.communicate(300)
            finally:
                started.kill()
            code = started.returncode
        else:
            done = subprocess.run(
                [program, *arguments],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            errors, code = done.stderr, done.returncode
        assert code in (0, 1), f"{command}\n{errors}"
        assert "Traceback" not in errors


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
