"""A submission and a round: is everything there, is it where it belongs, and is nothing else?"""

from collections.abc import Mapping
from pathlib import Path

from pitboard.compliance.inventory import (
    MAX_FILE_BYTES,
    Entry,
    Inventory,
    ResultFolder,
    is_log_name,
    shown,
)
from pitboard.compliance.report import Level, LogReport, ResultReport
from pitboard.compliance.result.check import check_result
from pitboard.compliance.rule import PACKAGE_CHECKER, POLICIES, UNCHECKED_OR_FATAL, Finding, Rule
from pitboard.compliance.submission.system import System, read_system
from pitboard.text import printable

_LINKS = {
    "link-out": "This link leads out of the checked folder and was not followed",
    "link-broken": "This link leads nowhere",
    "link-folder": "This is a link to a folder, which was not followed",
}


_REPO_CHECKER = "mlperf-logging, repo_checker/repo_checker.py"


def judge_submission(
    inventory: Inventory,
    level: Level,
    logs: Mapping[Path, LogReport],
    ruleset: str,
    preset: str | None = None,
) -> tuple[list[ResultReport], list[Finding]]:
    """Judge what the logs under a path form, as far as `level` says: results, systems, submissions, a round.

    `logs` maps every log of `inventory` to its report; `ruleset` is such as "5.1.0". A part that is
    missing or damaged is a finding, and everything else is still judged. With a `preset` the path is the
    output folder of its runs, of which nobody asks for the code and the tidiness of a submission.
    """
    if level == "log":
        return [], []
    if level == "result":
        return _judge_loose(inventory, logs, ruleset)
    reports: list[ResultReport] = []
    places = inventory.submissions()
    findings = [] if preset else _check_files(inventory) + _check_code(places, inventory)
    if level == "round":
        findings += _check_round(inventory, places)
    for place in places:
        systems, more = _check_submission(place, inventory, ruleset)
        findings += more
        reports += [
            _judge_result(result, logs, systems.get(result.path.parent.name), ruleset, inventory)
            for result in inventory.results(place)
        ]
        findings += [] if preset else _check_configurations(place, inventory, logs)
    return reports, findings


def _judge_loose(
    inventory: Inventory, logs: Mapping[Path, LogReport], ruleset: str
) -> tuple[list[ResultReport], list[Finding]]:
    reports, findings = [], []
    systems: dict[Path, System | None] = {}
    for result in inventory.loose_results():
        system = None
        if result.submission:
            path = result.submission / "systems" / f"{result.path.resolve().parent.name}.json"
            if path not in systems and path.resolve().is_relative_to(result.submission) and path.is_file():
                systems[path], more = read_system(path, path.name, ruleset)
                findings += more
            system = systems.get(path)
        reports.append(_judge_result(result, logs, system, ruleset, inventory))
    return reports, findings


def _judge_result(
    result: ResultFolder,
    logs: Mapping[Path, LogReport],
    system: System | None,
    ruleset: str,
    inventory: Inventory,
) -> ResultReport:
    told = [logs[path] for path in result.logs if path in logs]
    return check_result(result, told, system, ruleset, inventory)


NO_RESULTS = Rule(
    code="package-no-results",
    title="The submission has no results/",
    meaning="Logs lie in results/<system>/<benchmark>/.",
    why="The official checker ends in a traceback.",
    where=PACKAGE_CHECKER,
)
NO_SYSTEMS = Rule(
    code="package-no-systems",
    title="The submission has no systems/",
    meaning="Descriptions lie in systems/<system>.json.",
    why="The official checker ends in a traceback.",
    where=PACKAGE_CHECKER,
)


