"""Samples to target by batch size and precision: who paid convergence for speed."""

from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec

from pitboard.errors import PitboardError
from pitboard.results import facets, marks, own, references
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, known, latest_round
from pitboard.results.question import (
    ACCELERATOR,
    BENCHMARK,
    PRECISION,
    ROUND,
    SOFTWARE,
    SUBMITTER,
    WITH_OWN,
    Chart,
    Question,
    Several,
)
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.results.throughput import MEAN_TRAINING, TIMED_RUNS
from pitboard.results.units import counted_in
from pitboard.suite import find_round

if TYPE_CHECKING:
    from pitboard.compliance.result.rcp import Convergence

NOT_STATED = "not stated"

DEFINITION = (
    "Samples to target are the olympic mean of a result's runs, as the RCP test takes it, beside the "
    "reference's mean at the same global batch size, on a line between two reference points where it has "
    "none there (MLCommons' rcp_checker, its points pruned to fastest convergence). The most within its "
    "spread is the largest mean that the t-test of the RCP test (one-sided, 5 %), turned round, does not "
    "call slower. Against the reference: above 1, the result needed more. Against the fewest: the same over "
    "the reference's fastest convergence, at any batch size: what a large batch costs too. Extra minutes "
    "are derived, not official: the training time (minutes without evaluation, before RCP scaling) that the "
    "samples beyond the reference took, negative where fewer sufficed. Stated precisions are compared at "
    "equal batch size, across submitters: hyperparameters and software differ too, so a difference is not "
    "the precision's alone."
)

SQL = f"""select r.round, r.submitter, r.system, r.benchmark, r.system_name, r.accelerator, r.accelerators,
  coalesce(r.precision, 'not stated') as precision, r.global_batch_size, r.minutes, r.rcp_scale,
  u.samples, u.low, u.high, u.training
from results r join (
  select round, submitter, system, benchmark,
    list(case when counted then samples_to_target end order by run) as samples,
    min(samples_to_target) filter (counted) as low, max(samples_to_target) filter (counted) as high,
    {MEAN_TRAINING}
  from (
    {TIMED_RUNS}
  ) group by all
) u using (round, submitter, system, benchmark)
where r.round = $round and r.benchmark = $benchmark and r.minutes is not null
  and {own.SHOWN}
  and r.samples_to_target > 0 and r.global_batch_size > 0"""
_FILTERS = ("submitter", "accelerator", "precision", "framework")
_ORDER = "\norder by r.global_batch_size, r.submitter, r.system"


