"""The pages of one system and of one result, which keep their addresses."""

from urllib.parse import urlencode

import msgspec
from fastapi import HTTPException
from markupsafe import Markup

from pitboard.results import marks
from pitboard.results.find import reference
from pitboard.results.likeness import disclosures
from pitboard.results.schema import Row
from pitboard.results.software import log_address
from pitboard.results.store import Store
from pitboard.results.units import counted_in
from pitboard.text import printable
from pitboard.web import asking
from pitboard.web.compare_page import MOST, without_notes
from pitboard.web.rendering import Page

_RUNS = "submitter, system, benchmark, run, minutes, counted, dropped, status, log"
_LINKS = (("Code", "code_url"), ("Logs", "results_url"), ("Description", "system_url"))


def system(store: Store, round: str, submitter: str, system: str) -> Page:
    """One system: its results with their runs and logs, what it says of itself, its software, its scaling."""
    key = {"round": round, "submitter": submitter, "system": system}
    found = store.having("*", "systems", key)
    own = store.having("*", "results", key, "order by benchmark")
    if not found and not own:
        raise HTTPException(404, f"The store has no system {round}/{submitter}/{system}.")
    row = found[0] if found else own[0]
    runs: dict[str, list[Row]] = {}
    for run in store.having(_RUNS, "runs", key, "order by benchmark, run"):
        address = log_address(row.get("results_url"), run["benchmark"], run["log"])
        runs.setdefault(run["benchmark"], []).append(run | {"address": address})
    results = [
        each | {"disclosed": disclosures(each), "counted_in": counted_in([each])}
        for each in marks.tell(store, own)
    ]
    name = f"{round}/{submitter}/{system}"
    stack = asking.section(store, "stack", a=name)
    return Page(
        "system.html",
        {
            "system": row,
            "results": results,
            "runs": runs,
            "description": _description(row),
            "links": _links(row),
            "stack": stack and without_notes(stack),
            "scales": _scales(store, row),
            "name": name,
            "others": _others(store, row),
        },
    )


def result(store: Store, round: str, submitter: str, system: str, benchmark: str) -> Page:
    """One result, at its permanent address: score, runs, logs, what is like for like, and how to cite it."""
    name = f"{round}/{submitter}/{system}/{benchmark}"
    entry = without_notes(asking.present(store, "entry", {"reference": name}))
    stack = asking.section(store, "stack", a=name)
    row = entry.answer.rows[0] if entry.answer else {}
    found = store.having("*", "systems", {each: row[each] for each in _KEY})
    return Page(
        "result.html",
        {
            "entry": entry,
            "row": row,
            "reference_of": reference(row),
            "links": _links(found[0]) if found else {},
            "fastest": _with_the_fastest(entry, reference(row)),
            "disclosed": disclosures(row),
            "stack": stack and without_notes(stack),
        },
    )


def _with_the_fastest(entry: asking.Section, own: str) -> list[str]:
    """Give a result and the fastest that are like for like with it, as many as can be compared."""
    peers = entry.answer.more["peers"].rows if entry.answer else []
    return [own, *(each["reference"] for each in peers if not each["this"])][:MOST]


_KEY = ("round", "submitter", "system")

Options = dict[str, list[tuple[str, Markup]]]
"""Each submitter's systems, with what names one in a form."""


def _links(row: Row) -> dict[str, str]:
    return {what: row[name] for what, name in _LINKS if row.get(name)}


def _scales(store: Store, row: Row) -> dict[str, str]:
    """Give the benchmarks of the system with a scale curve of its family, each with what draws it."""
    if not row["accelerator"]:
        return {}
    named = {name: row[name] for name in ("round", "submitter", "accelerator", "division")}
    own = {"with_own": "true"} if row["own"] else {}
    alike = {**named, "framework": row["framework"]}
    family: dict[str, list[Row]] = {}
    figures = "benchmark, system, accelerators, minutes"
    for each in store.having(figures, "results", alike, "order by benchmark"):
        if each["minutes"]:
            family.setdefault(each["benchmark"], []).append(each)
    return {
        benchmark: urlencode({"benchmark": benchmark, **named, **own})
        for benchmark, rows in family.items()
        if any(each["system"] == row["system"] for each in rows)
        and len({each["accelerators"] for each in rows} - {None}) > 1
    }


def _others(store: Store, row: Row) -> Markup:
    """Give the other systems of the round, to choose one from, as options in a group for each submitter."""
    options, groups = store.once(
        ("options", row["round"], row["own"]), lambda: _grouped(_options(store, row["round"], row["own"]))
    )
    own = row["submitter"]
    others = [option for system, option in options.get(own, []) if system != row["system"]]
    return Markup("".join((groups | {own: _group(own, others)}).values()))


_GROUP = Markup('<optgroup label="{}">{}</optgroup>')
_OPTION = Markup('<option value="{}">{}</option>')


def _group(submitter: str, options: list[Markup]) -> Markup:
    """Write the options of a submitter's systems; nothing where there is none."""
    return _GROUP.format(submitter, Markup("").join(options)) if options else Markup("")


def _grouped(options: Options) -> tuple[Options, dict[str, Markup]]:
    """Give the options with each submitter's group as most pages of the round have it, written once."""
    return options, {name: _group(name, [option for _, option in each]) for name, each in options.items()}


def _options(store: Store, round: str, own: bool) -> Options:
    """Give each submitter's systems, with what names one in a form."""
    groups: dict[str, list[tuple[str, Markup]]] = {}
    key = {"round": round, "own": own}
    columns = "submitter, system, accelerators, accelerator"
    for each in store.having(columns, "systems", key, "order by submitter, accelerators, system"):
        what = f"{each['accelerators'] or '?'} × {each['accelerator'] or 'not stated'} · {each['system']}"
        option = _OPTION.format(f"{round}/{each['submitter']}/{each['system']}", printable(what))
        groups.setdefault(each["submitter"], []).append((each["system"], option))
    return groups


def _description(row: Row) -> dict[str, str]:
    """Give the description's fields with what was written in them; the empty ones are left out."""
    text = row.get("description")
    fields = msgspec.json.decode(text) if text else {}
    written = {name: _written(value) for name, value in fields.items()} if isinstance(fields, dict) else {}
    return {name: value for name, value in written.items() if value.strip()}


def _written(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_written(part)}" for name, part in value.items())
    return ", ".join(map(_written, value)) if isinstance(value, list) else str(value)
