"""What tests share: the published rounds, where this machine has them, and the command line as a process."""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

import pitboard as package

_HERE = Path(__file__).resolve()


def _shared_data() -> Path:
    named = os.environ.get("PITBOARD_SHARED_DATA")
    return Path(named) if named else _HERE.parents[2] / "shared" / "data"


def _unpacked(archive: Path) -> Path:
    """Unpack a round once for this machine, into a folder that is renamed into place when it is whole."""
    state = archive.stat()
    mark = hashlib.sha256(f"{archive} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:12]
    target = Path(tempfile.gettempdir()) / f"pitboard-{archive.name.split('.tar')[0]}-{mark}"
    if not target.exists():
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
        with zstd.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            tar.extractall(partial, filter="data")
        partial.rename(target)
    return next(folder for folder in target.iterdir() if folder.is_dir())


@pytest.fixture(scope="session")
def published() -> Callable[[str], Path]:
    """Give the folder of a published round such as `"5.1"`; skips where this machine has no archive of it."""

    def find(round: str) -> Path:
        archive = _shared_data() / f"mlperf_training_v{round}.tar.zst"
        if not archive.is_file():
            pytest.skip(f"the published round is not here: no {archive} (set PITBOARD_SHARED_DATA)")
        return _unpacked(archive)

    return find


@pytest.fixture
def pitboard() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run the command line in a process of its own."""

    def run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pitboard", *map(str, words)]
        # The sources under test, whatever the working folder is and whatever is installed.
        environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=environment
        )

    return run
