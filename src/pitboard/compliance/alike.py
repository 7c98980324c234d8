"""Do the runs of a result belong together: the same settings, and the names that their place says?"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pitboard.compliance.finding import Finding
from pitboard.compliance.layout import ResultFolder, printable
from pitboard.compliance.report import LogReport
from pitboard.compliance.system import System

# Without these being the same in all runs there is no RCP test: the official checker ends in a traceback.
_DECISIVE = ("global_batch_size", "submission_benchmark")


def check_settings(logs: Sequence[LogReport]) -> list[Finding]:
    """Compare what the runs of a result log of their settings: only the seed may differ (training rules).

    The official checker compares the benchmark and the batch size alone; the other keys are warnings.
    """
    if all(log.run.settings == logs[0].run.settings for log in logs):
        return []
    findings = []
    for key in sorted({key for log in logs for key in log.run.settings}):
        values = Counter(_plain(log.run.settings.get(key)) for log in logs)
        if len(values) < 2:
            continue
        decisive = key in _DECISIVE
        rare = min(values, key=lambda value: values[value])
        odd = next(log.path for log in logs if _plain(log.run.settings.get(key)) == rare)
        findings.append(
            Finding(
                rule="result-settings",
                severity="error" if decisive else "warning",
                file=odd,
                message=f"The runs of this result do not all log the same {printable(key)}",
                expected="one value in all runs",
                found=[f"{value} in {count} of {len(logs)} runs" for value, count in values.most_common(4)],
                fix="Run all runs of a result with the same settings; only the seed differs.",
            )
        )
    return findings


def common(values: Iterable[str | None]) -> str | None:
    """Give the most frequent of the values that are not `None`, the first of equals."""
    counted = Counter(value for value in values if value is not None)
    return counted.most_common(1)[0][0] if counted else None


def _plain(value: Any) -> str:
    return repr(value)[:80]


def check_names(
    result: ResultFolder, logs: Sequence[LogReport], system: System | None, file: str
) -> list[Finding]:
    """Compare what the logs call their benchmark and division with their folder and the description."""
    findings = []
    for what, here, there in (
        ("benchmark", result.benchmark, common(log.benchmark for log in logs)),
        ("division", system.division if system else None, common(log.division for log in logs)),
    ):
        if here is not None and there is not None and here != there:
            findings.append(
                Finding(
                    rule="result-names",
                    severity="warning",
                    file=file,
                    message=f"The logs name another {what} than "
                    + ("their folder" if what == "benchmark" else "the system's description"),
                    expected=printable(here),
                    found=printable(there),
                    fix=f"Let submission_{what} in the logs and the submission's layout agree.",
                )
            )
    return findings