def converge(
    benchmark: str,
    round: str | None = None,
    submitter: Several = None,
    accelerator: Several = None,
    precision: Several = None,
    software: Several = None,
    with_own: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Give every result's samples to target in a round (by default the newest) against the reference points.

    Rows are results, ordered by global batch size; `more` holds `reference` (the points that the RCP test
    uses, `low` the fewest samples that it allows) and `precisions` (stated precisions at equal batch size).
    `with_own` takes what the user added, too. Raises `PitboardError` for a value that no result has, or where
    the benchmark has no result in the round.
    """
    from pitboard.compliance import load_points
    from pitboard.compliance.result.benchmarks import counts_in_steps
    from pitboard.compliance.result.rcp import reference_convergence

    store = store or default_store()
    values = facets.chosen(
        store, submitter=submitter, accelerator=accelerator, precision=precision, software=software
    )
    values |= {
        "benchmark": known(store, "benchmark", benchmark),
        "round": known(store, "round", round) or latest_round(store),
        "with_own": own.asked_for(with_own, values["submitter"]),
    }
    with_own = bool(values["with_own"])
    sql = SQL + facets.where(values, _FILTERS, "r") + _ORDER
    found = store.rows(sql, values)
    if not found:
        raise PitboardError(
            f"No result of {values['benchmark']} in v{values['round']} that was asked for reached its target:"
            " choose another round, or see `pitboard results table`."
        )
    ruleset = find_round(str(values["round"])).ruleset
    name = str(values["benchmark"])
    points = [
        _in_samples(point, counts_in_steps(name, ruleset))
        for point in reference_convergence(name, load_points(name, ruleset), ruleset)
    ]
    fewest = min(points, key=lambda point: point.mean, default=None)
    measured = [_measure(row, ruleset, points) for row in marks.tell(store, found)]
    rows, others = _in_one_unit(measured)
    unit = counted_in(rows)
    precisions = _precisions(rows, unit)
    return Answer(
        question="converge",
        title=f"v{values['round']} {name}: {_headline(rows, unit)}",
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=_columns(unit),
        rows=rows,
        notes=[*own.notes(with_own), *_notes(rows, points, precisions, unit), *others, *marks.notes(rows)],
        facts=_facts(rows, fewest),
        more={"reference": _reference(points, unit), "precisions": precisions},
    )


def _in_one_unit(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Keep the results in the unit of most, as some logs of a round count in epochs; and name the others."""
    units = [counted_in([row]) for row in rows]
    most = max(dict.fromkeys(units), key=units.count)
    others = [row["reference"] for row, unit in zip(rows, units, strict=True) if unit != most]
    note = f"Left out, since their logs count in another unit than {most}: {'; '.join(others)}."
    return [row for row, unit in zip(rows, units, strict=True) if unit == most], [note] if others else []


def _columns(unit: str) -> list[Column]:
    digits, what = _digits(unit), unit.capitalize()
    return [
        Column("samples_to_target", f"{what} to target", "number", "", digits),
        Column("against_reference", "Against the reference", "number", "×", 3),
        Column("global_batch_size", "Global batch size", "integer", "samples"),
        Column("precision", "Precision"),
        Column("minutes", "Time-to-train", "number", "min", 3, mark=marks.OF_MINUTES),
        Column("extra_minutes", "Extra minutes (derived)", "number", "min", 2),
        Column("system", "System"),
        Column("submitter", "Submitter"),
        references.FULL,
        references.SHORT,
        Column("accelerator", "Accelerator", detail=True),
        Column("accelerators", "Accelerators", "integer", detail=True),
        Column("reference_samples", f"Reference {unit}", "number", "", digits, detail=True),
        Column("low", "Fewest of a run", "number", "", digits, detail=True),
        Column("high", "Most of a run", "number", "", digits, detail=True),
        Column("reference_most", "Most within the reference's spread", "number", "", digits, detail=True),
        Column("against_fewest", "Against the reference's fewest", "number", "×", 3, detail=True),
        Column("rcp_scale", "RCP scaling factor", "number", "×", 3, detail=True),
        Column("rcp_verdict", "RCP test", detail=True),
        marks.OF_ROW,
    ]


def _digits(unit: str) -> int:
    return 0 if unit == "samples" else 3


def _in_samples(point: "Convergence", in_steps: bool) -> "Convergence":
    """Give a reference point in samples, where the round's rules count in steps."""
    if not in_steps:
        return point
    parts = {name: getattr(point, name) * point.batch_size for name in ("mean", "stdev", "minimum")}
    return msgspec.structs.replace(point, **parts)


def _measure(row: Row, ruleset: str, points: "list[Convergence]") -> Row:
    from pitboard.compliance import load_points, rcp_test
    from pitboard.compliance.result.benchmarks import counts_in_steps
    from pitboard.compliance.result.rcp import most_within_spread

    name = str(row["benchmark"])
    batch = float(row["global_batch_size"])
    unit = batch if counts_in_steps(name, ruleset) else 1
    logged = [None if samples is None else samples / unit for samples in row["samples"]]
    verdict = rcp_test(logged, batch, name, load_points(name, ruleset), ruleset=ruleset)
    samples = (verdict.submission_mean or fmean(s for s in logged if s is not None)) * unit
    expected = verdict.reference_mean and verdict.reference_mean * unit
    smallest = min(points, key=lambda point: point.batch_size, default=None)
    if expected and smallest and batch < smallest.batch_size:  # held against that point, as it stands
        expected = smallest.mean
    most = most_within_spread(verdict, name, ruleset)
    fewest = min(points, key=lambda point: point.mean, default=None)
    ratio = samples / expected if expected else None
    training = row["training"]
    return row | {
        **references.names(row),
        "samples_to_target": samples,
        "reference_samples": expected,
        "reference_most": most and most * unit,
        "against_reference": ratio,
        "against_fewest": samples / fewest.mean if fewest else None,
        "extra_minutes": None if training is None or ratio is None else training * (1 - 1 / ratio),
        "rcp_verdict": verdict.verdict,
    }


def _reference(points: "list[Convergence]", unit: str) -> Table:
    digits = _digits(unit)
    columns = [
        Column("global_batch_size", "Global batch size", "integer", "samples"),
        Column("samples", f"Reference {unit}", "number", "", digits),
        Column("low", "Fewest that the RCP test allows", "number", "", digits),
    ]
    rows: list[Row] = [
        {"global_batch_size": int(point.batch_size), "samples": point.mean, "low": point.minimum}
        for point in points
    ]
    return Table(title="Reference convergence points", columns=columns, rows=rows)


def _precisions(rows: list[Row], unit: str) -> Table:
    """Set stated precisions beside each other, at batch sizes where there are two or more."""
    digits = _digits(unit)
    columns = [
        Column("global_batch_size", "Global batch size", "integer", "samples"),
        Column("precision", "Precision"),
        Column("results", "Results", "integer"),
        Column("samples_to_target", f"Mean {unit} to target", "number", "", digits),
        Column("least", "Fewest", "number", "", digits),
        Column("most", "Most", "number", "", digits),
    ]
    compared: list[Row] = []
    for batch, group in groupby(rows, key=lambda row: row["global_batch_size"]):
        stated: dict[str, list[float]] = {}
        for row in group:
            if row["precision"] != NOT_STATED:
                stated.setdefault(row["precision"], []).append(row["samples_to_target"])
        if len(stated) > 1:
            compared += [_of_precision(batch, name, stated[name]) for name in sorted(stated)]
    return Table(title="Stated precisions at equal batch size", columns=columns, rows=compared)


def _of_precision(batch: int, precision: str, samples: list[float]) -> Row:
    return {
        "global_batch_size": batch,
        "precision": precision,
        "results": len(samples),
        "samples_to_target": fmean(samples),
        "least": min(samples),
        "most": max(samples),
    }


def _largest(rows: list[Row]) -> Row:
    """The result of the largest batch; of several, the one that needed most samples."""
    return max(rows, key=lambda row: (row["global_batch_size"], row["samples_to_target"]))


def _paid_most(rows: list[Row]) -> Row:
    return max(rows, key=lambda row: row["samples_to_target"])


def _headline(rows: list[Row], unit: str) -> str:
    most = _paid_most(rows)
    least = min(rows, key=lambda row: row["samples_to_target"])
    ratio = most["samples_to_target"] / least["samples_to_target"]
    if ratio < 1.005:
        return f"every result needed the same {unit} to target"
    return (
        f"{most['submitter']} at batch {most['global_batch_size']:,} needed {ratio:.2f} × the {unit} of "
        f"{least['submitter']} at batch {least['global_batch_size']:,}"
    )


def _facts(rows: list[Row], fewest: "Convergence | None") -> dict[str, Any]:
    largest, paid = _largest(rows), _paid_most(rows)
    return {
        "results": len(rows),
        "not_stated": sum(row["precision"] == NOT_STATED for row in rows),
        "largest_batch": largest["reference"],
        "largest_batch_size": largest["global_batch_size"],
        "largest_batch_against_fewest": largest["against_fewest"],
        "paid_most": paid["reference"],
        "paid_most_against_fewest": paid["against_fewest"],
        "fewest_batch_size": fewest and int(fewest.batch_size),
        "fewest_samples": fewest and fewest.mean,
    }


def _notes(rows: list[Row], points: "list[Convergence]", precisions: Table, unit: str) -> list[str]:
    notes = []
    largest = _largest(rows)
    if points and largest["against_fewest"]:
        start = min(points, key=lambda point: point.mean)
        notes.append(
            f"The largest batch, {largest['global_batch_size']:,}, is that of {largest['reference']} "
            f"({largest['accelerators'] or 'unknown'} accelerators), which needed "
            f"{largest['against_fewest']:.2f} × the {unit} of the reference at batch "
            f"{start.batch_size:,.0f}, where the reference converges fastest."
        )
    if not points:
        notes.append("This round's mlperf-logging has no reference points for the benchmark.")
    silent = sum(row["precision"] == NOT_STATED for row in rows)
    if silent:
        notes.append(
            f"{silent} of {len(rows)} results do not state their precision: they cannot be grouped by it."
        )
    if not precisions.rows:
        notes.append(
            "No batch size has results of two stated precisions: precision cannot be told from batch size."
        )
    unknown = [row["reference"] for row in rows if row["training"] is None]
    if unknown:
        notes.append(f"Evaluation time is not logged, so no extra minutes, for: {'; '.join(unknown)}.")
    return notes


def _against_reference(answer: Answer) -> dict[str, Any]:
    rows = [
        row | {"result": f"{row['submitter']}, {count} × {row['accelerator']}"}
        for row in answer.rows
        for count in [f"{row['accelerators']:,}" if row["accelerators"] else "?"]
    ]
    unit = counted_in(answer.rows)
    return {"rows": rows, "reference": answer.more["reference"].rows, "unit": unit}


QUESTION = Question(
    ask=converge,
    order=4,
    summary=(
        "Show samples to target against the reference convergence points: who paid convergence for speed"
    ),
    about=(
        "Who needed more samples to reach the target than the reference did? A row is a result with "
        "its samples to target against the reference convergence points at its global batch size. The "
        "tables reference and precisions hold those points, and stated precisions at equal batch "
        "size."
    ),
    example={"benchmark": "llama31_8b"},
    options=(BENCHMARK, ROUND, SUBMITTER, ACCELERATOR, PRECISION, SOFTWARE, WITH_OWN),
    charts=(
        Chart(
            "samples_to_target",
            _against_reference,
            "Samples to target over global batch size, with the reference",
        ),
    ),
)
