"""What was said in public about a round, and what its data say of it."""

from collections.abc import Callable
from typing import Any

import msgspec

from pitboard.errors import PitboardError
from pitboard.results.answer import Answer, Column
from pitboard.results.evidence import Evidence
from pitboard.results.find import default_store, rounds_of
from pitboard.results.organisations import one_name
from pitboard.results.question import Question
from pitboard.results.questions.roster import roster
from pitboard.results.questions.trend import MEASURES, trend
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.results.tracing import trace

DEFINITION = (
    "Each claim is evaluated anew from the results in the store, by the question that the last column names. "
    "It is supported where every figure in it is found, partly supported where some are, not supported where "
    "the data say otherwise, and cannot be told where they do not decide it. A sharp rise is one by half or "
    "more; to have outpaced Moore's law, most series of benchmarks must have, by each measure of the trend."
)

SQL = """select organisation, submitter, system_name, benchmark, division, accelerator, accelerators, minutes
from results where round = $round and not own
order by minutes, organisation, system_name"""

COLUMNS = [
    Column("claim", "Claim"),
    Column("verdict", "Verdict"),
    Column("found", "What the data say"),
    Column("round", "Round"),
    Column("question", "Ask it yourself", detail=True),
    Column("address", "Its page", detail=True),
]

SUPPORTED, PARTLY, NOT, UNTOLD = "supported", "partly supported", "not supported", "cannot be told"
_SHARP = 1.5

Finding = tuple[str, str, Evidence]
"""A verdict, what was found, and the question that finds it."""


class Claim(msgspec.Struct, frozen=True):
    """What was said of a round, and how to find out."""

    round: str
    text: str
    judge: Callable[[Store, str], Finding]


def _roster(figure: str, value: int) -> Callable[[Store, str], Finding]:
    """Judge that a count of the roster has a value."""

    def judge(store: Store, round: str) -> Finding:
        found = roster(round, store=store).facts[figure]
        return (
            SUPPORTED if found == value else NOT,
            f"{found} {figure}",
            _everyone(round),
        )

    return judge


def _multi_node_rose(against: str) -> Callable[[Store, str], Finding]:
    """Judge that multi-node entries rose sharply against an earlier round, by results and by systems."""

    def judge(store: Store, round: str) -> Finding:
        facts = roster(round, against=against, store=store).facts
        before = facts["before"]
        ratios = [facts[each] / max(before[each], 1) for each in ("multi_node_results", "multi_node_systems")]
        sharp = [ratio >= _SHARP for ratio in ratios]
        return (
            SUPPORTED if all(sharp) else PARTLY if any(ratio > 1 for ratio in ratios) else NOT,
            f"{facts['multi_node_results']} multi-node results, {before['multi_node_results']} in v{against} "
            f"({ratios[0] - 1:+.0%}), {facts['multi_node_share']:.0%} of all instead of "
            f"{before['multi_node_share']:.0%}; {facts['multi_node_systems']} multi-node systems, "
            f"{before['multi_node_systems']} in v{against} ({ratios[1] - 1:+.0%})",
            Evidence("roster", {"round": round, "against": against}),
        )

    return judge


def _outpaced(store: Store, _: str) -> Finding:
    """Judge that most series outpaced Moore's law by every measure."""
    facts = trend(store=store).facts
    most = [2 * facts[measure]["outpaced"] > facts[measure]["series"] for measure in MEASURES]
    found = "; ".join(
        f"{words} {each['outpaced']} of {each['series']} series did"
        for measure, words in MEASURES.items()
        if (each := facts[measure])["series"]
    )
    verdict = SUPPORTED if all(most) else PARTLY if any(most) else NOT
    return verdict, found, Evidence("trend", {})


def _speedup(reference: str, claimed: float) -> Callable[[Store, str], Finding]:
    """Judge that a result is faster than an earlier one by a factor."""

    def judge(store: Store, _: str) -> Finding:
        answer = trace(reference, claimed, store=store)
        facts = answer.facts
        how = Evidence("rounds", {"benchmark": reference.rpartition("/")[2]})
        fair = [name for name in facts["gives"] if name in facts["like_for_like"]]
        if fair:
            return SUPPORTED, f"{claimed:.2f} × over {fair[0]}, like for like", how
        alike = ", ".join(f"{ratio:.2f} ×" for ratio in facts["like_for_like"].values()) or "none"
        if facts["gives"]:
            first = next(row for row in answer if row["gives"])
            return (
                PARTLY,
                f"{claimed:.2f} × over {len(facts['gives'])} earlier results, none of them like for like, as "
                f"{first['candidate']} ({first['accelerators']} × {first['accelerator']}); like for like it "
                f"is {alike}",
                how,
            )
        return UNTOLD, f"no earlier result gives it; like for like it is {alike}", how

    return judge


