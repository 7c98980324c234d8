"""Power results, `power/result_N/{node,sw}_M.txt` beside the logs: the same meters in every run."""

from collections import Counter
from pathlib import Path

import msgspec

from pitboard.compliance.finding import Finding
from pitboard.compliance.layout import ResultFolder, entries, shown


class _Meters(msgspec.Struct, frozen=True):
    nodes: int
    switches: int


def check_power(result: ResultFolder, root: Path) -> list[Finding]:
    """Check a result's power files, as the official `power_checker` does; a result without power is fine.

    A run with a finding counts as one that does not comply, which the olympic mean may drop; hence warnings.
    They are filed under the run's folder of power files, which has the name of its log.
    """
    power = result.path / "power"
    if not power.is_dir() or power.is_symlink():
        return []
    findings: list[Finding] = []
    meters: dict[str, _Meters] = {}
    for log in result.logs:
        folder = power / log.stem
        file = shown(folder, root)
        try:
            names = [e.name for e in entries(folder, root) if e.kind == "file"]
        except OSError:
            findings.append(_missing(file))
            continue
        nodes, switches = _numbers(names, "node"), _numbers(names, "sw")
        findings += [_misnamed(file, numbers) for numbers in (nodes, switches) if not _counts_up(numbers)]
        meters[file] = _Meters(len(nodes), len(switches))
    if meters:
        usual = Counter(meters.values()).most_common(1)[0][0]
        findings += [_differing(file, have, usual) for file, have in meters.items() if have != usual]
    return findings


def _numbers(names: list[str], kind: str) -> list[str]:
    """The numbers at the end of the names of one kind of meter's files, as written."""
    return [Path(name).stem.rpartition("_")[2] for name in names if name.startswith(kind)]


def _counts_up(numbers: list[str]) -> bool:
    return sorted(numbers) == sorted(str(n) for n in range(len(numbers)))


def _missing(file: str) -> Finding:
    return Finding(
        rule="power-missing",
        severity="warning",
        file=file,
        message="This run has no power results, though the result has a folder 'power'",
        expected="a folder named like the log, with node_0.txt and so on",
        fix="Add the run's power files, or leave out 'power' for the whole result.",
    )


def _misnamed(file: str, numbers: list[str]) -> Finding:
    return Finding(
        rule="power-names",
        severity="warning",
        file=file,
        message="The power files are not numbered from 0 up",
        expected=f"node_N.txt or sw_N.txt with N from 0 to {len(numbers) - 1}",
        found=", ".join(sorted(numbers))[:80],
        fix="Number the files of each kind from 0, without gaps.",
    )


def _differing(file: str, have: _Meters, usual: _Meters) -> Finding:
    return Finding(
        rule="power-meters",
        severity="warning",
        file=file,
        message="This run was measured with other meters than the others",
        expected=f"{usual.nodes} nodes and {usual.switches} switches",
        found=f"{have.nodes} nodes and {have.switches} switches",
        fix="Add the missing files: all meters belong to every run.",
    )
