"""What a round shows, a finding a row: what is new, who gained, who grew, what low precision cost."""

import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from statistics import median
from typing import Any

from pitboard.errors import PitboardError
from pitboard.results.answer import Answer, Column, Table
from pitboard.results.evidence import Evidence
from pitboard.results.find import default_store, known, latest_round, rounds_of
from pitboard.results.likeness import listed
from pitboard.results.question import ROUND, Chart, Question
from pitboard.results.questions.converge import NOT_STATED
from pitboard.results.questions.entries import entries
from pitboard.results.questions.formats import PAID, bits, cost, formats
from pitboard.results.questions.roster import roster
from pitboard.results.questions.rounds import SAME_SUBMITTER, breaks, changes
from pitboard.results.questions.scale import scale
from pitboard.results.questions.trend import trend
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.suite import find_round
from pitboard.suite.lineage import SUCCESSIONS

DEFINITION = (
    "Each finding is what another question says of the round, in a sentence; its last columns name that "
    "question. A like-for-like gain is the earlier time-to-train ÷ the later one, of one submitter with as "
    "many of the same accelerator in this round and the one before it in the store, where nothing but the "
    "round must be named in a comparison; pairs whose runs are the same, entered again, are left out, and "
    "the largest gain is that of the runs or of the scores, whichever is less. The fastest at a scale is the "
    "fastest result of the closed division on an available system, at each count of accelerators that two or "
    "more such systems entered. What doubling the accelerators brings is 2 to the power of the exponent of "
    "the law that the question scale fits. The round of a year before is that published nearest to one."
)

SQL = "select distinct round from results where not own"

COLUMNS = [
    Column("finding", "Finding"),
    Column("about", "About"),
    Column("sentence", "What the round shows"),
    Column("figure", "Figure", "number"),
    Column("unit", "Unit"),
    Column("caveat", "To know"),
    Column("evidence", "Ask it yourself", detail=True),
    Column("address", "Its page", detail=True),
]

_LABEL = Column("label", "What")
_ACCELERATOR = Column("accelerator", "Accelerator")
_GAINS = [
    Column("benchmark", "Benchmark"),
    Column("label", "Which"),
    Column("speedup", "Speed-up", "number", "×", 3),
    Column("speedup_of_runs", "Speed-up of the runs", "number", "×", 3, detail=True),
    Column("minutes_before", "Before", "number", "min", 2),
    Column("minutes_after", "Now", "number", "min", 2),
    Column("before", "Earlier result", detail=True),
    Column("after", "Later result", detail=True),
    Column("pairs", "Like-for-like pairs", "integer"),
    Column("median", "Their median", "number", "×", 3),
    _ACCELERATOR,
]
_FASTEST = [
    Column("benchmark", "Benchmark"),
    Column("accelerators", "Count", "integer"),
    Column("minutes", "Time-to-train", "number", "min"),
    Column("submitter", "Submitter"),
    Column("system", "System"),
    _ACCELERATOR,
    Column("availability", "Availability"),
    Column("entered", "Systems there", "integer"),
    Column("to_know", "To know of the figure", detail=True),
    Column("reference", "Reference", detail=True),
]
_NOT_AVAILABLE = ("preview", "research", "rdi", "internal")
_YEAR = 365
_FEW = 6
_GAINED = 1.01
_WIDE = 4
"""A family whose counts span this factor shows how it scales better than two neighbouring counts do."""


def findings(round: str | None = None, *, store: Store | None = None) -> Answer:
    """Say what a published round shows (by default the newest), a finding a row, each with its evidence.

    Rows name the question that shows more: as a command (`evidence`) and as a page's address. A finding that
    the store's rounds cannot give is left out, or says so. `more` holds what the small charts and the page
    draw: `gains`, the fastest by benchmark and count (`fastest`), `new`, `multi_node`, `formats`, `scaling`
    and `moore`. `facts`: `before` and `year_before`, the rounds that it is set against, or `None`. Raises
    `PitboardError` for a round that the store does not have.
    """
    store = store or default_store()
    have = rounds_of(store)
    wanted = known(store, "round", round) or latest_round(store)
    if wanted not in have:
        raise PitboardError(f"Round {wanted} has no published result in the store: it has {', '.join(have)}.")
    made = store.once(("findings", wanted), lambda: _made(store, wanted, have))
    return copy.deepcopy(made)


