"""What lies beside the logs of a result: `scaling.json`, `package_checker_params`, power files, and strays.

Power files are `power/result_N/{node,sw}_M.txt`: the same meters in every run.
"""

import json
import math
from collections import Counter
from pathlib import Path

import msgspec

from pitboard.compliance.inventory import Inventory, ResultFolder, is_log, shown
from pitboard.compliance.result.benchmarks import allowed_benchmarks
from pitboard.compliance.result.rcp import RcpVerdict
from pitboard.compliance.rule import PACKAGE_CHECKER, UNCHECKED_OR_FATAL, Finding, Rule
from pitboard.files import read_small

_POWER_CHECKER = "mlperf-logging, package_checker/power_checker.py"
_PARAMS = "package_checker_params"
_SCALING = "scaling.json"
_BYPASSES = ("rcp-bypass", "seed-checker-bypass")
_MAX_BYTES = 1 << 16


UNKNOWN_BENCHMARK = Rule(
    code="result-benchmark",
    title="The folder is no benchmark of the round",
    severity="warning",
    meaning=(
        "Of a submission the official checker passes over a folder whose name it does not know; we check its "
        "logs. A folder of runs outside a submission is judged as the benchmark that its logs name."
    ),
    why="A misspelt folder would leave the result out of the tables in silence.",
    where=PACKAGE_CHECKER,
)
STRAY = Rule(
    code="result-stray",
    title="A file among the logs is not named as one",
    severity="warning",
    meaning="Beside result_N.txt, scaling.json, package_checker_params and power/ nothing is expected.",
    why="A log under another name is not counted.",
    where=PACKAGE_CHECKER,
)


def check_folder(
    result: ResultFolder, inventory: Inventory, file: str, ruleset: str, *, named: bool
) -> list[Finding]:
    """Check that a result folder is `named` after a benchmark of the round and holds no strays."""
    findings = []
    if not named:
        judged = result.benchmark in allowed_benchmarks(ruleset)
        findings.append(
            UNKNOWN_BENCHMARK.finding(
                "This folder's name is no benchmark of the round: "
                + (
                    f"it is judged as {result.benchmark}, which its logs name"
                    if judged
                    else "only its logs are checked"
                ),
                file=file,
                expected=allowed_benchmarks(ruleset),
                found=result.path.name,
                fix="Name the folder after its benchmark, or check it with the round that had the benchmark.",
            )
        )
    for entry in inventory.entries(result.path):
        power = entry.name == "power" and entry.kind == "folder"
        told = entry.kind not in ("file", "folder")
        if told or is_log(entry) or power or entry.name in (_PARAMS, _SCALING):
            continue
        findings.append(
            STRAY.finding(
                "This is not counted as a run: it is not named as one",
                file=shown(entry.path, inventory.root),
                expected="result_N.txt",
                fix="Rename it if it is a run's log, or move it out of the results.",
            )
        )
    return findings


def bypasses(result: ResultFolder) -> frozenset[str]:
    """Read which checks the review committee has waived, for the result or for its whole system.

    Like the official `package_checker`, only an entry at the very end of a file counts, without a line's end.
    """
    found = set()
    for folder in (result.path.parent, result.path):
        text = read_small(folder / _PARAMS, _MAX_BYTES)
        found |= {name for name in _BYPASSES if text is not None and text.rpartition("\n")[2] == name}
    return frozenset(found)


SCALING_DAMAGED = Rule(
    code="result-scaling-damaged",
    title="scaling.json cannot be read",
    meaning="scaling.json is not a JSON object with a positive number as scaling_factor.",
    why="`result_summarizer` multiplies the score by what it finds there, or ends in a traceback.",
    where=UNCHECKED_OR_FATAL,
)


