"""Check downloaded data against what is known about it.

The `reports` of a benchmark's own `verify.py` check presence, structure and counts; what is the same for all
is here: the root, the errors of the disk, and the checksums.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Literal

from pitboard.errors import PitboardError

Status = Literal["ok", "missing", "wrong", "unchecked"]
OnRead = Callable[[str, int, int], None]
"""Called with a file's name, the bytes read of it so far, and its size."""

_SUMS = re.compile(r".*\.(md5|sha256)|(md5|sha256)sums?(\.txt)?", re.IGNORECASE)
_SUM_LINE = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.+?)\s*")
_SUMS_SIZE = 1 << 20
_BLOCK = 1 << 24


@dataclass(frozen=True)
class FileReport:
    """What verifying found for one file, named relative to the root; `detail` says it in words."""

    file: str
    status: Status
    detail: str


def verify(
    benchmark: str, root: Path, *, checksums: bool = True, on_read: OnRead | None = None
) -> list[FileReport]:
    """Verify a benchmark's data under `root`: one report a file, or a folder of many like files.

    With `checksums`, each file that a checksum file beside it lists (`*.md5`, `*.sha256`, `md5sums.txt`, …)
    is read and compared; of a folder, those that differ are reported. A file is "unchecked" where another
    one that is missing or wrong leaves nothing to compare it with.

    Raises `PitboardError` if `root` is not a folder or cannot be searched; what is wrong with a file is
    reported, not raised.
    """
    reports: Callable[[Path], Iterable[FileReport]] = import_module(
        f"pitboard.training.benchmarks.{benchmark}.verify"
    ).reports
    if root.exists() and not root.is_dir():
        raise PitboardError(f"{root} is not a folder. Give the folder that the data was downloaded to.")
    try:
        found = list(reports(root))
        if checksums:
            lists = _SumLists(root)
            found = [each for report in found for each in _with_checksums(lists, report, on_read)]
    except OSError as error:
        raise PitboardError(f"Cannot read {error.filename or root}: {error.strerror}.") from error
    return found


def checked_report(root: Path, name: str, check: Callable[[], str]) -> FileReport:
    """Return the report of a file or folder: "ok" with what `check` says, or "wrong" with what it raises."""
    if not (root / name).exists():
        return FileReport(name, "missing", f"expected in {root}")
    try:
        return FileReport(name, "ok", check())
    except PitboardError as error:
        return FileReport(name, "wrong", str(error))


class _SumLists:
    """The checksum files under a root, each read once: a folder may have thousands of files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lists: dict[Path, list[tuple[str, dict[str, str]]]] = {}

    def find(self, path: Path) -> tuple[str, str] | None:
        """Find a file's checksum beside it or in the root: the list's name, and the sum in lower case."""
        for folder in dict.fromkeys((path.parent, self.root)):
            if folder not in self._lists:
                self._lists[folder] = _sum_lists(folder)
            name = path.relative_to(folder).as_posix()
            for source, sums in self._lists[folder]:
                if name in sums:
                    return source, sums[name]
        return None


def _sum_lists(folder: Path) -> list[tuple[str, dict[str, str]]]:
    """Return each checksum file of a folder by name, with the first sum of each file that it lists."""
    found = []
    for path in sorted(folder.iterdir()):
        if _SUMS.fullmatch(path.name) and path.is_file() and path.stat().st_size <= _SUMS_SIZE:
            lines = path.read_text(errors="replace").splitlines()
            matches = [match for line in lines if (match := _SUM_LINE.fullmatch(line))]
            found.append((path.name, {match[2]: match[1].lower() for match in reversed(matches)}))
    return found


def _with_checksums(lists: _SumLists, report: FileReport, on_read: OnRead | None) -> list[FileReport]:
    """Return the report with what its checksum says; of a folder, and of each of its files that differs."""
    if report.status != "ok":
        return [report]
    path = lists.root / report.file
    if not path.is_dir():
        return [_checked(lists, report, on_read)]
    files = [FileReport(f"{report.file}/{each.name}", "ok", "") for each in sorted(path.iterdir())]
    checked = [_checked(lists, each, on_read) for each in files if (lists.root / each.file).is_file()]
    return [report, *(each for each in checked if each.status != "ok")]


def _checked(lists: _SumLists, report: FileReport, on_read: OnRead | None) -> FileReport:
    """Compare a file that is "ok" so far with a checksum listed beside it or in the root, if there is one."""
    path = lists.root / report.file
    listed = lists.find(path)
    if listed is None:
        return replace(report, detail=f"{report.detail}; no checksum listed")
    source, expected = listed
    algorithm = "md5" if len(expected) == 32 else "sha256"
    try:
        found = _digest(path, algorithm, lambda done, size: on_read and on_read(report.file, done, size))
    except OSError as error:
        return replace(report, status="wrong", detail=f"cannot be read: {error.strerror}")
    if found != expected:
        what = f"has {algorithm.upper()} {found}, expected {expected} from {source}; download it again"
        return replace(report, status="wrong", detail=what)
    return replace(report, detail=f"{report.detail}; {algorithm.upper()} matches {source}")


def _digest(path: Path, algorithm: str, on_read: Callable[[int, int], object]) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size, done = path.stat().st_size, 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            on_read(done, size)
    return digest.hexdigest()
