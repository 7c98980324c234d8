"""One result and what is known of it: its score, its runs with their logs, its like-for-like peers."""

from typing import Any

from pitboard.results import citing, marks, own, own_runs
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.find import default_store, key_of, reference, result
from pitboard.results.likeness import differing, preset_of
from pitboard.results.question import Chart, Option, Question
from pitboard.results.questions.compare import SQL, curves_of, scored, with_runs
from pitboard.results.schema import Row
from pitboard.results.software import log_address
from pitboard.results.store import Store
from pitboard.results.units import counted_in
from pitboard.stats import SEED

DEFINITION = (
    "The time-to-train is the olympic mean of the runs (the fastest and the slowest dropped; of unet3d four "
    "at either end) × the RCP scaling factor, which is above 1 where the runs converged faster than the "
    f"reference. Its 95 % interval is a percentile bootstrap over the runs that count (2,000 resamples, seed "
    f"{SEED}). Like for like are the results of the same benchmark, round, division, availability category "
    "and count of accelerators, and of the same precision where both state one."
)

_SAMPLES = Column("samples_to_target", "Samples to target", "number", "", 0)
_EPOCHS = Column("samples_to_target", "Epochs to target", "number", "", 3)
_COLUMNS = [
    Column("minutes", "Time-to-train", "number", "min", 3),
    Column("interval", "95 % interval", "text", "min"),
    Column("place", "Place among like results"),
    Column("rcp_scale", "RCP scaling factor in it", "number", "×", 4),
    Column("rcp_verdict", "RCP test"),
    Column("runs_said", "Runs that count"),
    _SAMPLES,
    Column("precision", "Precision"),
    Column("reference", "Reference", detail=True),
    Column("low", "Time-to-train, 95 % low", "number", "min", 3, detail=True),
    Column("high", "Time-to-train, 95 % high", "number", "min", 3, detail=True),
    Column("fastest", "Fastest run", "number", "min", 3, detail=True),
    Column("slowest", "Slowest run", "number", "min", 3, detail=True),
    Column("global_batch_size", "Global batch size", "integer", "samples", detail=True),
    Column("benchmark", "Benchmark", detail=True),
    Column("round", "Round", detail=True),
    Column("submitter", "Submitter", detail=True),
    Column("organisation", "Organisation", detail=True),
    Column("system", "System", detail=True),
    Column("system_name", "System's name", detail=True),
    Column("division", "Division", detail=True),
    Column("availability", "Availability", detail=True),
    Column("nodes", "Nodes", "integer", detail=True),
    Column("accelerators", "Accelerators", "integer", detail=True),
    Column("accelerator", "Accelerator", detail=True),
    Column("framework", "Framework", detail=True),
    Column("precision_source", "Where the precision is stated", detail=True),
    Column("energy", "Energy to target", "number", "MJ", 3, detail=True),
    Column("preset", "Preset", detail=True),
    marks.OF_ROW,
]
_RUNS = [
    Column("run", "Run", "integer"),
    Column("minutes", "Minutes", "number", "min", 3),
    Column("counted", "Counts", "boolean"),
    Column("dropped", "Left out of the mean", "boolean"),
    _SAMPLES,
    Column("evaluation_minutes", "Evaluation", "number", "min", 3),
    Column("seed", "Seed"),
    Column("status", "Status"),
    Column("log", "Log", detail=True),
    Column("address", "Address of the log", detail=True),
]
_PEERS = [
    Column("place", "Place", "integer"),
    Column("minutes", "Time-to-train", "number", "min", 3),
    Column("speedup", "As fast as this one", "number", "×", 3),
    Column("submitter", "Submitter"),
    Column("system", "System"),
    Column("accelerator", "Accelerator"),
    Column("precision", "Precision"),
    Column("this", "This one", "boolean", detail=True),
    Column("reference", "Reference", detail=True),
    marks.OF_ROW,
]

_OF_RUNS = "run, minutes, counted, dropped, samples_to_target, evaluation_minutes, seed, status, log"
_ALIKE = ("division", "availability", "accelerators")