def filed_scale(result: ResultFolder, file: str) -> tuple[float | None, list[Finding]]:
    """Read the factor in `scaling.json`; `None` where there is no such file."""
    text = read_small(result.path / _SCALING, _MAX_BYTES)
    if text is None:
        return None, []
    try:
        factor = float(json.loads(text)["scaling_factor"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        factor = math.nan
    if 0 < factor < math.inf:
        return factor, []
    finding = SCALING_DAMAGED.finding(
        "The scaling factor cannot be read",
        file=f"{file}/{_SCALING}",
        expected='{"scaling_factor": 1.01}',
        found=text[:80],
        fix="Remove the file, or run the check that wrote it again.",
    )
    return None, [finding]


SCALING_DIFFERS = Rule(
    code="result-scaling-differs",
    title="scaling.json is not what the RCP test gives",
    severity="warning",
    meaning=(
        "The factor in the file is another than the test's, which is 1 where no factor applies. Scores are "
        "made with the test's; only published rounds are read with the review committee's."
    ),
    why="Whoever submits a result can write the file: it must not decide a score.",
    where=UNCHECKED_OR_FATAL,
)


def check_scale(scale: float | None, rcp: RcpVerdict | None, file: str) -> list[Finding]:
    """Compare the factor in `scaling.json` with the one that the RCP test gives today."""
    expected = rcp.factor if rcp is not None else 1.0
    if scale is None or math.isclose(scale, expected, rel_tol=1e-9):
        return []
    finding = SCALING_DIFFERS.finding(
        "The scaling factor is not the one of the RCP test; the score is made with the test's",
        file=f"{file}/{_SCALING}",
        expected=expected,
        found=scale,
        fix="Remove the file: the official RCP test writes it anew.",
    )
    return [finding]


POWER_MISSING = Rule(
    code="power-missing",
    title="A run has no power results",
    severity="warning",
    meaning="The result has a folder 'power', without a folder for this run.",
    why="Energy is averaged over the same runs as time.",
    where=_POWER_CHECKER,
)
POWER_NAMES = Rule(
    code="power-names",
    title="Power files are not numbered from 0 up",
    severity="warning",
    meaning=(
        "Of the files whose names begin with 'node', and of those with 'sw', each ends in a number below "
        "their count."
    ),
    why="A higher number is a meter whose file before it is missing.",
    where=_POWER_CHECKER,
)
POWER_METERS = Rule(
    code="power-meters",
    title="A run was measured with other meters",
    severity="warning",
    meaning="All runs have as many node and switch files as most of them.",
    why="Energy without one of the meters is too low.",
    where=_POWER_CHECKER,
)


class _Meters(msgspec.Struct, frozen=True):
    nodes: int
    switches: int


def check_power(result: ResultFolder, inventory: Inventory) -> list[Finding]:
    """Check a result's power files, as the official `power_checker` does; a result without power is fine.

    A run with a finding counts as one that does not comply, which the olympic mean may drop; hence warnings.
    They are filed under the run's folder of power files, which has the name of its log.
    """
    power = result.path / "power"
    if power not in inventory.folders(result.path):
        return []
    findings: list[Finding] = []
    meters: dict[str, _Meters] = {}
    for log in result.logs:
        folder = power / log.stem
        file = shown(folder, inventory.root)
        if not inventory.listed(folder):
            findings.append(_missing(file))
            continue
        names = [entry.name for entry in inventory.entries(folder) if entry.kind == "file"]
        nodes, switches = _numbers(names, "node"), _numbers(names, "sw")
        findings += [_misnamed(file, numbers) for numbers in (nodes, switches) if not _in_range(numbers)]
        meters[file] = _Meters(len(nodes), len(switches))
    if meters:
        usual = Counter(meters.values()).most_common(1)[0][0]
        findings += [_differing(file, have, usual) for file, have in meters.items() if have != usual]
    return findings


def _numbers(names: list[str], kind: str) -> list[str]:
    """The numbers at the end of the names of one kind of meter's files, as written."""
    return [Path(name).stem.rpartition("_")[2] for name in names if name.startswith(kind)]


def _in_range(numbers: list[str]) -> bool:
    """Tell whether each is a number below their count: as officially, 00 is 0, and one may stand twice."""
    try:
        return all(0 <= int(number) < len(numbers) for number in numbers)
    except ValueError:
        return False


def _missing(file: str) -> Finding:
    return POWER_MISSING.finding(
        "This run has no power results, though the result has a folder 'power'",
        file=file,
        expected="a folder named like the log, with node_0.txt and so on",
        fix="Add the run's power files, or leave out 'power' for the whole result.",
    )


def _misnamed(file: str, numbers: list[str]) -> Finding:
    return POWER_NAMES.finding(
        "The power files are not numbered from 0 up",
        file=file,
        expected=f"node_N.txt or sw_N.txt with N from 0 to {len(numbers) - 1}",
        found=", ".join(sorted(numbers))[:80],
        fix="Number the files of each kind from 0, without gaps.",
    )


def _differing(file: str, have: _Meters, usual: _Meters) -> Finding:
    return POWER_METERS.finding(
        "This run was measured with other meters than the others",
        file=file,
        expected=f"{usual.nodes} nodes and {usual.switches} switches",
        found=f"{have.nodes} nodes and {have.switches} switches",
        fix="Add the missing files: all meters belong to every run.",
    )