def _made(store: Store, round: str, have: list[str]) -> Answer:
    earlier = have[: have.index(round)]
    before, year_before = (earlier[-1] if earlier else None), _year_before(round, earlier)
    more: dict[str, Table] = {}
    results = entries(round, division="closed", store=store)
    parts = (
        _who(store, round, before, year_before, more),
        _gains(store, round, before, more),
        _formats(store, round, more),
        _fastest(results, round, more),
        _scaling(store, results, round, more),
        _moore(store, round, more),
        _again(results, round),
    )
    rows = [row for part in parts for row in part]
    return Answer(
        question="findings",
        title=f"MLPerf Training v{round}: {len(rows)} findings",
        definition=DEFINITION,
        sql=SQL,
        parameters={"round": round},
        columns=COLUMNS,
        rows=rows,
        notes=_notes(round, before),
        facts={"round": round, "before": before, "year_before": year_before},
        more=more,
    )


def _row(
    finding: str,
    sentence: str,
    question: str,
    options: dict[str, object],
    *,
    about: str | None = None,
    figure: float | None = None,
    unit: str = "",
    caveat: str | None = None,
) -> Row:
    """Make a row; `question` with its `options` is what shows it."""
    evidence = Evidence(question, options)
    return {
        "finding": finding,
        "about": about,
        "sentence": sentence,
        "figure": figure,
        "unit": unit,
        "caveat": caveat,
        "evidence": evidence.command,
        "address": evidence.address,
        "question": question,
        "options": options,
    }


def _year_before(round: str, earlier: list[str]) -> str | None:
    """Give the round published nearest to a year before another, of those before the last one."""
    day = _day(round)
    return min(earlier, key=lambda each: abs((day - _day(each)).days - _YEAR), default=None)


def _day(round: str) -> date:
    return find_round(round).published_by or date.max


def _notes(round: str, before: str | None) -> list[str]:
    if before is None:
        return [
            f"The store has no round before v{round}: what is new in it, and what gained, cannot be told."
        ]
    return []


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return listed(found) if found else "none"


def _who(
    store: Store, round: str, before: str | None, year_before: str | None, more: dict[str, Table]
) -> Iterator[Row]:
    """What is new, who came for the first time, and the share of more than one node."""
    answer = roster(round, store=store)
    facts = answer.facts
    counts = answer.more["benchmarks"].rows
    more["new"] = Table(
        title="Results by benchmark",
        columns=[_LABEL, Column("value", "Results", "integer"), Column("new", "New", "boolean")],
        rows=[
            {"label": row["figure"], "value": int(row["now"]), "new": bool(before) and not row["before"]}
            for row in sorted(counts, key=lambda row: (-row["now"], row["figure"]))
            if row["now"]
        ],
    )
    if before is not None:
        yield _new(counts, round, before)
        yield _first(answer, round)
    shares = [(round, facts)]
    if before is not None:
        shares.insert(0, (before, facts["before"]))
    if year_before is not None and year_before != before:
        then = roster(round, against=year_before, store=store).facts["before"]
        shares.insert(0, (year_before, then))
    more["multi_node"] = Table(
        title="Share of results of more than one node",
        columns=[_LABEL, Column("value", "Share", "number", "%", 0)],
        rows=[{"label": f"v{name}", "value": 100 * each["multi_node_share"]} for name, each in shares],
    )
    yield _multi_node(shares, round, year_before)


