"""Turn a checked and scored tree into the store's rows."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pitboard.compliance import LogReport, ResultReport, TreeReport, check_tree
from pitboard.compliance.archives import tree
from pitboard.compliance.result.benchmarks import counts_in_steps, official_drops
from pitboard.errors import PitboardError
from pitboard.events import Evaluation
from pitboard.files import read_small
from pitboard.results.catalogue import accelerator
from pitboard.results.published import round_row
from pitboard.results.schema import TABLES, Row, Rows
from pitboard.results.software import described_precision, links, software
from pitboard.scoring import Score, score_tree
from pitboard.text import encodable, fits_json, printable

_SYSTEM_KEY = ("round", "submitter", "system")
_OF_SYSTEM = (
    "organisation",
    "system_name",
    "availability",
    "nodes",
    "accelerator",
    "accelerators",
    "framework",
)
_MOST_MISSING = 1 << 20
_MOST_DEEP = 20
_MOST_MINUTES = 60 * 24 * 366 * 10


class Names(msgspec.Struct, frozen=True):
    """What to call what is added, in place of its folders' names; `None` keeps them."""

    submitter: str | None = None
    system: str | None = None


def read_rows(
    path: Path,
    round: str | None = None,
    names: Names | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    published: bool = False,
) -> Rows:
    """Check and score a round, a submission or a run's output, and give the store's rows, table by table.

    `published` is for the rounds that the package ships, built from archives of a known digest; all else is
    the user's own. Damaged logs and descriptions are kept as what they say, not valid. Raises `PitboardError`
    where `path` holds no result: a single log belongs to none.
    """
    with tree(path) as place:
        report = check_tree(place, round, progress=progress)
        if not report.results:
            raise PitboardError(
                f"No result under {path}: expected <submitter>/results/<system>/<benchmark>/result_*.txt, "
                "a submission, or the output folder of `pitboard run`."
            )
        if report.round is None:
            raise PitboardError(f"No log under {path} holds an event, so its round cannot be told: name it.")
        return _Reader(place, report, names or Names(), published).rows()


