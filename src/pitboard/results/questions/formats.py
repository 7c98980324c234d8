"""Who states which number format, and whether it needed more samples: what low precision cost, and bought."""

import re
from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import Any

from pitboard.errors import PitboardError
from pitboard.results import facets, marks, own
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, reference
from pitboard.results.likeness import category, disclosures
from pitboard.results.question import (
    ACCELERATOR,
    ONLY_BENCHMARK,
    PRECISION,
    ROUND,
    SOFTWARE,
    SUBMITTER,
    WITH_OWN,
    Chart,
    Question,
    Several,
)
from pitboard.results.questions.converge import NOT_STATED, converge
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.suite import FORMATS

DEFINITION = (
    "A result's format is the narrowest number format of its matrix products that its logs state, or else "
    "its system's description; a name alone, an option or a recipe that is not in use states nothing. "
    "Samples to target are held against the reference convergence point at the same global batch size, as "
    "the question converge does; significantly more is beyond the most that the reference's own spread "
    "explains, by the t-test of the RCP test (one-sided, 5 %), turned round. The wider peer is the fastest "
    "result of the same round, benchmark, division, accelerator and count that states a format of more bits; "
    "where its availability category is another, that is named. A result paid samples for speed where it "
    "needed significantly more than the reference, more than that peer did against the reference at its own "
    "batch size, and was faster than it all the same. Only minutes are official. Hyperparameters and "
    "software differ between submitters, so a difference is not the format's alone."
)

SQL = f"""select round, submitter, system, benchmark, division, availability, accelerator, accelerators,
  precision, precision_source, global_batch_size, minutes, rcp_scale, framework, settings, emulated, own
from results where round = $round and {own.SHOWN}"""
_ORDER = "\norder by benchmark, minutes, submitter, system"
_OF_A_RESULT = ("submitter", "accelerator", "precision", "framework")
"""Filters of the rows: what they leave out may still be the wider peer of what they leave."""

COLUMNS = [
    Column("precision", "Precision"),
    Column("benchmark", "Benchmark"),
    Column("submitter", "Submitter"),
    Column("accelerators", "Count", "integer"),
    Column("accelerator", "Accelerator"),
    Column("against_reference", "Samples against the reference", "number", "×", 3),
    Column("minutes", "Time-to-train", "number", "min", 2),
    Column("verdict", "What it cost"),
    Column("reference", "Reference", detail=True),
    Column("global_batch_size", "Global batch size", "integer", "samples", detail=True),
    Column("samples_to_target", "To target", "number", "", 0, detail=True),
    Column("reference_samples", "Reference's mean", "number", "", 0, detail=True),
    Column("reference_most", "Most within the reference's spread", "number", "", 0, detail=True),
    Column("peer", "Wider peer", detail=True),
    Column("peer_precision", "Its precision", detail=True),
    Column("peer_differs", "It differs in", detail=True),
    Column("peer_minutes", "Its time-to-train", "number", "min", 2, detail=True),
    Column("peer_against_reference", "Its samples against the reference", "number", "×", 3, detail=True),
    Column("faster", "Speed-up over it", "number", "×", 3, detail=True),
    Column("stated_by", "Stated by", detail=True),
    Column("source", "In its words", detail=True),
    Column("attention", "In attention", detail=True),
    Column("communication", "In communication", detail=True),
    Column("marks", "To know of the figure", detail=True),
]

_CLASSES = [
    Column("benchmark", "Benchmark"),
    Column("precision", "Precision"),
    Column("results", "Results", "integer"),
    Column("submitters", "Submitters"),
    Column("low", "Samples against the reference, fewest", "number", "×", 3),
    Column("middle", "Median", "number", "×", 3),
    Column("high", "Most", "number", "×", 3),
    Column("compared", "With a reference", "integer", detail=True),
    Column("more", "Significantly more", "integer"),
]
_SAMPLES = [
    Column("precision", "Precision"),
    Column("benchmark", "Benchmark"),
    Column("accelerator", "Accelerator"),
    Column("against_reference", "Samples against the reference", "number", "×", 3),
    Column("reference", "Reference"),
]

PAID = "paid samples for speed"
NO_MORE = "no more samples"
AS_PEER = "more samples, as its wider peer"
NO_FASTER = "more samples, not faster"
NO_PEER = "more samples; no wider peer"
NO_REFERENCE = "no reference at its batch size"