def _new(counts: list[Row], round: str, before: str) -> Row:
    came = [row["figure"] for row in counts if not row["before"]]
    gone = [row["figure"] for row in counts if not row["now"]]
    steps = {step.id: step for step in SUCCESSIONS if step.id in came and step.earlier in gone}
    renamed = {name: step.earlier for name, step in steps.items() if step.continues}
    fresh = [name for name in came if name not in renamed]
    named = [f"{name} (in the place of {steps[name].earlier})" if name in steps else name for name in fresh]
    left = [name for name in gone if name not in {step.earlier for step in steps.values()}]
    parts = [
        f"New in v{round} {'is' if len(fresh) == 1 else 'are'} {_listed(named)}"
        if fresh
        else f"v{round} has no new benchmark",
        *([f"{_listed(left)} {'is' if len(left) == 1 else 'are'} gone"] if left else []),
        *(f"{old} goes on as {name}" for name, old in renamed.items()),
        f"{len(counts) - len(came) - len(gone)} benchmarks were in v{before}, too",
    ]
    options: dict[str, object] = {"round": round}
    return _row("new", "; ".join(parts) + ".", "roster", options, figure=len(fresh), unit="benchmarks")


def _first(answer: Answer, round: str) -> Row:
    firsts = answer.facts["first_timers"]
    missing = [note.partition("Not in the store: ")[2] for note in answer.notes if "Not in the store" in note]
    return _row(
        "first",
        f"{len(firsts)} of {answer.facts['organisations']} organisations took part for the first time: "
        f"{_listed(firsts)}."
        if firsts
        else f"No organisation took part for the first time, of {answer.facts['organisations']}.",
        "roster",
        {"round": round},
        figure=len(firsts),
        unit="organisations",
        caveat=f"Not in the store: {missing[0]}" if missing else None,
    )


def _multi_node(shares: list[tuple[str, Row]], round: str, year_before: str | None) -> Row:
    now = shares[-1][1]
    said = (
        f"{now['multi_node_share']:.0%} of results are of more than one node ({now['multi_node_results']} of "
        f"{now['results']})"
    )
    options: dict[str, object] = {"round": round}
    caveat = "The store has no earlier round to set it against."
    then = next((facts for name, facts in shares[:-1] if name == year_before), None)
    if year_before is not None and then is not None:
        options["against"] = year_before
        days = (_day(round) - _day(year_before)).days
        when = "a year before" if abs(days - _YEAR) < 60 else f"{days / 30.4:.0f} months before"
        said += (
            f"; {when}, in v{year_before}, it was {then['multi_node_share']:.0%} "
            f"({then['multi_node_results']} of {then['results']})"
        )
        caveat = "The benchmarks of the two rounds differ, and so does who entered."
    return _row(
        "multi_node",
        f"{said}.",
        "roster",
        options,
        figure=100 * now["multi_node_share"],
        unit="%",
        caveat=caveat,
    )


