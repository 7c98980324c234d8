"""One Slurm on this host for all tests that need one; they run in the worker that has it (`xdist_group`)."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import local_slurm
from forked import Door
from local_slurm import LocalSlurm
from support import Python


@pytest.fixture(scope="session")
def slurm() -> Iterator[LocalSlurm]:
    """Start a cluster of four nodes; skips where there is no Slurm, or a user's rights do not suffice."""
    if why := local_slurm.missing():
        pytest.skip(f"no Slurm can be started: {why}")
    # Not in pytest's folder: the path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="pitboard-slurm-") as folder:
        cluster = LocalSlurm(Path(folder), nodes=4)
        try:
            cluster.wait_until_ready()
        except RuntimeError as error:
            if os.geteuid() == 0:
                raise
            pytest.skip(f"no Slurm can be started by this user: {error}")
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def door(python: Python, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Let the tasks of jobs be forked, as all commands under test are."""
    opened = Door(tmp_path_factory.mktemp("door"))
    yield opened
    opened.close()
