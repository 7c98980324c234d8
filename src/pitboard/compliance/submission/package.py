"""Build a submission from what runs left behind: laid out, described, checked, packed and summed."""

import contextlib
import gzip
import hashlib
import json
import re
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from pitboard.compliance.archives import tree
from pitboard.compliance.check import check_tree
from pitboard.compliance.inventory import Inventory, ResultFolder
from pitboard.compliance.report import TreeReport
from pitboard.compliance.rule import Finding
from pitboard.compliance.submission.check import NO_CODE
from pitboard.compliance.submission.system import FIELDS, STATUSES
from pitboard.errors import PitboardError
from pitboard.events import read_events
from pitboard.events.source import DamagedSourceError, read_pieces
from pitboard.files import open_plain, scratch, write_atomically
from pitboard.text import encodable, file_name

_SUMS = "SHA256SUMS"
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_STATUS_OF = {
    "onprem": STATUSES[0],
    "cloud": STATUSES[1],
    "research": STATUSES[2],
    "preview": STATUSES[3],
}
_FACTS = frozenset(
    {
        "submission_org",
        "submission_division",
        "submission_status",
        "number_of_nodes",
        "accelerators_per_node",
    }
)
_DATE = 315_532_800  # 1980-01-01: GNU tar warns of anything near 1970


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A packed submission: the archive, its SHA-256, the check of what is in it, and what is still missing.

    `drafts` are the system descriptions that were written for the submitter to complete.
    """

    archive: Path
    sha256: str
    report: TreeReport
    missing: list[str]
    drafts: list[Path]


def build_package(
    directory: Path, archive: Path | None = None, submitter: str | None = None, round: str | None = None
) -> Package:
    """Pack the runs under `directory/results/<system>/<benchmark>/` as a submission, and check it.

    `directory` may also hold `systems/<system>.json` and `benchmarks/<benchmark>/`; a description that is not
    there is drafted from the logs and written there. `submitter` is by default what the logs call
    `submission_org`, `archive` by default `<submitter>.tar.gz` here. The archive holds `<submitter>/...` with
    a `SHA256SUMS` file; equal inputs give equal bytes, and `<archive>.sha256` holds its own sum. It is packed
    even where something is missing. Where `directory` is an archive of such a folder, drafts are written into
    the package alone, and called by their paths in it.

    Raises `PitboardError` where there is no result, no submitter, or the archive cannot be written.
    """
    with tree(directory) as root:
        packed = _build(root, directory, archive, submitter, round)
        if root == directory:
            return packed
        drafts = [path.relative_to(root) for path in packed.drafts]
        return msgspec.structs.replace(packed, drafts=drafts)


def _build(
    directory: Path, named: Path, archive: Path | None, submitter: str | None, round: str | None
) -> Package:
    # A submitter's results may be a link to a larger disk; within them no link is followed.
    found = Inventory(directory / "results") if (directory / "results").is_dir() else None
    results = [result for result in found.results(directory) if result.logs] if found else []
    if found is None or not results:
        raise PitboardError(
            f"No run to pack under {directory}: expected results/<system>/<benchmark>/result_*.txt, "
            "as 'pitboard run' writes them."
        )
    facts = {result.path.parent.name: _facts(result.logs[0]) for result in results}
    submitter = submitter or _submitter(facts)
    if not _SAFE_NAME.fullmatch(submitter):
        raise PitboardError(
            f"The submitter '{submitter:.60}' cannot name a folder: expected letters, digits, '.', '_', '+' "
            "or '-'. Give another name with --submitter."
        )
    archive = (archive or Path(f"{submitter}.tar.gz")).absolute()
    if archive == named.absolute():
        raise PitboardError(f"{archive} is what is to be packed: give the package another name with --out.")
    try:
        drafts = _draft_systems(directory, facts, submitter)
        archive.parent.mkdir(parents=True, exist_ok=True)
        with scratch(archive.parent, ".package-") as folder:
            place = folder / submitter
            _lay_out(directory, found, results, place)
            inventory = Inventory(place)
            report = check_tree(place, round, "submission", inventory=inventory)
            missing = _missing(report, place)
            files = [entry.path for entry in inventory.everything + inventory.deeper if entry.kind == "file"]
            files.append(_write_sums(place, sorted(files)))
            digest = _pack(place, sorted(files), folder / "archive")
            sums = folder / "sums"
            sums.write_text(f"{digest}  {archive.name}\n")
            (folder / "archive").replace(archive)
            sums.replace(archive.with_name(f"{archive.name}.sha256"))
    except OSError as error:
        raise PitboardError(f"Cannot pack {directory} into {archive}: {error.strerror or error}.") from error
    return Package(archive=archive, sha256=digest, report=report, missing=missing, drafts=drafts)


def _facts(log: Path) -> dict[str, Any]:
    return {event.key: event.value for event in read_events(log) if event.key in _FACTS}


def _submitter(facts: dict[str, dict[str, Any]]) -> str:
    named = Counter(str(logged["submission_org"]) for logged in facts.values() if "submission_org" in logged)
    if not named:
        raise PitboardError("No log says who submits (submission_org): name the submitter with --submitter.")
    return file_name(named.most_common(1)[0][0])


def _draft_systems(directory: Path, facts: dict[str, dict[str, Any]], submitter: str) -> list[Path]:
    """Write a description for every system that has none, with what the logs know and the rest empty."""
    drafts = []
    for system, logged in sorted(facts.items()):
        path = directory / "systems" / f"{system}.json"
        if path.exists():
            continue
        known = {
            "submitter": submitter,
            "division": logged.get("submission_division", ""),
            "status": _STATUS_OF.get(str(logged.get("submission_status")), ""),
            "system_name": system,
            "number_of_nodes": logged.get("number_of_nodes", ""),
            "accelerators_per_node": logged.get("accelerators_per_node", ""),
        }
        draft = {field: encodable(str(known.get(field, ""))) for field in FIELDS}
        write_atomically(path, (json.dumps(draft, indent=4, ensure_ascii=False) + "\n").encode())
        drafts.append(path)
    return drafts


def _lay_out(directory: Path, found: Inventory, results: list[ResultFolder], place: Path) -> None:
    """Copy what belongs to the submission; links are not followed, packed logs are unpacked."""
    for result in results:
        target = place / "results" / result.path.parent.name / result.path.name
        target.mkdir(parents=True)
        for log in result.logs:
            _unpack(log, target / f"{log.name.partition('.txt')[0]}.txt")
        _copy_tree(found, result.path / "power", target / "power")
        for folder, into in ((result.path, target), (result.path.parent, target.parent)):
            _copy_file(folder / "package_checker_params", into)
        _copy_file(result.path / "scaling.json", target)
        _copy_file(directory / "systems" / f"{result.path.parent.name}.json", place / "systems")
    code = directory / "benchmarks"
    if code.is_dir() and not code.is_symlink():
        _copy_tree(Inventory(code), code, place / "benchmarks")


def _unpack(log: Path, target: Path) -> None:
    # What a damaged archive still holds goes in; the check then says where the log breaks off.
    with target.open("wb") as out, contextlib.suppress(DamagedSourceError):
        for piece in read_pieces(log):
            out.write(piece)


def _copy_file(source: Path, into: Path) -> None:
    try:
        content = open_plain(source, follow=False)
    except OSError:  # none, a link, a pipe: what is no file of the tree
        return
    into.mkdir(parents=True, exist_ok=True)
    with content, (into / source.name).open("wb") as copy:
        shutil.copyfileobj(content, copy)


def _copy_tree(found: Inventory, source: Path, target: Path) -> None:
    for entry in found.entries(source):
        if entry.kind == "folder":
            _copy_tree(found, entry.path, target / entry.name)
        elif entry.kind == "file":
            _copy_file(entry.path, target)


def _missing(report: TreeReport, place: Path) -> list[str]:
    """Say in a sentence each what the submission still lacks: what the check refuses, code, empty fields."""
    every = [*report.findings, *(finding for result in report.results for finding in result.findings)]
    wanted = [f for f in every if f.severity == "error" or f.rule == NO_CODE.code]
    return [_sentence(finding) for finding in wanted] + [
        f"systems/{path.name}: still empty: {', '.join(empty)}"
        for path in sorted((place / "systems").glob("*.json"))
        if (empty := _empty_fields(path))
    ]


def _sentence(finding: Finding) -> str:
    where = f"{finding.file}: " if finding.file else ""
    return f"{where}{finding.message}. {finding.fix}".strip()


def _empty_fields(path: Path) -> list[str]:
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return []  # a damaged description is a finding of the check
    return [field for field in FIELDS if isinstance(fields, dict) and fields.get(field) == ""]


def _write_sums(place: Path, files: list[Path]) -> Path:
    lines = [f"{_sha256(path)}  {path.relative_to(place).as_posix()}\n" for path in files]
    (place / _SUMS).write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
    return place / _SUMS


def _pack(place: Path, files: list[Path], archive: Path) -> str:
    """Write the tar.gz, with nothing of the machine or the time in it, and give its SHA-256."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=_DATE) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in files:
            info = tarfile.TarInfo(path.relative_to(place.parent).as_posix())
            info.size, info.mtime, info.mode = path.stat().st_size, _DATE, 0o644
            with path.open("rb") as content:
                tar.addfile(info, content)
    return _sha256(archive)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