def _gains(store: Store, round: str, before: str | None, more: dict[str, Table]) -> Iterator[Row]:
    """The largest like-for-like gain of each benchmark that both rounds have."""
    if before is None:
        return
    largest: list[Row] = []
    rows: list[Row] = []
    for benchmark, pairs in changes(before, round, store=store).items():
        same = [row for row in pairs if row["kind"] == SAME_SUBMITTER]
        fair = [row for row in same if row["like_for_like"] and not row["same_runs"]]
        again = sum(row["same_runs"] for row in same)
        options: dict[str, object] = {"benchmark": benchmark, "since": before}
        if why := _untold(benchmark, before, round, same, fair):
            said = f"{benchmark}: no gain over v{before} can be told. {why}"
            rows.append(_row("gain", said, "rounds", options, about=benchmark))
            continue
        best = max(fair, key=_gain)
        more_of_it = {"benchmark": benchmark, "pairs": len(fair), "accelerator": best["accelerator_after"]}
        middle = median(row["speedup"] for row in fair)
        largest.append(best | more_of_it | {"median": middle})
        notes = []
        if f"{_gain(best):.2f}" != f"{best['speedup_of_runs']:.2f}":
            notes.append(f"Without RCP scaling factors it is {best['speedup_of_runs']:.2f} ×.")
        if again:
            are = "pair is" if again == 1 else "pairs are"
            notes.append(f"{again} more {are} the same runs, entered again, and left out.")
        of = f"the most of {len(fair)} like-for-like pairs; their median is {middle:.2f} ×"
        row = _row(
            "gain",
            f"{benchmark}: {best['label']} is {_faster(best, before)}, "
            + ("the only like-for-like pair." if len(fair) == 1 else f"{of}."),
            "rounds",
            options,
            about=benchmark,
            figure=_gain(best),
            unit="×",
            caveat=" ".join(notes) or None,
        )
        rows.append(row)
    largest.sort(key=_gain, reverse=True)
    more["gains"] = Table(
        title=f"Largest like-for-like gain of each benchmark over v{before}", columns=_GAINS, rows=largest
    )
    yield _most_gained(largest, len(rows), before)
    yield from rows


def _faster(pair: Row, before: str) -> str:
    minutes = f"{pair['minutes_after']:.2f} min instead of {pair['minutes_before']:.2f}"
    times = f"{_gain(pair):.2f} × as fast as in v{before}"
    score = f"{pair['speedup']:.2f} ×"
    if f"{_gain(pair):.2f} ×" == score:
        return f"{times} ({minutes})"
    return f"{times} in its runs, {score} by its score with the RCP scaling factors ({minutes})"


def _most_gained(largest: list[Row], benchmarks: int, before: str) -> Row:
    """The finding that leads the gains; the largest come first."""
    options: dict[str, object] = {"benchmark": largest[0]["benchmark"], "since": before} if largest else {}
    if not largest:
        said = f"On none of {benchmarks} benchmarks can a like-for-like gain over v{before} be told."
        return _row("gains", said, "trend", options)
    first = largest[0]
    gained = sum(_gain(row) >= _GAINED for row in largest)
    return _row(
        "gains",
        f"Like for like, {gained} of {benchmarks} benchmarks gained a percent or more over v{before}: most "
        f"of all {first['benchmark']}, {_gain(first):.2f} × by {first['label']}.",
        "rounds",
        options,
        about=first["benchmark"],
        figure=_gain(first),
        unit="×",
        caveat="Of each benchmark the largest gain of one submitter with as many of the same accelerator.",
    )


def _untold(benchmark: str, before: str, round: str, same: list[Row], fair: list[Row]) -> str:
    """Say why no gain can be told, or nothing where one can."""
    changed = breaks(benchmark, [before, round])
    if changed:
        return changed[0]
    if not same:
        return "No submitter entered as many of the same accelerator in both rounds."
    again = sum(row["same_runs"] for row in same)
    if not fair and again == len(same):
        return f"All {again} pairs are the same runs, entered again."
    if not fair:
        first = next(row for row in same if not row["same_runs"])
        of = "The only pair is not" if len(same) == 1 else f"None of {len(same)} pairs is"
        return f"{of} like for like: {first['label']}. {first['reasons']}"
    return ""


def _gain(row: Row) -> float:
    """What a pair gained at least: an RCP scaling factor alone must not look like progress."""
    return min(float(row["speedup"]), float(row["speedup_of_runs"]))


