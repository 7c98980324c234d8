"""Seeds: every run logs one, and no two runs log the same one from the same line of source."""

from collections.abc import Hashable, Sequence

from pitboard.compliance.log.check import UNPARSED
from pitboard.compliance.report import LogReport
from pitboard.compliance.rule import Finding, Rule
from pitboard.events import Seed
from pitboard.text import printable

_SEED_CHECKER = "mlperf-logging, package_checker/seed_checker.py"
_FIX = "Draw a new seed for every run, and log it with mllog where it is drawn."


MISSING = Rule(
    code="seed-missing",
    title="A run logs no seed",
    meaning="Every run of a closed result logs at least one seed through mllog.",
    why="Without it nobody can tell that the runs are independent.",
    where=_SEED_CHECKER,
)
UNREADABLE = Rule(
    code="seed-unreadable",
    title="A run's seed cannot be used",
    meaning="A seed is no whole number, names no line of source, or is in a log with parse errors.",
    why="Seeds are compared by value and origin.",
    where=_SEED_CHECKER,
)
REPEATED = Rule(
    code="seed-repeated",
    title="A seed is used twice",
    meaning="The same seed was logged from the same line of source before, in this or another run.",
    why="Equal seeds repeat one draw; the mean would be that of fewer runs.",
    where=_SEED_CHECKER,
)
SEVERAL = Rule(
    code="seed-several",
    title="A run logs several seeds",
    severity="warning",
    meaning="More than one event 'seed' in a log.",
    why="It is allowed, but often means that every rank logs.",
    where=_SEED_CHECKER,
)


def check_seeds(logs: Sequence[LogReport]) -> list[Finding]:
    """Check the seeds of all runs of a result, as the official `seed_checker` does.

    Two runs may not log the same seed from the same line of the same source file, nor one run twice.
    """
    findings: list[Finding] = []
    first: dict[tuple[Hashable, Hashable, int], str] = {}
    for log in logs:
        if any(finding.rule in UNPARSED for finding in log.findings):
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
            MISSING.finding(
                "The run logs no seed", file=log.path, expected="at least one event 'seed'", fix=_FIX
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
    return UNREADABLE.finding(
        f"The run's seed cannot be taken from its log: it has {what}",
        file=log.path,
        line=line,
        expected="a whole number, with the source file and line in the metadata",
        found=found,
        fix=_FIX,
    )


def _repeated(log: LogReport, seed: Seed, number: str, other: str) -> Finding:
    origin = f"{seed.file}:{seed.lineno}"
    return REPEATED.finding(
        f"The seed {number:.40} was already logged from {printable(origin):.80} in {other}",
        file=log.path,
        line=seed.line,
        expected="a seed of its own for every run",
        found=number[:40],
        fix=_FIX,
    )


def _several(log: LogReport, count: int) -> Finding:
    return SEVERAL.finding(
        f"The run logs {count} seeds",
        file=log.path,
        line=log.run.seeds[1].line,
        expected=1,
        found=count,
        fix="Log the seed from one rank and one line, unless each does something else.",
    )
