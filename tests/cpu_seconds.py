"""What each test costs in CPU seconds, which a busy machine leaves as they are where it stretches durations.

`PITBOARD_TEST_CPU=/tmp/cpu.txt make pytest` appends a line `SECONDS PHASE TEST` for each phase of each test
to that file; `python tests/cpu_seconds.py /tmp/cpu.txt` sums them by file and lists the tests, dearest first.
"""

import os
import re
import resource
import sys
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

_TICKS = os.sysconf("SC_CLK_TCK")


def _spent() -> float:
    """Return the CPU seconds of this worker, its fork server, and all children of both that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if server is not None:
        state = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        seconds += sum(map(int, state[11:15])) / _TICKS
    return seconds


class Recorder:
    """A plugin of pytest that appends what each phase of a test has taken to a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _measured(self, item: pytest.Item, phase: str) -> Iterator[None]:
        before = _spent()
        yield
        with self._file.open("a") as file:
            file.write(f"{_spent() - before:.2f} {phase} {item.nodeid}\n")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        yield from self._measured(item, "setup")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        yield from self._measured(item, "call")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        yield from self._measured(item, "teardown")


def main(file: str) -> None:
    """Print the sums by test file, and the tests, the dearest first."""
    files: defaultdict[str, float] = defaultdict(float)
    tests: defaultdict[str, float] = defaultdict(float)
    for line in Path(file).read_text().splitlines():
        seconds, phase, test = line.split(" ", 2)
        name = re.sub(r"@\w+$", "", test)
        files[name.partition("::")[0]] += float(seconds)
        tests[f"{phase:8} {name}"] += float(seconds)
    print(f"{sum(files.values()):8.1f} all")
    for sums in (files, tests):
        print()
        for name, spent in sorted(sums.items(), key=lambda each: -each[1])[:80]:
            print(f"{spent:8.1f} {name}")


if __name__ == "__main__":
    main(sys.argv[1])
