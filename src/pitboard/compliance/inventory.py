"""Where things lie in a submission: `<submitter>/results/<system>/<benchmark>/result_*.txt` and `systems/`.

Each folder is listed once, into an `Inventory` that is handed to everything which looks at the tree. Only
folders under the checked path are entered, and no symbolic link to a folder is followed, so that a hostile
tree can neither lead outside nor round in circles.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pitboard.compliance.rule import UNCHECKED, UNCHECKED_OR_FATAL, Finding, Rule
from pitboard.errors import PitboardError
from pitboard.events.reader import holds_events
from pitboard.events.source import PACKED_AS
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


def _link(path: Path, inside: Path) -> Entry:
    """Tell what a symbolic link is; `inside` is the resolved path that it may not lead out of."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return Entry(path, "link-broken")
    if not target.is_relative_to(inside):
        return Entry(path, "link-out")
    if target.is_dir():
        return Entry(path, "link-folder")
    return Entry(path, "file", target.stat().st_size) if target.is_file() else Entry(path, "other")


def _points_out(link: Path, inside: Path) -> bool:
    try:
        return not link.resolve().is_relative_to(inside)
    except (OSError, RuntimeError):  # a link to itself
        return False


def is_log(entry: Entry) -> bool:
    """Tell whether an entry is a run's log, by its name."""
    return entry.kind == "file" and is_log_name(entry.name)


def is_log_name(name: str) -> bool:
    """Tell whether a file's name is a run's log: `result_*.txt` as official, or that packed."""
    plain = name.removesuffix(next((end for end in PACKED_AS if name.endswith(end)), ""))
    return plain.startswith("result_") and plain.endswith(".txt")


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


UNREADABLE = Rule(
    code="package-unreadable",
    title="A folder cannot be looked at",
    meaning="A folder cannot be opened, or is nested too deeply.",
    why="What is in it was not checked.",
    where=UNCHECKED_OR_FATAL,
)


def _unreadable(folder: Path, root: Path, error: OSError) -> Finding:
    return UNREADABLE.finding(
        f"This folder cannot be read: {error.strerror}",
        file=shown(folder, root),
        fix="Give it read permission, or copy it again.",
    )


def _too_deep(folder: Path, root: Path) -> Finding:
    return UNREADABLE.finding(
        f"Folders nested deeper than {MAX_DEPTH} were not looked at",
        file=shown(folder, root),
        fix="Flatten the folders.",
    )


