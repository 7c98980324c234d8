"""Runs of a preset other than `full`: how they are marked, and judged by the rules of their own preset.

Such a run is no MLPerf result. The mark follows what a log says of itself; the rules follow the folder: the
output folder of `pitboard run` (its `run.json` names the preset) is judged by its preset's target, while a
log in a submission is judged by the official rules, whatever it says of itself.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from pitboard import suite
from pitboard.compliance.log.engine import MISSING_KEY
from pitboard.compliance.log.wording import TARGET, VALUE
from pitboard.compliance.rule import Finding
from pitboard.errors import PitboardError
from pitboard.events import LogFile, Run
from pitboard.files import NO_JSON, read_plain
from pitboard.suite import Preset, Scalar
from pitboard.suite.presets import logged_constants
from pitboard.text import printable

Kind = Literal["mlperf", "preset"]
"""What a result is: one of MLPerf's benchmarks, or a preset that is none."""

_FULL = "full"
_PLAN = "run.json"
_MAX_BYTES = 1 << 20
_LAYERS = 3
"""How deep in an output folder a log lies: `results/<system>/<benchmark>/`."""


class _Plan(msgspec.Struct):
    preset: str


def scaled_preset(runs: Iterable[Run]) -> str | None:
    """Name the preset other than `full` that runs say they are of, the most frequent; safe to print."""
    named = Counter(run.preset for run in runs if run.preset not in (None, _FULL))
    return printable(str(named.most_common(1)[0][0])[:40]) if named else None


def kind_of(preset: str | None) -> Kind:
    """Tell what a result is by `scaled_preset`."""
    return "mlperf" if preset is None else "preset"


def mark(preset: str) -> str:
    """Say what a run of a preset is not."""
    return f"preset {preset}: not an MLPerf result"


def preset_of_output(root: Path) -> str | None:
    """Name the preset of the output folder that a path is or lies in; `None` for `full` or no such folder."""
    place = root.resolve()
    folders = [place, *(folder for folder in list(place.parents)[: _LAYERS + 1])]
    for folder in folders:
        inside = place.relative_to(folder).parts
        if inside and inside[0] != "results":
            continue
        path = folder / _PLAN
        try:
            preset = msgspec.json.decode(read_plain(path, _MAX_BYTES, follow=False), type=_Plan).preset
        except (OSError, *NO_JSON):
            continue
        return None if preset == _FULL else preset
    return None


def preset_judging(run: Run, wanted: str | None) -> Preset | None:
    """Return the preset by which a run is judged: the `wanted` one, where the log says that it is of it.

    `None` where the official rules apply: nothing else is wanted, the log says otherwise, it claims the
    closed division, or there is no such preset.
    """
    if wanted in (None, _FULL) or run.preset != wanted or run.division != "open" or run.benchmark is None:
        return None
    try:
        return suite.benchmark(run.benchmark).preset(run.preset)
    except PitboardError:
        return None


def judge_by_preset(findings: list[Finding], log: LogFile, preset: Preset, file: str) -> list[Finding]:
    """Return a log's findings with the benchmark's own target and constants replaced by the preset's.

    They are those in `suite`, whatever the log says: the open ruleset of Llama 3.1 405B, for instance, fixes
    the length of a sequence. Of a preset without a target no evaluation is asked. Everything else in the
    findings stays.
    """
    constants = logged_constants(preset)
    kept = [
        finding
        for finding in findings
        if finding.rule != TARGET.code and not _is_constant(finding, constants)
    ]
    target = preset.values["target"]
    if target is None:
        return [finding for finding in kept if not _asks_for_evaluation(finding)]
    return kept + _judge_target(log, preset, float(target), file)


def _is_constant(finding: Finding, constants: Mapping[str, Scalar]) -> bool:
    """Whether the finding is only that a value is the preset's own."""
    key = finding.message.partition(":")[0]
    return finding.rule == VALUE.code and key in constants and finding.found == constants[key]


def _asks_for_evaluation(finding: Finding) -> bool:
    return finding.rule == MISSING_KEY.code and finding.message.startswith(
        ("eval_accuracy ", "averaged_validation_loss ")
    )


def _judge_target(log: LogFile, preset: Preset, target: float, file: str) -> list[Finding]:
    run = log.summary.run
    benchmark = suite.benchmark(str(run.benchmark))
    best = min if benchmark.lower_is_better else max
    logged = [event for event in log.events if event.key == benchmark.metric_key and _is_quality(event.value)]
    if not logged:
        return []  # that no evaluation is logged, or none that is a number, is a finding already
    reached = best(logged, key=lambda event: float(event.value))
    if best(float(reached.value), target) == float(reached.value):
        return []
    bound = "at most" if benchmark.lower_is_better else "at least"
    own = "" if run.target in (None, target) else f"; the run's own target was {run.target:g}"
    return [
        TARGET.finding(
            f"{benchmark.metric_key}: expected {bound} {target:g}, the target of preset "
            f"{preset.name}, found {float(reached.value):.4f}{own}",
            file=file,
            line=reached.line or None,
            expected=f"{bound} {target:g}",
            found=reached.value,
            fix="Train on until an evaluation reaches the preset's target, with the settings of the preset.",
        )
    ]


def _is_quality(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
