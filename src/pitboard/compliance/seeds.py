"""Seeds: every run logs one, and no two runs log the same one from the same line of source."""

from collections.abc import Hashable, Sequence

from pitboard.compliance.finding import Finding
from pitboard.compliance.layout import printable
from pitboard.compliance.report import LogReport
from pitboard.events import Seed

# Findings on a log after which the official parser takes none of its events.
UNPARSED = frozenset(
    f"log-{kind}" for kind in ("bad-json", "truncated", "bad-event", "too-deep", "unreadable", "too-long")
)
_FIX = "Draw a new seed for every run, and log it with mllog where it is drawn."


def check_seeds(logs: Sequence[LogReport]) -> list[Finding]:
    """Check the seeds of all runs of a result, as the official `seed_checker` does.

    Two runs may not log the same seed from the same line of the same source file, nor one run twice.
    """
    findings: list[Finding] = []
    first: dict[tuple[Hashable, Hashable, int], str] = {}
    for log in logs:
        if any(f.rule in UNPARSED and f.severity == "error" for f in log.findings):
            findings.append(_unreadable(log, None, "lines that cannot be parsed, so that no seed counts"))
            continue
        seeds = _checked(log, findings)
        for seed, number in seeds:
            origin = (seed.file, seed.lineno, number)
            if origin in first:
                findings.append(_repeated(log, seed, str(number), first[origin]))
            else:
                first[origin] = log.path
        if len(seeds) > 1:
            findings.append(_several(log, len(seeds)))
    return findings


def _checked(log: LogReport, findings: list[Finding]) -> list[tuple[Seed, int]]:
    """Give the seeds of a log as whole numbers; one bad seed makes the official checker drop them all."""
    seeds = []
    for seed in log.run.seeds:
        number = _whole(seed)
        if number is None:
            found = f"{seed.value!r} from {seed.file!r}:{seed.lineno!r}"[:120]
            findings.append(
                _unreadable(log, seed.line, "a seed that is no whole number from a known line", found)
            )
            return []
        seeds.append((seed, number))
    if not seeds:
        findings.append(
            Finding(
                rule="seed-missing",
                file=log.path,
                message="The run logs no seed",
                expected="at least one event 'seed'",
                fix=_FIX,
            )
        )
    return seeds


def _whole(seed: Seed) -> int | None:
    if not isinstance(seed.file, Hashable) or not isinstance(seed.lineno, Hashable):
        return None
    if seed.file is None or seed.lineno is None:
        return None
    try:
        return int(seed.value)
    except (TypeError, ValueError, OverflowError):
        return None


def _unreadable(log: LogReport, line: int | None, what: str, found: str | None = None) -> Finding:
    return Finding(
        rule="seed-unreadable",
        file=log.path,
        line=line,
        message=f"The run's seed cannot be taken from its log: it has {what}",
        expected="a whole number, with the source file and line in the metadata",
        found=found,
        fix=_FIX,
    )


def _repeated(log: LogReport, seed: Seed, number: str, other: str) -> Finding:
    origin = f"{seed.file}:{seed.lineno}"
    return Finding(
        rule="seed-repeated",
        file=log.path,
        line=seed.line,
        message=f"The seed {number:.40} was already logged from {printable(origin):.80} in {other}",
        expected="a seed of its own for every run",
        found=number[:40],
        fix=_FIX,
    )


def _several(log: LogReport, count: int) -> Finding:
    return Finding(
        rule="seed-several",
        severity="warning",
        file=log.path,
        line=log.run.seeds[1].line,
        message=f"The run logs {count} seeds",
        expected=1,
        found=count,
        fix="Log the seed from one rank and one line, unless each does something else.",
    )