class _Reader:
    """Walks one tree's reports; rows are built result by result."""

    def __init__(self, root: Path, report: TreeReport, names: Names, published: bool) -> None:
        self._root = root
        self._report = report
        self._round = str(report.round)
        self._names = names
        self._own = not published
        self._logs = {log.path: log for log in report.logs}
        self._rows: Rows = {table: [] for table in TABLES}

    def rows(self) -> Rows:
        described: dict[tuple[str, str], Row] = {}
        for result, score in zip(
            self._report.results, score_tree(self._report, published=not self._own), strict=True
        ):
            key = self._key(result)
            system = (key["submitter"], key["system"])
            if system not in described:
                described[system] = self._system(key, result)
            self._result(key, result, score, described[system])
        self._rows["incomplete"] += self._lost()
        row = None if self._own else round_row(self._round)
        self._rows["rounds"] += [row] if row else []
        for rows in self._rows.values():
            for row in rows:
                row["own"] = self._own
        return self._rows

    def _key(self, result: ResultReport) -> Row:
        return {
            "round": self._round,
            "submitter": self._names.submitter or self._folder(result),
            "system": self._names.system or result.system,
            "benchmark": result.benchmark,
        }

    def _folder(self, result: ResultReport) -> str:
        """Name the submitter's folder: logs and descriptions often name another, or a placeholder."""
        first = result.path.split("/")[0]
        if first not in ("", ".", "results"):
            return printable(first)
        logs = [self._logs[path] for path in result.logs]
        # Of a folder of logs alone, nothing but they can tell.
        told = logs if first == "." else [log for log in logs if log.run.preset]
        names = [log.run.settings.get("submission_org") for log in told]
        return printable(str(next(filter(None, names), None) or self._root.resolve().name))

    def _system(self, key: Row, result: ResultReport) -> Row:
        known = result.description
        fields, cut = _plain(known.fields) if known else ({}, False)
        if cut:
            self._note(key, f"its system's description nests deeper than {_MOST_DEEP} levels", benchmark=None)
        found = accelerator(
            _text(fields, "accelerator_model_name"), _text(fields, "accelerator_memory_capacity")
        )
        place = {} if self._own else links(key["round"], key["submitter"], key["system"])
        row = {
            **{name: key[name] for name in _SYSTEM_KEY},
            "organisation": (known and known.submitter) or key["submitter"],
            "system_name": (known and known.name) or key["system"],
            "division": known and known.division,
            "availability": known and known.availability,
            "nodes": known and known.nodes,
            "accelerators_per_node": known and known.accelerators_per_node,
            "accelerators": known and known.accelerators,
            "accelerator": found.name if found else known and known.accelerator,
            "accelerator_vendor": found and found.vendor,
            "accelerator_model": found and found.model,
            "accelerator_generation": found and found.generation,
            "accelerator_memory_gb": found and found.memory_gb,
            "accelerator_text": known and known.accelerator,
            "framework": _text(fields, "framework"),
            "described": known is not None,
            "description": fields or None,
        }
        stack = [
            {
                **{name: key[name] for name in _SYSTEM_KEY},
                **msgspec.structs.asdict(entry),
            }
            for entry in software(fields)
        ]
        row["digest"] = _digest([row, stack])
        row |= {f"{what}_url": place.get(what) for what in ("code", "results", "system")}
        self._rows["systems"].append(row)
        self._rows["stack"] += stack
        if known is None:
            self._note(key, "its system has no description that can be read", benchmark=None)
        return row

    def _result(self, key: Row, result: ResultReport, score: Score, system: Row) -> None:
        logs = [self._logs[path] for path in result.logs]
        first = logs[0].run if logs else None
        counted = [m for m in score.runs if m is not None]
        stated = [log.summary.precision for log in logs if log.summary.precision]
        precisions = {(each.name, each.source) for each in stated}
        if not precisions and (said := described_precision(system["description"] or {})):
            precisions = {(said.name, said.source)}
        precision = min(precisions) if len({name for name, _ in precisions}) == 1 else (None, None)
        runs = [self._run(key, n, log, score) for n, log in enumerate(logs)]
        _mark_dropped(runs, official_drops(result.benchmark))
        row = {
            **key,
            **{name: system[name] for name in _OF_SYSTEM},
            "division": result.division or system["division"],
            "minutes": _positive(score.minutes),
            "valid": result.valid,
            "runs": len(logs),
            "runs_counted": len(counted),
            "rcp_scale": score.rcp_scale,
            "rcp_verdict": result.rcp and result.rcp.verdict,
            "global_batch_size": _whole(first.global_batch_size if first else None),
            "target": first.target if first else None,
            "samples_to_target": _mean(run["samples_to_target"] for run in runs if not run["dropped"]),
            "joules": score.joules,
            "precision": precision[0],
            "precision_source": precision[1],
            "emulated": score.emulated,
            "preset": result.preset or next((p for log in logs if (p := log.run.preset)), None),
            "settings": _plain(first.settings | logs[0].summary.disclosures)[0] if first else None,
        }
        details = {
            "runs": runs,
            "evaluations": [e for n, log in enumerate(logs) for e in _evaluations(key, n, log)],
            "statistics": [
                {**key, "run": n, **msgspec.structs.asdict(statistic)}
                for n, log in enumerate(logs)
                for statistic in log.summary.statistics
            ],
        }
        row["digest"] = _digest([row, details])
        self._rows["results"].append(row)
        for table, rows in details.items():
            self._rows[table] += rows
        if score.minutes is not None and row["minutes"] is None:
            self._note(key, f"its time of {score.minutes:.3g} minutes cannot be")
        if score.emulated:
            self._note(key, "its precision was emulated, so its time is comparable with nothing")
        broken = sum(not log.valid for log in logs)
        if broken:
            self._note(key, f"{broken} of {len(logs)} logs are not valid")

    def _run(self, key: Row, number: int, log: LogReport, score: Score) -> Row:
        run, precision = log.run, log.summary.precision
        return {
            **key,
            "run": number,
            "log": log.path.rpartition("/")[2],
            "counted": _positive(score.runs[number]) is not None,
            "dropped": False,
            "status": run.status,
            "started": _time(run.run_start_ms),
            "minutes": _finite(run.minutes),
            "init_minutes": _minutes(run.init_start_ms, run.init_stop_ms),
            "evaluation_minutes": log.summary.evaluation_minutes,
            "seed": None if run.seed is None else encodable(str(run.seed)[:40]),
            "global_batch_size": _whole(run.global_batch_size),
            "samples_to_target": _samples(score.samples_to_target[number], log),
            "joules": score.run_joules[number] if score.run_joules else None,
            "precision": precision and precision.name,
            "precision_source": precision and precision.source,
            "emulated": run.emulated,
        }

    def _lost(self) -> list[Row]:
        """Read `MISSING.txt` of the round: the paths of logs that this copy of it lacks."""
        lines = (read_small(self._root / "MISSING.txt", _MOST_MISSING) or "").splitlines()
        lost: dict[tuple[str, str, str], int] = {}
        for line in lines:
            parts = printable(line.strip()).split("/")
            if len(parts) == 5 and parts[1] == "results":
                lost[parts[0], parts[2], parts[3]] = lost.get((parts[0], parts[2], parts[3]), 0) + 1
        return [
            {
                "round": self._round,
                "submitter": submitter,
                "system": system,
                "benchmark": benchmark,
                "what": f"{count} logs are missing from this copy of the round (MISSING.txt)",
            }
            for (submitter, system, benchmark), count in lost.items()
        ]

    def _note(self, key: Row, what: str, **changed: str | None) -> None:
        self._rows["incomplete"].append({**key, **changed, "what": what})