def _check_submission(
    place: Path, inventory: Inventory, ruleset: str
) -> tuple[dict[str, System | None], list[Finding]]:
    """Check one submitter's folder; give its systems by name, those that cannot be read as `None`."""
    root = inventory.root
    findings = [
        rule.finding(
            f"The submission has no folder '{part}'",
            file=shown(place / part, root),
            expected=f"{part}/",
            fix="Use results/<system>/<benchmark>/result_N.txt and systems/<system>.json.",
        )
        for part, rule in (("results", NO_RESULTS), ("systems", NO_SYSTEMS))
        if not (place / part).is_dir()
    ]
    systems: dict[str, System | None] = {}
    for entry in inventory.entries(place / "systems"):
        file = shown(entry.path, root)
        if entry.kind == "file" and entry.name.endswith(".json"):
            systems[entry.path.stem], more = read_system(entry.path, file, ruleset)
            findings += more
        elif entry.kind in ("file", "folder"):
            findings.append(_stray(file, "systems/<system>.json"))
    raced = {folder.name: folder for folder in inventory.folders(place / "results")}
    findings += [
        _stray(shown(entry.path, root), "results/<system>/")
        for entry in inventory.entries(place / "results")
        if entry.kind == "file"
    ]
    findings += [
        _no_description(folder, place, root) for name, folder in raced.items() if name not in systems
    ]
    findings += [_no_results(place, root, name) for name in systems if name not in raced]
    return systems, findings


NO_DESCRIPTION = Rule(
    code="system-missing",
    title="A system with results has no description",
    meaning="Every folder in results/ has a systems/<system>.json of its name.",
    why="Without it nobody knows what was measured; the official checker ends in a traceback.",
    where=PACKAGE_CHECKER,
)


def _no_description(folder: Path, place: Path, root: Path) -> Finding:
    return NO_DESCRIPTION.finding(
        "This system has results, but no description",
        file=shown(folder, root),
        expected=shown(place / "systems" / f"{folder.name}.json", root),
        fix="Write the description, and give it the name of the system's folder in results/.",
    )


UNUSED = Rule(
    code="system-unused",
    title="A description has no results",
    severity="warning",
    meaning="systems/<system>.json without results/<system>/.",
    why="Results may be missing from the copy, or the names differ by a letter.",
    where=UNCHECKED_OR_FATAL,
)


def _no_results(place: Path, root: Path, name: str) -> Finding:
    return UNUSED.finding(
        "This system is described, but has no results",
        file=shown(place / "systems" / f"{name}.json", root),
        expected=shown(place / "results" / name, root),
        fix="Add its results, remove the description, or let the two names agree.",
    )


STRAY = Rule(
    code="package-stray",
    title="A file or folder does not belong here",
    severity="warning",
    meaning="Something lies where the layout has no place for it.",
    why="It is not checked, and may be a result in the wrong place.",
    where=UNCHECKED_OR_FATAL,
)


def _stray(file: str, expected: str) -> Finding:
    return STRAY.finding(
        "Nothing of this kind belongs here",
        file=file,
        expected=expected,
        fix="Remove it, or move it to its place.",
    )


def _check_round(inventory: Inventory, places: list[Path]) -> list[Finding]:
    return [
        _stray(shown(folder, inventory.root), "a submitter's folder with results/ and systems/")
        for folder in inventory.folders(inventory.root)
        if folder not in places and not folder.name.startswith(".")
    ]


NO_CODE = Rule(
    code="package-no-code",
    title="The code of a benchmark is missing",
    severity="warning",
    meaning=(
        "A submission has its code in benchmarks/<benchmark>/. A warning, as the official checker passes "
        "without; one for all where no submission of a tree has code, as in copies of results only."
    ),
    why="Others must be able to reproduce a result.",
    where=POLICIES,
)


def _check_code(places: list[Path], inventory: Inventory) -> list[Finding]:
    """Warn where a submission lacks its code; one warning where none has it, as in a copy of results only."""
    root = inventory.root
    bare = [place for place in places if not (place / "benchmarks").is_dir()]
    if len(bare) == len(places) > 1:
        return [_no_code("", "No submission here has its code (benchmarks/)", "a copy with the code folders")]
    findings = [
        _no_code(shown(place, root), "The submission has no code folder", "benchmarks/<benchmark>/")
        for place in bare
    ]
    for place in places:
        if place in bare:
            continue
        raced = {result.benchmark for result in inventory.results(place)}
        findings += [
            _no_code(shown(place, root), f"There is no code for {benchmark}", f"benchmarks/{benchmark}/")
            for benchmark in sorted(raced)
            if not (place / "benchmarks" / benchmark).is_dir()
        ]
    return findings


