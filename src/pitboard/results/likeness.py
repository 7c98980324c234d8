"""Which results may be set side by side, and with what said (MLCommons' rules for citing results)."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pitboard.results.schema import Row


class Aspect(NamedTuple):
    """What two results may differ in: its plural, what a result says of it, and why a difference matters.

    `value` gives "" where a result says nothing, which differs from nothing. `of_round` is what a comparison
    of rounds is about.
    """

    name: str
    value: Callable[[Row], str]
    because: str = ""
    of_round: bool = False


_NOT_VERIFIED = "not verified by MLCommons Association"
ASPECTS = (
    Aspect(
        "rounds", lambda row: f"v{row['round']}", "; rules and reference code may have changed", of_round=True
    ),
    Aspect("divisions", lambda row: row["division"] or "not stated"),
    Aspect("availability categories", lambda row: category(row["availability"]) or "not stated"),
    Aspect(
        "accelerator counts",
        lambda row: str(row["accelerators"] or "not stated"),
        "; time does not fall in proportion to accelerators",
    ),
    Aspect("precisions", lambda row: row["precision"] or "", of_round=True),
)


def unlike(a: Row, b: Row, *, across_rounds: bool = False) -> list[str]:
    """Say in what two results differ that a comparison must name; nothing where they are like for like.

    MLCommons' policy for messages about results asks that a comparison names every difference in version,
    division, category (availability), verified status and count of accelerators; we name a difference in
    stated precision too. `across_rounds` leaves out version and precision, for a comparison that is
    about what two rounds have changed. Another benchmark or target cannot be compared at all, and is named
    first.
    """
    reasons = []
    if a["benchmark"] != b["benchmark"]:
        reasons.append(f"The benchmarks differ: {a['benchmark']} and {b['benchmark']}.")
    elif a["target"] is not None and b["target"] is not None and a["target"] != b["target"]:
        reasons.append(f"The quality targets differ: {a['target']:g} and {b['target']:g}.")
    if bool(a["own"]) != bool(b["own"]):
        reasons.append(f"One is published, the other your own run: {_NOT_VERIFIED}.")
    for aspect in ASPECTS:
        if across_rounds and aspect.of_round:
            continue
        values = [aspect.value(row) for row in (a, b)]
        if all(values) and values[0] != values[1]:
            reasons.append(f"The {aspect.name} differ: {values[0]} and {values[1]}{aspect.because}.")
    return [*reasons, *_changes({"A": a, "B": b})]


def unlike_among(rows: Mapping[str, Row]) -> list[str]:
    """Say in what several results of one benchmark differ, as `unlike` does of two: by the names given."""
    reasons = []
    own = [name for name, row in rows.items() if row["own"]]
    if own and len(own) < len(rows):
        others = [name for name in rows if name not in own]
        reasons.append(
            f"{listed(others)} {'is' if len(others) == 1 else 'are'} published, {listed(own)} your own: "
            f"{_NOT_VERIFIED}."
        )
    for aspect in ASPECTS:
        groups: dict[str, list[str]] = {}
        for name, row in rows.items():
            if value := aspect.value(row):
                groups.setdefault(value, []).append(name)
        if len(groups) > 1:
            said = [f"{value} ({', '.join(names)})" for value, names in groups.items()]
            reasons.append(f"The {aspect.name} differ: {listed(said)}{aspect.because}.")
    return [*reasons, *_changes(rows)]


def differing(a: Row, b: Row) -> list[str]:
    """Name what `unlike` says of two results of one benchmark, in a word or two each."""
    found = [] if bool(a["own"]) == bool(b["own"]) else ["verification"]
    for aspect in ASPECTS:
        values = [aspect.value(row) for row in (a, b)]
        if all(values) and values[0] != values[1]:
            found.append(aspect.name)
    changed = any(row["own"] and _changed(row) for row in (a, b))
    return [*found, *(["settings of the preset"] if changed else [])]


def _changes(rows: Mapping[str, Row]) -> list[str]:
    reasons = []
    for name, row in rows.items():
        if row["own"] and (names := _changed(row)):
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            reasons.append(f"{name} changed settings of its preset: {', '.join(names[:5])}{more}.")
    return reasons


def listed(parts: Sequence[str]) -> str:
    """Write parts as a list in a sentence: "A, B and C"."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def category(written: str | None) -> str | None:
    """Give an availability category as the newest rounds spell it; any other text as it is.

    Entries of early rounds call one category "onprem", "available on premise" and "Available on-premise".
    Just "available" is neither that nor the cloud.
    """
    plain = (written or "").casefold()
    if "onprem" in plain or "premise" in plain:
        return "Available on-premise"
    return "Available cloud" if "cloud" in plain else written


def disclosed(*rows: Row) -> list[Row]:
    """Give the disclosed settings (precision, parallelism, micro-batch, configuration) of results.

    Rows have `setting`, as text `a`, `b` and so on, `None` where not disclosed, and `same`, `None` unless all
    disclose it.
    """
    settings = [disclosures(row) for row in rows]
    found = []
    for name in dict.fromkeys(name for each in settings for name in each):
        values = [each.get(name) for each in settings]
        same = None if None in values else len(set(values)) == 1
        found.append({"setting": name, **dict(zip("abcdef", values, strict=False)), "same": same})
    return found


def disclosures(row: Row) -> dict[str, str]:
    """Give what the logs of a result disclose, as round 6.1 asks: names in its order, values as text."""
    from pitboard.events.summary import DISCLOSURES

    settings = _settings(row)
    return {name: str(settings[name]) for name in DISCLOSURES if name in settings}


def _settings(row: Row) -> Row:
    settings = row.get("settings") or {}
    return dict(json.loads(settings) if isinstance(settings, str) else settings)


def preset_of(row: Row) -> str | None:
    """Give the preset other than `full` that makes a result none of MLPerf's, or `None`."""
    preset = row.get("preset")
    return None if preset in (None, "full") else str(preset)


def _changed(row: Row) -> list[str]:
    """Name the settings that a run of ours changed of its preset, but for those that MLPerf leaves open."""
    from pitboard.compliance.result.reference import FREE

    named = _settings(row).get("pitboard_changed")
    free: frozenset[str] = frozenset() if preset_of(row) else FREE
    return [str(name) for name in named if name not in free] if isinstance(named, list) else []


def incomparable(a: Row, b: Row) -> str | None:
    """Say why no speed-up between two results means anything, or give `None`."""
    if a["benchmark"] != b["benchmark"]:
        return f"they are of different benchmarks, {a['benchmark']} and {b['benchmark']}"
    presets = [preset_of(row) for row in (a, b)]
    if presets[0] != presets[1]:
        scaled = presets[0] or presets[1]
        if None in presets:
            return (
                f"one is of preset {scaled}, which is not an MLPerf result, the other of the benchmark itself"
            )
        return f"they are of different presets, {presets[0]} and {presets[1]}"
    if a["target"] is not None and b["target"] is not None and a["target"] != b["target"]:
        return f"they race to different quality targets, {a['target']:g} and {b['target']:g}"
    for row in (a, b):
        if row.get("emulated"):
            return f"the precision of {row['submitter']}'s was emulated, so its time says nothing"
    return None
