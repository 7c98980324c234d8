"""Up to six results side by side: the pickers, the like-for-like guard, and what the questions say."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from starlette.datastructures import QueryParams

from pitboard.errors import PitboardError
from pitboard.results.find import benchmarks_of, reference, result
from pitboard.results.question import LETTERS
from pitboard.results.questions.entry import peers_of
from pitboard.results.schema import Row
from pitboard.results.store import Store
from pitboard.web import asking
from pitboard.web.links import compare_address
from pitboard.web.rendering import Page

MOST = len(LETTERS)
_SUGGESTED = 6
_OF_BENCHMARK = """select round, submitter, system, benchmark, accelerators, accelerator, minutes from results
where benchmark = $1 and not own and minutes is not null order by round desc, accelerators, minutes"""


def tidy(query: QueryParams) -> str | None:
    """Give the address of a comparison without empty and double picks; `None` where it is that already.

    `a` and `b`, as older addresses name two results, become `r`.
    """
    picks = _picks(query)
    wanted = [("r", pick) for pick in picks] + list(_besides(query, picks).items())
    return None if query.multi_items() == wanted else _address(query, picks)


def compare(store: Store, query: Mapping[str, str]) -> tuple[Page, int]:
    """Two to six results side by side, with what is not like for like first; and the page's status.

    What cannot be compared is said beside the picks, so that another can be made.
    """
    picks = _picks(query)
    rows, sentence, status = _found(store, picks)
    picks = [reference(row) if row else pick for row, pick in zip(rows, picks, strict=True)]
    page: dict[str, Any] = {
        "normalise": bool(query.get("normalise")),
        "chosen": [_chosen(query, picks, at, rows[at]) for at in range(len(picks))],
        "full": len(picks) >= MOST,
        "limit": MOST,
        "sections": {},
    }
    if len(picks) > MOST:
        over = len(picks) - MOST
        sentence = (
            f"At most {MOST} results can be compared at once, and these are {len(picks)}: remove "
            f"{'one' if over == 1 else over}."
        )
        status = 400
    elif len(picks) > 1 and not sentence:
        try:
            page["sections"] = _sections(store, [row for row in rows if row], page["normalise"])
        except PitboardError as error:
            sentence, status = str(error), error.status
    page["variants"] = _variants(page["sections"].get("stack"))
    page |= _pickers(store, query.get("benchmark", "").strip(), picks, rows)
    page["alike"] = _alike(store, query, picks, rows)
    return Page("compare.html", page | {"sentence": sentence, "status": status}), status


def _picks(query: Mapping[str, str]) -> list[str]:
    """Give the references that a query names, each once."""
    given = [text for name in ("a", "b", "r") for text in asking.every(query, name)]
    return list(dict.fromkeys(text.strip("/").removeprefix("v") for text in given if text.strip("/")))


def _besides(query: Mapping[str, str], picks: list[str]) -> dict[str, str]:
    """Give what an address says beside its picks: they have their benchmark."""
    names = ("normalise",) if picks else ("benchmark", "normalise")
    return {name: value for name in names if (value := query.get(name, "").strip())}


def _address(query: Mapping[str, str], picks: list[str]) -> str:
    return compare_address(picks, **_besides(query, picks))


def _found(store: Store, picks: list[str]) -> tuple[list[Row | None], str, int]:
    """Give the row of each pick, and for the first that there is not, the sentence and the status."""
    rows: list[Row | None] = []
    sentence, status = "", 200
    for pick in picks:
        try:
            rows.append(result(store, pick))
        except PitboardError as error:
            rows.append(None)
            sentence, status = sentence or str(error), error.status
    return rows, sentence, status


def _chosen(query: Mapping[str, str], picks: list[str], at: int, row: Row | None) -> dict[str, Any]:
    """Give a pick with the addresses that take it away, or make it the one that others are measured by."""
    others = picks[:at] + picks[at + 1 :]
    return {
        "letter": LETTERS[at] if at < MOST else str(at + 1),
        "reference": picks[at],
        "row": row,
        "label": _label(row) if row else picks[at],
        "remove": _address(query, others),
        "first": _address(query, [picks[at], *others]) if at else "",
    }


def _sections(store: Store, rows: list[Row], normalise: bool) -> dict[str, asking.Section | None]:
    """Ask what the page shows of results: raises what `compare` does, while each other part may be absent."""
    names = {letter.lower(): reference(row) for letter, row in zip(LETTERS, rows, strict=False)}
    values = names | ({"normalise": True} if normalise else {})
    stack = asking.section(store, "stack", **names, different=True)
    return {
        "compare": without_notes(asking.present(store, "compare", values), "To cite: "),
        "why": asking.section(store, "why", **names) if len(rows) == 2 else None,
        "stack": stack and without_notes(stack),
        "scale": _scale(store, rows),
    }


def without_notes(section: asking.Section, beginning: str = "") -> asking.Section:
    """Leave out the notes that begin so: the page says them elsewhere."""
    if section.answer is None:
        return section
    kept = [note for note in section.answer.notes if not note.startswith(beginning)]
    return section._replace(answer=replace(section.answer, notes=kept))


def _variants(stack: asking.Section | None) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Give each software that differs with its versions, and the letters of the systems that state each."""
    found = []
    for row in stack.answer.rows if stack and stack.answer else []:
        versions: dict[str | None, list[str]] = {}
        for letter in LETTERS:
            if letter.lower() in row:
                versions.setdefault(row[letter.lower()], []).append(letter)
        found.append((row["key"], [(", ".join(letters), value) for value, letters in versions.items()]))
    return found


def _scale(store: Store, rows: list[Row]) -> asking.Section | None:
    """Ask how the families of the results scale; nothing where none was entered at two counts."""
    values: dict[str, list[Any]] = {
        name: list(dict.fromkeys(row[name] for row in rows if row[name] is not None))
        for name in ("round", "submitter", "accelerator", "division")
    }
    own = {"with_own": True} if any(row["own"] for row in rows) else {}
    given = {name: found for name, found in values.items() if found}
    section = asking.section(store, "scale", benchmark=rows[0]["benchmark"], **given, **own)
    if not section or not section.answer or not section.answer.more["fits"].rows:
        return None
    return section


def _pickers(store: Store, benchmark: str, picks: list[str], rows: list[Row | None]) -> dict[str, Any]:
    """Give the results of one benchmark to choose from: that of the picks, or the one asked for."""
    known = benchmarks_of(store)
    named = [str(row["benchmark"]) for row in rows if row]
    benchmark = next((name for name in [*named, benchmark, "llama31_8b", *known] if name in known), "")
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in store.rows(_OF_BENCHMARK, [benchmark]):
        if reference(row) not in picks:
            groups.setdefault(str(row["round"]), []).append((reference(row), _label(row)))
    return {"benchmark": benchmark, "benchmarks": known, "groups": groups}


def _alike(
    store: Store, query: Mapping[str, str], picks: list[str], rows: list[Row | None]
) -> list[tuple[str, str]]:
    """Give what is like for like with the first pick and not picked: what to call it, and the address."""
    if not rows or not rows[0] or len(picks) >= MOST:
        return []
    peers = [row for row in peers_of(store, rows[0]) if row["reference"] not in picks]
    return [(_label(row), _address(query, [*picks, row["reference"]])) for row in peers[:_SUGGESTED]]


def _label(row: Row) -> str:
    what = f"{row['accelerators'] or '?'} × {row['accelerator'] or 'not stated'}"
    minutes = "no score" if row["minutes"] is None else f"{row['minutes']:.2f} min"
    return f"{what} · {row['submitter']} · {minutes} · {row['system']}"