def _formats(store: Store, round: str, more: dict[str, Table]) -> Iterator[Row]:
    """Who states a number format, what the narrowest cost in samples, and who paid samples for speed."""
    answer = formats(round, store=store)
    facts = answer.facts
    options: dict[str, object] = {"round": round}
    if not facts["stated"]:
        said = f"None of {facts['results']} results states its number format, so nothing can be said of it."
        yield _row("precision", said, "formats", options, figure=0, unit="results")
        return
    narrowest = next(iter(facts["formats"]))
    rows = [row for row in answer.rows if row["precision"] == narrowest]
    counts = _listed(f"{count} {name}" for name, count in facts["formats"].items())
    began = sum("healing_iter" in (row["source"] or "") for row in rows)
    yield _row(
        "precision",
        f"{narrowest} is the narrowest number format that is stated: by {cost(rows)}.",
        "formats",
        options | {"precision": narrowest},
        about=narrowest,
        figure=len(rows),
        unit="results",
        caveat=f"{facts['stated']} of {facts['results']} results state a format ({counts}); "
        f"{facts['not_stated']} do not, and may have used any."
        + (f" {began} of {narrowest} went on in FP8 after some steps." if began else ""),
    )
    paid = [row for row in answer.rows if row["verdict"] == PAID]
    if paid:
        most = max(paid, key=lambda row: float(row["faster"]))
        yield _row(
            "paid",
            f"{len(paid)} {'result' if len(paid) == 1 else 'results'} paid samples for speed: "
            f"{most['submitter']}'s {most['accelerators']} × {most['accelerator']} needed "
            f"{most['against_reference']:.2f} × the reference's samples of {most['benchmark']} in "
            f"{most['precision']}, and was {most['faster']:.2f} × as fast as the fastest that states a wider "
            "format.",
            "formats",
            options,
            figure=len(paid),
            unit="results",
            caveat="Software and hyperparameters differ too: the format alone need not be why.",
        )
    shown = {row["benchmark"] for row in rows}
    more["formats"] = Table(
        title=f"Samples against the reference by stated format, of benchmarks in which {narrowest} is stated",
        columns=answer.more["samples"].columns,
        rows=sorted(
            (
                row
                for row in answer.more["samples"].rows
                if row["benchmark"] in shown and row["precision"] != NOT_STATED
            ),
            key=lambda row: (row["benchmark"], bits(row["precision"])),
        ),
        detail=True,
    )