def _evaluations(key: Row, number: int, log: LogReport) -> list[Row]:
    start = log.run.run_start_ms
    return [
        {
            **key,
            "run": number,
            "samples": _trained(evaluation, log),
            "epoch": evaluation.epoch,
            "quality": evaluation.quality,
            "minutes": _minutes(start, evaluation.time_ms),
            "metric": evaluation.metric,
        }
        for evaluation in log.run.evaluations
    ]


def _samples(needed: float | None, log: LogReport) -> float | None:
    """Give what a run needed to the target in samples, where its round's rules count in steps."""
    if needed is None or not counts_in_steps(log.benchmark, log.ruleset):
        return needed
    return None if log.run.global_batch_size is None else needed * log.run.global_batch_size


def _trained(evaluation: Evaluation, log: LogReport) -> float | None:
    """Give the samples trained until an evaluation, from its step where its round's rules count in those."""
    if evaluation.samples is not None:
        return evaluation.samples
    return _samples(evaluation.step, log)


def _mark_dropped(runs: list[Row], drops: int) -> None:
    """Mark what the olympic mean leaves out: the fastest and the slowest; a failed run is slowest."""
    if len(runs) <= 2 * drops:
        return
    order = sorted(runs, key=lambda run: run["minutes"] if run["counted"] else float("inf"))
    for run in order[:drops] + order[len(order) - drops :]:
        run["dropped"] = True


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return printable(value) if isinstance(value, str) else None


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and abs(value) < 2**31 else None


def _positive(minutes: float | None) -> float | None:
    """Give a time-to-train that can be: above zero, and of a run that somebody has waited for."""
    return minutes if minutes is not None and 0 < minutes < _MOST_MINUTES else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < 1e9 else None


def _minutes(start: float | None, stop: float | None) -> float | None:
    return None if start is None or stop is None else _finite((float(stop) - float(start)) / 60_000)


def _time(milliseconds: float | None) -> str | None:
    if milliseconds is None or not 0 <= milliseconds < 4e12:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _mean(values: Iterable[float | None]) -> float | None:
    known: Sequence[float] = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _plain(fields: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Give fields in a fixed order as what JSON and UTF-8 can hold, and whether some nested too deeply."""
    cut = False

    def plain(value: Any, depth: int) -> Any:
        nonlocal cut
        if isinstance(value, dict | list):
            if depth == _MOST_DEEP:
                cut = True
                return "nested too deeply"
            if isinstance(value, list):
                return [plain(each, depth + 1) for each in value]
            return {encodable(str(name)): plain(value[name], depth + 1) for name in sorted(value, key=str)}
        if isinstance(value, str):
            return encodable(value)
        if isinstance(value, int) and not fits_json(value):
            return str(value)
        return value if isinstance(value, bool | int | float | None) else str(value)

    return plain(fields, 0), cut


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:16]
