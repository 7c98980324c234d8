"""What lies beside the logs of a result: `scaling.json`, `package_checker_params`, and strays."""

import json
import math
from pathlib import Path

from pitboard.compliance.benchmarks import allowed_benchmarks
from pitboard.compliance.finding import Finding
from pitboard.compliance.layout import ResultFolder, entries, is_log, shown
from pitboard.compliance.rcp import RcpVerdict

_PARAMS = "package_checker_params"
_SCALING = "scaling.json"
_BYPASSES = ("rcp-bypass", "seed-checker-bypass")
_MAX_BYTES = 1 << 16


def check_folder(result: ResultFolder, root: Path, file: str, ruleset: str) -> list[Finding]:
    """Check that a result folder is named after a benchmark of the round and holds no strays."""
    findings = []
    if result.benchmark not in allowed_benchmarks(ruleset):
        findings.append(
            Finding(
                rule="result-benchmark",
                severity="warning",
                file=file,
                message="This folder's name is no benchmark of the round: only its logs are checked",
                expected=allowed_benchmarks(ruleset),
                found=result.benchmark,
                fix="Name the folder after its benchmark, or check it with the round that had the benchmark.",
            )
        )
    try:
        inside = entries(result.path, root)
    except OSError:
        return findings  # the walk over the tree reports it
    for entry in inside:
        power = entry.name == "power" and entry.kind == "folder"
        told = entry.kind not in ("file", "folder")
        if told or is_log(entry) or power or entry.name in (_PARAMS, _SCALING):
            continue
        findings.append(
            Finding(
                rule="result-stray",
                severity="warning",
                file=shown(entry.path, root),
                message="This is not counted as a run: it is not named as one",
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
        text = _read(folder / _PARAMS)
        found |= {name for name in _BYPASSES if text is not None and text.rpartition("\n")[2] == name}
    return frozenset(found)


def committee_scale(result: ResultFolder, file: str) -> tuple[float | None, list[Finding]]:
    """Read the factor that the review committee put in `scaling.json`; `None` where there is no such file."""
    text = _read(result.path / _SCALING)
    if text is None:
        return None, []
    try:
        factor = float(json.loads(text)["scaling_factor"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        factor = math.nan
    if 0 < factor < math.inf:
        return factor, []
    finding = Finding(
        rule="result-scaling-damaged",
        file=f"{file}/{_SCALING}",
        message="The scaling factor cannot be read; the score is made without it",
        expected='{"scaling_factor": 1.01}',
        found=text[:80],
        fix="Remove the file, or run the check that wrote it again.",
    )
    return None, [finding]


def check_scale(scale: float | None, rcp: RcpVerdict | None, file: str) -> list[Finding]:
    """Compare the factor in `scaling.json` with the one that the RCP test gives today."""
    if scale is None or rcp is None or not rcp.passed or math.isclose(scale, rcp.scale, rel_tol=1e-9):
        return []
    finding = Finding(
        rule="result-scaling-differs",
        severity="warning",
        file=f"{file}/{_SCALING}",
        message="The scaling factor is not the one of the RCP test; the score is made with this one",
        expected=rcp.scale,
        found=scale,
        fix="Remove the file if the review committee did not decide otherwise: the RCP test writes it anew.",
    )
    return [finding]


def _read(path: Path) -> str | None:
    """Read a small file of the tree; links and whatever is not a small file count as absent."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