def entry(reference: str, *, store: Store | None = None) -> Answer:
    """Give one result, ROUND/SUBMITTER/SYSTEM/BENCHMARK, with its runs, its peers and how to cite it.

    The one row is the result; `more` holds `runs` (each with the public address of its log), `peers` (the
    results that are like for like with it, fastest first, itself among them), and `curves` (the evaluations
    of its runs). `facts` hold `citation`, and `place` and `of` among the peers, `place` `None` without a
    score. Raises `PitboardError` for a result that the store does not have.
    """
    store = store or default_store()
    (found,) = marks.tell(store, [with_runs(store, result(store, reference))])
    peers = peers_of(store, found)
    row = scored(found)
    place = next((each["place"] for each in peers if each["this"]), None)
    row |= {
        "place": f"{place} of {len(peers)}" if place else None,
        "runs_said": f"{row['runs_counted']} of {row['runs']}",
    }
    unit = counted_in([row])
    system = {name: row[name] for name in ("round", "submitter", "system")}
    logs = store.having("results_url", "systems", system)
    folder = logs[0]["results_url"] if logs else None
    runs = _runs(store, row, folder)
    address = (log_address(folder, row["benchmark"], "") or "").rstrip("/")
    return Answer(
        question="entry",
        title=_title(row, place, len(peers)),
        definition=DEFINITION,
        sql=SQL,
        parameters=key_of(row),
        columns=_in(unit, _COLUMNS),
        rows=[row],
        notes=[
            *own.notes(bool(row["own"])),
            *(
                ["The precision was emulated: the time is comparable with nothing."]
                if row["emulated"]
                else []
            ),
            *([f"Logs: {address}".replace("/blob/", "/tree/", 1)] if address else []),
            f"To cite: {citing.citation(row)}",
        ],
        facts={"citation": citing.citation(row), "place": place, "of": len(peers)},
        more={
            "runs": Table(title="Runs", columns=_in(unit, _RUNS), rows=runs),
            "peers": Table(title="Like for like with it", columns=_PEERS, rows=peers),
            "strips": own_runs.runs_table(
                [run | {"result": row["submitter"], "score": row["minutes"]} for run in runs]
            ),
            "curves": own_runs.curves_table(curves_of(store, row, row["submitter"])),
        },
    )


def peers_of(store: Store, row: Row) -> list[Row]:
    """Give the results that are like for like with one, itself among them (`this`), the fastest first.

    Nothing for a result without a score, and for one whose precision was emulated.
    """
    if row["minutes"] is None or row["emulated"]:
        return []
    values = {name: row[name] for name in ("round", "benchmark")}
    alike = [
        each
        for each in store.having("*", "results", values, "order by minutes, submitter, system")
        if each["minutes"] is not None
        and not each["emulated"]
        and (not each["own"] or key_of(each) == key_of(row))
        and all(each[name] == row[name] for name in _ALIKE)
        and preset_of(each) == preset_of(row)
        and not differing(row, each)
    ]
    found = marks.tell(store, alike)
    return [
        each
        | {
            "place": place,
            "speedup": row["minutes"] / each["minutes"],
            "this": key_of(each) == key_of(row),
            "reference": reference(each),
            "before": reference(row),
            "after": reference(each),
        }
        for place, each in enumerate(found, 1)
    ]


def _in(unit: str, columns: list[Column]) -> list[Column]:
    return [_EPOCHS if each is _SAMPLES and unit == "epochs" else each for each in columns]


def _runs(store: Store, row: Row, folder: str | None) -> list[Row]:
    return [
        run | {"address": log_address(folder, row["benchmark"], run["log"])}
        for run in store.having(_OF_RUNS, "runs", key_of(row), "order by run")
    ]


def _title(row: Row, place: int | None, of: int) -> str:
    what = f"{row['submitter']}, {row['accelerators'] or '?'} × {row['accelerator'] or 'not stated'}"
    if row["minutes"] is None:
        return f"v{row['round']} {row['benchmark']}: {what}, no score, since too few of its runs count"
    among = f", place {place} of {of} like for like" if place and of > 1 else ""
    return f"v{row['round']} {row['benchmark']}: {what}, {row['minutes']:.3f} minutes{among}"


def _ranked(answer: Answer) -> dict[str, Any]:
    return {
        "rows": [
            {
                "label": f"{row['submitter']}, {row['accelerator'] or 'not stated'}",
                "accelerator": row["accelerator"],
                "note": row["system"],
                "value": row["minutes"],
                "muted": not row["this"],
            }
            for row in answer.more["peers"].rows
        ],
        "title": f"{answer.rows[0]['benchmark']}: what is like for like, the fastest first",
    }


def _strips(answer: Answer) -> dict[str, Any]:
    return {"rows": [row for row in answer.more["strips"].rows if row["minutes"]], "title": "Its runs"}


def _convergence(answer: Answer) -> dict[str, Any]:
    rows = [row for row in answer.more["curves"].rows if row["samples"] and row["quality"] is not None]
    unit = counted_in(answer.rows)
    title = f"How its runs converged, by {unit}"
    return {"rows": rows, "title": title, "target": answer.rows[0]["target"]}


QUESTION = Question(
    ask=entry,
    order=2,
    summary="Show one result: its score, runs, logs, peers and citation",
    about=(
        "What is known of one result? One row, the result with its place among the results that are "
        "like for like with it. The table runs holds its runs, each with the public address of its "
        "log; peers, those results, the fastest first. The fact citation is how to cite it."
    ),
    example={"reference": "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b"},
    options=(
        Option(
            "reference",
            "A result, ROUND/SUBMITTER/SYSTEM/BENCHMARK, or its short reference.",
            argument=True,
            names="results",
        ),
    ),
    charts=(
        Chart("ranked", _ranked, "What is like for like with it, the fastest first", form="bars"),
        Chart("runs", _strips, "Minutes of every run"),
        Chart("convergence", _convergence, "Quality over samples, a line for each run"),
    ),
)