class Inventory:
    """What lies under a path: a log, a result's folder, a submission or a round.

    `logs` are its logs in order: a file whatever its name, in a folder `result_*.txt`, plain or packed, and
    with `every_log` each other file, too, that holds events; or just the `named` ones, which lie under it.
    `led_out` are findings on logs that are links to elsewhere, which are not read. `everything` holds the
    entries of all folders down to `MAX_DEPTH`, `deeper` those below, and `not_entered` findings on folders
    that were not looked at.
    """

    def __init__(self, root: Path, *, every_log: bool = False, named: Sequence[Path] = ()) -> None:
        """List everything. Raises `PitboardError` where there is no file and no folder."""
        self.root = root
        self.named = bool(named)
        self._every_log = every_log
        self.logs: list[Path] = []
        self.led_out: list[Finding] = []
        self.everything: list[Entry] = []
        self.deeper: list[Entry] = []
        self.not_entered: list[Finding] = []
        self._inside: dict[Path, list[Entry]] = {}
        if root.is_file():
            self.logs.append(root)
        elif not root.is_dir():
            raise PitboardError(f"Nothing to check at {root}: expected a log, or a folder that holds logs.")
        self._place = root.resolve()
        if named:
            self.logs += dict.fromkeys(named)
            return
        waiting = [(root, 0)]
        while waiting:
            folder, depth = waiting.pop()
            waiting += [(inner, depth + 1) for inner in self._list(folder, depth)]
        self.logs.sort()

    def _list(self, folder: Path, depth: int) -> list[Path]:
        """Take in one folder; gives the folders in it."""
        try:
            with os.scandir(folder) as found:
                inside = [self._entry(each) for each in sorted(found, key=lambda each: each.name)]
        except OSError as error:
            if depth <= MAX_DEPTH:
                self.not_entered.append(_unreadable(folder, self.root, error))
            return []
        if depth == 0:
            inside = [entry for entry in inside if entry.name not in _PASSED_OVER]
        inner = [entry.path for entry in inside if entry.kind == "folder"]
        for entry in inside:
            if entry.kind not in ("folder", "link-folder") and is_log_name(entry.name):
                self._take_log(entry)
            elif self._every_log and entry.kind == "file" and holds_events(entry.path):
                self.logs.append(entry.path)
        if depth <= MAX_DEPTH:
            self._inside[folder] = inside
        (self.everything if depth <= MAX_DEPTH else self.deeper).extend(inside)
        if depth == MAX_DEPTH and inner:
            self.not_entered.append(_too_deep(folder, self.root))
        return inner

    def _entry(self, found: "os.DirEntry[str]") -> Entry:
        path = Path(found.path)
        if found.is_symlink():
            return _link(path, self._place)
        if found.is_dir():
            return Entry(path, "folder")
        if found.is_file():
            return Entry(path, "file", found.stat().st_size)
        return Entry(path, "other")

    def _take_log(self, entry: Entry) -> None:
        if entry.kind == "link-out" or (entry.kind == "link-broken" and _points_out(entry.path, self._place)):
            self.led_out.append(_leads_out(entry.path.relative_to(self.root).as_posix()))
        else:
            self.logs.append(entry.path)

    def entries(self, folder: Path) -> list[Entry]:
        """Return what lies in a folder, by name; nothing for one that was not listed."""
        return self._inside.get(folder, [])

    def folders(self, folder: Path) -> list[Path]:
        """Return the folders in a folder, by name."""
        return [entry.path for entry in self.entries(folder) if entry.kind == "folder"]

    def listed(self, folder: Path) -> bool:
        """Tell whether a folder is there and could be listed."""
        return folder in self._inside

    def bytes_of_logs(self) -> int:
        """Return how many bytes the logs have on disk."""
        return sum(entry.size for entry in self.everything if is_log_name(entry.name))

    def submissions(self) -> list[Path]:
        """Return the submissions under the path: itself, or the folders in it."""
        if is_submission(self.root):
            return [self.root]
        return [folder for folder in self.folders(self.root) if is_submission(folder)]

    def results(self, submission: Path) -> list[ResultFolder]:
        """Return the results of a submission, whether or not they hold logs, by system and benchmark."""
        return [
            self._result(benchmark, submission)
            for system in self.folders(submission / "results")
            for benchmark in self.folders(system)
        ]

    def loose_results(self) -> list[ResultFolder]:
        """Return results outside a submission: each folder at or under the path that holds `result_*.txt`."""
        holding = sorted(folder for folder, inside in self._inside.items() if any(map(is_log, inside)))
        return [self._result(folder, _submission_around(self._resolved(folder))) for folder in holding]

    def _resolved(self, folder: Path) -> Path:
        return self._place / folder.relative_to(self.root)  # no link is followed below the root

    def _result(self, folder: Path, submission: Path | None) -> ResultFolder:
        place = self._resolved(folder)
        return ResultFolder(
            path=folder,
            submission=submission,
            submitter=printable(place.parents[2].name) if submission else "",
            system=printable(place.parent.name),
            benchmark=printable(place.name),
            logs=[entry.path for entry in self.entries(folder) if is_log(entry)],
        )


def is_submission(folder: Path) -> bool:
    """Tell whether a folder is a submitter's: it has `results/` or `systems/`."""
    return (folder / "results").is_dir() or (folder / "systems").is_dir()


def _submission_around(result: Path) -> Path | None:
    """Find the submission that a result folder given by itself lies in, by its place in the layout."""
    if len(result.parts) > 3 and result.parents[1].name == "results":
        return result.parents[2]
    return None