def _fastest(results: Answer, round: str, more: dict[str, Table]) -> Iterator[Row]:
    """The fastest at each scale that two or more available systems entered; results come fastest first."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in results.rows:
        if row["minutes"] and row["accelerators"] and _is_available(row["availability"]):
            groups.setdefault((row["benchmark"], row["accelerators"]), []).append(row)
    rows = [group[0] | {"entered": len(group)} for _, group in sorted(groups.items()) if len(group) > 1]
    more["fastest"] = Table(title="The fastest at each scale", columns=_FASTEST, rows=rows)
    if not rows:
        return
    counts = Counter(row["accelerator"] or NOT_STATED for row in rows)
    first, often = counts.most_common(1)[0]
    owners = Counter(row["submitter"] for row in rows).most_common(1)[0]
    yield _row(
        "fastest",
        f"At {len(rows)} scales, a benchmark at a count of accelerators, two or more available systems met: "
        f"{first} was fastest at {often} of them, and {owners[0]} the submitter of {owners[1]}.",
        "entries",
        {"round": round, "division": "closed"},
        figure=often,
        unit="scales",
        caveat="Accelerators of several years meet here; only the count is the same.",
    )


def _is_available(category: str | None) -> bool:
    return bool(category) and not str(category).casefold().startswith(_NOT_AVAILABLE)


def _scaling(store: Store, results: Answer, round: str, more: dict[str, Table]) -> Iterator[Row]:
    """Who scales best and worst, on the benchmark that was entered at most counts of accelerators."""
    counts: dict[str, set[int]] = {}
    for row in results.rows:
        if row["minutes"] and row["accelerators"]:
            counts.setdefault(row["benchmark"], set()).add(row["accelerators"])
    if not counts:
        return
    benchmark = max(sorted(counts), key=lambda name: len(counts[name]))
    answer = scale(benchmark, round, store=store)
    who = {row["family"]: row for row in answer.rows}
    fits = sorted(answer.more["fits"].rows, key=lambda row: -row["exponent"])
    fits = [row for row in fits if row["most"] >= _WIDE * row["least"]] or fits
    if not fits:
        return
    more["scaling"] = Table(
        title=f"What doubling the accelerators brings on {benchmark}",
        columns=[
            _LABEL,
            Column("value", "Times as fast", "number", "×"),
            Column("least", "From", "integer"),
            Column("most", "To", "integer"),
            _ACCELERATOR,
        ],
        rows=[
            {
                "label": _family(who[row["family"]]),
                "value": 2.0 ** row["exponent"],
                "least": row["least"],
                "most": row["most"],
                "accelerator": who[row["family"]]["accelerator"],
            }
            for row in fits
        ],
    )
    best, worst = fits[0], fits[-1]
    said = f"On {benchmark}, twice the accelerators make {_doubling(best, who)}"
    if worst is not best:
        said += f", but {_doubling(worst, who)}"
    yield _row(
        "scaling",
        f"{said}; 2 would be ideal.",
        "scale",
        {"benchmark": benchmark, "round": round},
        about=benchmark,
        figure=2.0 ** best["exponent"],
        unit="×",
        caveat="A fitted law over different ranges; batch sizes and samples to target change along each.",
    )


def _family(row: Row) -> str:
    return f"{row['submitter']}, {row['accelerator'] or NOT_STATED}"


def _doubling(fit: Row, who: dict[str, Row]) -> str:
    times = f"{2.0 ** fit['exponent']:.2f} × as fast"
    return f"{_family(who[fit['family']])} {times} ({fit['least']:,} to {fit['most']:,})"


def _moore(store: Store, round: str, more: dict[str, Table]) -> Iterator[Row]:
    """How far the round's best are ahead of Moore's law since each series began."""
    answer = trend(store=store)
    rows = [row for row in answer.rows if row["round"] == round and row["years"] > 0]
    if not rows:
        return
    rows.sort(key=lambda row: -row["ahead_any"])
    ahead = sum(row["ahead_any"] > 1 for row in rows)
    first = rows[0]
    more["moore"] = Table(
        title="Speed-up at any scale since a series began ÷ Moore's law",
        columns=[
            _LABEL,
            Column("value", "Ahead of Moore", "number", "×"),
            Column("speedup", "Speed-up", "number", "×"),
            Column("years", "Years", "number", "", 1),
        ],
        rows=[
            {
                "label": row["benchmark"],
                "value": row["ahead_any"],
                "speedup": row["speedup_any"],
                "years": row["years"],
            }
            for row in rows
        ],
    )
    yield _row(
        "moore",
        f"The best of {ahead} of {len(rows)} benchmarks, at any scale, is ahead of a doubling every two "
        f"years since its first round; {first['benchmark']} by most: {first['speedup_any']:.1f} × as fast in "
        f"{first['years']:.1f} years.",
        "trend",
        {},
        figure=ahead,
        unit="benchmarks",
        caveat="At any scale: a larger system counts as much as a better one.",
    )


def _again(results: Answer, round: str) -> Iterator[Row]:
    again = [row for row in results.rows if "entered again" in (row["to_know"] or "")]
    if again:
        who = _listed(_some(row["submitter"] for row in again))
        yield _row(
            "again",
            f"{len(again)} of {len(results.rows)} results of the closed division are runs that an earlier "
            f"round has, entered again by {who}: nothing was run anew.",
            "entries",
            {"round": round, "division": "closed"},
            figure=len(again),
            unit="results",
        )


def _some(names: Iterable[str]) -> list[str]:
    found = sorted(set(names), key=str.casefold)
    return [*found[:_FEW], *([f"{len(found) - _FEW} more"] if len(found) > _FEW else [])]


def _table(answer: Answer, name: str) -> list[Row]:
    table = answer.more.get(name)
    if table is None or not table.rows:
        raise PitboardError(f"v{answer.parameters['round']} has nothing to draw of {name}.")
    return table.rows


def _short(label: str) -> str:
    """Leave out the vendor of an accelerator, for which a small chart has no room."""
    return re.sub(r"(?<=[,×] )(NVIDIA|AMD|Google|Intel|Graphcore) (?=\S)", "", label)


def _draw_new(answer: Answer) -> dict[str, Any]:
    rows = [
        {"label": row["label"], "value": row["value"], "word": str(row["value"]), "muted": not row["new"]}
        for row in _table(answer, "new")
    ]
    return {"rows": rows, "title": f"Results of v{answer.parameters['round']} by benchmark; blue: new in it"}


def _draw_gains(answer: Answer) -> dict[str, Any]:
    rows = [
        {
            "label": f"{row['benchmark']}, {_short(row['label'].rpartition(', ')[2])}",
            "value": _gain(row),
            "word": f"{_gain(row):.2f} ×",
            "accelerator": row["accelerator"],
        }
        for row in _table(answer, "gains")
    ]
    return {"rows": rows, "title": answer.more["gains"].title, "line": 1.0}


def _draw_multi_node(answer: Answer) -> dict[str, Any]:
    rows = _table(answer, "multi_node")
    bars = [
        {
            "label": row["label"],
            "value": row["value"],
            "word": f"{row['value']:.0f} %",
            "muted": row is not rows[-1],
        }
        for row in rows
    ]
    return {"rows": bars, "title": answer.more["multi_node"].title}


def _draw_formats(answer: Answer) -> dict[str, Any]:
    rows = [
        {
            "label": f"{row['benchmark']}, {row['precision']}",
            "value": row["against_reference"],
            "accelerator": row["accelerator"],
        }
        for row in _table(answer, "formats")
    ]
    title = answer.more["formats"].title
    return {"rows": rows, "title": title, "quantity": "× the reference's samples", "line": 1.0}


def _draw_fastest(answer: Answer) -> dict[str, Any]:
    counts = Counter(row["accelerator"] or NOT_STATED for row in _table(answer, "fastest"))
    rows = [
        {"label": name, "value": count, "word": str(count), "accelerator": name}
        for name, count in counts.most_common()
    ]
    return {"rows": rows, "title": "At how many scales which accelerator was fastest"}


def _draw_scaling(answer: Answer) -> dict[str, Any]:
    rows = [
        row | {"label": _short(row["label"]), "word": f"{row['value']:.2f} ×"}
        for row in _table(answer, "scaling")
    ]
    return {"rows": rows, "title": answer.more["scaling"].title, "line": 2.0}


def _draw_moore(answer: Answer) -> dict[str, Any]:
    rows = [
        {"label": row["label"], "value": row["value"], "word": f"{row['value']:.2f} ×"}
        for row in _table(answer, "moore")
    ]
    return {"rows": rows, "title": answer.more["moore"].title, "line": 1.0}


QUESTION = Question(
    ask=findings,
    order=0,
    summary="Show what a round shows: what is new, who gained, who scales, what low precision cost",
    about=(
        "What does a round show? A row is a finding in a sentence, with the question and the page "
        "that show its evidence. The further tables hold the figures behind the findings."
    ),
    options=(ROUND,),
    charts=(
        Chart("gains", _draw_gains, "Largest like-for-like gain of each benchmark, a bar each", "few_bars"),
        Chart("new", _draw_new, "Results by benchmark, a bar each", "few_bars"),
        Chart("multi_node", _draw_multi_node, "Share of multi-node results, a bar a round", "few_bars"),
        Chart("low_precision", _draw_formats, "Samples against the reference, a dot a result", "dots"),
        Chart("fastest", _draw_fastest, "At how many scales each accelerator was fastest", "few_bars"),
        Chart("scaling", _draw_scaling, "What doubling the accelerators brings, a bar a family", "few_bars"),
        Chart("moore", _draw_moore, "How far ahead of Moore's law, a bar a benchmark", "few_bars"),
    ),
)