_SAME_BATCH = ("RCP found", "RCP Interpolation")
_LIKE = ("benchmark", "division", "accelerator", "accelerators", "own")
_NUMBER = re.compile(r"\d+")
_BITS = {each.label: each.bits for each in FORMATS.values()}
_FEW = 8  # names that a sentence holds


def formats(
    round: str | None = None,
    benchmark: Several = None,
    submitter: Several = None,
    accelerator: Several = None,
    precision: Several = None,
    software: Several = None,
    with_own: bool = False,
    *,
    store: Store | None = None,
) -> Answer:
    """Say which results of a round (by default the newest) state a number format, and what it cost.

    Rows are the results that state one, the narrowest first; `precision` takes a family too ("FP4"). What a
    result does not state is a class of its own: `more["classes"]` has every benchmark's results by format,
    "not stated" among them, and `more["samples"]` each result's samples against the reference. `facts`:
    `results`, `stated`, `not_stated`, the counts by format (`formats`), and of the rows a sentence by format
    (`said`), `more`
    (significantly more samples than the reference), `compared` (held against one) and the references of those
    that `paid` samples for speed. Raises `PitboardError` for a value that no result has.
    """
    store = store or default_store()
    values = facets.of_rounds(
        store,
        round,
        with_own,
        benchmark=benchmark,
        submitter=submitter,
        accelerator=accelerator,
        precision=precision,
        software=software,
    )
    with_own = values["with_own"]
    sql = SQL + facets.where(values, ["benchmark"]) + _ORDER
    every = marks.tell(store, store.rows(sql, values))
    measured = _measured(store, every, with_own)
    # The sentence that follows names the precisions that are asked for.
    others = facets.words(values | {"precision": None}, software)
    of = ", ".join([f"Precision in v{values['round']}", *others])
    filters = facets.let_through(values, _OF_A_RESULT)
    rows = [_row(row, measured, every) for row in facets.left(every, filters) if row["precision"]]
    rows.sort(key=lambda row: (bits(row["precision"]), row["precision"]))  # stable: benchmark, then minutes
    filters.pop("precision", None)
    wanted = facets.left(every, filters)
    facts = _facts(wanted, rows)
    return Answer(
        question="formats",
        title=f"{of}: {_headline(facts, rows, precision)}",
        definition=DEFINITION,
        sql=sql,
        parameters=values,
        columns=COLUMNS,
        rows=rows,
        notes=[*own.notes(with_own), *_notes(facts, rows)],
        facts=facts,
        more={
            "classes": Table(
                title="Every result by format", columns=_CLASSES, rows=_classes(wanted, measured)
            ),
            "samples": Table(
                title="Samples against the reference, a result a row",
                columns=_SAMPLES,
                rows=_samples(wanted, measured),
                detail=True,
            ),
        },
    )


def bits(label: str) -> int:
    """Return the bits of a format by its label: those of the suite's table, else the number in its name."""
    found = _NUMBER.search(label)
    return _BITS.get(label) or (int(found[0]) if found else 64)


def _measured(store: Store, every: list[Row], with_own: bool) -> dict[str, Row]:
    """Give the samples of results, by reference, of the benchmarks in which some result states a format."""
    found: dict[str, Row] = {}
    for name in dict.fromkeys(row["benchmark"] for row in every if row["precision"]):
        try:
            answer = converge(name, every[0]["round"], with_own=with_own, store=store)
        except PitboardError:  # no result of it reached its target
            continue
        found |= {row["reference"]: row for row in answer.rows}
    return found


def _row(row: Row, measured: dict[str, Row], every: list[Row]) -> Row:
    samples = _against(row, measured)
    peer = _peer(row, every)
    beside = _against(peer, measured) if peer else {}
    disclosed = disclosures(row)
    return row | {
        "reference": reference(row),
        **{
            name: samples.get(name)
            for name in ("samples_to_target", "reference_samples", "reference_most", "against_reference")
        },
        "peer": reference(peer) if peer else None,
        "peer_precision": peer and peer["precision"],
        "peer_differs": _differs(row, peer) if peer else None,
        "peer_minutes": peer and peer["minutes"],
        "peer_against_reference": beside.get("against_reference"),
        "faster": peer["minutes"] / row["minutes"] if peer and row["minutes"] else None,
        "verdict": _verdict(row, samples, peer, beside),
        "stated_by": _stated_by(row["precision_source"] or ""),
        "source": row["precision_source"],
        "attention": disclosed.get("lowest_numerical_precision_in_attn"),
        "communication": disclosed.get("lowest_numerical_precision_in_comm"),
    }