def _no_code(file: str, message: str, expected: str) -> Finding:
    return NO_CODE.finding(
        f"{message}; the rules ask for it, the official checker does not look",
        file=file,
        expected=expected,
        fix="Add the code that made the results, with a README that says how to run it.",
    )


CONFIGURATION = Rule(
    code="package-configuration",
    title="The configuration that a log names is not in the submission",
    severity="warning",
    meaning=(
        "From round 6.1 on a log discloses the file that configured its run (config_filename). The "
        "benchmark's code folder has no file of that name."
    ),
    why="Whoever repeats the result needs the configuration that it was made with.",
    where=POLICIES,
)


def _check_configurations(place: Path, inventory: Inventory, logs: Mapping[Path, LogReport]) -> list[Finding]:
    """Look for the configuration files that the logs of a submission name, where it has its code."""
    code = place / "benchmarks"
    inside = [entry for entry in inventory.everything if entry.kind == "file" and code in entry.path.parents]
    findings = []
    for result in inventory.results(place) if inside else []:
        folder = code / result.benchmark
        known = {entry.name for entry in inside if folder in entry.path.parents}
        told: dict[str, Path] = {}
        for path in result.logs:
            named = logs[path].summary.disclosures.get("config_filename") if path in logs else None
            if isinstance(named, str) and named.rpartition("/")[2] not in known:
                told.setdefault(named, path)
        findings += [
            CONFIGURATION.finding(
                f"The log names the configuration {printable(named)!r:.100}, which is not among the code",
                file=shown(path, inventory.root),
                expected=f"{shown(folder, inventory.root)}/**/{printable(named)[:100]}",
                fix="Add the file that configured the runs to the benchmark's code.",
            )
            for named, path in told.items()
        ]
    return findings


LINK = Rule(
    code="package-link",
    title="A symbolic link cannot be followed",
    meaning="A link leads nowhere, out of the checked folder, or to a folder.",
    why="A submission must be whole in itself.",
    where=_REPO_CHECKER,
)
NAME = Rule(
    code="package-name",
    title="A name is bad for Git",
    meaning="A file's or folder's name starts with a dot, or holds a space or an unprintable character.",
    why="Submissions are exchanged as Git repositories and handled by scripts.",
    where=_REPO_CHECKER,
)
OVERSIZED = Rule(
    code="package-oversized",
    title="A file is too large",
    meaning="Files may have up to 50 MiB.",
    why="Git hosting refuses larger ones.",
    where=_REPO_CHECKER,
)


def _check_files(inventory: Inventory) -> list[Finding]:
    """Look at every file as the official `repo_checker` does: names, sizes and links that Git takes badly."""
    root, findings = inventory.root, list(inventory.not_entered)
    for entry in inventory.everything:
        if entry.kind in _LINKS and not (entry.kind == "link-out" and is_log_name(entry.name)):
            findings.append(_link(entry, root))
        if entry.kind == "other":
            findings.append(_stray(shown(entry.path, root), "a file or a folder"))
        if entry.name.startswith(".") or " " in entry.name or not entry.name.isprintable():
            findings.append(_bad_name(entry, root))
        if entry.size > MAX_FILE_BYTES:
            findings.append(_oversized(entry, root))
    return findings


def _link(entry: Entry, root: Path) -> Finding:
    return LINK.finding(
        _LINKS[entry.kind],
        file=shown(entry.path, root),
        expected="a file or a folder",
        found="a symbolic link",
        fix="Put the file itself here.",
    )


def _bad_name(entry: Entry, root: Path) -> Finding:
    return NAME.finding(
        "This name starts with a dot, or has a space or an unprintable character in it",
        file=shown(entry.path, root),
        expected="a name that Git and every system take",
        fix="Rename it.",
    )


def _oversized(entry: Entry, root: Path) -> Finding:
    return OVERSIZED.finding(
        f"This file has {entry.size / 2**20:.0f} MiB, more than Git hosting takes",
        file=shown(entry.path, root),
        expected=f"at most {MAX_FILE_BYTES >> 20} MiB",
        found=entry.size,
        fix="Remove it, or leave out of the log what is no MLLOG line.",
    )
