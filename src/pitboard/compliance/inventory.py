"""Where things lie in a submission: `<submitter>/results/<system>/<benchmark>/result_*.txt` and `systems/`.

Only folders under the checked path are entered, and no symbolic link to a folder is followed, so that a
hostile tree can neither lead outside nor round in circles.
"""

import os
from pathlib import Path
from typing import Literal

import msgspec

from pitboard.compliance.rule import UNCHECKED, UNCHECKED_OR_FATAL, Finding, Rule
from pitboard.errors import PitboardError
from pitboard.text import printable

MAX_DEPTH = 24
MAX_FILE_BYTES = 50 * 1024 * 1024

# At the top of a checked folder: a checkout's history, and the lock of `pitboard run`.
_PASSED_OVER = (".git", ".lock")

Kind = Literal["file", "folder", "link-out", "link-broken", "link-folder", "other"]


class Entry(msgspec.Struct, frozen=True):
    """One thing in a folder. A link to a file inside the root counts as that file."""

    path: Path
    kind: Kind
    size: int = 0

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


class ResultFolder(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one benchmark on one system; `submission` is the folder that holds `results/`, if any."""

    path: Path
    submission: Path | None
    submitter: str
    system: str
    benchmark: str
    logs: list[Path]


def shown(path: Path, root: Path) -> str:
    """Name a path relative to the root, with forward slashes and safe to print: odd bytes are escaped."""
    try:
        relative = path.relative_to(root)
    except ValueError:
        relative = path
    return printable(relative.as_posix())


def entries(folder: Path, root: Path) -> list[Entry]:
    """List a folder by name. Raises `OSError` where it cannot be read."""
    with os.scandir(folder) as found:
        return [_entry(Path(e.path), e, root) for e in sorted(found, key=lambda e: e.name)]


def _entry(path: Path, found: "os.DirEntry[str]", root: Path) -> Entry:
    if found.is_symlink():
        return _link(path, root)
    if found.is_dir():
        return Entry(path, "folder")
    if found.is_file():
        return Entry(path, "file", found.stat().st_size)
    return Entry(path, "other")


def _link(path: Path, root: Path) -> Entry:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return Entry(path, "link-broken")
    if not target.is_relative_to(root.resolve()):
        return Entry(path, "link-out")
    if target.is_dir():
        return Entry(path, "link-folder")
    return Entry(path, "file", target.stat().st_size) if target.is_file() else Entry(path, "other")


def folders_of(folder: Path, root: Path) -> list[Path]:
    """List the folders in a folder; an unreadable or missing one has none (`walk` reports it)."""
    try:
        return [e.path for e in entries(folder, root) if e.kind == "folder"]
    except OSError:
        return []


def is_log(entry: Entry) -> bool:
    """Tell whether an entry is a run's log, by its name."""
    return entry.kind == "file" and is_log_name(entry.name)


def is_log_name(name: str) -> bool:
    """Tell whether a file's name is a run's log: `result_*.txt` as official, or that packed."""
    return name.startswith("result_") and name.endswith((".txt", ".txt.gz", ".txt.zst"))


LEADS_OUT = Rule(
    code="log-outside-tree",
    title="A link leads out of the checked folder",
    meaning="A file named as a log is a link to a file elsewhere; it is not read.",
    why=(
        "A submission must be whole in itself, and a checked folder must not make the checker read other "
        "files."
    ),
    where=UNCHECKED,
)


def _leads_out(file: str) -> Finding:
    return LEADS_OUT.finding(
        "Not read: this link leads out of the checked folder",
        file=file,
        expected="a file",
        found="a link",
        fix="Put the log itself here.",
    )


def find_logs(root: Path) -> tuple[list[Path], list[Finding]]:
    """List the logs under a path: a file whatever its name; in a folder `result_*.txt`, plain or packed.

    Links are followed to files within the path only; one that leads out of it is a finding and is not read.
    Raises `PitboardError` where there is nothing.
    """
    if root.is_file():
        return [root], []
    if not root.is_dir():
        raise PitboardError(f"Nothing to check at {root}: expected a log, or a folder that holds logs.")
    paths, findings = [], []
    inside = root.resolve()
    for folder, _, names in os.walk(root):
        for name in names:
            if not is_log_name(name):
                continue
            path = Path(folder, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                findings.append(_leads_out(path.relative_to(root).as_posix()))
            else:
                paths.append(path)
    return sorted(paths), findings


def is_submission(folder: Path) -> bool:
    """Tell whether a folder is a submitter's: it has `results/` or `systems/`."""
    return (folder / "results").is_dir() or (folder / "systems").is_dir()


def submissions(root: Path) -> list[Path]:
    """Find the submissions under a path: itself, the folders in it, or the one it lies in."""
    if is_submission(root):
        return [root]
    return [folder for folder in folders_of(root, root) if is_submission(folder)]


def result_folders(submission: Path, root: Path) -> list[ResultFolder]:
    """Find the results of a submission, whether or not they hold logs, by system and benchmark."""
    return [
        _result_folder(benchmark, root, submission)
        for system in folders_of(submission / "results", root)
        for benchmark in folders_of(system, root)
    ]


def loose_result_folders(root: Path) -> list[ResultFolder]:
    """Find results outside a submission: every folder at or under the path that holds `result_*.txt`."""
    found, waiting = [], [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        result = _result_folder(folder, root, _submission_around(folder))
        if result.logs:
            found.append(result)
        if depth < MAX_DEPTH:
            waiting += [(inner, depth + 1) for inner in folders_of(folder, root)]
    return sorted(found, key=lambda result: result.path)


def _submission_around(folder: Path) -> Path | None:
    """Find the submission that a result folder given by itself lies in, by its place in the layout."""
    place = folder.resolve()
    if len(place.parts) > 3 and place.parents[1].name == "results":
        return place.parents[2]
    return None


def _result_folder(folder: Path, root: Path, submission: Path | None) -> ResultFolder:
    try:
        logs = [e.path for e in entries(folder, root) if is_log(e)]
    except OSError:
        logs = []
    place = folder.resolve()
    return ResultFolder(
        path=folder,
        submission=submission,
        submitter=printable(submission.resolve().name) if submission else "",
        system=printable(place.parent.name),
        benchmark=printable(place.name),
        logs=logs,
    )


UNREADABLE = Rule(
    code="package-unreadable",
    title="A folder cannot be looked at",
    meaning="A folder cannot be opened, or is nested too deeply.",
    why="What is in it was not checked.",
    where=UNCHECKED_OR_FATAL,
)


def walk(root: Path) -> tuple[list[Entry], list[Finding]]:
    """List everything under a path, and say what could not be entered."""
    found: list[Entry] = []
    findings: list[Finding] = []
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            inside = entries(folder, root)
        except OSError as error:
            findings.append(
                UNREADABLE.finding(
                    f"This folder cannot be read: {error.strerror}",
                    file=shown(folder, root),
                    fix="Give it read permission, or copy it again.",
                )
            )
            continue
        inside = [e for e in inside if depth > 0 or e.name not in _PASSED_OVER]
        found += inside
        inner = [e.path for e in inside if e.kind == "folder"]
        if depth < MAX_DEPTH:
            waiting += [(path, depth + 1) for path in inner]
        elif inner:
            findings.append(
                UNREADABLE.finding(
                    f"Folders nested deeper than {MAX_DEPTH} were not looked at",
                    file=shown(folder, root),
                    fix="Flatten the folders.",
                )
            )
    return found, findings