def _against(row: Row, measured: dict[str, Row]) -> Row:
    """Give a result's samples beside the reference's at the same batch size; nothing where there is none."""
    found = measured.get(reference(row), {})
    return found if found.get("rcp_verdict") in _SAME_BATCH else {}


def _peer(row: Row, every: list[Row]) -> Row | None:
    """Return the fastest result on the same hardware that states a wider format; the fastest come first."""
    return next(
        (
            other
            for other in every
            if other["precision"]
            and other["minutes"]
            and not other["emulated"]
            and bits(other["precision"]) > bits(row["precision"])
            and all(other[name] == row[name] is not None for name in _LIKE)
        ),
        None,
    )


def _differs(row: Row, peer: Row) -> str | None:
    if category(row["availability"]) == category(peer["availability"]):
        return None
    return f"availability: {row['availability'] or NOT_STATED} and {peer['availability'] or NOT_STATED}"


def _is_more(samples: Row) -> bool:
    return bool(samples) and samples["samples_to_target"] > samples["reference_most"]


def _verdict(row: Row, samples: Row, peer: Row | None, beside: Row) -> str:
    if not samples:
        return NO_REFERENCE
    if not _is_more(samples):
        return NO_MORE
    if peer is None or row["emulated"] or not row["minutes"]:
        return NO_PEER
    if row["minutes"] >= peer["minutes"]:
        return NO_FASTER
    if not beside or beside["against_reference"] >= samples["against_reference"]:
        return AS_PEER
    return PAID


def _stated_by(source: str) -> str:
    if source.startswith("description"):
        return "its description, for all benchmarks of the system"
    for said, what in (
        ("(model as built)", "its log: the model as built"),
        ("(run's settings)", "its log: the run's settings"),
        (" event", "its log: a disclosure"),
    ):
        if said in source:
            return what
    return "its log"


def _classes(rows: list[Row], measured: dict[str, Row]) -> list[Row]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["benchmark"], row["precision"] or NOT_STATED), []).append(row)
    order = sorted(groups, key=lambda key: (key[0], key[1] == NOT_STATED, bits(key[1]), key[1]))
    return [_class(*key, groups[key], measured) for key in order]


def _class(benchmark: str, precision: str, rows: list[Row], measured: dict[str, Row]) -> Row:
    samples = [found for row in rows if (found := _against(row, measured))]
    ratios = [each["against_reference"] for each in samples]
    return {
        "benchmark": benchmark,
        "precision": precision,
        "results": len(rows),
        "submitters": _names(row["submitter"] for row in rows),
        "low": min(ratios, default=None),
        "middle": median(ratios) if ratios else None,
        "high": max(ratios, default=None),
        "compared": len(ratios),
        "more": sum(map(_is_more, samples)),
    }


def _samples(rows: list[Row], measured: dict[str, Row]) -> list[Row]:
    found = [
        {
            "precision": row["precision"] or NOT_STATED,
            "benchmark": row["benchmark"],
            "accelerator": row["accelerator"] or NOT_STATED,
            "against_reference": samples["against_reference"],
            "reference": reference(row),
        }
        for row in rows
        if (samples := _against(row, measured))
    ]
    return sorted(
        found, key=lambda row: (row["benchmark"], row["precision"] == NOT_STATED, bits(row["precision"]))
    )


def _facts(every: list[Row], rows: list[Row]) -> dict[str, Any]:
    counts = Counter(row["precision"] for row in every if row["precision"])
    compared = [row for row in rows if row["verdict"] != NO_REFERENCE]
    return {
        "results": len(every),
        "stated": counts.total(),
        "not_stated": len(every) - counts.total(),
        "formats": {name: counts[name] for name in sorted(counts, key=lambda name: (bits(name), name))},
        "said": {
            name: f"{name} is stated by {cost(group)}"
            for name in dict.fromkeys(row["precision"] for row in rows)
            if (group := [row for row in rows if row["precision"] == name])
        },
        "compared": len(compared),
        "more": sum(row["verdict"] != NO_MORE for row in compared),
        "paid": [row["reference"] for row in rows if row["verdict"] == PAID],
    }


def _headline(facts: dict[str, Any], rows: list[Row], precision: Several) -> str:
    if precision is not None and rows:
        return "; ".join(facts["said"].values())
    if precision is not None:
        return f"no result of {facets.told(precision)} that was asked for"
    if not facts["stated"]:
        return f"none of {facts['results']} results states its number format"
    counts = ", ".join(f"{count} {name}" for name, count in facts["formats"].items())
    narrowest = [row for row in rows if row["precision"] == rows[0]["precision"]]
    said = f"{facts['stated']} of {facts['results']} results state their number format ({counts})"
    return f"{said}; those of {rows[0]['precision']} {_spent(narrowest)}"