def _leads(organisation: str) -> Callable[[Store, str], Finding]:
    """Judge that an organisation has the fastest result of every benchmark, and the largest system."""

    def judge(store: Store, round: str) -> Finding:
        rows = [row for row in _entries(store, round) if row["division"] == "closed" and row["minutes"]]
        fastest: dict[str, Row] = {}
        for row in rows:
            fastest.setdefault(row["benchmark"], row)
        others = {name: row["organisation"] for name, row in fastest.items() if not _is(row, organisation)}
        largest = max(rows, key=lambda row: row["accelerators"] or 0)
        first = len(fastest) - len(others)
        named = "".join(f", not on {name} ({who})" for name, who in sorted(others.items()))
        verdict = SUPPORTED if not others and _is(largest, organisation) else PARTLY if first else NOT
        return (
            verdict,
            f"fastest on {first} of {len(fastest)} benchmarks of the closed division{named}; the largest "
            f"system is {largest['organisation']}'s, of {largest['accelerators']:,} accelerators",
            Evidence("entries", {"round": round, "division": "closed"}),
        )

    return judge


def _entered(
    organisation: str, counts: tuple[int, ...], accelerator: str | None = None, benchmarks: int | None = None
) -> Callable[[Store, str], Finding]:
    """Judge that an organisation entered at these counts, and so many benchmarks."""

    def judge(store: Store, round: str) -> Finding:
        rows = [row for row in _entries(store, round) if _is(row, organisation)]
        if not rows:
            return UNTOLD, f"v{round} has no entry of {organisation} under any of its names", _everyone(round)
        have = sorted({row["accelerators"] for row in rows if row["accelerators"]})
        names = sorted({row["benchmark"] for row in rows})
        kinds = sorted({row["accelerator"] for row in rows if row["accelerator"]})
        right = [count in have for count in counts]
        if benchmarks is not None:
            right.append(len(names) == benchmarks)
        if accelerator is not None:
            right.append(kinds == [accelerator])
        submitter = rows[0]["submitter"]
        called = "" if submitter == organisation else f", entered as {submitter} ({rows[0]['system_name']}),"
        return (
            SUPPORTED if all(right) else PARTLY if any(right) else NOT,
            f"{organisation}{called} has {', '.join(names)} on {' and '.join(kinds)}, at "
            f"{', '.join(f'{count:,}' for count in have)} accelerators",
            Evidence("entries", {"round": round, "submitter": submitter}),
        )

    return judge


def _everyone(round: str) -> Evidence:
    return Evidence("roster", {"round": round})


CLAIMS = (
    Claim("5.1", "65 systems were entered", _roster("systems", 65)),
    Claim("5.1", "20 organisations took part", _roster("organisations", 20)),
    Claim(
        "5.1",
        "Multi-node entries climbed sharply within a year",
        _multi_node_rose("4.1"),
    ),
    Claim("5.1", "Performance outpaced a simple Moore's-law line", _outpaced),
    Claim(
        "5.1",
        "Lambda's 72 × GB300 run of llama2_70b_lora is 1.66 × as fast as earlier submissions",
        _speedup("5.1/Lambda/gb300_n18_ngc25.04_nemo/llama2_70b_lora", 1.66),
    ),
    Claim("5.1", "NVIDIA was fastest on every benchmark, with the largest system", _leads("NVIDIA")),
    Claim(
        "5.1",
        "The University of Florida raced all seven benchmarks, on up to 448 GPUs",
        _entered("University-of-Florida", (448,), benchmarks=7),
    ),
    Claim("5.1", "Wiwynn entered 72 and 576 GPUs", _entered("Wiwynn", (72, 576))),
    Claim("5.1", "Datacrunch entered 8 × B200", _entered("Datacrunch", (8,), accelerator="NVIDIA B200")),
)
"""The claims, as they were made in public about each round, in short."""


def claims(*, store: Store | None = None) -> Answer:
    """Hold what was said in public about the rounds against their data, a claim a row.

    `facts` counts the claims by verdict. Claims about a round that the store does not have are left out.
    """
    store = store or default_store()
    have = rounds_of(store)
    rows: list[Row] = []
    for claim in CLAIMS:
        if claim.round not in have:
            continue
        evidence: Evidence | None = None
        try:
            verdict, found, evidence = claim.judge(store, claim.round)
        except PitboardError as error:  # of a store without what the claim is about
            verdict, found = UNTOLD, str(error)
        rows.append(
            {
                "round": f"v{claim.round}",
                "claim": claim.text,
                "verdict": verdict,
                "found": found,
                "question": evidence and evidence.command,
                "address": evidence and evidence.address,
            }
        )
    facts: dict[str, Any] = {
        verdict: sum(row["verdict"] == verdict for row in rows)
        for verdict in (SUPPORTED, PARTLY, NOT, UNTOLD)
    }
    counts = ", ".join(f"{count} {verdict}" for verdict, count in facts.items() if count)
    return Answer(
        question="claims",
        title=f"{len(rows)} claims: {counts}" if rows else "No claim is about a round in the store",
        definition=DEFINITION,
        sql=SQL,
        parameters={},
        columns=COLUMNS,
        rows=rows,
        facts=facts,
    )


def _entries(store: Store, round: str) -> list[Row]:
    return store.rows(SQL, {"round": round})


def _is(row: Row, organisation: str) -> bool:
    """Tell whether an entry is an organisation's, by any of its names or by its system's."""
    wanted = one_name(organisation)
    return wanted in (one_name(row["organisation"]), one_name(row["submitter"])) or (
        row["system_name"] or ""
    ).casefold().startswith(f"{wanted}-")


QUESTION = Question(
    ask=claims,
    order=9,
    summary="Hold what was said in public about the rounds against their data",
    about=(
        "Does what was said in public about a round hold against its data? A row is a claim with the "
        "figure that the data give and the verdict."
    ),
)
