"""A verdict as Markdown, to be pasted into a review: what was judged, its scores, and each finding once."""

from collections.abc import Sequence

from pitboard import __version__
from pitboard.compliance import TreeReport
from pitboard.compliance.log.preset import mark
from pitboard.compliance.rule import Finding
from pitboard.scoring.score import Score
from pitboard.text import in_markdown, printable

_MOST = 100
_WHOLE = (".", "")


def wanting(scores: Sequence[Score]) -> list[str]:
    """Say of scores with fewer runs than their benchmark's result needs how many there are, each once."""
    sentences = [
        f"{len(score.runs)} of {score.runs_needed} runs: the score of {score.benchmark} needs "
        f"{score.runs_needed}."
        for score in scores
        if score.runs_needed and len(score.runs) < score.runs_needed and not score.preset
    ]
    return list(dict.fromkeys(sentences))


def as_markdown(report: TreeReport, scores: Sequence[Score], name: str) -> str:
    """Write what was found in a file or folder of that name, for people who review it."""
    findings = report.every_finding()
    errors = sum(finding.severity == "error" for finding in findings)
    counts = [_counted("log", [log.valid for log in report.logs])]
    if report.results:
        counts.append(_counted("result", [result.valid for result in report.results]))
    lines = [
        f"**{_code(name)}: {'valid' if report.valid else 'not valid'}**, checked by Pitboard {__version__}",
        "",
        f"- By the rules of round {in_markdown(report.round)}" if report.round else "- No round told",
        *([f"- {in_markdown(mark(report.preset))}"] if report.preset else []),
        f"- {'; '.join(counts)}",
        *(f"- {in_markdown(sentence)}" for sentence in wanting(scores)),
        *(f"- {_scored(score)}" for score in scores[:_MOST]),
        *_more(len(scores), "score"),
        f"- {_many('error', errors)}, {_many('warning', len(findings) - errors)}",
    ]
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.severity):
        alike.setdefault((finding.severity, finding.rule, finding.message), []).append(finding)
    if alike:
        lines += ["", *(_told(same) for same in list(alike.values())[:_MOST]), *_more(len(alike), "finding")]
    return "\n".join(lines) + "\n"


def _scored(score: Score) -> str:
    place = "/".join(part for part in (score.submitter, score.system, score.benchmark) if part)
    if score.minutes is None:
        return f"{_code(place)}: no score"
    counted = sum(run is not None for run in score.runs)
    factor = "" if score.rcp_scale == 1 else f", with the RCP factor {score.rcp_scale:.4f}"
    runs = f"{_many('run', counted)} that count{'s' * (counted == 1)}"
    return f"{_code(place)}: {score.minutes:.3f} min of {runs}{factor}"


def _told(alike: list[Finding]) -> str:
    first = alike[0]
    place = first.file + (f":{first.line}" if first.line else "")
    where = "" if first.file in _WHOLE else f" {_code(place)}"
    more = f" and {len(alike) - 1:,} more" if len(alike) > 1 else ""
    return f"- {first.severity} {_code(first.rule)}{where}{more}: {in_markdown(printable(first.message))}"


def _code(text: str) -> str:
    """Write a text as code, which nothing in it ends."""
    return f"`{printable(text).replace('`', chr(39))}`"


def _more(count: int, what: str) -> list[str]:
    return [f"- and {_many(what, count - _MOST)} more"] if count > _MOST else []


def _counted(what: str, verdicts: list[bool]) -> str:
    return f"{_many(what, len(verdicts))}, {sum(verdicts):,} valid"


def _many(what: str, count: int) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
