"""The fixtures that several tests share: the published rounds, the command, and one real smoke run."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

import cpu_seconds
import forked
import pitboard as package
from published_rounds import unpacked
from support import Command, Python, command_environment, draw_nothing

if TYPE_CHECKING:
    from fastapi import FastAPI

# Several workers run the tests: one thread each. Threads that wait for each other on a busy core crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# More would be compiled in a process of its own, which imports torch for it: 6 s.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# No test asserts a time; on a busy machine a deadline would. The suite makes the same examples each time, so
# that it says the same of one commit everywhere; `make fuzz` looks for new ones.
settings.register_profile("pitboard", deadline=None, derandomize="PITBOARD_FUZZ_EXAMPLES" not in os.environ)
settings.load_profile("pitboard")

_HERE = Path(__file__).resolve()


def _shared_data() -> Path:
    named = os.environ.get("PITBOARD_SHARED_DATA")
    return Path(named) if named else _HERE.parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """Undo what a race in the tests' own process does to its arithmetic: hypothesis wants subnormals."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def archive() -> Callable[[str], Path]:
    """Give the archive of a published round such as `"5.1"`; skips where this machine has none of it."""

    def find(round: str) -> Path:
        archive = _shared_data() / f"mlperf_training_v{round}.tar.zst"
        if not archive.is_file():
            pytest.skip(f"the published round is not here: no {archive} (set PITBOARD_SHARED_DATA)")
        return archive

    return find


@pytest.fixture(scope="session")
def published(archive: Callable[[str], Path]) -> Callable[[str], Path]:
    """Give the folder of a published round such as `"5.1"`; skips where this machine has no archive of it."""
    return lambda round: unpacked(archive(round))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder that the tests of all workers share.

    Texts, tokenizers, graphs and base models are made in it once, each under its lock.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def python(cache: Path) -> Python:
    """Return a function that starts an interpreter with arguments, forked with all imports done."""
    forked.serve(Path(package.__file__).parents[1])

    def start(*arguments: object, **options: Any) -> forked.Started:
        return forked.Started([*map(str, arguments)], **{"env": command_environment(cache)} | options)

    return start


@pytest.fixture(scope="session")
def pitboard(python: Python) -> Command:
    """Return a function that runs `pitboard` with arguments to its end, as a process of its own."""

    def run(*arguments: object, timeout: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
        started = python("-m", "pitboard", *arguments, **options)
        try:
            out, err = started.communicate(timeout)
        except BaseException:
            started.kill()
            raise
        return subprocess.CompletedProcess(started.args, started.wait(), out, err)

    return run


@pytest.fixture(scope="session")
def frozen_site(tmp_path_factory: pytest.TempPathFactory) -> "tuple[FastAPI, Path]":
    """Build the static site of one round once, without charts; return the application, and it.

    The application keeps its pages.
    """
    from pitboard.web import site
    from pitboard.web.app import create_app

    app = create_app(tmp_path_factory.mktemp("store"), frozen=True, rounds=["5.1"])
    folder = tmp_path_factory.mktemp("site") / "pages"
    # In a thread of its own: Playwright may have its event loop in this one.
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as pool:
        draw_nothing(patch)
        pool.submit(site.build, app, folder).result()
    return app, folder


@pytest.fixture(scope="session")
def smoke(pitboard: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the smoke preset to its target once; return its output folder and what it printed."""
    folder = tmp_path_factory.mktemp("smoke") / "out"
    done = pitboard("run", "llama31_8b", "--seed", 1, "--output", folder, "--submitter", "Test", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def pytest_configure(config: pytest.Config) -> None:
    """Write down what each test costs where `PITBOARD_TEST_CPU` names a file for it."""
    if file := os.environ.get("PITBOARD_TEST_CPU"):
        config.pluginmanager.register(cpu_seconds.Recorder(Path(file)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: at the end, quick tests fill both workers."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Leave what imports made out of later collections of garbage: a thirtieth of the tests' time."""
    gc.collect()
    gc.freeze()