def _of(rows: list[Row]) -> str:
    return f"{len(rows)} result{'' if len(rows) == 1 else 's'} of {_names(row['submitter'] for row in rows)}"


def _names(names: Iterable[str]) -> str:
    found = sorted(set(names), key=str.casefold)
    more = len(found) - _FEW
    return ", ".join(found[:_FEW]) + (f" and {more} more" if more > 0 else "")


def cost(rows: list[Row]) -> str:
    """Say whose results some rows of the answer are, and what they needed in samples."""
    return f"{_of(rows)}, which {_spent(rows)}"


def _spent(rows: list[Row]) -> str:
    compared = [row for row in rows if row["against_reference"] is not None]
    if not compared:
        return "ran at batch sizes for which there is no reference"
    low, high = (pick(row["against_reference"] for row in compared) for pick in (min, max))
    more = sum(row["verdict"] != NO_MORE for row in compared)
    part = "none" if not more else "all" if more == len(compared) else f"{more} of {len(compared)}"
    span = f"{low:.2f} ×" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f} ×"
    held = "" if len(compared) == len(rows) else f" ({len(compared)} have a reference)"
    return f"needed {span} the reference's samples at their batch sizes, {part} significantly more{held}"


def _notes(facts: dict[str, Any], rows: list[Row]) -> list[str]:
    notes = []
    paid = [row for row in rows if row["verdict"] == PAID]
    for row in paid:
        notes.append(
            f"{row['reference']} ({row['precision']}) took {row['against_reference']:.2f} × the reference's "
            f"samples and was {row['faster']:.2f} × as fast as {row['peer']} ({row['peer_precision']}, "
            f"{row['peer_against_reference']:.2f} × the reference's samples)."
            + (f" They differ in {row['peer_differs']}." if row["peer_differs"] else "")
        )
    for verdict, what in (
        (
            NO_PEER,
            "whether that bought speed cannot be told: none of the same accelerator and count states a wider "
            "format",
        ),
        (AS_PEER, "its wider peer did too, or has no reference: so the format need not be why"),
        (NO_FASTER, "its wider peer was at least as fast"),
    ):
        found = Counter(row["precision"] for row in rows if row["verdict"] == verdict)
        if found:
            counts = ", ".join(f"{count} {name}" for name, count in found.items())
            notes.append(f"Significantly more samples than the reference in {counts}; {what}.")
    healed = [row["reference"] for row in rows if "healing_iter" in (row["source"] or "")]
    if healed:
        notes.append(f"Began in four bits and went on in FP8 (healing_iter): {'; '.join(healed)}.")
    described = [row["reference"] for row in rows if row["stated_by"].startswith("its description")]
    if described:
        notes.append(
            "Stated by the description alone, which covers all benchmarks of a system and so proves it of "
            f"none: {'; '.join(described)}."
        )
    if facts["not_stated"]:
        notes.append(
            f"{facts['not_stated']} of {facts['results']} results do not state their format, and it is not "
            "guessed: they may have used any. What the format of a result alone did to its time or to its "
            "samples cannot be told from published logs, which change software and hyperparameters with it."
        )
    return notes


def _dots(answer: Answer) -> dict[str, Any]:
    rows = [
        {
            "label": f"{row['benchmark']}, {row['precision']}",
            "value": row["against_reference"],
            "accelerator": row["accelerator"],
        }
        for row in answer.more["samples"].rows
    ]
    return {
        "rows": rows,
        "title": "Samples to target by stated format, against the reference at the same batch size",
        "quantity": "× the reference's samples",
        "line": 1.0,
    }


QUESTION = Question(
    ask=formats,
    order=5,
    summary="Show precision: who states which number format, what it cost in samples, what cannot be told",
    about=(
        "Who states which number format, and what did it cost in samples? A row is a result that "
        "states one, the narrowest first, with its samples to target against the reference. The table "
        "classes counts every benchmark's results by format, those that state none among them."
    ),
    example={"benchmark": "llama31_8b"},
    options=(ROUND, ONLY_BENCHMARK, SUBMITTER, ACCELERATOR, PRECISION, SOFTWARE, WITH_OWN),
    charts=(
        Chart(
            "formats",
            _dots,
            "Samples to target against the reference by stated format, a dot for each result",
            form="dots",
        ),
    ),
)
